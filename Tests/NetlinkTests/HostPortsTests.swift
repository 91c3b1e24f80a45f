import Glibc
import Kernel
import Testing

@testable import Netlink

private let isRoot = geteuid() == 0

@Suite(.serialized, .enabled(if: isRoot, "makes network namespaces")) struct HostPortsTests {
    @Test(arguments: IPAddress.Family.allCases, [Transport.tcp, .udp])
    func `a published port is reached from outside under the client's own address`(
        _ family: IPAddress.Family, _ transport: Transport
    ) async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1, .automatic, .automatic)
        let (place, _) = try await networks.container("a", on: 1)
        let server = try await place.serve(80, family, transport)
        let host = try #require(IPAddress(family == .v4 ? "203.0.113.1" : "2001:db8::1"))
        let bound = try await networks.publish(
            [PortBinding(hostPort: 8080, containerPort: 80, transport: transport, isAddressDefault: true)], for: "a")
        #expect(bound.map(\.hostAddress) == [.any4, .any6] && bound.allSatisfy { $0.hostPort == 8080 })
        let seen = try await world.outside.reach(host, 8080, transport, at: server)
        #expect(seen == HostWorld.outside(family))
        try await networks.unpublish("a")
        #expect(try await world.outside.isRefused(host, 8080, transport, at: server))
        await networks.close()
    }

    @Test func `a port nobody named is the same in both families`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1, .automatic, .automatic)
        _ = try await networks.container("a", on: 1)
        let other = try await world.host.serve(32768, .v6)
        let bound = try await networks.publish([PortBinding(containerPort: 80, isAddressDefault: true)], for: "a")
        #expect(bound.map(\.hostPort) == [32769, 32769] && bound.map(\.hostAddress) == [.any4, .any6])
        // What was tried is free again.
        _ = try await networks.container("b", on: 1)
        let rest = try await networks.publish([PortBinding(hostPort: 32768, containerPort: 80)], for: "b")
        #expect(rest.count == 1)
        _ = other
        await networks.close()
    }

    @Test func `the network says on which address ports are published that name none`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1, .automatic, .automatic) { $0.hostBinding4 = IPAddress(.v4, 0x7F00_0001) }
        _ = try await networks.container("a", on: 1)
        let bound = try await networks.publish(
            [PortBinding(hostPort: 8080, containerPort: 80, isAddressDefault: true)], for: "a")
        #expect(bound == [PortBinding(hostAddress: IPAddress(.v4, 0x7F00_0001), hostPort: 8080, containerPort: 80)])
        await networks.close()
    }

    @Test func `a clash names the port in Docker's words and publishes none of the ports`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        for name in ["a", "b"] { _ = try await networks.container(name, on: 1) }
        try await networks.publish([PortBinding(hostPort: 8080, containerPort: 80)], for: "a")
        let error = await #expect(throws: NetworkError.self) {
            try await networks.publish(
                [PortBinding(hostPort: 8081, containerPort: 80), PortBinding(hostPort: 8080, containerPort: 80)],
                for: "b")
        }
        #expect(error?.message == "Bind for 0.0.0.0:8080 failed: port is already allocated")
        #expect(error?.remedy.contains("container a") == true)
        #expect(await networks.ports(of: "b").isEmpty)
        try await networks.publish([PortBinding(hostPort: 8081, containerPort: 80)], for: "b")
        await networks.detach("a")
        try await networks.publish([PortBinding(hostPort: 8080, containerPort: 80)], for: "b")
        await networks.close()
    }

    @Test func `routes and ports follow the gateway, and streams that are open stay`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        try await networks.network(2)
        let (place, _) = try await networks.container("a", on: 1)
        try await networks.publish([PortBinding(hostPort: 8080, containerPort: 80)], for: "a")
        let server = try await place.serve(80)
        let stream = try await OpenStream(from: world.outside, to: HostWorld.hostAddress4, 8080, at: server, in: place)
        let outside = try await world.outside.serve(90)
        let outward = try await OpenStream(from: place, to: HostWorld.outside4, 90, at: outside, in: world.outside)
        #expect(try await stream.carries())
        #expect(try await outward.carries())

        let request = EndpointRequest(network: HostNetworks.id(2), gatewayPriority: 1)
        let wider = try await networks.connect("a", request, resolver: false)
        #expect(wider.endpoints.map(\.interface) == ["eth0", "eth1"])
        #expect(wider.gatewayEndpoint(.v4)?.network == HostNetworks.id(2))
        #expect(try await place.output("ip route show default").contains("dev eth1"))
        #expect(try await stream.carries())
        #expect(try await outward.carries())
        let (second, _) = try await networks.container("b", on: 2)
        _ = second
        #expect(try await world.outside.reach(HostWorld.hostAddress4, 8080, at: server) == HostWorld.outside4)
        let rules = try await world.host.output("nft list map inet docker_swift anywhere4")
        #expect(rules.contains("\(try #require(wider.endpoints[1].ipv4))"))

        let narrower = try await networks.disconnect("a", from: HostNetworks.id(2))
        #expect(narrower.endpoints.map(\.interface) == ["eth0"])
        #expect(try await place.output("ip -o link show").contains("eth1") == false)
        #expect(try await place.output("ip route show default").contains("dev eth0"))
        #expect(try await stream.carries())
        #expect(try await outward.carries())
        #expect(try await world.outside.reach(HostWorld.hostAddress4, 8080, at: server) == HostWorld.outside4)
        await networks.close()
    }

    @Test func `a container may leave its last network and come back`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        let (place, _) = try await networks.container("a", on: 1)
        try await networks.publish([PortBinding(hostPort: 8080, containerPort: 80)], for: "a")
        let server = try await place.serve(80)
        let none = try await networks.disconnect("a", from: HostNetworks.id(1))
        #expect(none.endpoints.isEmpty && none.gateway4 == nil)
        let error = await #expect(throws: NetworkError.self) {
            try await networks.disconnect("a", from: HostNetworks.id(1))
        }
        #expect(error?.code == .notOnNetwork)
        let again = try await networks.connect("a", EndpointRequest(network: HostNetworks.id(1)), resolver: false)
        #expect(again.endpoints.map(\.interface) == ["eth0"])
        #expect(try await world.outside.reach(HostWorld.hostAddress4, 8080, at: server) != nil)
        let twice = await #expect(throws: NetworkError.self) {
            try await networks.connect("a", EndpointRequest(network: HostNetworks.id(1)), resolver: false)
        }
        #expect(twice?.code == .alreadyAttached)
        await networks.close()
    }
}

/// A TCP connection that stays open.
struct OpenStream {
    private let near: Place
    private let client: NamespaceHandle
    private let peer: NamespaceHandle

    init(
        from near: Place, to address: IPAddress, _ port: UInt16, at server: NamespaceHandle, in far: Place
    ) async throws {
        self.near = near
        client = try await near.run { () throws(SystemError) in
            let socket = try Station.socket(address.family, .tcp, milliseconds: 3000)
            try Station.call("connect", socket, address, port, Glibc.connect)
            return NamespaceHandle(socket)
        }
        peer = try await far.run { () throws(SystemError) in
            NamespaceHandle(
                OwnedFD(adopting: try checked("accept") { accept(server.descriptor.raw, nil, nil) }))
        }
    }

    /// True when what is sent arrives, both ways.
    func carries() async throws -> Bool {
        let (client, peer) = (client, peer)
        return try await near.run { () throws(SystemError) in
            do throws(SystemError) {
                try Traffic.send(client.descriptor, "there")
                guard try Traffic.receive(peer.descriptor) == "there" else { return false }
                try Traffic.send(peer.descriptor, "back")
                return try Traffic.receive(client.descriptor) == "back"
            } catch { return false }
        }
    }
}
