import Glibc
package import Kernel

/// The embedded DNS server's two sockets in one container's namespace, kept open for whoever reads them.
///
/// They keep the namespace alive: let go of them when its container has ended.
final class ResolverPair: Sendable {
    let ports: ResolverPorts
    private let udp: OwnedFD
    private let tcp: OwnedFD

    /// Connections that may wait to be accepted; a resolver in the container has one or two.
    private static let backlog: CInt = 64

    /// Binds the sockets in the calling thread's namespace and leads port 53 to them.
    ///
    /// - Parameter earlier: the ports of an earlier run, taken again when they are free.
    init(again earlier: ResolverPorts? = nil) throws(SystemError) {
        udp = try Self.bound(.udp, earlier?.udp ?? 0)
        tcp = try Self.bound(.tcp, earlier?.tcp ?? 0)
        ports = ResolverPorts(udp: try Self.port(of: udp), tcp: try Self.port(of: tcp))
        guard ports != earlier else { return }
        var netfilter = try NetlinkSocket(.netfilter)
        try netfilter.commit(ResolverRedirect.changes(ports, replacing: earlier != nil))
    }

    func duplicates() throws(SystemError) -> ResolverSockets {
        let first = try udp.duplicate()
        return ResolverSockets(udp: first, tcp: try tcp.duplicate())
    }

    private static func bound(_ transport: Transport, _ port: UInt16) throws(SystemError) -> OwnedFD {
        let wanted = SocketAddress(ResolverRedirect.address, port)
        let descriptor = try SocketAddress.socket(.v4, transport, isBlocking: false)
        do throws(SystemError) {
            try wanted.bind(descriptor)
        } catch  where error.code == EADDRINUSE && port != 0 {
            try SocketAddress(ResolverRedirect.address, 0).bind(descriptor)
        }
        let raw = descriptor.raw
        if transport == .tcp { try checked("listen", "127.0.0.11") { listen(raw, backlog) } }
        return descriptor
    }

    private static func port(of descriptor: borrowing OwnedFD) throws(SystemError) -> UInt16 {
        var name = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let raw = descriptor.raw
        try checked("getsockname") {
            withUnsafeMutablePointer(to: &name) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(raw, $0, &size) }
            }
        }
        return UInt16(bigEndian: name.sin_port)
    }
}

/// Two sockets of the embedded DNS server, for whoever reads them.
package struct ResolverSockets: ~Copyable, Sendable {
    package let udp: OwnedFD
    package let tcp: OwnedFD

    /// The two numbers: the receiver owns them now.
    package consuming func take() -> (udp: CInt, tcp: CInt) { (udp.release(), tcp.release()) }
}
