import Glibc
import Kernel
import Testing

@testable import Netlink

private let isRoot = geteuid() == 0

@Suite(.serialized, .enabled(if: isRoot, "makes network namespaces")) struct BridgeTrafficTests {
    @Test func `containers of one network reach each other directly`() async throws {
        let world = try await Topology()
        let network = try await world.network()
        let (first, _) = try await world.container("a", on: network)
        let (second, endpoint) = try await world.container("b", on: network)
        let server = try await second.listen(80)
        #expect(try await first.ping(endpoint.address, 80, at: server)?.description == "172.17.0.2")
        #expect(endpoint.mac == MACAddress(for: endpoint.address))
        await network.close()
    }

    @Test(arguments: [Transport.tcp, .udp])
    func `a container reaches the outside under the host's address`(_ transport: Transport) async throws {
        let world = try await Topology()
        let network = try await world.network()
        let (container, _) = try await world.container("a", on: network)
        let server = try await world.outside.listen(7, transport)
        let seen = try await container.ping(Topology.outsideAddress, 7, transport, at: server)
        #expect(seen == Topology.hostAddress)
        await network.close()
    }

    @Test(arguments: [Transport.tcp, .udp], [IPv4Address.any, Topology.hostAddress])
    func `a published port is reached from outside under the client's own address`(
        _ transport: Transport, _ address: IPv4Address
    ) async throws {
        let world = try await Topology()
        let network = try await world.network()
        let (container, _) = try await world.container("a", on: network)
        let server = try await container.listen(80, transport)
        #expect(try await world.outside.ping(Topology.hostAddress, 8080, transport, at: server) == nil)
        try await network.publish(
            [BridgePort(hostAddress: address, hostPort: 8080, containerPort: 80, transport: transport)], for: "a")
        #expect(
            try await world.outside.ping(Topology.hostAddress, 8080, transport, at: server) == Topology.outsideAddress)
        try await network.unpublish("a")
        #expect(try await world.outside.ping(Topology.hostAddress, 8080, transport, at: server) == nil)
        await network.close()
    }

    @Test(arguments: [Topology.loopback, Topology.hostAddress])
    func `the host and the container itself reach a published port`(_ address: IPv4Address) async throws {
        let world = try await Topology()
        let network = try await world.network()
        let (container, endpoint) = try await world.container("a", on: network)
        let server = try await container.listen(80)
        try await network.publish([BridgePort(hostPort: 8080, containerPort: 80)], for: "a")
        #expect(try await world.host.ping(address, 8080, at: server) != nil)
        if !address.isLoopback {
            let seen = try await container.ping(address, 8080, at: server)
            #expect(seen == endpoint.gateway)
        }
        await network.close()
    }

    @Test func `a port published on the loopback is out of reach for everyone else`() async throws {
        let world = try await Topology()
        let network = try await world.network()
        let (container, _) = try await world.container("a", on: network)
        let (neighbour, _) = try await world.container("b", on: network)
        let server = try await container.listen(80)
        try await network.publish(
            [BridgePort(hostAddress: Topology.loopback, hostPort: 8080, containerPort: 80)], for: "a")
        let route =
            "sysctl -w net.ipv4.conf.all.route_localnet=1; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via"
        try await world.outside.shell("\(route) 203.0.113.1")
        try await neighbour.shell("\(route) 172.17.0.1")
        #expect(try await world.outside.ping(Topology.loopback, 8080, at: server) == nil)
        #expect(try await neighbour.ping(Topology.loopback, 8080, at: server) == nil)
        #expect(try await world.outside.ping(Topology.hostAddress, 8080, at: server) == nil)
        #expect(try await world.host.ping(Topology.loopback, 8080, at: server) != nil)
        await network.close()
    }

    @Test func `the host's loopback is out of reach for a container`() async throws {
        let world = try await Topology()
        let network = try await world.network()
        let (container, _) = try await world.container("a", on: network)
        let server = try await world.host.listen(9)
        try await container.shell(
            "sysctl -w net.ipv4.conf.all.route_localnet=1; ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via 172.17.0.1"
        )
        #expect(try await container.ping(Topology.loopback, 9, at: server) == nil)
        #expect(try await container.ping(network.gateway, 9, at: server) != nil)
        await network.close()
    }

    @Test func `an unpublished port is out of reach for a neighbour of the host that routes to the containers`()
        async throws
    {
        let world = try await Topology()
        let network = try await world.network()
        let (container, endpoint) = try await world.container("a", on: network)
        let server = try await container.listen(80)
        try await world.outside.shell("ip route add 172.17.0.0/16 via 203.0.113.1")
        #expect(try await world.outside.ping(endpoint.address, 80, at: server) == nil)
        await network.close()
    }

    @Test func `flushed rules come back with the next published port`() async throws {
        let world = try await Topology()
        let network = try await world.network()
        let (container, _) = try await world.container("a", on: network)
        let server = try await container.listen(80)
        try await network.publish([BridgePort(hostPort: 8080, containerPort: 80)], for: "a")
        #expect(try await world.host.shell("nft flush ruleset") == 0)
        #expect(try await world.outside.ping(Topology.hostAddress, 8080, at: server) == nil)
        try await network.publish([BridgePort(hostPort: 8081, containerPort: 80)], for: "a")
        #expect(try await world.outside.ping(Topology.hostAddress, 8080, at: server) != nil)
        #expect(try await world.outside.ping(Topology.hostAddress, 8081, at: server) != nil)
        await network.close()
    }

    @Test func `a running container keeps address and ports over the daemon's death, and leftovers go`() async throws {
        let world = try await Topology()
        var kept: BridgeEndpoint?
        var place: Place?
        do {
            let network = try await world.network()
            let (container, endpoint) = try await world.container("a", on: network)
            (place, kept) = (container, endpoint)
            try await network.publish([BridgePort(hostPort: 8080, containerPort: 80)], for: "a")
            await network.close()
        }
        let (container, endpoint) = (try #require(place), try #require(kept))
        try await world.host.shell(
            "ip link add veth0123abcd type veth peer name x; ip link set veth0123abcd master docker0")
        try await world.host.shell("ip link add vethmine type veth peer name y; ip link set vethmine master docker0")
        let network = try await world.network()
        let server = try await container.listen(80)
        #expect(try await world.outside.ping(Topology.hostAddress, 8080, at: server) != nil, "before the adoption")
        let report = try await network.adopt([
            AdoptedEndpoint(endpoint, ports: [BridgePort(hostPort: 8080, containerPort: 80)])
        ])
        #expect(report.removedInterfaces.contains("veth0123abcd") && !report.removedInterfaces.contains("vethmine"))
        #expect(report.refused.isEmpty && report.contestedPorts.isEmpty)
        #expect(try await world.outside.ping(Topology.hostAddress, 8080, at: server) != nil, "after it")
        #expect(try await network.attach("b").address != endpoint.address)
        let clash = await #expect(throws: NetworkError.self) {
            try await network.publish([BridgePort(hostPort: 8080, containerPort: 1)], for: "b")
        }
        #expect(clash?.code == .portTaken)
        try await network.detach("a")
        #expect(try await world.outside.ping(Topology.hostAddress, 8080, at: server) == nil)
        await network.close()
    }
}

@Suite(.serialized, .enabled(if: isRoot, "makes network namespaces")) struct BridgeNetworkTests {
    @Test func `a port taken by a container is refused in Docker's words and changes nothing`() async throws {
        let world = try await Topology()
        let network = try await world.network()
        _ = try await network.attach("a")
        _ = try await network.attach("b")
        try await network.publish([BridgePort(hostPort: 8080, containerPort: 80)], for: "a")
        let error = await #expect(throws: NetworkError.self) {
            try await network.publish(
                [BridgePort(hostPort: 8081, containerPort: 80), BridgePort(hostPort: 8080, containerPort: 80)],
                for: "b")
        }
        #expect(
            error?.code == .portTaken && error?.message == "Bind for 0.0.0.0:8080 failed: port is already allocated")
        #expect(await network.ports(of: "b").isEmpty)
        try await network.publish([BridgePort(hostPort: 8081, containerPort: 80)], for: "b")
        try await network.publish([BridgePort(hostPort: 8080, containerPort: 80, transport: .udp)], for: "b")
        await network.close()
    }

    @Test func `a port that a process of the host listens on is refused, and ours are refused to processes`()
        async throws
    {
        let world = try await Topology()
        let network = try await world.network()
        _ = try await network.attach("a")
        let other = try await world.host.listen(8080)
        let error = await #expect(throws: NetworkError.self) {
            try await network.publish([BridgePort(hostPort: 8080, containerPort: 80)], for: "a")
        }
        #expect(error?.message == "failed to bind host port for 0.0.0.0:8080:172.17.0.2:80/tcp: address already in use")
        _ = other
        try await network.publish([BridgePort(hostPort: 8081, containerPort: 80)], for: "a")
        await #expect(throws: SystemError.self) { try await world.host.listen(8081) }
        await network.close()
    }

    @Test func `port 0 picks different free ports of the ephemeral range`() async throws {
        let world = try await Topology()
        let network = try await world.network()
        _ = try await network.attach("a")
        let other = try await world.host.listen(32769)
        let bound = try await network.publish(
            [
                BridgePort(containerPort: 80), BridgePort(containerPort: 81),
                BridgePort(containerPort: 80, transport: .udp),
            ], for: "a")
        #expect(bound.map(\.hostPort) == [32768, 32770, 32768])
        _ = other
        await network.close()
    }

    @Test func `a subnet without free addresses says so, and works again when a container has left`() async throws {
        let world = try await Topology()
        let subnet = try #require(IPv4Subnet("10.77.0.0/29"))
        let network = try await world.network(.fixed(subnet, gateway: subnet.hosts.lowerBound))
        for index in 0..<5 { _ = try await network.attach("c\(index)") }
        let error = await #expect(throws: NetworkError.self) { try await network.attach("c5") }
        #expect(error?.code == .addressesExhausted)
        let freed = try #require(await network.endpoint(of: "c2")).address
        try await network.detach("c2")
        #expect(try await network.attach("c5").address == freed)
        await network.close()
    }

    @Test func `a particular address is given once`() async throws {
        let world = try await Topology()
        let network = try await world.network()
        let wanted = try #require(IPv4Address("172.17.5.5"))
        #expect(try await network.attach("a", address: wanted).address == wanted)
        let taken = await #expect(throws: NetworkError.self) { try await network.attach("b", address: wanted) }
        let foreign = await #expect(throws: NetworkError.self) { try await network.attach("b", address: .any) }
        let twice = await #expect(throws: NetworkError.self) { try await network.attach("a") }
        #expect(taken?.code == .addressTaken && foreign?.code == .invalid && twice?.code == .alreadyAttached)
        await network.close()
    }

    @Test func `a subnet that the host routes already is avoided, or refused when it is demanded`() async throws {
        let world = try await Topology()
        try await world.host.shell("ip route add 172.16.0.0/15 via 203.0.113.2")
        let subnet = try #require(IPv4Subnet("172.17.0.0/16"))
        let error = await #expect(throws: NetworkError.self) {
            try await world.network(.fixed(subnet, gateway: subnet.hosts.lowerBound))
        }
        #expect(error?.code == .subnetOverlap)
        let network = try await world.network()
        #expect(network.subnet.description == "172.18.0.0/16")
        await network.close()
    }

    @Test func `an interface of that name that is no bridge is left alone`() async throws {
        let world = try await Topology()
        try await world.host.shell("ip link add docker0 type veth peer name other")
        let error = await #expect(throws: NetworkError.self) { try await world.network() }
        #expect(error?.code == .invalid)
    }

    @Test func `two hundred containers come and go without a trace`() async throws {
        let world = try await Topology()
        let network = try await world.network()
        _ = try await network.attach("warm")
        func traces() async throws -> [Int] {
            [
                try Files.list("/proc/self/fd").count,
                try await world.host.run { () throws(SystemError) in
                    var socket = try NetlinkSocket()
                    return try socket.query(BridgeMessages.allLinks()).count
                },
            ]
        }
        try await Task.sleep(for: .milliseconds(200))
        let before = try await traces()
        for index in 0..<200 {
            _ = try await network.attach("c\(index)")
            if index % 10 == 0 { try await network.publish([BridgePort(containerPort: 80)], for: "c\(index)") }
            try await network.detach("c\(index)")
        }
        for _ in 0..<100 where try await traces() != before { try await Task.sleep(for: .milliseconds(100)) }
        #expect(try await traces() == before)
        await network.close()
    }

    @Test func `attaching and publishing cost the same at any count`() async throws {
        let world = try await Topology()
        let network = try await world.network(spares: 4)
        let clock = ContinuousClock()
        var attach: [Duration] = [], publish: [Duration] = []
        for index in 0..<1000 {
            if index % 20 == 0 {
                try await Task.sleep(for: .milliseconds(20))  // as between starts: the spares are full again
                let start = clock.now
                _ = try await network.attach("c\(index)")
                attach.append(clock.now - start)
            }
            let start = clock.now
            try await network.publish([BridgePort(containerPort: 80)], for: "c\(index / 20 * 20)")
            publish.append(clock.now - start)
        }
        let (first, last) = (publish[..<200].sorted()[100], publish[800...].sorted()[100])
        print("attach p50 \(attach.sorted()[25]), publish p50 first 200: \(first), last 200: \(last)")
        #expect(last < first * 2)
        await network.close()
    }

    @Test(arguments: [0, 4]) func `attach cost with spares`(_ spares: Int) async throws {
        let world = try await Topology()
        let network = try await world.network(spares: spares)
        let clock = ContinuousClock()
        var attach: [Duration] = []
        for index in 0..<100 {
            try await Task.sleep(for: .milliseconds(10))
            let start = clock.now
            _ = try await network.attach("c\(index)")
            attach.append(clock.now - start)
            try await network.detach("c\(index)")
        }
        print("spares \(spares): attach p50 \(attach.sorted()[50]) p95 \(attach.sorted()[95])")
        await network.close()
    }
}
