import Glibc
import Kernel
import Testing

@testable import Netlink

private let isRoot = geteuid() == 0
private let resolver = IPAddress(.v4, 0x7F00_000B)

@Suite(.serialized, .enabled(if: isRoot, "makes network namespaces")) struct ResolverTests {
    /// A server at a resolver's sockets.
    private static func take(_ networks: HostNetworks, _ transport: Transport) async throws -> NamespaceHandle {
        guard let sockets = try await networks.resolverSockets(of: "a") else { throw SystemError("resolver", ENOENT) }
        let numbers = sockets.take()
        let all = [numbers.udp, numbers.tcp].map { NamespaceHandle(OwnedFD(adopting: $0)) }
        let kept = all[transport == .udp ? 0 : 1]
        // The test's places wait for what comes; owners of the real server poll.
        let flags = fcntl(kept.descriptor.raw, F_GETFL)
        #expect(flags & O_NONBLOCK != 0)
        return kept
    }

    @Test(arguments: [Transport.udp, .tcp], [0, 2])
    func `a query to port 53 reaches the embedded server's socket, and the answer comes from port 53`(
        _ transport: Transport, _ spares: Int
    ) async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        if spares > 0 {
            _ = try await networks.container("first", on: 1, resolver: true)
            try await Task.sleep(for: .milliseconds(300))
        }
        let (place, sandbox) = try await networks.container("a", on: 1, resolver: true)
        #expect(sandbox.hasResolver)
        let server = try await Self.take(networks, transport)
        try await blocking(server)
        // The client is connected: it would not take an answer from another port.
        #expect(try await place.reach(resolver, 53, transport, at: server) != nil)
        await networks.close()
    }

    @Test func `a container's own server at port 53 is not disturbed`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        let (place, sandbox) = try await networks.container("a", on: 1, resolver: true)
        let embedded = try await Self.take(networks, .udp)
        try await blocking(embedded)
        let own = try await place.serve(53, .v4, .udp)
        #expect(try await place.reach(resolver, 53, .udp, at: embedded) != nil)
        #expect(try await place.reach(IPAddress(.v4, 0x7F00_0001), 53, .udp, at: own) != nil)
        let (peer, _) = try await networks.container("b", on: 1)
        #expect(try await peer.reach(try #require(sandbox.endpoints[0].ipv4), 53, .udp, at: own) != nil)
        await networks.close()
    }

    /// Tracking takes a twentieth of the container's throughput.
    @Test(arguments: [Transport.udp, .tcp])
    func `the way to the embedded server has no connection tracked`(_ transport: Transport) async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        let (place, _) = try await networks.container("a", on: 1, resolver: true)
        let server = try await Self.take(networks, transport)
        try await blocking(server)
        #expect(try await place.reach(resolver, 53, transport, at: server) != nil)
        #expect(try await place.shell("test $(cat /proc/sys/net/netfilter/nf_conntrack_count) = 0") == 0)
        await networks.close()
    }

    @Test(arguments: [Transport.udp, .tcp])
    func `the embedded server answers a container that tracks connections and drops what belongs to none`(
        _ transport: Transport
    ) async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        let (place, _) = try await networks.container("a", on: 1, resolver: true)
        for hook in ["input", "output"] {
            let chain = "{ type filter hook \(hook) priority 0; ct state invalid drop; }"
            #expect(try await place.shell("nft \"add table ip own; add chain ip own \(hook) \(chain)\"") == 0)
        }
        let server = try await Self.take(networks, transport)
        try await blocking(server)
        #expect(try await place.reach(resolver, 53, transport, at: server) != nil)
        #expect(try await place.shell("test $(cat /proc/sys/net/netfilter/nf_conntrack_count) = 0") != 0)
        await networks.close()
    }

    @Test func `nothing but the container itself reaches the embedded server`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        let (_, sandbox) = try await networks.container("a", on: 1, resolver: true)
        let (peer, _) = try await networks.container("b", on: 1)
        let server = try await Self.take(networks, .udp)
        try await blocking(server)
        let target = try #require(sandbox.endpoints[0].ipv4)
        let ports = try #require(sandbox.resolver)
        try await peer.shell(
            "sysctl -w net.ipv4.conf.all.route_localnet=1; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.11 via \(target)"
        )
        #expect(try await peer.isRefused(target, ports.udp, .udp, at: server))
        #expect(try await peer.isRefused(resolver, ports.udp, .udp, at: server))
        await networks.close()
    }

    @Test func `a container gets its resolver with the network that wants one`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1) { $0.isDefault = true }
        try await networks.network(2)
        let (place, sandbox) = try await networks.container("a", on: 1)
        #expect(!sandbox.hasResolver)
        let isThere = try await networks.resolverSockets(of: "a") != nil
        #expect(!isThere)
        let wider = try await networks.connect("a", EndpointRequest(network: HostNetworks.id(2)), resolver: true)
        #expect(wider.hasResolver)
        let server = try await Self.take(networks, .udp)
        try await blocking(server)
        #expect(try await place.reach(resolver, 53, .udp, at: server) != nil)
        await networks.close()
    }

    /// Lets a socket wait, for a second at most.
    private func blocking(_ socket: NamespaceHandle) async throws {
        let raw = socket.descriptor.raw
        _ = fcntl(raw, F_SETFL, fcntl(raw, F_GETFL) & ~O_NONBLOCK)
        var limit = timeval(tv_sec: 0, tv_usec: 400_000)
        try checked("setsockopt") {
            setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
    }
}
