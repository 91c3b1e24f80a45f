import CLinux
import Glibc
import Kernel
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import DNS

/// Asked with Debian's dig, unless bytes matter.
struct `names of a container's networks` {
    @Test(arguments: [
        ("A", "web", "10.0.0.2\n"), ("A", "WEB", "10.0.0.2\n"), ("A", "0123456789ab", "10.0.0.3\n"),
        ("AAAA", "web", "2001:db8::2\n"), ("AAAA", "six", "2001:db8::6\n"), ("AAAA", "db", ""), ("A", "six", ""),
        ("MX", "web", ""),
    ])
    func `a name has its addresses, and no others`(_ type: String, _ name: String, _ answer: String) async throws {
        let served = try await Served([DNSEndpoint(.v4(0x7f00_0001), port: 1)])
        #expect(try served.dig("+short", type, name) == answer)
        #expect(try served.dig("+short", "+tcp", type, name) == answer)
        let text = try served.dig(type, name)
        #expect(text.contains("status: NOERROR") && text.contains("flags: qr rd ra;"))
        await served.resolver.close()
    }

    @Test func `an address has its name`() async throws {
        let served = try await Served()
        #expect(try served.dig("+short", "-x", "10.0.0.2") == "web.app_net.\n")
        #expect(try served.dig("+short", "-x", "2001:db8::2") == "web.app_net.\n")
        #expect(try served.dig("-x", "10.0.0.9").contains("status: SERVFAIL"))
        await served.resolver.close()
    }

    @Test func `the question comes back byte by byte, and answers live for ten minutes`() async throws {
        let served = try await Served()
        let query = TestMessage.query("wEb", id: 0xBEEF)
        let answer = try #require(try served.ask(query))
        #expect(answer == TestMessage.answer(query, [.init(ttl: 600, data: [10, 0, 0, 2])]))
        let extended = TestMessage.query("wEb", payload: 4096, wantsSignatures: true)
        let options = [0] + TestMessage.words(41, 1232, 0, 0x8000, 0)
        #expect(
            try served.ask(extended)
                == TestMessage.answer(extended, [.init(ttl: 600, data: [10, 0, 0, 2])], extra: options))
        await served.resolver.close()
    }

    @Test func `several addresses come in changing order`() async throws {
        let served = try await Served()
        var firsts: [UInt8: Int] = [:]
        for _ in 0..<120 {
            let query = TestMessage.query("pool")
            let answer = try #require(try served.ask(query))
            let last = stride(from: 22 + 15, to: answer.count, by: 16).map { answer[$0] }
            #expect(Set(last) == [0x10, 0x11, 0x12])
            firsts[last[0], default: 0] += 1
        }
        #expect(firsts.count == 3 && firsts.values.allSatisfy { $0 > 15 }, "\(firsts)")
        await served.resolver.close()
    }

    @Test func `what does not fit a datagram is cut, and whole by TCP`() async throws {
        let served = try await Served()
        let answer = try #require(try served.ask(TestMessage.query("crowd")))
        #expect(TestMessage.isTruncated(answer) && answer.count <= 512)
        #expect(TestMessage.answerCount(answer) == (512 - 23) / 16)
        let large = try #require(try served.ask(TestMessage.query("crowd", payload: 4096)))
        #expect(!TestMessage.isTruncated(large) && TestMessage.answerCount(large) == 100)
        #expect(try served.dig("+short", "+noedns", "crowd").split(separator: "\n").count == 100)
        await served.resolver.close()
    }

    @Test func `a container sees new names with its next query, and nothing after the end`() async throws {
        let served = try await Served()
        #expect(try served.ask(TestMessage.query("new")).map(TestMessage.code) == 2)
        let names = NameTable(answers: ["new": NameAnswer(ipv4: [0x0A00_0063])])
        await served.resolver.update("c1", ClientConfiguration(names: names, upstream: []))
        #expect(try served.dig("+short", "new") == "10.0.0.99\n")
        #expect(try served.ask(TestMessage.query("web")).map(TestMessage.code) == 2)
        await served.resolver.update("nobody", ClientConfiguration(names: names, upstream: []))
        let connection = try TestSockets.connected(SOCK_STREAM, served.port)
        await served.resolver.stop("c1")
        #expect(try served.ask(TestMessage.query("new"), seconds: 1) == nil)
        #expect(throws: TestSockets.Failure.self) { _ = try TestSockets.connected(SOCK_STREAM, served.port) }
        #expect(TestSockets.receive(connection)?.isEmpty ?? true)
        await served.resolver.stop("c1")
        await served.resolver.close()
    }

    @Test func `a container is served once, by sockets that are some`() async throws {
        let served = try await Served()
        let configuration = ClientConfiguration(names: Served.names, upstream: [])
        await #expect(throws: ResolverError.self) {
            _ = try await Served.add("c1", to: served.resolver, configuration)
        }
        await #expect(throws: ResolverError.self) {
            try await served.resolver.serve(
                "c2", udp: OwnedFD.open("/dev/null", O_RDONLY), tcp: OwnedFD.open("/dev/null", O_RDONLY),
                configuration: configuration)
        }
        #expect(try served.dig("+short", "db") == "10.0.0.3\n")
        // The name is free again.
        let port = try await Served.add("c2", to: served.resolver, configuration)
        #expect(try TestSockets.ask(port, TestMessage.query("db")).map(TestMessage.answerCount) == 1)
        await served.resolver.close()
    }
}

struct `queries that are odd` {
    @Test(arguments: HostileQuery.all) func `a hostile one is refused on the wire, and service goes on`(
        _ one: HostileQuery
    ) async throws {
        let served = try await Served()
        let socket = try TestSockets.connected(SOCK_DGRAM, served.port)
        try TestSockets.send(socket, one.hostile)
        try TestSockets.send(socket, TestMessage.query("web", id: 99))
        if one.hostile.count >= 12, one.error != .direction {
            let refusal = TestSockets.receive(socket) ?? []
            try #require(refusal.count == 12)
            #expect([1, 4].contains(TestMessage.code(refusal)))
        }
        let next = TestSockets.receive(socket)
        #expect(next?.prefix(2) == [0, 99])
        await served.resolver.close()
    }

    @Test func `later versions of EDNS and other classes are answered as such`() async throws {
        let upstream = try await ScriptedServer { query, _ in [TestMessage.answer(query, flags: 0x8185)] }
        let served = try await Served([upstream.endpoint])
        #expect(try served.dig("+edns=1", "+noednsnegotiation", "web").contains("status: BADVERS"))
        #expect(try served.dig("+opcode=STATUS", "web").contains("status: NOTIMP"))
        #expect(upstream.queries.isEmpty)
        // Nobody's network has names of CHAOS.
        _ = try served.dig("web", "CH", "A")
        #expect(upstream.queries.count == 1)
        #expect(try served.dig("example", "AXFR", "+tcp").contains("Transfer failed"))
        #expect(upstream.queries.count == 1)
        await served.resolver.close()
        await upstream.close()
    }

    @Test func `stock programs of a container resolve by 127.0.0.11`() async throws {
        let resolver = DNS.Resolver(eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: .init(label: "test"))
        let space = try OtherNamespace()
        try await resolver.serve(
            "c1", udp: space.udp.duplicate(), tcp: space.tcp.duplicate(),
            configuration: ClientConfiguration(names: Served.names, upstream: []))
        #expect(try space.run("getent ahostsv4 web | head -1").hasPrefix("10.0.0.2 "))
        #expect(try space.run("getent ahostsv6 six | head -1").hasPrefix("2001:db8::6 "))
        #expect(try space.run("getent hosts 10.0.0.2") == "10.0.0.2        web.app_net\n")
        #expect(try space.run("host crowd | grep -c 'has address'") == "100\n")
        #expect(try space.run("nslookup db").contains("Address: 10.0.0.3"))
        #expect(try space.run("getent hosts nobody; echo $?") == "2\n")
        await resolver.close()
    }
}

/// A network namespace with sockets at 127.0.0.11:53, as a container has, made by a thread that enters it and ends.
private struct OtherNamespace: ~Copyable {
    let udp: OwnedFD
    let tcp: OwnedFD
    private let handle: OwnedFD

    private struct Opened: Sendable { let udp, tcp, handle: CInt }

    init() throws {
        let result = Guarded<Result<Opened, any Error>?>(nil)
        try Threads.start("dns-test") {
            let opened = Result { try Self.open() }
            result.withLock { $0 = opened }
        }
        let opened = try result.wait(until: { $0 != nil }, { $0 })?.get()
        guard let opened else { throw TestSockets.Failure(text: "no namespace") }
        udp = OwnedFD(adopting: opened.udp)
        tcp = OwnedFD(adopting: opened.tcp)
        handle = OwnedFD(adopting: opened.handle)
    }

    private static func open() throws -> Opened {
        guard cl_unshare(0x4000_0000) == 0 else { throw TestSockets.Failure(text: "unshare: \(errno)") }
        // The child of this thread is in its namespace.
        // Programs ask for addresses of a family when they have one.
        _ = try DNSTests.run(
            "sh", "-c",
            """
            ip link set lo up && ip link add c0 type veth peer name c1 && ip link set c0 up && ip link set c1 up &&
            ip address add 10.0.0.9/24 dev c0 && ip address add 2001:db8::9/64 dev c0 nodad
            """)
        let handle = try OwnedFD.open("/proc/thread-self/ns/net", O_RDONLY)
        let udp = try TestSockets.bound(SOCK_DGRAM, port: 53, host: 0x7f00_000b)
        let tcp = try TestSockets.bound(SOCK_STREAM, port: 53, host: 0x7f00_000b)
        return Opened(udp: udp.release(), tcp: tcp.release(), handle: handle.release())
    }

    /// What a shell inside prints, with the resolver in its resolv.conf(5).
    func run(_ command: String) throws -> String {
        let script = """
            mount -t tmpfs tmpfs /mnt && echo 'nameserver 127.0.0.11\noptions ndots:0' > /mnt/resolv.conf &&
            mount --bind /mnt/resolv.conf "$(realpath /etc/resolv.conf)" && \(command)
            """
        return try DNSTests.run(
            "nsenter", "--net=/proc/\(getpid())/fd/\(handle.raw)", "unshare", "-m", "sh", "-c", script)
    }
}
