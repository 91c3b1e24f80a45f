import Glibc
import Kernel

/// Which ports of the host are published, and the sockets that keep other processes off them.
///
/// The two families are independent of each other. Belongs to a thread in the host's namespace.
struct PortTable {
    private struct Key: Hashable {
        let port: UInt16
        let transport: Transport
        let family: IPAddress.Family
    }

    private struct Range: Hashable {
        let transport: Transport
        let family: IPAddress.Family
    }

    /// A published port.
    private struct Holding {
        let address: IPAddress
        /// The container.
        let owner: String
        let target: IPAddress
        let targetPort: UInt16
        /// nil when a process of the host came first (after a restart), or the kernel has no such transport.
        let socket: NamespaceHandle?
    }

    /// A reserved TCP socket and what it is reserved for.
    struct Listener {
        let socket: NamespaceHandle
        let container: String
        let address: IPAddress
        let port: UInt16
    }

    /// `net.ipv4.ip_local_port_range`, of which the kernel and Docker take ports that nobody named.
    let ephemeral: ClosedRange<UInt16>

    private var holdings: [Key: [Holding]] = [:]
    private var next: [Range: UInt16] = [:]

    /// Call it in the host's namespace.
    init() { ephemeral = Self.localRange() ?? 32768...60999 }

    /// Takes the binding's port, the first free one of its range, or for port 0 one of the ephemeral ports, by listening on
    /// it.
    ///
    /// - Parameters:
    ///   - container: who has it, for those who come later.
    ///   - target: the endpoint's address.
    ///   - preferred: for port 0, the port to take when it is free: the twin's in the other family.
    /// - Returns: the binding with its port.
    /// - Throws: `portTaken`, `portsExhausted`, `invalid` or `system`.
    mutating func reserve(
        _ binding: PortBinding, for container: String, at target: IPAddress, preferring preferred: UInt16 = 0
    ) throws(NetworkError) -> PortBinding {
        guard binding.containerPort != 0 else {
            throw NetworkError(.invalid, "invalid container port 0", remedy: "ports are 1 to 65535")
        }
        guard binding.hostPort == 0 else { return try reserveNamed(binding, container, target) }
        if preferred != 0 {
            var wanted = binding
            wanted.hostPort = preferred
            if holder(of: wanted) == nil, let taken = try holdIfFree(wanted, container, target) { return taken }
        }
        return try reserveAny(binding, container, target)
    }

    /// Enters the binding without a socket, for a container that already answers on it; false when another of ours has it.
    mutating func force(_ binding: PortBinding, for container: String, at target: IPAddress) -> Bool {
        guard binding.hostPort != 0, binding.containerPort != 0, holder(of: binding) == nil else { return false }
        enter(binding, container, target, nil)
        return true
    }

    /// Frees the binding's port.
    mutating func release(_ binding: PortBinding) {
        let key = Self.key(binding)
        holdings[key]?.removeAll { $0.address == binding.hostAddress }
        if holdings[key]?.isEmpty == true { holdings[key] = nil }
    }

    /// The sockets that connections reach when they are not translated: those of IPv6, where they come from `[::1]`.
    var listeners: [Listener] {
        holdings.flatMap { key, holders in
            key.transport != .tcp || key.family != .v6
                ? []
                : holders.compactMap { holding in
                    holding.socket.map {
                        Listener(
                            socket: $0, container: holding.owner, address: holding.target, port: holding.targetPort)
                    }
                }
        }
    }

    // MARK: Which port

    private mutating func reserveNamed(
        _ binding: PortBinding, _ container: String, _ target: IPAddress
    ) throws(NetworkError) -> PortBinding {
        let last = max(binding.hostPortEnd, binding.hostPort)
        var candidate = binding
        var failure: NetworkError?
        for port in binding.hostPort...last {
            candidate.hostPort = port
            candidate.hostPortEnd = 0
            if let other = holder(of: candidate) {
                failure = failure ?? Self.allocated(candidate, other)
                continue
            }
            do throws(NetworkError) {
                try hold(candidate, container, target)
                return candidate
            } catch  where error.code == .portTaken {
                failure = failure ?? error
            }
        }
        // Of one port the reason itself; of a range that none is left.
        if let failure, last == binding.hostPort { throw failure }
        throw NetworkError(
            .portTaken, "Bind for \(binding.hostAddress):\(binding.hostPort)-\(last) failed: port is already allocated",
            remedy: "free one of these ports or choose others", cause: failure?.cause)
    }

    private mutating func reserveAny(
        _ binding: PortBinding, _ container: String, _ target: IPAddress
    ) throws(NetworkError) -> PortBinding {
        let range = Range(transport: binding.transport, family: binding.hostAddress.family)
        var candidate = binding
        candidate.hostPortEnd = 0
        var port = next[range] ?? ephemeral.lowerBound
        for _ in ephemeral {
            candidate.hostPort = port
            port = port < ephemeral.upperBound ? port + 1 : ephemeral.lowerBound
            next[range] = port
            guard holder(of: candidate) == nil else { continue }
            if let taken = try holdIfFree(candidate, container, target) { return taken }
        }
        throw NetworkError(
            .portsExhausted, "all ports are allocated",
            remedy: "free one of the ports \(ephemeral.lowerBound) to \(ephemeral.upperBound) or choose another")
    }

    /// nil when a process of the host has the port.
    private mutating func holdIfFree(
        _ binding: PortBinding, _ container: String, _ target: IPAddress
    ) throws(NetworkError) -> PortBinding? {
        do throws(NetworkError) {
            try hold(binding, container, target)
            return binding
        } catch  where error.code == .portTaken {
            return nil
        }
    }

    // MARK: Who has it

    private static func key(_ binding: PortBinding) -> Key {
        Key(port: binding.hostPort, transport: binding.transport, family: binding.hostAddress.family)
    }

    /// The container of ours that has the port on the same address, or where either means every address.
    private func holder(of binding: PortBinding) -> String? {
        let address = binding.hostAddress
        return holdings[Self.key(binding)]?
            .first { $0.address == address || $0.address.isUnspecified || address.isUnspecified }?.owner
    }

    private static func allocated(_ binding: PortBinding, _ holder: String) -> NetworkError {
        NetworkError(
            .portTaken, "Bind for \(binding.hostAddress):\(binding.hostPort) failed: port is already allocated",
            remedy: "container \(holder) has it")
    }

    private mutating func enter(
        _ binding: PortBinding, _ container: String, _ target: IPAddress, _ socket: NamespaceHandle?
    ) {
        holdings[Self.key(binding), default: []]
            .append(
                Holding(
                    address: binding.hostAddress, owner: container, target: target, targetPort: binding.containerPort,
                    socket: socket))
    }

    private mutating func hold(
        _ binding: PortBinding, _ container: String, _ target: IPAddress
    ) throws(NetworkError) {
        do throws(SystemError) {
            enter(binding, container, target, NamespaceHandle(try Self.listen(binding)))
        } catch  where error.code == EPROTONOSUPPORT || error.code == ESOCKTNOSUPPORT {
            // Without the transport in the kernel no process of the host can take the port either.
            enter(binding, container, target, nil)
        } catch {
            let message =
                "failed to bind host port for \(binding.hostAddress):\(binding.hostPort):\(target):"
                + "\(binding.containerPort)/\(binding.transport.name): \(error.reason)"
            throw NetworkError(error.code == EADDRINUSE ? .portTaken : .system, message, cause: error)
        }
    }

    // MARK: Sockets

    /// A socket on the binding's address and port that nobody reads: packets are translated before they reach it.
    private static func listen(_ binding: PortBinding) throws(SystemError) -> OwnedFD {
        let object = "\(binding.hostAddress):\(binding.hostPort)"
        let family = binding.hostAddress.family == .v4 ? AF_INET : AF_INET6
        let kind = binding.transport == .udp ? SOCK_DGRAM.rawValue : SOCK_STREAM.rawValue
        let flags = CInt(kind | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let transport = CInt(binding.transport.rawValue)
        let descriptor = OwnedFD(adopting: try checked("socket", object) { socket(family, flags, transport) })
        let raw = descriptor.raw
        // Connections of an earlier listener that are still closing must not refuse the port; a listener does.
        if binding.transport != .udp { try set(raw, SOL_SOCKET, SO_REUSEADDR, 1) }
        // What is not translated (datagrams from ::1) is not kept either.
        if binding.transport == .udp { try set(raw, SOL_SOCKET, SO_RCVBUF, 0) }
        if binding.hostAddress.family == .v6 { try set(raw, CInt(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        try bind(raw, binding.hostAddress, binding.hostPort, object)
        if binding.transport != .udp { try checked("listen", object) { Glibc.listen(raw, backlog) } }
        return descriptor
    }

    /// Connections that wait to be relayed.
    private static let backlog: CInt = 128

    private static func set(
        _ raw: CInt, _ level: CInt, _ option: CInt, _ value: CInt
    ) throws(SystemError) {
        var value = value
        try checked("setsockopt") { setsockopt(raw, level, option, &value, socklen_t(MemoryLayout<CInt>.size)) }
    }

    private static func bind(
        _ raw: CInt, _ address: IPAddress, _ port: UInt16, _ object: String
    ) throws(SystemError) {
        if address.family == .v4 {
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = port.bigEndian
            name.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.value).bigEndian
            try bind(raw, &name, object)
        } else {
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = port.bigEndian
            withUnsafeMutableBytes(of: &name.sin6_addr) { $0.copyBytes(from: address.bytes) }
            try bind(raw, &name, object)
        }
    }

    private static func bind<Name>(_ raw: CInt, _ name: inout Name, _ object: String) throws(SystemError) {
        try withUnsafePointer(to: &name) { pointer throws(SystemError) -> Void in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic throws(SystemError) -> Void in
                try checked("bind", object) { Glibc.bind(raw, generic, socklen_t(MemoryLayout<Name>.size)) }
            }
        }
    }

    /// The two numbers of the kernel's setting; nil when it cannot be read or means nothing.
    private static func localRange() -> ClosedRange<UInt16>? {
        guard let file = try? OwnedFD.open("/proc/sys/net/ipv4/ip_local_port_range", O_RDONLY),
            let bytes = try? file.readBlock(bytesMax: 64)
        else { return nil }
        let ends = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace).compactMap {
            UInt16($0)
        }
        guard ends.count == 2, ends[0] > 0, ends[0] <= ends[1] else { return nil }
        return ends[0]...ends[1]
    }
}
