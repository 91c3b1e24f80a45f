import Glibc
import Kernel
import Testing

@testable import Netlink

private let isRoot = geteuid() == 0

@Suite(.serialized, .enabled(if: isRoot, "makes network namespaces")) struct HostFailureTests {
    /// What a failure may not change: interfaces, rules, descriptors.
    private struct Traces: Equatable {
        let interfaces: Set<String>
        let rules: String
        let descriptors: Int

        init(_ world: HostWorld) async throws {
            interfaces = try await world.interfaces()
            rules = try await world.host.output("nft list ruleset")
            descriptors = try Files.list("/proc/self/fd").count
        }
    }

    @Test func `an interface of that name that is no bridge is left alone`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await world.host.shell("ip link add br-000000000001 type veth peer name other")
        let before = try await Traces(world)
        let error = await #expect(throws: NetworkError.self) { try await networks.network(1, .automatic, .automatic) }
        #expect(error?.code == .invalid)
        #expect(try await Traces(world) == before)
        try await world.host.shell("ip link del br-000000000001")
        try await networks.network(1, .automatic, .automatic)
        await networks.close()
    }

    @Test func `two networks cannot have one bridge or one id`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        let before = try await Traces(world)
        let bridge = await #expect(throws: NetworkError.self) {
            try await networks.network(2) { $0.interface = "br-000000000001" }
        }
        let id = await #expect(throws: NetworkError.self) { try await networks.network(1) { $0.interface = "br9" } }
        #expect(bridge?.code == .networkExists && bridge?.message.hasSuffix("have same bridge name") == true)
        #expect(id?.code == .networkExists)
        #expect(try await Traces(world) == before)
        await networks.close()
    }

    @Test func `what fails while a container is attached takes everything back`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        try await networks.network(2)
        try await networks.network(3)
        let before = try await Traces(world)
        // The third network's bridge is gone: its interface cannot be made.
        try await world.host.shell("ip link del br-000000000003")
        let error = await #expect(throws: NetworkError.self) { try await networks.container("a", on: 1, 2, 3) }
        #expect(error?.code == .system)
        #expect(await networks.sandbox(of: "a") == nil)
        for number in 1...3 { #expect(await networks.endpoints(on: HostNetworks.id(number)).isEmpty) }
        for _ in 0..<100 where try await world.interfaces().count >= before.interfaces.count {
            try await Task.sleep(for: .milliseconds(20))
        }
        #expect(try await world.interfaces() == before.interfaces.subtracting(["br-000000000003"]))
        #expect(try Files.list("/proc/self/fd").count == before.descriptors)
        let retry = try await networks.container("a", on: 1, 2).sandbox
        #expect(retry.endpoints.map(\.ipv4) == [IPAddress("172.17.0.3"), IPAddress("172.18.0.3")])
        await networks.close()
    }

    @Test func `what fails while a container is connected leaves it as it was`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        try await networks.network(2)
        let (place, sandbox) = try await networks.container("a", on: 1)
        try await Task.sleep(for: .milliseconds(200))  // until the spares are there
        // The name that the new interface would get is taken inside.
        try await place.shell("ip link add eth1 type veth peer name other")
        let before = (try await place.output("ip addr; ip route"), try await world.interfaces())
        let error = await #expect(throws: NetworkError.self) {
            try await networks.connect(
                "a", EndpointRequest(network: HostNetworks.id(2), gatewayPriority: 9), resolver: false)
        }
        #expect(error?.code == .system)
        #expect(await networks.sandbox(of: "a") == sandbox)
        #expect(try await place.output("ip addr; ip route") == before.0)
        #expect(try await world.interfaces() == before.1)
        try await networks.remove(HostNetworks.id(2))
        await networks.close()
    }

    @Test func `two hundred containers come and go without a trace`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1, .automatic, .automatic)
        try await networks.network(2)
        _ = try await networks.container("warm", on: 1, 2, resolver: true)
        try await Task.sleep(for: .milliseconds(300))
        let before = try await Traces(world)
        for index in 0..<200 {
            _ = try await networks.container("c\(index)", on: 1, resolver: true)
            if index % 5 == 0 {
                _ = try await networks.connect(
                    "c\(index)", EndpointRequest(network: HostNetworks.id(2)), resolver: true)
                try await networks.publish([PortBinding(containerPort: 80, isAddressDefault: true)], for: "c\(index)")
            }
            await networks.detach("c\(index)")
        }
        // The interfaces of spares have other names now.
        for _ in 0..<200 where try await world.interfaces().count != before.interfaces.count {
            try await Task.sleep(for: .milliseconds(50))
        }
        let after = try await Traces(world)
        #expect(after.interfaces.count == before.interfaces.count && after.rules == before.rules)
        #expect(after.descriptors == before.descriptors)
        await networks.close()
    }

    @Test func `a container that is detached while it is attached is nowhere`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks()
        try await networks.network(1)
        let attaching = Task { try await networks.container("a", on: 1) }
        while await networks.slots["a"] == nil { await Task.yield() }
        await networks.detach("a")
        let error = await #expect(throws: NetworkError.self) { try await attaching.value }
        #expect(error?.code == .notAttached)
        #expect(await networks.endpoints(on: HostNetworks.id(1)).isEmpty)
        #expect(try await networks.container("a", on: 1).sandbox.endpoints.count == 1)
        await networks.close()
    }

    @Test func `many containers are attached, connected and detached at once`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks(spares: 4)
        try await networks.network(1) { $0.isDefault = true }
        try await networks.network(2)
        try await withThrowingTaskGroup(of: Sandbox.self) { group in
            for index in 0..<40 {
                group.addTask {
                    let name = "c\(index)"
                    _ = try await networks.container(name, on: 1)
                    async let first = networks.connect(
                        name, EndpointRequest(network: HostNetworks.id(2)), resolver: true)
                    _ = try await first
                    return try await networks.disconnect(name, from: HostNetworks.id(1))
                }
            }
            var seen: Set<IPAddress> = []
            for try await sandbox in group {
                #expect(sandbox.endpoints.count == 1 && sandbox.gatewayEndpoint(.v4)?.network == HostNetworks.id(2))
                let isNew = seen.insert(try #require(sandbox.endpoints[0].ipv4)).inserted
                #expect(isNew)
            }
        }
        #expect(await networks.endpoints(on: HostNetworks.id(1)).isEmpty)
        try await networks.remove(HostNetworks.id(1))
        await networks.close()
    }
}
