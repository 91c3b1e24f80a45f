import Glibc
import Kernel

/// An address and port as the socket calls take them (ip(7), ipv6(7)).
struct SocketAddress: Sendable {
    let address: IPAddress
    let port: UInt16

    init(_ address: IPAddress, _ port: UInt16) {
        self.address = address
        self.port = port
    }

    /// A socket of the family; an IPv6 one takes IPv6 alone.
    static func socket(
        _ family: IPAddress.Family, _ transport: Transport, isBlocking: Bool = true
    ) throws(SystemError) -> OwnedFD {
        let kind = transport == .udp ? SOCK_DGRAM.rawValue : SOCK_STREAM.rawValue
        let flags = SOCK_CLOEXEC.rawValue | (isBlocking ? 0 : SOCK_NONBLOCK.rawValue)
        let domain = family == .v4 ? AF_INET : AF_INET6
        let descriptor = OwnedFD(
            adopting: try checked("socket", transport.name) {
                Glibc.socket(domain, CInt(kind | flags), CInt(transport.rawValue))
            })
        if family == .v6 { try set(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY) }
        // Connections of an earlier listener that are still closing must not refuse the port; a listener does.
        if transport != .udp { try set(descriptor, SOL_SOCKET, SO_REUSEADDR) }
        return descriptor
    }

    /// Turns an option on.
    private static func set(_ descriptor: borrowing OwnedFD, _ level: CInt, _ option: CInt) throws(SystemError) {
        let raw = descriptor.raw
        var on: CInt = 1
        try checked("setsockopt") { setsockopt(raw, level, option, &on, socklen_t(MemoryLayout<CInt>.size)) }
    }

    func bind(_ descriptor: borrowing OwnedFD) throws(SystemError) {
        let raw = descriptor.raw
        try withName { name, size throws(SystemError) in
            try checked("bind", "\(address):\(port)") { Glibc.bind(raw, name, size) }
        }
    }

    private func withName(
        _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> CInt
    ) throws(SystemError) {
        var storage = sockaddr_storage()
        let size = address.family == .v4 ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size
        withUnsafeMutableBytes(of: &storage) { bytes in
            switch address.family {
            case .v4:
                var name = sockaddr_in()
                name.sin_family = sa_family_t(AF_INET)
                name.sin_port = port.bigEndian
                name.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.value).bigEndian
                withUnsafeBytes(of: &name) { bytes.copyMemory(from: $0) }
            case .v6:
                var name = sockaddr_in6()
                name.sin6_family = sa_family_t(AF_INET6)
                name.sin6_port = port.bigEndian
                withUnsafeMutableBytes(of: &name.sin6_addr) { $0.copyBytes(from: address.bytes) }
                withUnsafeBytes(of: &name) { bytes.copyMemory(from: $0) }
            }
        }
        _ = try withUnsafePointer(to: &storage) { pointer throws(SystemError) -> CInt in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name throws(SystemError) -> CInt in
                try body(name, socklen_t(size))
            }
        }
    }
}
