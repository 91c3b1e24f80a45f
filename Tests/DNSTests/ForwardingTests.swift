import Foundation
import Glibc
import Kernel
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import DNS

@Suite(.enabled(if: Files.exists("/usr/sbin/dnsmasq"), "needs Debian's dnsmasq"))
struct `with a real name server` {
    static let options = [
        "--host-record=site.example,192.0.2.80,2001:db8::80", "--local-ttl=300",
        "--txt-record=note.example,hello", "--mx-host=example,mail.example,10",
        "--srv-host=_ldap._tcp.example,ldap.example,389",
        "--ptr-record=9.0.0.10.in-addr.arpa,far.example", "--cname=alias.example,site.example",
        "--edns-packet-max=1232",
        "--host-record=plain,192.0.2.81", "--local=/example/",
    ]
    static let long = (0..<20).map { "--txt-record=long.example,\($0)\(String(repeating: "x", count: 200))" }

    @Test func `everything that no network knows is its affair`() async throws {
        let dnsmasq = try await Dnsmasq(Self.options + Self.long)
        defer { dnsmasq.stop() }
        let served = try await Served([dnsmasq.endpoint])
        // The second time from the cache.
        for _ in 0..<2 {
            #expect(try served.dig("+short", "site.example") == "192.0.2.80\n")
            #expect(try served.dig("+short", "AAAA", "site.example") == "2001:db8::80\n")
            #expect(try served.dig("+short", "TXT", "note.example") == "\"hello\"\n")
            #expect(try served.dig("+short", "MX", "example") == "10 mail.example.\n")
            #expect(try served.dig("+short", "SRV", "_ldap._tcp.example") == "0 0 389 ldap.example.\n")
            #expect(try served.dig("+short", "-x", "10.0.0.9") == "far.example.\n")
            #expect(try served.dig("+short", "plain") == "192.0.2.81\n")
            #expect(try served.dig("absent.example").contains("status: NXDOMAIN"))
            // By TCP in the end, since no datagram holds it.
            let text = try served.dig("TXT", "long.example")
            #expect(text.contains("ANSWER: 20,") && text.contains("Truncated, retrying in TCP mode"))
            #expect(try served.dig("+tcp", "TXT", "long.example").contains("ANSWER: 20,"))
        }
        #expect(
            try run("host", "-p", "\(served.port)", "alias.example", "127.0.0.1").contains("has address 192.0.2.80"))
        await served.resolver.close()
    }
}

/// The answer that scripted servers give.
private let record = TestMessage.Record()

struct `servers that are not as they should be` {
    @Test func `without forwarding nothing leaves, and known names are answered`() async throws {
        let upstream = try await ScriptedServer { query, _ in [TestMessage.answer(query, [record])] }
        let served = try await Served([upstream.endpoint], forwards: false)
        for type in [1, 28, 15, 12, 33, 255] as [UInt16] {
            #expect(try served.ask(TestMessage.query("a.example", type)).map(TestMessage.code) == 2)
        }
        #expect(try served.ask(TestMessage.query("unknown")).map(TestMessage.code) == 2)
        #expect(try served.dig("+short", "+tcp", "web") == "10.0.0.2\n")
        #expect(upstream.queries.isEmpty)
        await served.resolver.close()
        await upstream.close()
    }

    @Test func `a server may have an IPv6 address`() async throws {
        let group = MultiThreadedEventLoopGroup.singleton
        let answering = try await DatagramBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Echo()) }
            }
            .bind(host: "::1", port: 0).get()
        let port = try #require(answering.localAddress?.port)
        let served = try await Served([DNSEndpoint(.v6(1), port: UInt16(port))])
        #expect(try served.dig("+short", "a.example") == "192.0.2.1\n")
        await served.resolver.close()
        try await answering.close()
    }

    @Test func `names without a dot are passed on, unless the user set ndots`() async throws {
        let upstream = try await ScriptedServer { query, _ in [TestMessage.answer(query, [record])] }
        let served = try await Served([upstream.endpoint])
        #expect(try served.ask(TestMessage.query("unknown")).map(TestMessage.answerCount) == 1)
        await served.resolver.update(
            "c1", ClientConfiguration(names: Served.names, upstream: [upstream.endpoint], forwardsSingleLabels: false))
        let answer = try #require(try served.ask(TestMessage.query("other")))
        #expect(TestMessage.code(answer) == 0 && TestMessage.answerCount(answer) == 0)
        #expect(try served.ask(TestMessage.query("a.example")).map(TestMessage.answerCount) == 1)
        #expect(upstream.queries.count == 2)
        await served.resolver.close()
        await upstream.close()
    }

    @Test func `a cut answer is had whole by TCP, and a large one is cut for a client that cannot take it`()
        async throws
    {
        let many = (0..<60).map { TestMessage.Record(data: [192, 0, 2, UInt8($0)]) }
        let upstream = try await ScriptedServer { query, isStream in
            [isStream ? TestMessage.answer(query, many) : TestMessage.answer(query, flags: 0x8380, [record])]
        }
        let served = try await Served([upstream.endpoint])
        let small = try #require(try served.ask(TestMessage.query("a.example")))
        #expect(TestMessage.isTruncated(small) && small.count == 27 && TestMessage.answerCount(small) == 0)
        #expect(upstream.queries.map(\.isStream) == [false, true])
        #expect(try served.dig("+short", "+noedns", "+noad", "a.example").split(separator: "\n").count == 60)
        // A client by TCP begins there.
        #expect(try served.dig("+short", "+tcp", "+noedns", "+noad", "b.example").split(separator: "\n").count == 60)
        #expect(upstream.queries.map(\.isStream) == [false, true, true])
        await served.resolver.close()
        await upstream.close()
    }

    @Test func `a cut answer is better than none`() async throws {
        let upstream = try await ScriptedServer(stream: false) { query, _ in
            [TestMessage.answer(query, flags: 0x8380, [record])]
        }
        let served = try await Served([upstream.endpoint])
        let answer = try #require(try served.ask(TestMessage.query("a.example")))
        #expect(TestMessage.isTruncated(answer) && TestMessage.answerCount(answer) == 1)
        await served.resolver.close()
        await upstream.close()
    }

    /// Changes that make an answer somebody else's.
    enum Forgery: CaseIterable {
        case otherID, otherName, otherType, query, twoQuestions, short

        func apply(_ answer: [UInt8]) -> [UInt8] {
            var forged = answer
            switch self {
            case .otherID: forged[0] ^= 1
            case .otherName: forged[13] ^= 1
            case .otherType: forged[TestMessage.questionEnd(answer) - 3] ^= 1
            case .query: forged[2] &= 0x7F
            case .twoQuestions: forged[5] = 2
            case .short: forged = Array(answer[..<15])
            }
            return forged
        }
    }

    @Test(arguments: Forgery.allCases) func `a forged answer does not hide the true one`(_ forgery: Forgery)
        async throws
    {
        let upstream = try await ScriptedServer { query, _ in
            let forged = TestMessage.answer(query, [.init(data: [6, 6, 6, 6])])
            return [forgery.apply(forged), TestMessage.answer(query, [record])]
        }
        let served = try await Served([upstream.endpoint])
        #expect(try served.dig("+short", "a.example") == "192.0.2.1\n")
        #expect(upstream.queries.count == 1)
        await served.resolver.close()
        await upstream.close()
    }

    @Test(arguments: [.otherID, .otherName, .twoQuestions, .short] as [Forgery])
    func `a forged answer by TCP is none`(_ forgery: Forgery) async throws {
        let upstream = try await ScriptedServer { query, _ in
            [forgery.apply(TestMessage.answer(query, [.init(data: [6, 6, 6, 6])]))]
        }
        let served = try await Served([upstream.endpoint])
        #expect(try served.dig("+tcp", "a.example").contains("status: SERVFAIL"))
        #expect(upstream.queries.map(\.isStream) == [true])
        await served.resolver.close()
        await upstream.close()
    }

    @Test func `a server that accepts and is silent has its time`() async throws {
        let upstream = try await ScriptedServer { query, isStream in
            isStream ? [] : [TestMessage.answer(query, flags: 0x8380, [record])]
        }
        let served = try await Served([upstream.endpoint])
        let start = ContinuousClock.now
        let answer = try #require(try served.ask(TestMessage.query("a.example")))
        #expect(TestMessage.isTruncated(answer) && TestMessage.answerCount(answer) == 1)
        #expect(ContinuousClock.now - start < .seconds(5))
        await served.resolver.close()
        await upstream.close()
    }

    @Test func `a datagram from another address does not count`() async throws {
        let stranger = try TestSockets.bound(SOCK_DGRAM)
        let raw = stranger.raw
        let asked = Mutex<[UInt8]?>(nil)
        let upstream = try await ScriptedServer { query, _ in
            asked.withLock { $0 = query }
            return []
        }
        let served = try await Served([upstream.endpoint])
        let socket = try TestSockets.connected(SOCK_DGRAM, served.port)
        try TestSockets.send(socket, TestMessage.query("a.example"))
        while upstream.queries.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        let query = try #require(asked.withLock { $0 })
        let forged = TestMessage.answer(query, [record])
        let sent = TestSockets.withAddress(upstream.queries[0].source) {
            sendto(raw, forged, forged.count, 0, $0, $1)
        }
        #expect(sent == forged.count)
        // Two silent attempts.
        #expect(TestSockets.receive(socket) == nil)
        #expect(TestSockets.receive(socket).map(TestMessage.code) == 2)
        await served.resolver.close()
        await upstream.close()
    }

    @Test(arguments: [2, 5, 1] as [UInt16]) func `a server that fails is followed by the next`(_ code: UInt16)
        async throws
    {
        let bad = try await ScriptedServer { query, _ in
            // A format error comes as a header alone.
            let answer = TestMessage.answer(query, flags: 0x8180 | code)
            return [code == 1 ? Array(answer[..<4]) + Array(repeating: 0, count: 8) : answer]
        }
        let good = try await ScriptedServer { query, _ in [TestMessage.answer(query, [record])] }
        let served = try await Served([bad.endpoint, good.endpoint])
        let start = ContinuousClock.now
        #expect(try served.dig("+short", "a.example") == "192.0.2.1\n")
        #expect(ContinuousClock.now - start < .milliseconds(1900))
        await served.resolver.update("c1", ClientConfiguration(names: Served.names, upstream: [bad.endpoint]))
        #expect(try served.ask(TestMessage.query("a.example")).map(TestMessage.code) == 2)
        #expect(bad.queries.count == 2 && good.queries.count == 1)
        await served.resolver.close()
        await bad.close()
        await good.close()
    }

    @Test func `a server that is not there is followed by the next at once, a silent one after two seconds`()
        async throws
    {
        let silent = try await ScriptedServer { _, _ in [] }
        let good = try await ScriptedServer { query, _ in [TestMessage.answer(query, [record])] }
        let free = try Self.freePort()
        let served = try await Served([DNSEndpoint(.v4(0x7f00_0001), port: free), good.endpoint])
        let start = ContinuousClock.now
        #expect(try served.dig("+short", "a.example") == "192.0.2.1\n")
        #expect(try served.dig("+short", "+tcp", "b.example") == "192.0.2.1\n")
        #expect(ContinuousClock.now - start < .milliseconds(1900))
        await served.resolver.update(
            "c1", ClientConfiguration(names: Served.names, upstream: [silent.endpoint, good.endpoint]))
        let second = ContinuousClock.now
        #expect(try served.dig("+short", "c.example") == "192.0.2.1\n")
        #expect((1.9...8.0).contains((ContinuousClock.now - second) / .seconds(1)))
        await served.resolver.close()
        await silent.close()
        await good.close()
    }

    private static func freePort() throws -> UInt16 {
        let pair = try TestSockets.pair()
        return pair.port
    }

    @Test func `a slow server's answer counts while the next is asked`() async throws {
        let first = Mutex<[UInt8]>([])
        let slow = try await ScriptedServer { query, _ in
            first.withLock { $0 = query }
            return []
        }
        // Asked second, it makes the first one's answer come now.
        let silent = try await ScriptedServer { _, _ in [] }
        let served = try await Served([slow.endpoint, silent.endpoint])
        let socket = try TestSockets.connected(SOCK_DGRAM, served.port, seconds: 5)
        try TestSockets.send(socket, TestMessage.query("a.example"))
        while silent.queries.isEmpty { try await Task.sleep(for: .milliseconds(20)) }
        let query = first.withLock { $0 }
        try await slow.send(TestMessage.answer(query, [record]), to: slow.queries[0].source)
        #expect(TestSockets.receive(socket).map(TestMessage.answerCount) == 1)
        await served.resolver.close()
        await slow.close()
        await silent.close()
    }

    @Test func `an answer that cannot be read is asked for by TCP`() async throws {
        let upstream = try await ScriptedServer { query, isStream in
            [TestMessage.answer(query, [isStream ? record : .init(name: [0xC0, 0xFF])])]
        }
        let served = try await Served([upstream.endpoint])
        #expect(try served.dig("+short", "a.example") == "192.0.2.1\n")
        #expect(upstream.queries.map(\.isStream) == [false, true])
        await served.resolver.close()
        await upstream.close()
    }

    @Test func `what only the server understands is passed on as it is, and kept for nobody`() async throws {
        let upstream = try await ScriptedServer { query, _ in [TestMessage.answer(query, [record])] }
        let served = try await Served([upstream.endpoint])
        let subnet = TestMessage.words(8, 7, 1, 0x1800) + [192, 0, 2]
        let query = TestMessage.query("a.example", payload: 1400, options: subnet)
        for _ in 0..<2 { #expect(try served.ask(query).map(TestMessage.answerCount) == 1) }
        #expect(upstream.queries.map { $0.message.dropFirst(2) } == [query.dropFirst(2), query.dropFirst(2)])
        // A cookie is between neighbours; the size of datagrams is, too.
        let cookie = TestMessage.words(10, 8, 1, 2, 3, 4)
        _ = try served.ask(TestMessage.query("b.example", payload: 4096, options: cookie))
        #expect(upstream.queries[2].message.dropFirst(2) == TestMessage.query("b.example", payload: 1232).dropFirst(2))
        await served.resolver.close()
        await upstream.close()
    }

    @Test func `ids and ports cannot be guessed from the ones before`() async throws {
        let upstream = try await ScriptedServer { query, _ in [TestMessage.answer(query, [.init(ttl: 0)])] }
        let served = try await Served([upstream.endpoint])
        for number in 0..<300 { _ = try served.ask(TestMessage.query("n\(number).example")) }
        let ids = upstream.queries.map { Int($0.message[0]) << 8 | Int($0.message[1]) }
        #expect(Set(ids).count > 280)
        #expect(Set(zip(ids, ids.dropFirst()).map { ($1 - $0) & 0xFFFF }).count > 280)
        #expect(Set(upstream.queries.map(\.source)).count >= 32)
        await served.resolver.close()
        await upstream.close()
    }
}

/// Answers everything with the record.
private final class Echo: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var envelope = unwrapInboundIn(data)
        envelope.data = ByteBuffer(bytes: TestMessage.answer(Array(envelope.data.readableBytesView), [record]))
        context.writeAndFlush(wrapOutboundOut(envelope), promise: nil)
    }
}

extension ScriptedServer {
    /// Sends a datagram from the server's port.
    func send(_ message: [UInt8], to port: UInt16) async throws {
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: Int(port))
        let channel = channels.withLock { $0[0] }
        try await channel.writeAndFlush(AddressedEnvelope(remoteAddress: address, data: ByteBuffer(bytes: message)))
    }
}
