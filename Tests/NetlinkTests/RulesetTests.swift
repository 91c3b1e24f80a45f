import Glibc
import Kernel
import Testing

@testable import Netlink

private let isRoot = geteuid() == 0

/// The table itself: what stays, what goes, who else is there.
@Suite(.serialized, .enabled(if: isRoot, "makes network namespaces")) struct RulesetTests {
    /// What nft(8) prints at the host.
    private func listing(_ host: Place, _ what: String) async throws -> String {
        let path = "/var/tmp/nft-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        defer { unlink(path) }
        try await host.shell("nft \(what) > \(path)")
        return String(decoding: try OwnedFD.open(path, O_RDONLY).readAll(bytesMax: 1 << 24), as: UTF8.self)
    }

    private func rules(_ host: Place) async throws -> [Substring] {
        try await listing(host, "list table inet docker_swift").split(separator: "\n")
            .filter { $0.contains("comment \"") }
    }

    @Test func `rules stay the same however many networks and ports there are`() async throws {
        let world = try await FirewallWorld()
        let before = try await rules(world.host)
        try await world.rules.call { owner throws(NetworkError) in
            for index in 0..<300 { try owner.firewall.add(NetworkRules(bridge: "br-\(index)")) }
            let address = IPAddress(.v4, 0xAC1E_0102)
            for port in UInt16(1)...3000 {
                try owner.firewall.map([PortMapping(PortBinding(hostPort: port, containerPort: 80), address)], .add)
            }
        }
        #expect(before.count > 20)
        #expect(try await rules(world.host) == before)
        let listed = try await listing(world.host, "list map inet docker_swift anywhere4")
        #expect(listed.contains("tcp . 3000 : 172.30.1.2 . 80"))
    }

    @Test func `a network leaves nothing behind`() async throws {
        let world = try await FirewallWorld()
        let before = try await listing(world.host, "list table inet docker_swift")
        let networks = [
            NetworkRules(bridge: "br1"), NetworkRules(bridge: "br2", isInternal: true),
            NetworkRules(bridge: "br3", icc: false, masquerade4: false),
        ]
        try await world.rules.call { owner throws(NetworkError) in
            for network in networks { try owner.firewall.add(network) }
        }
        #expect(try await listing(world.host, "list table inet docker_swift").contains("chain input"))
        try await world.rules.call { owner throws(NetworkError) in
            for network in networks { try owner.firewall.remove(network) }
        }
        #expect(try await listing(world.host, "list table inet docker_swift") == before)
        #expect(!before.contains("chain input"), "no packet for the host pays for networks that are not there")
    }

    @Test func `what nft lists can be saved and loaded again`() async throws {
        let world = try await FirewallWorld()
        try await world.rules.call { owner throws(NetworkError) in
            try owner.firewall.add(NetworkRules(bridge: "br-saved"))
        }
        let before = try await listing(world.host, "list table inet docker_swift")
        #expect(before.matches(of: /"br-saved"/).count == 5)
        let path = "/var/tmp/nft-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        defer { unlink(path) }
        #expect(try await world.host.shell("nft list ruleset > \(path)") == 0)
        #expect(try await world.host.shell("nft flush ruleset && nft -f \(path)") == 0)
        #expect(try await listing(world.host, "list table inet docker_swift") == before)
    }

    @Test func `a change that cannot be made changes nothing and says what it was about`() async throws {
        let world = try await FirewallWorld()
        let address = IPAddress(.v4, 0xAC1E_0102)
        let there = PortMapping(PortBinding(hostPort: 80, containerPort: 80), address)
        let other = PortMapping(PortBinding(hostPort: 81, containerPort: 80), address)
        let error = await #expect(throws: NetworkError.self) {
            try await world.rules.call { owner throws(NetworkError) in
                try owner.firewall.map([there], .add)
                try owner.firewall.map([there, other], .delete)
            }
        }
        #expect(error?.cause?.code == ENOENT && error?.message.contains("set anywhere4") == true)
        #expect(try await listing(world.host, "list map inet docker_swift anywhere4").contains("tcp . 80"))
    }

    @Test func `the operator's chain comes first, and survives restarts and a partial flush`() async throws {
        let world = try await FirewallWorld()
        try await world.network(1)
        let a = try await world.container(1, 2)
        let server = try await a.place.serve(80)
        let host = FirewallWorld.host(.v4)
        try await world.publish(a.mapping(8080, on: .any4))
        #expect(try await world.outside.reach(host, 8080, at: server) != nil)
        try await world.host.shell(
            "nft add rule inet docker_swift user ip saddr 203.0.113.2 tcp dport 80 counter drop")
        #expect(try await world.outside.isRefused(host, 8080, at: server))
        try await world.rules.reinstall()
        #expect(try await world.outside.isRefused(host, 8080, at: server))
        for chain in ["forward", "inward", "publish", "postrouting"] {
            #expect(try await world.host.shell("nft flush chain inet docker_swift \(chain)") == 0)
        }
        try await world.rules.reinstall()
        #expect(try await world.outside.isRefused(host, 8080, at: server))
        #expect(try await world.host.shell("nft flush chain inet docker_swift user") == 0)
        #expect(try await world.outside.reach(host, 8080, at: server) != nil)

        try await world.outside.shell("ip route add 172.30.0.0/16 via 203.0.113.1")
        #expect(try await world.outside.isRefused(a.v4, 80, at: server))
        try await world.host.shell("nft add rule inet docker_swift user ip daddr 172.30.1.2 accept")
        #expect(try await world.outside.reach(a.v4, 80, at: server) != nil)
    }

    @Test func `tables of earlier versions are replaced, and the operator's chain stays`() async throws {
        let world = try await FirewallWorld()
        try await world.network(1)
        let a = try await world.container(1, 2)
        try await world.publish(a.mapping(8080, on: .any4))
        try await world.host.shell(
            """
            nft add rule inet docker_swift user counter comment "\\"mine\\""
            nft add table ip docker_swift; nft add chain ip docker_swift forward
            nft flush chain inet docker_swift publish; nft delete map inet docker_swift anywhere4
            nft add set inet docker_swift anywhere4 "{ type ipv4_addr; }"
            nft add rule inet docker_swift publish ip saddr @anywhere4 accept
            """)
        try await world.rules.reinstall()
        let server = try await a.place.serve(80)
        #expect(try await world.outside.reach(FirewallWorld.host(.v4), 8080, at: server) != nil)
        #expect(try await listing(world.host, "list chain inet docker_swift user").contains("mine"))
        #expect(try await !listing(world.host, "list tables").contains("ip docker_swift"))
    }

    @Test func `fifty restarts of the daemon lose nothing of a stream and no new connection`() async throws {
        let world = try await FirewallWorld()
        try await world.network(1)
        let a = try await world.container(1, 2)
        let server = try await a.place.serve(80)
        try await world.publish(a.mapping(8080, on: .any4))
        let client = try await world.outside.run { () throws(SystemError) in
            let socket = try Station.socket(.v4, .tcp, milliseconds: 400)
            try Station.call("connect", socket, FirewallWorld.host(.v4), 8080, Glibc.connect)
            return NamespaceHandle(socket)
        }
        let served = try await a.place.run { () throws(SystemError) in
            NamespaceHandle(OwnedFD(adopting: try checked("accept") { accept(server.descriptor.raw, nil, nil) }))
        }
        let restarts = Task { for _ in 0..<50 { try await world.rules.reinstall() } }
        let isDone = Guarded(false)
        let watcher = Task {
            try await restarts.value
            isDone.withLock { $0 = true }
        }
        var rounds = 0
        while !isDone.withLock({ $0 }) || rounds == 0 {
            try await world.outside.run { () throws(SystemError) in
                try Traffic.send(client.descriptor, "over")
                #expect(try Traffic.receive(served.descriptor) == "over")
                let fresh = try Station.socket(.v4, .tcp, milliseconds: 400)
                try Station.call("connect", fresh, FirewallWorld.host(.v4), 8080, Glibc.connect)
                try Traffic.send(fresh, "new")
                let accepted = OwnedFD(adopting: try checked("accept") { accept(server.descriptor.raw, nil, nil) })
                #expect(try Traffic.receive(accepted) == "new")
            }
            rounds += 1
        }
        try await watcher.value
        #expect(rounds > 10)
    }

    @Test func `others' tables stay as they are, and we work beside them`() async throws {
        let world = try await FirewallWorld()
        try await world.host.shell(
            """
            iptables-nft -N DOCKER; iptables-nft -A FORWARD -i eth9 -j DOCKER; iptables-nft -A INPUT -p icmp -j ACCEPT
            iptables-nft -t nat -A POSTROUTING -s 10.9.0.0/16 -j MASQUERADE; ip6tables-nft -A FORWARD -i eth9 -j DROP
            nft add table inet firewalld
            nft add chain inet firewalld filter_FORWARD "{ type filter hook forward priority 10; policy accept; }"
            nft add rule inet firewalld filter_FORWARD ct state invalid drop
            """)
        let tables = ["ip filter", "ip nat", "ip6 filter", "inet firewalld"]
        func foreign() async throws -> [String] {
            var lists: [String] = []
            for table in tables { lists.append(try await listing(world.host, "list table \(table)")) }
            return lists
        }
        let before = try await foreign()
        #expect(before.allSatisfy { $0.contains("chain") })
        try await world.network(1)
        let a = try await world.container(1, 2)
        let server = try await a.place.serve(80)
        let mapping = a.mapping(8080, on: .any4)
        try await world.publish(mapping)
        #expect(try await world.outside.reach(FirewallWorld.host(.v4), 8080, at: server) != nil)
        try await world.rules.reinstall()
        try await world.unpublish(mapping)
        try await world.rules.call { owner throws(NetworkError) in try owner.firewall.remove(owner.networks[0]) }
        #expect(try await foreign() == before)
    }

    @Test func `a firewall that drops what is forwarded cuts us off until it accepts our bridges`() async throws {
        let world = try await FirewallWorld()
        try await world.network(1)
        let a = try await world.container(1, 2)
        let server = try await a.place.serve(80)
        let outside = try await world.outside.serve(7)
        try await world.publish(a.mapping(8080, on: .any4))
        try await world.host.shell("iptables-nft -P FORWARD DROP")
        #expect(try await world.outside.isRefused(FirewallWorld.host(.v4), 8080, at: server))
        #expect(try await a.place.isRefused(FirewallWorld.outside(.v4), 7, at: outside))
        try await world.host.shell("iptables-nft -A FORWARD -i br1 -j ACCEPT; iptables-nft -A FORWARD -o br1 -j ACCEPT")
        #expect(try await world.outside.reach(FirewallWorld.host(.v4), 8080, at: server) != nil)
        #expect(try await a.place.reach(FirewallWorld.outside(.v4), 7, at: outside) != nil)
    }
}

/// What others do to our table, and how soon it is restored.
@Suite(.serialized, .enabled(if: isRoot, "makes network namespaces")) struct RulesetMonitorTests {
    /// A monitor at the world's host that counts, and restores when it is told to.
    private final class Watch: Sendable {
        let count = Guarded(0)
        let monitor: RulesetMonitor

        init(_ world: FirewallWorld, restores: Bool = false) async throws {
            let (stream, changes) = AsyncStream.makeStream(of: Void.self)
            let owner = world.rules
            monitor = try await owner.call { owner throws(NetworkError) in
                try RulesetMonitor(table: "docker_swift", ours: owner.firewall.port) { changes.yield() }
            }
            Task { [weak self] in
                for await _ in stream {
                    self?.count.withLock { $0 += 1 }
                    if restores { try await owner.reinstall() }
                }
            }
        }

        var told: Int { count.withLock { $0 } }
    }

    @Test(arguments: [
        "flush ruleset", "delete table inet docker_swift", "flush table inet docker_swift",
        "flush map inet docker_swift anywhere4", "flush chain inet docker_swift prerouting",
        "insert rule inet docker_swift forward drop",
    ])
    func `published ports work again at once after`(_ command: String) async throws {
        let world = try await FirewallWorld()
        try await world.network(1)
        try await world.network(2)
        let (a, b) = (try await world.container(1, 2), try await world.container(2, 2))
        let (server, other) = (try await a.place.serve(80), try await b.place.serve(80))
        try await world.publish(a.mapping(8080, on: .any4))
        let watch = try await Watch(world, restores: true)
        for _ in 0..<3 {
            #expect(try await world.outside.reach(FirewallWorld.host(.v4), 8080, at: server) != nil)
            let told = watch.told
            #expect(try await world.host.shell("nft \(command)") == 0)
            let start = ContinuousClock.now
            while watch.told == told, ContinuousClock.now - start < .seconds(30) {
                try await Task.sleep(for: .milliseconds(5))
            }
            // The restoration runs on the host's thread as this does.
            var isReached = false
            while !isReached, ContinuousClock.now - start < .seconds(30) {
                isReached = try await world.outside.reach(FirewallWorld.host(.v4), 8080, at: server) != nil
            }
            // A second, and some for a machine that has other things to do.
            #expect(isReached && ContinuousClock.now - start < .seconds(4))
            #expect(try await a.place.isRefused(b.v4, 80, at: other))
        }
    }

    @Test func `our own changes, the operator's rules and other tables are no reason`() async throws {
        let world = try await FirewallWorld()
        let watch = try await Watch(world)
        try await world.network(1)
        let a = try await world.container(1, 2)
        try await world.publish(a.mapping(8080, on: .any4))
        for _ in 0..<5 { try await world.rules.reinstall() }
        let many = (UInt16(10000)..<20000).map { a.mapping($0, on: .any4) }
        try await world.rules.call { owner throws(NetworkError) in try owner.firewall.map(many, .add) }
        try await world.host.shell(
            """
            nft add rule inet docker_swift user counter; nft flush chain inet docker_swift user
            nft add table inet other; nft add chain inet other c; nft add rule inet other c counter; nft delete table inet other
            """)
        try await Task.sleep(for: .milliseconds(300))
        #expect(watch.told == 0)
        try await world.host.shell("nft add rule inet docker_swift forward counter")
        try await Task.sleep(for: .milliseconds(300))
        #expect(watch.told == 1)
    }

    @Test func `a burst of changes is told once`() async throws {
        let world = try await FirewallWorld()
        let watch = try await Watch(world)
        let elements = (1...200).map { "x\($0)" }.joined(separator: ", ")
        try await world.host.shell(
            """
            nft add element inet docker_swift bridges "{ \(elements) }"
            nft flush set inet docker_swift bridges; nft flush chain inet docker_swift forward
            """)
        try await Task.sleep(for: .milliseconds(400))
        #expect((1...2).contains(watch.told))
    }

    @Test func `what the kernel could not tell counts as a change`() async throws {
        let world = try await FirewallWorld()
        #expect(
            try await world.host.shell("nft add table ip many; nft add set ip many s \"{ type inet_service; }\"") == 0)
        let told = Guarded(0)
        // Busy for a while with each change, so that nobody reads meanwhile.
        let monitor = try await world.rules.call { owner throws(NetworkError) in
            try RulesetMonitor(table: "docker_swift", ours: owner.firewall.port, bufferBytes: 4096) {
                told.withLock { $0 += 1 }
                usleep(1_000_000)
            }
        }
        try await world.host.shell("nft add rule inet docker_swift forward counter")
        for _ in 0..<100 where told.withLock({ $0 }) == 0 { try await Task.sleep(for: .milliseconds(10)) }
        let elements = (1...3000).map { "\($0)" }.joined(separator: ", ")
        #expect(try await world.host.shell("nft add element ip many s \"{ \(elements) }\"") == 0)
        for _ in 0..<300 where told.withLock({ $0 }) == 1 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(told.withLock { $0 } == 2)
        withExtendedLifetime(monitor) {}
    }

    @Test func `a monitor's thread ends with it`() async throws {
        let world = try await FirewallWorld()
        let threads = { try Files.list("/proc/self/task").count }
        let before = try threads()
        for _ in 0..<20 { _ = try await Watch(world) }
        for _ in 0..<100 where try threads() > before { try await Task.sleep(for: .milliseconds(20)) }
        #expect(try threads() <= before)
    }
}
