import Glibc
import Kernel

/// Which ports of the host are published, and the sockets that keep other processes off them.
struct BridgePortTable {
    private struct Key: Hashable {
        let port: UInt16
        let transport: Transport
    }

    /// A published port; without a socket when a process of the host came first (after a restart).
    private struct Holding {
        let address: IPv4Address
        let socket: NamespaceHandle?
    }

    /// Linux's default `net.ipv4.ip_local_port_range`, which Docker takes its ports from too.
    private static let ephemeral: ClosedRange<UInt16> = 32768...60999

    private var holdings: [Key: [Holding]] = [:]
    private var nextEphemeral: [Transport: UInt16] = [:]

    /// Takes the binding's port, or a free one for port 0, by listening on it.
    ///
    /// - Returns: the binding with its port.
    /// - Throws: `portTaken`, `portsExhausted`, `invalid` or `system`.
    mutating func reserve(_ binding: BridgePort, for endpoint: BridgeEndpoint) throws(NetworkError) -> BridgePort {
        guard binding.containerPort != 0 else {
            throw NetworkError(.invalid, "invalid container port 0", remedy: "ports are 1 to 65535")
        }
        guard binding.transport != .sctp else {
            throw NetworkError(.invalid, "SCTP ports cannot be published on the network bridge")
        }
        if binding.hostPort != 0 {
            guard !isTaken(binding) else { throw Self.allocated(binding) }
            try hold(binding, for: endpoint)
            return binding
        }
        var candidate = binding
        candidate.hostPort = nextEphemeral[binding.transport] ?? Self.ephemeral.lowerBound
        for _ in Self.ephemeral {
            defer {
                candidate.hostPort =
                    candidate.hostPort < Self.ephemeral.upperBound ? candidate.hostPort + 1 : Self.ephemeral.lowerBound
                nextEphemeral[binding.transport] = candidate.hostPort
            }
            guard !isTaken(candidate) else { continue }
            do throws(NetworkError) {
                try hold(candidate, for: endpoint)
                return candidate
            } catch  where error.code == .portTaken {
                continue
            }
        }
        throw NetworkError(
            .portsExhausted, "all ports are allocated",
            remedy:
                "free one of the ports \(Self.ephemeral.lowerBound) to \(Self.ephemeral.upperBound) or choose another")
    }

    /// Enters the binding without a socket, for a container that already answers on it; false when another of ours has it.
    mutating func force(_ binding: BridgePort, for endpoint: BridgeEndpoint) -> Bool {
        guard binding.hostPort != 0, binding.containerPort != 0, !isTaken(binding) else { return false }
        holdings[Key(port: binding.hostPort, transport: binding.transport), default: []]
            .append(Holding(address: binding.hostAddress, socket: nil))
        return true
    }

    /// Frees the binding's port.
    mutating func release(_ binding: BridgePort) {
        let key = Key(port: binding.hostPort, transport: binding.transport)
        holdings[key]?.removeAll { $0.address == binding.hostAddress }
        if holdings[key]?.isEmpty == true { holdings[key] = nil }
    }

    /// True when one of ours has the port on the same address, or either means every address.
    private func isTaken(_ binding: BridgePort) -> Bool {
        holdings[Key(port: binding.hostPort, transport: binding.transport)]?.contains {
            $0.address == binding.hostAddress || $0.address == .any || binding.hostAddress == .any
        } ?? false
    }

    private mutating func hold(_ binding: BridgePort, for endpoint: BridgeEndpoint) throws(NetworkError) {
        let socket: OwnedFD
        do throws(SystemError) {
            socket = try Self.listen(binding)
        } catch {
            let message =
                "failed to bind host port for \(binding.hostAddress):\(binding.hostPort):\(endpoint.address):"
                + "\(binding.containerPort)/\(binding.transport.name): \(error.reason)"
            throw NetworkError(error.code == EADDRINUSE ? .portTaken : .system, message, cause: error)
        }
        holdings[Key(port: binding.hostPort, transport: binding.transport), default: []]
            .append(Holding(address: binding.hostAddress, socket: NamespaceHandle(socket)))
    }

    /// A socket on the binding's address and port that nobody reads: packets are redirected before they reach it.
    private static func listen(_ binding: BridgePort) throws(SystemError) -> OwnedFD {
        let object = "\(binding.hostAddress):\(binding.hostPort)"
        let kind = binding.transport == .tcp ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue
        let descriptor = OwnedFD(
            adopting: try checked("socket") { socket(AF_INET, CInt(kind | SOCK_CLOEXEC.rawValue), 0) })
        let raw = descriptor.raw
        if binding.transport == .tcp {
            // Connections of an earlier listener that are still closing must not refuse the port; a listener does.
            var on: CInt = 1
            try checked("setsockopt") {
                setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<CInt>.size))
            }
        }
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = binding.hostPort.bigEndian
        name.sin_addr.s_addr = binding.hostAddress.value.bigEndian
        try checked("bind", object) {
            withUnsafePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(raw, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        if binding.transport == .tcp { try checked("listen", object) { Glibc.listen(raw, 1) } }
        return descriptor
    }

    private static func allocated(_ binding: BridgePort) -> NetworkError {
        NetworkError(
            .portTaken, "Bind for \(binding.hostAddress):\(binding.hostPort) failed: port is already allocated")
    }
}
