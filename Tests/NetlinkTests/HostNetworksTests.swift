import Glibc
import Kernel
import Testing

@testable import Netlink

private let isRoot = geteuid() == 0

func subnet(_ text: String) throws -> IPSubnet { try #require(IPSubnet(text)) }
func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

@Suite(.serialized, .enabled(if: isRoot, "makes network namespaces")) struct HostNetworksTests {
    @Test(arguments: IPAddress.Family.allCases)
    func `containers of one network reach each other, the host and the outside`(_ family: IPAddress.Family)
        async throws
    {
        let world = try await HostWorld()
        let networks = try await world.networks()
        let plan = try await networks.network(1, .automatic, .automatic)
        let (first, one) = try await networks.container("a", on: 1)
        let (second, two) = try await networks.container("b", on: 1)
        let (from, to) = (
            try #require(one.endpoints[0].address(family)), try #require(two.endpoints[0].address(family))
        )
        #expect(plan[family]?.subnet.contains(to) == true && plan[family]?.gateway == one.endpoints[0].gateway(family))
        let server = try await second.serve(80, family)
        #expect(try await first.reach(to, 80, at: server) == from)
        let outside = try await world.outside.serve(80, family)
        let masked = try await first.reach(HostWorld.outside(family), 80, at: outside)
        #expect(masked == (family == .v4 ? HostWorld.hostAddress4 : IPAddress("2001:db8::1")))
        let host = try await world.host.serve(81, family)
        #expect(try await first.reach(try #require(plan[family]?.gateway), 81, at: host) == from)
        await networks.close()
    }

    @Test func `an endpoint without IPv6 has no IPv6 address at all`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        let (place, _) = try await networks.container("a", on: 1)
        #expect(try await place.output("ip -6 -o addr show dev eth0") == "")
        await networks.close()
    }

    @Test func `the default route goes by the highest priority, then by the name of the network`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        for number in 1...3 { try await networks.network(number) }
        let sandbox = try await networks.attach(
            "a",
            [
                EndpointRequest(network: HostNetworks.id(3)), EndpointRequest(network: HostNetworks.id(2)),
                EndpointRequest(network: HostNetworks.id(1)),
            ], resolver: false)
        #expect(sandbox.endpoints.map(\.interface) == ["eth0", "eth1", "eth2"])
        #expect(sandbox.gatewayEndpoint(.v4)?.network == HostNetworks.id(1) && sandbox.gateway6 == nil)
        let place = try await Place.of(sandbox)
        #expect(try await place.output("ip route show default").contains("dev eth2"))
        let other = try await networks.attach(
            "b",
            [
                EndpointRequest(network: HostNetworks.id(1)),
                EndpointRequest(network: HostNetworks.id(2), gatewayPriority: 5),
            ], resolver: false)
        #expect(other.gatewayEndpoint(.v4)?.network == HostNetworks.id(2))
        #expect(try await Place.of(other).output("ip route show default").contains("dev eth1"))
        // On a shared network the two meet, whatever their default routes.
        let server = try await Place.of(other).serve(80)
        let target = try #require(other.endpoints[0].ipv4)
        #expect(try await place.reach(target, 80, at: server) == sandbox.endpoints[2].ipv4)
        await networks.close()
    }

    @Test func `containers of different networks do not reach each other`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        try await networks.network(2)
        let (first, _) = try await networks.container("a", on: 1)
        let (second, two) = try await networks.container("b", on: 2)
        let server = try await second.serve(80)
        #expect(try await first.isRefused(try #require(two.endpoints[0].ipv4), 80, at: server))
        await networks.close()
    }

    @Test(arguments: [true, false])
    func `without inter-container communication neighbours are out of reach, and the outside is not`(
        _ icc: Bool
    ) async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1) { $0.icc = icc }
        let (first, _) = try await networks.container("a", on: 1)
        let (second, two) = try await networks.container("b", on: 1)
        let server = try await second.serve(80)
        #expect(try await first.isRefused(try #require(two.endpoints[0].ipv4), 80, at: server) == !icc)
        let outside = try await world.outside.serve(80)
        #expect(try await first.reach(HostWorld.outside4, 80, at: outside) != nil)
        await networks.close()
    }

    @Test func `an internal network has no way out and no default route`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1, .automatic, .automatic) { $0.isInternal = true }
        let (first, one) = try await networks.container("a", on: 1)
        let (second, two) = try await networks.container("b", on: 1)
        #expect(one.gateway4 == nil && one.endpoints[0].gateway4 == nil)
        #expect(try await first.output("ip route show default; ip -6 route show default") == "")
        let server = try await second.serve(80, .v6)
        #expect(try await first.reach(try #require(two.endpoints[0].ipv6), 80, at: server) != nil)
        #expect(try await networks.publish([PortBinding(hostPort: 8080, containerPort: 80)], for: "a").isEmpty)
        await networks.close()
    }

    @Test func `static addresses and Ethernet addresses are given, and clashes are told in Docker's words`()
        async throws
    {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(
            1, .explicit(AddressPlan(subnet: try subnet("10.66.0.0/24"))),
            .explicit(AddressPlan(subnet: try subnet("fd66::/64"))))
        let mac = try #require(MACAddress("02:42:00:00:00:77"))
        var request = EndpointRequest(
            network: HostNetworks.id(1), ipv4: try address("10.66.0.77"), ipv6: try address("fd66::77"), mac: mac)
        let sandbox = try await networks.attach("a", [request], resolver: false)
        #expect(sandbox.endpoints[0].ipv4 == request.ipv4 && sandbox.endpoints[0].ipv6 == request.ipv6)
        let shown = try await Place.of(sandbox).output("ip addr show dev eth0")
        #expect(shown.contains("10.66.0.77/24") && shown.contains("fd66::77/64") && shown.contains("02:42:00:00:00:77"))
        let taken = await #expect(throws: NetworkError.self) {
            try await networks.attach("b", [request], resolver: false)
        }
        #expect(taken?.code == .addressTaken && taken?.message == "Address already in use")
        request.ipv4 = try address("10.67.0.1")
        let outside = await #expect(throws: NetworkError.self) {
            try await networks.attach("b", [request], resolver: false)
        }
        #expect(outside?.message == "no configured subnet contains IP address 10.67.0.1")
        #expect(await networks.endpoints(on: HostNetworks.id(1)).map(\.container) == ["a"])
        await networks.close()
    }

    @Test func `a re-used address answers at once under its new Ethernet address`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1, .none, .automatic)
        let (peer, _) = try await networks.container("peer", on: 1)
        var target: IPAddress?
        for name in ["first", "second"] {
            let request = EndpointRequest(network: HostNetworks.id(1), ipv6: target)
            let sandbox = try await networks.attach(name, [request], resolver: false)
            target = sandbox.endpoints[0].ipv6
            let server = try await Place.of(sandbox).serve(80, .v6)
            let start = ContinuousClock.now
            #expect(try await peer.reach(try #require(target), 80, at: server) != nil)
            // A neighbour that is not told waits five seconds before it doubts what it knows (delay_first_probe_time).
            #expect(name == "first" || ContinuousClock.now - start < .seconds(4))
            await networks.detach(name)
        }
        await networks.close()
    }

    @Test func `a container that comes again gets its address back, and another when that is taken`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks(spares: 2)
        try await networks.network(1) { $0.isDefault = true }
        let first = try await networks.attach("a", [EndpointRequest(network: HostNetworks.id(1))], resolver: false)
        let had = try #require(first.endpoints[0].ipv4)
        await networks.detach("a")
        let again = EndpointRequest(network: HostNetworks.id(1), preferred4: had)
        #expect(try await networks.attach("a", [again], resolver: false).endpoints[0].ipv4 == had)
        #expect(try await networks.attach("b", [again], resolver: false).endpoints[0].ipv4 != had)
        await networks.close()
    }

    @Test func `a network that is full says so, and takes the next when a container has left`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks(spares: 4)
        let small = AddressPlan(subnet: try subnet("10.66.0.0/29"))
        try await networks.network(1, .explicit(small)) { $0.isDefault = true }
        var freed: IPAddress?
        for index in 0..<5 { freed = try await networks.container("c\(index)", on: 1).sandbox.endpoints[0].ipv4 }
        let error = await #expect(throws: NetworkError.self) { try await networks.container("c5", on: 1) }
        #expect(error?.code == .exhausted)
        #expect(
            error?.message
                == "no available IPv4 addresses on this network's address pools: net1 (\(HostNetworks.id(1)))")
        await networks.detach("c4")
        #expect(try await networks.container("c5", on: 1).sandbox.endpoints[0].ipv4 == freed)
        await networks.close()
    }

    @Test func `a network goes with all that was made for it, unless containers are on it`() async throws {
        let world = try await HostWorld()
        let before = try await world.interfaces()
        let networks = try await world.networks()
        let plan = try await networks.network(1, .automatic, .automatic)
        let (_, _) = try await networks.container("a", on: 1, resolver: true)
        let error = await #expect(throws: NetworkError.self) { try await networks.remove(plan.id) }
        #expect(error?.code == .inUse && error?.message == "network net1 id \(plan.id) has active endpoints")
        await networks.detach("a")
        try await networks.remove(plan.id)
        let unknown = await #expect(throws: NetworkError.self) { try await networks.remove(plan.id) }
        #expect(unknown?.code == .unknownNetwork)
        for _ in 0..<100 where try await world.interfaces() != before { try await Task.sleep(for: .milliseconds(50)) }
        #expect(try await world.interfaces() == before)
        // The same again, at once.
        #expect(try await networks.network(1, .automatic, .automatic) == plan)
        await networks.close()
    }

    @Test func `rules that somebody flushed come back within a second`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        let (place, _) = try await networks.container("a", on: 1)
        try await networks.publish([PortBinding(hostPort: 8080, containerPort: 80)], for: "a")
        let server = try await place.serve(80)
        #expect(try await world.outside.reach(HostWorld.hostAddress4, 8080, at: server) == HostWorld.outside4)
        #expect(try await world.host.shell("nft flush ruleset") == 0)
        try await Task.sleep(for: .seconds(1))
        #expect(try await world.outside.reach(HostWorld.hostAddress4, 8080, at: server) == HostWorld.outside4)
        await networks.close()
    }
}
