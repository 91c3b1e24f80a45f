import Glibc
import Kernel
import Testing

@testable import Netlink

private let isRoot = geteuid() == 0

/// The kernel has VLANs of interfaces.
private let hasVLANs =
    system(
        "unshare -n sh -c 'ip link add x type veth peer name y && ip link add link x name x.5 type vlan id 5' 2>/dev/null"
    ) == 0

@Suite(.serialized, .enabled(if: isRoot, "makes network namespaces")) struct MacvlanTests {
    /// The plan of the uplink's own network.
    private static func lan() throws -> NetworkRequest.Wanted {
        .explicit(
            AddressPlan(
                subnet: try subnet("203.0.113.0/24"), gateway: try address("203.0.113.2"),
                range: try subnet("203.0.113.128/25")))
    }

    @Test func `containers are on the parent's network, beside each other and the outside`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1, try Self.lan()) { $0.driver = .macvlan(parent: "up0", mode: .bridge) }
        let (first, one) = try await networks.container("a", on: 1)
        let (second, two) = try await networks.container("b", on: 1)
        let target = try #require(two.endpoints[0].ipv4)
        #expect("\(target)" == "203.0.113.129" && two.endpoints[0].hostInterface.isEmpty)
        let server = try await second.serve(80)
        #expect(try await first.reach(target, 80, at: server) == one.endpoints[0].ipv4)
        #expect(try await world.outside.reach(target, 80, at: server) == HostWorld.outside4)
        #expect(try await first.output("ip route show default").contains("via 203.0.113.2 dev eth0"))
        #expect(try await networks.publish([PortBinding(hostPort: 8080, containerPort: 80)], for: "a").isEmpty)
        await networks.detach("a")
        await networks.detach("b")
        try await networks.remove(HostNetworks.id(1))
        #expect(try await world.interfaces().contains("up0"))
        await networks.close()
    }

    @Test(arguments: [MacvlanMode.private, .vepa])
    func `in other modes containers are apart, and the outside is there`(_ mode: MacvlanMode) async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1, try Self.lan()) { $0.driver = .macvlan(parent: "up0", mode: mode) }
        let (first, _) = try await networks.container("a", on: 1)
        let (second, two) = try await networks.container("b", on: 1)
        let target = try #require(two.endpoints[0].ipv4)
        let server = try await second.serve(80)
        #expect(try await first.isRefused(target, 80, at: server))
        #expect(try await world.outside.reach(target, 80, at: server) == HostWorld.outside4)
        await networks.close()
    }

    @Test func `one container may have the whole parent, under its Ethernet address`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1, try Self.lan()) { $0.driver = .macvlan(parent: "up0", mode: .passthru) }
        let (place, sandbox) = try await networks.container("a", on: 1)
        #expect(try await place.output("ip link show dev eth0").contains("\(sandbox.endpoints[0].mac)"))
        let taken = await #expect(throws: NetworkError.self) {
            try await networks.network(2) { $0.driver = .macvlan(parent: "up0", mode: .bridge) }
        }
        #expect(taken?.message == "network net1 is already using parent interface up0")
        let second = await #expect(throws: NetworkError.self) { try await networks.container("b", on: 1) }
        #expect(second?.code == .system)
        #expect(await networks.endpoints(on: HostNetworks.id(1)).map(\.container) == ["a"])
        await networks.close()
    }

    @Test(.enabled(if: hasVLANs, "the kernel has VLANs"))
    func `a VLAN of an interface is made when it is missing, and goes with its last network`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await world.outside.shell(
            "ip link add link up1 name up1.50 type vlan id 50; ip addr add 10.50.0.1/24 dev up1.50; ip link set up1.50 up"
        )
        let tagged = AddressPlan(
            subnet: try subnet("10.50.0.0/24"), gateway: try address("10.50.0.1"))
        let before = try await world.interfaces()
        try await networks.network(1, .explicit(tagged)) { $0.driver = .macvlan(parent: "up0.50", mode: .bridge) }
        try await networks.network(2) { $0.driver = .macvlan(parent: "up0.50", mode: .bridge) }
        #expect(try await world.interfaces() == before.union(["up0.50"]))
        let (place, sandbox) = try await networks.container("a", on: 1)
        let server = try await place.serve(80)
        let target = try #require(sandbox.endpoints[0].ipv4)
        #expect(try await world.outside.reach(target, 80, at: server) == IPAddress("10.50.0.1"))
        await networks.detach("a")
        try await networks.remove(HostNetworks.id(1))
        #expect(try await world.interfaces().contains("up0.50"))
        try await networks.remove(HostNetworks.id(2))
        #expect(try await world.interfaces() == before)
        await networks.close()
    }

    @Test(arguments: [
        ("eth9", "the requested parent interface eth9 was not found on the Docker host"),
        ("eth9.50", "failed to find master interface eth9 on the Docker host"),
        ("up0.5000", "vlan id must be between 1-4094, received: 5000"),
        ("lo", "\"lo\" is not a valid macvlan parent link"),
    ])
    func `a parent that is not there is refused, and nothing is left`(_ parent: String, _ message: String) async throws
    {
        let world = try await HostWorld()
        let networks = try await world.networks()
        let before = try await world.interfaces()
        let error = await #expect(throws: NetworkError.self) {
            try await networks.network(1) { $0.driver = .macvlan(parent: parent, mode: .bridge) }
        }
        #expect(error?.message == message)
        #expect(try await world.interfaces() == before)
        await networks.close()
    }

    @Test func `without a parent containers see each other alone`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        let before = try await world.interfaces()
        try await networks.network(1, .automatic, .automatic) { $0.driver = .macvlan(parent: "", mode: .bridge) }
        #expect(try await world.interfaces().subtracting(before).contains("dm-000000000001"))
        let (first, _) = try await networks.container("a", on: 1)
        let (second, two) = try await networks.container("b", on: 1)
        for family in IPAddress.Family.allCases {
            let server = try await second.serve(80, family)
            #expect(try await first.reach(try #require(two.endpoints[0].address(family)), 80, at: server) != nil)
        }
        for name in ["a", "b"] { await networks.detach(name) }
        try await networks.remove(HostNetworks.id(1))
        #expect(try await world.interfaces() == before)
        await networks.close()
    }
}
