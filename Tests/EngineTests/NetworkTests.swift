import Foundation
import Testing

/// Networks as a user sees them: containers that talk, names that resolve, ports that publish.
@Suite(.serialized)
struct NetworkTests {
    @Test func `containers of a network find each other by every name they have`() throws {
        let net = try NetworkLab()
        try net.must("network", "create", "front")
        let id = try net.sleeper("web", "--network", "front", "--network-alias", "www", "--hostname", "webhost")
        try net.sleeper("client", "--network", "front", "--link", "web:linked")
        let address = try net.address("web", on: "front")
        for name in ["web", "WEB", "www", "webhost", "linked", "web.front", String(id.prefix(12))] {
            let found = try net.applet("client", "nslookup", name)
            #expect(found.out.contains(address), "\(name): \(found.out)\(found.err)")
        }
        let back = try net.applet("client", "nslookup", address)
        #expect(back.out.contains("web.front"), "\(back.out)\(back.err)")
        #expect(try net.applet("client", "ping", "-c1", "-W2", "web").code == 0)
        #expect(try net.applet("client", "nslookup", "nobody").code != 0)
        try net.must("rename", "web", "renamed")
        #expect(try net.applet("client", "nslookup", "renamed").out.contains(address))
        #expect(try net.applet("client", "nslookup", "web").code != 0)
        try net.must("rm", "-f", "renamed")
        #expect(try net.applet("client", "nslookup", "renamed").code != 0)
    }

    @Test func `containers that share an alias take turns`() throws {
        let net = try NetworkLab()
        try net.must("network", "create", "pool")
        var addresses: Set<String> = []
        for name in ["w1", "w2", "w3"] {
            try net.sleeper(name, "--network", "pool", "--network-alias", "worker")
            addresses.insert(try net.address(name, on: "pool"))
        }
        try net.sleeper("client", "--network", "pool")
        var first: Set<String> = []
        for _ in 0..<30 {
            let found = try net.applet("client", "nslookup", "-type=a", "worker").out.split(separator: "\n")
                .filter { $0.hasPrefix("Address: ") }.map { String($0.dropFirst(9)) }
            #expect(Set(found) == addresses, "\(found)")
            if let answer = found.first { first.insert(answer) }
        }
        #expect(first.count > 1, "always \(first)")
    }

    @Test func `a running container joins and leaves networks, and its files say so`() throws {
        let net = try NetworkLab()
        try net.must("network", "create", "one")
        try net.must("network", "create", "two")
        try net.sleeper("mover")
        try net.sleeper("friend", "--network", "two")
        #expect(try net.applet("mover", "nslookup", "friend").code != 0)
        #expect(try net.applet("mover", "sh", "-c", "echo 192.0.2.1 mine >> /etc/hosts").code == 0)
        try net.must("network", "connect", "--alias", "joined", "two", "mover")
        #expect(try net.applet("mover", "nslookup", "friend").code == 0)
        #expect(try net.applet("friend", "nslookup", "joined").out.contains(try net.address("mover", on: "two")))
        #expect(try net.applet("mover", "ip", "-o", "link").out.contains("eth1"))
        var hosts = try net.applet("mover", "cat", "/etc/hosts").out
        #expect(hosts.contains(try net.address("mover", on: "two")) && hosts.contains("192.0.2.1 mine"))
        #expect(try net.applet("mover", "cat", "/etc/resolv.conf").out.contains("127.0.0.11"))
        let again = try net.docker("network", "connect", "two", "mover")
        #expect(again.code == 1 && again.err.contains("endpoint with name mover already exists in network two"))
        let address = try net.address("mover", on: "two")
        try net.must("network", "disconnect", "two", "mover")
        #expect(try net.applet("friend", "nslookup", "joined").code != 0)
        hosts = try net.applet("mover", "cat", "/etc/hosts").out
        #expect(!hosts.contains(address) && hosts.contains("192.0.2.1 mine"))
        #expect(!(try net.applet("mover", "ip", "-o", "link").out.contains("eth1")))
        let gone = try net.docker("network", "disconnect", "two", "mover")
        #expect(gone.code == 1 && gone.err.contains("is not connected to network two"))
        try net.must("network", "disconnect", "-f", "two", "mover")
        // One that does not run joins with its next start.
        try net.must("create", "--name", "later", "--network", "one", net.image, "sleep", "600")
        try net.must("network", "connect", "two", "later")
        try net.must("start", "later")
        #expect(try net.applet("later", "nslookup", "friend").code == 0)
        #expect(try net.inspect("later", "{{len .NetworkSettings.Networks}}") == "2")
    }

    @Test func `a published port is reached from outside, from the host and from other networks`() throws {
        let net = try NetworkLab()
        try net.must("network", "create", "app")
        try net.must("network", "create", "other")
        let run = { (name: String, options: [String]) throws in
            let ran = try net.docker(
                ["run", "-d", "--name", name, "--network", "app"] + options + [net.image]
                    + NetworkLab.server(80, name))
            #expect(ran.code == 0, "\(ran.err)")
        }
        try run("open", ["-p", "8080:80"])
        try run("local", ["-p", "127.0.0.1:8081:80"])
        try run("closed", [])
        try net.sleeper("neighbour", "--network", "other")
        #expect(try net.fetch(outside: true, NetworkLab.hostAddress, 8080) == "open")
        #expect(try net.fetch(outside: false, "127.0.0.1", 8080) == "open")
        #expect(try net.fetch(outside: false, NetworkLab.hostAddress, 8080) == "open")
        #expect(try net.fetch(from: "neighbour", NetworkLab.hostAddress, 8080) == "open")
        #expect(try net.fetch(from: "open", NetworkLab.hostAddress, 8080) == "open")
        #expect(try net.fetch(outside: false, "127.0.0.1", 8081) == "local")
        #expect(try net.fetch(outside: true, NetworkLab.hostAddress, 8081) == "")
        // Networks are apart, and nothing from outside reaches a container's own address.
        let address = try net.address("closed", on: "app")
        #expect(try net.fetch(from: "neighbour", address, 80) == "")
        #expect(try net.onOutside("/sbin/ip", "route", "add", address, "via", NetworkLab.hostAddress).code == 0)
        #expect(try net.fetch(outside: true, address, 80) == "")
        #expect(try net.fetch(outside: false, address, 80) == "closed")
        #expect(try net.must("port", "open").split(separator: "\n").contains("80/tcp -> 0.0.0.0:8080"))
        let clash = try net.docker("run", "-d", "--name", "second", "-p", "8080:80", net.image, "sleep", "1")
        #expect(clash.code == 125 && clash.err.contains("Bind for 0.0.0.0:8080 failed: port is already allocated"))
        let holder = try net.inspect("open", "{{.Id}}")
        #expect(clash.err.contains(holder.prefix(12)), "\(clash.err)")
        try net.must("rm", "-f", "open")
        #expect(try net.fetch(outside: true, NetworkLab.hostAddress, 8080) == "")
        try net.must("start", "second")
    }

    @Test func `containers reach the world as the host, and internal networks do not reach it at all`() throws {
        let net = try NetworkLab()
        let server = try net.start(
            outside: true, "/bin/busybox", "nc", "-ll", "-p", "7000", "-e", "/bin/sh", "-c", "echo outside")
        defer { kill(server.processIdentifier, SIGKILL) }
        try net.must("network", "create", "plain")
        try net.must("network", "create", "--internal", "inner")
        try net.sleeper("out", "--network", "plain")
        try net.sleeper("in", "--network", "inner")
        try net.sleeper("in2", "--network", "inner")
        #expect(try net.fetch(from: "out", NetworkLab.outsideAddress, 7000) == "outside")
        #expect(try net.fetch(from: "in", NetworkLab.outsideAddress, 7000) == "")
        #expect(try net.applet("in", "ping", "-c1", "-W2", "in2").code == 0)
        #expect(try net.applet("in", "ip", "route").out.contains("default") == false)
        #expect(try net.applet("in", "nslookup", "in2").code == 0)
        #expect(try net.applet("in", "nslookup", "example.org").code != 0)
        // Both: the way out is that of the other network.
        try net.must("network", "connect", "plain", "in")
        #expect(try net.fetch(from: "in", NetworkLab.outsideAddress, 7000) == "outside")
        try net.must("network", "disconnect", "plain", "in")
        #expect(try net.fetch(from: "in", NetworkLab.outsideAddress, 7000) == "")
    }

    @Test func `a network without communication keeps its containers apart`() throws {
        let net = try NetworkLab()
        try net.must("network", "create", "-o", "com.docker.network.bridge.enable_icc=false", "apart")
        try net.sleeper("left", "--network", "apart")
        try net.sleeper("right", "--network", "apart")
        let address = try net.address("right", on: "apart")
        #expect(try net.applet("left", "ping", "-c1", "-W1", address).code != 0)
        try net.must("network", "create", "together")
        try net.must("network", "connect", "together", "left")
        try net.must("network", "connect", "together", "right")
        #expect(try net.applet("left", "ping", "-c1", "-W2", try net.address("right", on: "together")).code == 0)
    }

    @Test func `addresses are those that were asked for, and stay over a restart`() throws {
        let net = try NetworkLab()
        try net.must(
            "network", "create", "--subnet", "10.77.0.0/24", "--ip-range", "10.77.0.128/25", "--gateway",
            "10.77.0.200", "--aux-address", "printer=10.77.0.128", "fixed")
        try net.sleeper("asked", "--network", "fixed", "--ip", "10.77.0.9", "--mac-address", "02:42:0a:4d:00:99")
        #expect(try net.address("asked", on: "fixed") == "10.77.0.9")
        #expect(try net.applet("asked", "ip", "-o", "link").out.contains("02:42:0a:4d:00:99"))
        #expect(try net.applet("asked", "ip", "route").out.contains("default via 10.77.0.200"))
        try net.sleeper("next", "--network", "fixed")
        let next = try net.address("next", on: "fixed")
        #expect(next == "10.77.0.129")
        try net.sleeper("after", "--network", "fixed")
        try net.must("restart", "-t", "0", "next")
        #expect(try net.address("next", on: "fixed") == next)
        for (address, words) in [
            ("10.77.0.9", "Address already in use"), ("10.78.0.1", "no configured subnet"),
            ("x", "invalid IPv4 address"),
        ] {
            let refused = try net.docker(
                "run", "-d", "--name", "refused", "--network", "fixed", "--ip", address, net.image, "sleep", "1")
            #expect(refused.code == 125 && refused.err.contains(words), "\(address): \(refused.err)")
            try net.docker("rm", "-f", "refused")
        }
    }

    @Test func `both address families work out of the box`() throws {
        let net = try NetworkLab()
        try net.must("network", "create", "--ipv6", "dual")
        try net.must("network", "create", "--ipv6", "--ipv4=false", "six")
        try net.docker(
            ["run", "-d", "--name", "web", "--network", "dual", "-p", "8080:80", net.image]
                + NetworkLab.server(80, "dual"))
        try net.sleeper("client", "--network", "dual")
        let address = try net.inspect("web", "{{.NetworkSettings.Networks.dual.GlobalIPv6Address}}")
        #expect(address.hasPrefix("fd"))
        #expect(try net.applet("client", "nslookup", "-type=aaaa", "web").out.contains(address))
        #expect(try net.applet("client", "ping6", "-c1", "-W2", "web").code == 0)
        #expect(try net.fetch(outside: true, NetworkLab.hostAddress6, 8080) == "dual")
        #expect(try net.fetch(outside: true, NetworkLab.hostAddress, 8080) == "dual")
        #expect(try net.applet("client", "ping6", "-c1", "-W2", NetworkLab.outsideAddress6).code == 0)
        try net.sleeper("only", "--network", "six")
        #expect(try net.address("only", on: "six") == "")
        #expect(try net.applet("only", "ping6", "-c1", "-W2", NetworkLab.outsideAddress6).code == 0)
    }

    @Test func `a killed daemon finds everything again, and traffic does not stop meanwhile`() throws {
        let net = try NetworkLab()
        try net.must("network", "create", "--label", "kept=yes", "stay")
        try net.docker(
            ["run", "-d", "--name", "web", "--network", "stay", "-p", "8080:80", net.image]
                + ["/bin/busybox", "nc", "-ll", "-p", "80", "-e", "/bin/busybox", "cat"])
        try net.sleeper("client", "--network", "stay")
        let address = try net.address("web", on: "stay")
        let script = """
            import socket, sys, time
            peer = socket.create_connection(("\(NetworkLab.hostAddress)", 8080), 5)
            peer.settimeout(5)
            for number in range(40):
                peer.sendall(b"%d\\n" % number)
                assert peer.recv(100) == b"%d\\n" % number
                time.sleep(0.1)
            """
        let file = net.lab.directory + "/stream.py"
        try script.write(toFile: file, atomically: true, encoding: .utf8)
        let stream = try net.start(outside: true, "/usr/bin/python3", file)
        usleep(500_000)
        net.lab.killDaemon()
        try net.lab.startDaemon()
        stream.waitUntilExit()
        #expect(stream.terminationStatus == 0)
        #expect(try net.applet("client", "nslookup", "web").out.contains(address))
        #expect(try net.inspect("stay", "{{index .Labels \"kept\"}}") == "yes")
        #expect(try net.address("web", on: "stay") == address)
        #expect(try net.must("port", "web", "80").contains("0.0.0.0:8080"))
        let busy = try net.docker("network", "rm", "stay")
        #expect(busy.code == 1 && busy.err.contains("has active endpoints"))
        try net.must("network", "create", "more")
        try net.must("network", "connect", "more", "client")
        try net.must("rm", "-f", "web", "client")
        try net.must("network", "rm", "stay", "more")
        let left = try net.onHost("/sbin/ip", "-o", "link").out
        #expect(!left.contains("br-"), "\(left)")
    }

    @Test func `networks that are in use, unknown or predefined are not removed, and prune takes the rest`() throws {
        let net = try NetworkLab()
        try net.must("network", "create", "used")
        try net.must("network", "create", "idle")
        try net.sleeper("box", "--network", "used")
        let subnet = try net.inspect("used", "{{(index .IPAM.Config 0).Subnet}}")
        let rows: [([String], String)] = [
            (["network", "rm", "used"], "network used has active endpoints (name:\"box\""),
            (["network", "rm", "bridge"], "bridge is a pre-defined network and cannot be removed"),
            (["network", "rm", "nosuch"], "network nosuch not found"),
            (["network", "create", "used"], "network with name used already exists"),
            (["network", "create", "host"], "operation is not permitted on predefined host network"),
            (["network", "create", "-d", "nosuch", "x"], "plugin \"nosuch\" not found"),
            (["network", "connect", "nosuch", "box"], "network nosuch not found"),
            (["network", "connect", "idle", "nosuch"], "No such container: nosuch"),
            (["network", "connect", "host", "box"], "cannot be connected to any other network"),
            (["network", "connect", "none", "box"], "private (none) mode"),
            (["network", "create", "--subnet", subnet, "x"], "Pool overlaps with other one on this address space"),
        ]
        for (arguments, words) in rows {
            let ran = try net.docker(arguments)
            #expect(ran.code == 1 && ran.err.contains(words), "\(arguments): \(ran.code) \(ran.err)")
        }
        #expect(try net.must("network", "ls", "--format", "{{.Name}}") == "bridge\nhost\nidle\nnone\nused")
        #expect(try net.must("network", "prune", "-f").contains("idle"))
        #expect(try net.must("network", "ls", "--format", "{{.Name}}") == "bridge\nhost\nnone\nused")
        try net.must("stop", "-t", "0", "box")
        try net.must("network", "rm", "used")
        let lost = try net.docker("start", "box")
        #expect(lost.code == 1 && lost.err.contains("network used not found"), "\(lost.err)")
    }

    @Test func `rules that somebody flushes come back within a second, and nothing is open meanwhile`() throws {
        let net = try NetworkLab()
        try net.docker(
            ["run", "-d", "--name", "web", "-p", "8080:80", net.image] + NetworkLab.server(80, "back"))
        #expect(try net.fetch(outside: true, NetworkLab.hostAddress, 8080) == "back")
        #expect(try net.onHost("/usr/sbin/nft", "flush", "ruleset").code == 0)
        usleep(1_000_000)
        #expect(try net.fetch(outside: true, NetworkLab.hostAddress, 8080) == "back")
    }

    @Test func `a network or a daemon without addresses left says so, and has them again when they are free`() throws {
        let net = try NetworkLab(
            configuration: #"{"default-address-pools": [{"base": "10.55.0.0/28", "size": 29}]}"#)
        try net.must("network", "create", "last")
        let more = try net.docker("network", "create", "more")
        #expect(more.code == 1 && more.err.contains("all predefined address pools have been fully subnetted"))
        #expect(try net.must("network", "ls", "-q", "--filter", "name=more") == "")
        // Eight addresses: network, gateway and broadcast are not for containers.
        for number in 1...5 { try net.sleeper("box\(number)", "--network", "last") }
        let full = try net.docker("run", "-d", "--name", "full", "--network", "last", net.image, "sleep", "1")
        #expect(full.code == 125 && full.err.contains("no available IPv4 addresses"), "\(full.err)")
        try net.must("rm", "-f", "box3")
        try net.must("start", "full")
        try net.must("rm", "-f", "box1", "box2", "box4", "box5", "full")
        try net.must("network", "rm", "last")
        try net.must("network", "create", "more")
    }

    @Test func `ports are published on the loopback alone where the daemon says so`() throws {
        let net = try NetworkLab(configuration: #"{"ip": "127.0.0.1", "bip": "172.30.9.1/24", "dns": ["192.0.2.53"]}"#)
        try net.docker(
            ["run", "-d", "--name", "web", "-p", "8080:80", net.image] + NetworkLab.server(80, "local"))
        #expect(try net.fetch(outside: false, "127.0.0.1", 8080) == "local")
        #expect(try net.fetch(outside: true, NetworkLab.hostAddress, 8080) == "")
        #expect(try net.address("web", on: "bridge").hasPrefix("172.30.9."))
        #expect(try net.applet("web", "cat", "/etc/resolv.conf").out.contains("nameserver 192.0.2.53"))
    }

    @Test func `a macvlan container is a neighbour of the outside, with names of its own network`() throws {
        let net = try NetworkLab()
        try net.must(
            "network", "create", "-d", "macvlan", "--subnet", "198.51.100.0/24", "--ip-range", "198.51.100.64/26",
            "--gateway", NetworkLab.outsideAddress, "-o", "parent=up0", "wire")
        try net.sleeper("one", "--network", "wire")
        try net.sleeper("two", "--network", "wire", "--ip", "198.51.100.99")
        #expect(try net.address("one", on: "wire") == "198.51.100.64")
        #expect(try net.applet("one", "ping", "-c1", "-W2", NetworkLab.outsideAddress).code == 0)
        #expect(try net.applet("one", "ping", "-c1", "-W2", "two").code == 0)
        #expect(try net.onOutside("/bin/busybox", "ping", "-c1", "-W2", "198.51.100.99").code == 0)
        try net.must("rm", "-f", "one", "two")
        try net.must("network", "rm", "wire")
        #expect(try net.onHost("/sbin/ip", "-o", "link").out.contains("up0"))
        let lost = try net.docker("network", "create", "-d", "macvlan", "-o", "parent=nosuch0", "x")
        #expect(lost.code == 1 && lost.err.contains("nosuch0"), "\(lost.err)")
    }

    @Test func `every exposed port is published with P, over each transport`() throws {
        let net = try NetworkLab()
        try net.sleeper(
            "all", "-P", "--expose", "80", "--expose", "53/udp", "--expose", "7000-7002", "-p", "9000-9009:9",
            "-p", "127.0.0.1::9999/udp")
        let ports = try net.must("port", "all").split(separator: "\n").map(String.init)
        #expect(Set(ports.map { $0.prefix { $0 != " " } }).count == 7, "\(ports)")
        #expect(ports.contains("9/tcp -> 0.0.0.0:9000"), "\(ports)")
        for line in ports where !line.hasPrefix("9") {
            let port = try #require(line.split(separator: ":").last.flatMap { Int($0) }, "\(line)")
            #expect((32_768...60_999).contains(port), "\(line)")
        }
        try net.sleeper("next", "-p", "9000-9009:9")
        #expect(try net.must("port", "next").contains("9/tcp -> 0.0.0.0:9001"))
    }

    private static let stock = "/usr/local/bin/docker"

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: stock)))
    func `Docker's own client sees the same networks`() throws {
        let net = try NetworkLab()
        func stock(_ arguments: String...) throws -> Lab.Output {
            try Lab.run(Self.stock, arguments, environment: net.lab.environment)
        }
        let made = try stock(
            "network", "create", "--subnet", "10.71.0.0/24", "--label", "a=b", "--ipv6", "mine")
        #expect(made.code == 0 && made.text.count == 64, "\(made.err)")
        let run = try stock(
            "run", "-d", "--name", "web", "--network", "name=mine,alias=www,ip=10.71.0.7", "-p", "8080:80", net.image,
            "sleep", "600")
        #expect(run.code == 0, "\(run.err)")
        for arguments in [
            ["network", "ls", "--no-trunc"], ["network", "inspect", "mine", "bridge", "host"], ["port", "web"],
            ["network", "ls", "--filter", "label=a=b", "-q"], ["inspect", "--type", "network", "mine"],
            ["network", "ls", "--format", "json"], ["ps", "--format", "{{.Ports}} {{.Networks}}"],
            ["inspect", "-f", "{{json .NetworkSettings}}", "web"],
        ] {
            let theirs = try Lab.run(Self.stock, arguments, environment: net.lab.environment)
            let ours = try net.docker(arguments)
            #expect(theirs.code == 0 && theirs.out == ours.out, "\(arguments):\n\(theirs.out)\n\(ours.out)")
        }
        #expect(try stock("network", "create", "side").code == 0)
        #expect(try stock("network", "connect", "--ip", "x", "side", "web").code != 0)
        #expect(try stock("network", "connect", "side", "web").code == 0)
        #expect(try stock("network", "rm", "side").err.contains("has active endpoints"))
        #expect(try stock("network", "disconnect", "side", "web").code == 0)
        #expect(try stock("network", "rm", "side").text == "side")
        #expect(try stock("network", "prune", "-f").code == 0)
    }
}
