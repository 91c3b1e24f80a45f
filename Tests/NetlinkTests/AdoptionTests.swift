import Glibc
import Kernel
import Testing

@testable import Netlink

private let isRoot = geteuid() == 0

/// A container whose first process outlives the daemon: `sleep` in its namespace.
private final class Survivor: Sendable {
    let pid: pid_t

    init(in sandbox: Sandbox) throws {
        var pid: pid_t = 0
        let words = ["nsenter", "--net=\(sandbox.namespacePath)", "sleep", "60"]
        var arguments = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        guard posix_spawnp(&pid, "nsenter", nil, nil, &arguments, environ) == 0 else {
            throw SystemError("posix_spawn", "nsenter")
        }
        self.pid = pid
    }

    /// Waits until the process is in its namespace.
    func path() async throws -> String {
        for _ in 0..<200 {
            let bytes = try? Files.read("/proc/\(pid)/comm", bytesMax: 64)
            if let bytes, String(decoding: bytes, as: UTF8.self) == "sleep\n" { break }
            try await Task.sleep(for: .milliseconds(10))
        }
        return "/proc/\(pid)/ns/net"
    }

    deinit {
        kill(pid, SIGKILL)
        var status: CInt = 0
        waitpid(pid, &status, 0)
    }
}

@Suite(.serialized, .enabled(if: isRoot, "makes network namespaces")) struct AdoptionTests {
    @Test func `a running container keeps addresses, streams, ports and resolver over the daemon's death`()
        async throws
    {
        let world = try await HostWorld()
        var record: AdoptedSandbox?
        var survivor: Survivor?
        var stream: OpenStream?
        var plans: [NetworkPlan] = []
        do {
            let networks = try await world.networks(spares: 2)
            plans = [try await networks.network(1, .automatic, .automatic), try await networks.network(2)]
            let (place, sandbox) = try await networks.container("a", on: 1, 2, resolver: true)
            let ports = try await networks.publish([PortBinding(hostPort: 8080, containerPort: 80)], for: "a")
            let server = try await place.serve(80)
            stream = try await OpenStream(
                from: world.outside, to: HostWorld.hostAddress4, 8080, at: server, in: place)
            let process = try Survivor(in: sandbox)
            record = AdoptedSandbox(
                container: "a", namespacePath: try await process.path(), endpoints: sandbox.endpoints, ports: ports,
                resolver: sandbox.resolver)
            survivor = process
            await networks.close()
        }
        let adopted = try #require(record)
        #expect(try await stream?.carries() == true, "without a daemon")
        let networks = try await world.networks(spares: 2, adopting: nil)
        for plan in plans { try await networks.restore(plan) }
        #expect(try await stream?.carries() == true, "before the adoption")
        let report = try await networks.adopt([adopted])
        #expect(report.refused.isEmpty && report.contestedPorts.isEmpty)
        #expect(try await stream?.carries() == true, "after it")

        let sandbox = try #require(await networks.sandbox(of: "a"))
        #expect(sandbox.endpoints == adopted.endpoints && sandbox.resolver == adopted.resolver)
        let place = try await Place.of(sandbox)
        let server = try await place.serve(81)
        try await networks.publish([PortBinding(hostPort: 8081, containerPort: 81)], for: "a")
        #expect(try await world.outside.reach(HostWorld.hostAddress4, 8081, at: server) != nil)
        let clash = await #expect(throws: NetworkError.self) {
            _ = try await networks.container("b", on: 1)
            try await networks.publish([PortBinding(hostPort: 8080, containerPort: 1)], for: "b")
        }
        #expect(clash?.code == .portTaken)
        #expect(await networks.sandbox(of: "b")?.endpoints[0].ipv4 != adopted.endpoints[0].ipv4)

        // It is one like all others.
        let narrower = try await networks.disconnect("a", from: plans[1].id)
        #expect(narrower.endpoints.count == 1)
        #expect(try await stream?.carries() == true, "after a change")
        _ = survivor
        await networks.detach("a")
        await networks.close()
    }

    @Test func `what the daemon left behind goes, and what others made stays`() async throws {
        let world = try await HostWorld()
        var plan: NetworkPlan?
        do {
            let networks = try await world.networks()
            plan = try await networks.network(1)
            try await networks.network(2)  // its record is lost
            try await networks.network(3) { $0.driver = .macvlan(parent: "", mode: .bridge) }
            await networks.close()
        }
        try await world.host.shell(
            """
            ip link add veth0123abcd type veth peer name x; ip link set veth0123abcd master br-000000000001
            ip link add vethmine type veth peer name y; ip link set vethmine master br-000000000001
            ip link add br-feedfeedfeed type bridge
            """)
        let networks = try await world.networks(adopting: nil)
        try await networks.restore(try #require(plan))
        let report = try await networks.adopt([])
        let removed = Set(report.removedInterfaces)
        #expect(removed.isSuperset(of: ["veth0123abcd", "br-000000000002", "dm-000000000003"]) && removed.count <= 4)
        let rest = try await world.interfaces()
        #expect(rest.isSuperset(of: ["br-000000000001", "vethmine", "br-feedfeedfeed"]))
        await networks.close()
    }

    @Test func `records that do not fit are refused, and take nothing`() async throws {
        let world = try await HostWorld()
        let networks = try await world.networks(adopting: nil)
        let plan = NetworkPlan(
            id: HostNetworks.id(1), name: "net1", interface: "br-000000000001",
            ipv4: AddressPlan(
                subnet: try subnet("10.66.0.0/24"), gateway: try address("10.66.0.1")))
        try await networks.restore(plan)
        func record(_ name: String, _ text: String, _ path: String, network: String = plan.id) throws
            -> AdoptedSandbox
        {
            let own = try address(text)
            return AdoptedSandbox(
                container: name, namespacePath: path,
                endpoints: [
                    Endpoint(
                        id: name, network: network, ipv4: own, ipv6: nil,
                        prefixLength4: 24, prefixLength6: 0, gateway4: plan.ipv4?.gateway, gateway6: nil,
                        mac: MACAddress(for: own), hostInterface: "veth00000000",
                        interface: "eth0", gatewayPriority: 0)
                ])
        }
        let report = try await networks.adopt([
            try record("gone", "10.66.0.2", "/proc/0/ns/net"),
            try record("other", "10.66.0.3", world.outside.namespace.path),
            try record("moved", "10.77.0.2", world.outside.namespace.path),
            try record("lost", "10.66.0.4", world.outside.namespace.path, network: HostNetworks.id(9)),
        ])
        #expect(report.refused == ["gone", "other", "moved", "lost"])
        #expect(try await networks.container("new", on: 1).sandbox.endpoints[0].ipv4 == IPAddress("10.66.0.2"))
        await networks.close()
    }

    @Test func `a bridge that is there already keeps its ports, and loses what the plan does not have`() async throws {
        let world = try await HostWorld()
        try await world.host.shell(
            """
            ip link add br9 type bridge; ip link set br9 up; ip addr add 10.99.0.1/24 dev br9
            ip link add mine type veth peer name y; ip link set mine master br9
            """)
        let networks = try await world.networks()
        let plan = try await networks.network(1) { $0.interface = "br9" }
        #expect(plan.ipv4?.subnet.description == "10.99.0.0/24" && plan.ipv4?.gateway == IPAddress("10.99.0.1"))
        try await networks.remove(plan.id)
        #expect(try await world.host.output("ip link show master br9").contains("mine"), "not ours to remove")
        try await networks.network(1, .explicit(AddressPlan(subnet: try #require(IPSubnet("10.98.0.0/24"))))) {
            $0.interface = "br9"
        }
        let shown = try await world.host.output("ip -4 -o addr show dev br9")
        #expect(shown.contains("10.98.0.1/24") && !shown.contains("10.99.0.1"))
        await networks.close()
    }
}
