import Logging
import NIOCore
import NIOPosix
import Testing

@testable import DNS

/// A query that cannot be worked with, beside one that differs in nothing else and can.
struct HostileQuery: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let hostile: [UInt8]
    let benign: [UInt8]
    let error: MessageError

    static func label(_ count: Int) -> String { String(repeating: "a", count: count) }

    /// A query with another name, given as bytes.
    static func named(_ name: [UInt8]) -> [UInt8] {
        TestMessage.words(1, 0x0100, 1, 0, 0, 0) + name + TestMessage.words(1, 1)
    }

    static func changed(_ index: Int, _ value: UInt8) -> [UInt8] {
        var bytes = TestMessage.query("web", payload: 1232)
        bytes[index] = value
        return bytes
    }

    static let good = TestMessage.query("web", payload: 1232)
    static let options = [0] + TestMessage.words(41, 1232, 0, 0, 0)

    static let all: [HostileQuery] = [
        .init(testDescription: "an answer", hostile: changed(2, 0x81), benign: good, error: .direction),
        .init(testDescription: "a notification", hostile: changed(2, 0x21), benign: good, error: .opcode),
        .init(testDescription: "an update", hostile: changed(2, 0x29), benign: good, error: .opcode),
        .init(testDescription: "no question", hostile: changed(5, 0), benign: good, error: .questionCount),
        .init(testDescription: "two questions", hostile: changed(5, 2), benign: good, error: .questionCount),
        .init(testDescription: "65,281 questions", hostile: changed(4, 0xFF), benign: good, error: .questionCount),
        .init(testDescription: "an answer record", hostile: changed(7, 1), benign: good, error: .recordCount),
        .init(testDescription: "an authority record", hostile: changed(9, 1), benign: good, error: .recordCount),
        .init(testDescription: "many more records", hostile: changed(10, 0xFF), benign: good, error: .recordCount),
        .init(testDescription: "a record too few", hostile: changed(11, 2), benign: good, error: .short),
        .init(testDescription: "a record too many", hostile: changed(11, 0), benign: good, error: .trailingBytes),
        .init(testDescription: "rubbish at the end", hostile: good + [0], benign: good, error: .trailingBytes),
        .init(testDescription: "cut in the type", hostile: Array(good[..<18]), benign: good, error: .short),
        .init(testDescription: "cut in the name", hostile: Array(good[..<14]), benign: good, error: .short),
        .init(testDescription: "a header alone", hostile: Array(good[..<12]), benign: good, error: .short),
        .init(testDescription: "cut in the header", hostile: Array(good[..<9]), benign: good, error: .short),
        .init(
            testDescription: "a label of 64 bytes", hostile: named([64] + Array(repeating: 0x61, count: 64) + [0]),
            benign: TestMessage.query(label(63)), error: .label),
        .init(
            testDescription: "a label of a kind nobody uses", hostile: changed(12, 0x80), benign: good, error: .label),
        .init(
            testDescription: "a name of 256 bytes",
            hostile: TestMessage.query([63, 63, 63, 62].map(label).joined(separator: ".")),
            benign: TestMessage.query([63, 63, 63, 61].map(label).joined(separator: ".")), error: .nameTooLong),
        .init(
            testDescription: "a pointer to itself", hostile: named([0xC0, 0x0C]), benign: named([1, 0x61, 0]),
            error: .pointer),
        .init(
            testDescription: "a pointer forward", hostile: named([1, 0x61, 0xC0, 0x20]), benign: named([1, 0x61, 0]),
            error: .pointer),
        .init(
            testDescription: "a pointer into the header", hostile: named([1, 0x61, 0xC0, 0x00]),
            benign: named([1, 0x61, 0]), error: .pointer),
        .init(
            testDescription: "a name without an end", hostile: Array(named([5]).dropLast(4)), benign: named([0]),
            error: .short),
        .init(
            testDescription: "OPT twice", hostile: changed(11, 2) + options,
            benign: changed(11, 2) + [0] + TestMessage.words(250, 255, 0, 0, 0), error: .options),
        .init(
            testDescription: "OPT with a name",
            hostile: Array(changed(11, 1)[..<21]) + [0xC0, 0x0C] + options.dropFirst(), benign: good, error: .options),
        .init(
            testDescription: "an option longer than its record",
            hostile: TestMessage.query("web", payload: 1232, options: TestMessage.words(10, 9, 0)),
            benign: TestMessage.query("web", payload: 1232, options: TestMessage.words(10, 2, 0)), error: .options),
        .init(
            testDescription: "a record longer than the message", hostile: changed(31, 1), benign: good, error: .short),
    ]
}

struct `queries as bytes` {
    @Test(arguments: HostileQuery.all) func `a hostile one is refused and its benign twin is not`(_ one: HostileQuery) {
        #expect(throws: one.error) { try Query(ByteBuffer(bytes: one.hostile).readableBytesUInt8Span) }
        #expect(throws: Never.self) { try Query(ByteBuffer(bytes: one.benign).readableBytesUInt8Span) }
    }

    @Test(arguments: HostileQuery.all) func `a refusal is no longer than what it answers`(_ one: HostileQuery) {
        let reply = Reply.refusal(of: ByteBuffer(bytes: one.hostile), one.error, framed: false)
        guard one.hostile.count >= 12, one.error != .direction else {
            #expect(reply == nil)
            return
        }
        let bytes = Array((reply ?? ByteBuffer()).readableBytesView)
        #expect(bytes.count == 12 && bytes.count <= one.hostile.count)
        #expect(bytes[..<2] == one.hostile[..<2])
        #expect(bytes[2] & 0x80 != 0)
        #expect(TestMessage.code(bytes) == (one.error == .opcode ? 4 : 1))
    }

    @Test(
        arguments: [
            ([3, 0x57, 0x65, 0x42, 0], "web"), ([1, 0x61, 2, 0x5F, 0x7E, 0], "a._~"), ([0], nil),
            ([3, 0x61, 0x2E, 0x62, 0], nil),
            ([2, 0x61, 0x00, 0], nil), ([2, 0xC3, 0xA4, 0], nil), ([2, 0x20, 0x61, 0], nil),
        ] as [([UInt8], String?)])
    func `a name is told in lower case, unless it cannot be a container's`(_ bytes: [UInt8], _ name: String?) throws {
        let message = ByteBuffer(bytes: HostileQuery.named(bytes))
        #expect(try Query(message.readableBytesUInt8Span).name(in: message.readableBytesUInt8Span) == name)
    }

    @Test(
        arguments: [
            ("2.0.0.10.in-addr.arpa", DNSAddress("10.0.0.2")),
            ("6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", DNSAddress("2001:db8::6")),
            ("0.0.10.in-addr.arpa", nil), ("1.2.0.0.10.in-addr.arpa", nil), ("256.0.0.10.in-addr.arpa", nil),
            ("02.0.0.10.in-addr.arpa", nil), ("+2.0.0.10.in-addr.arpa", nil), (".0.0.10.in-addr.arpa", nil),
            ("2.0.0.10.in-addr.arpa.example", nil), ("2.0.0.10.xin-addr.arpa", nil),
            ("x.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", nil),
            ("00.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", nil),
        ] as [(String, DNSAddress?)])
    func `a reverse name is an address, or none`(_ name: String, _ address: DNSAddress?) {
        #expect(ReverseName.address(name) == address)
    }

    @Test(
        arguments: [
            ("192.0.2.1", DNSEndpoint(.v4(0xC000_0201))), ("::1", DNSEndpoint(.v6(1))),
            ("fe80::1%lo", DNSEndpoint(.v6(0xfe80_0000_0000_0000_0000_0000_0000_0001), zone: 1)),
            ("fe80::1%no-such", nil),
            ("192.0.2.1%lo", nil), ("192.0.2", nil), ("", nil), ("%", nil), ("localhost", nil),
        ] as [(String, DNSEndpoint?)])
    func `a server is read as resolv.conf has it`(_ text: String, _ endpoint: DNSEndpoint?) {
        #expect(DNSEndpoint(text) == endpoint)
    }

    @Test func `an address is the same for the kernel`() throws {
        #expect(try DNSEndpoint(.v4(0x7f00_0001), port: 5353).socketAddress().description.hasSuffix("127.0.0.1:5353"))
        #expect(try DNSEndpoint(.v6(1), port: 53).socketAddress().ipAddress == "::1")
        let local = try #require(DNSEndpoint("fe80::1:2%lo"))
        let zone = try local.socketAddress().withSockAddr { address, _ in
            UnsafeRawPointer(address).load(fromByteOffset: 24, as: UInt32.self)
        }
        #expect(zone == 1)
    }
}

/// Random bytes that are the same in every run.
struct Mutation {
    private var random: Shuffling

    init(seed: UInt64) { random = Shuffling(state: seed) }

    mutating func mutate(_ bytes: [UInt8]) -> [UInt8] {
        var result = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) where !result.isEmpty {
            let place = Int.random(in: result.indices, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: result[place] = UInt8.random(in: 0...255, using: &random)
            case 1: result[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: result.removeSubrange(place...)
            case 3: result.insert([0, 0x3F, 0xC0, 0xFF].randomElement(using: &random) ?? 0, at: place)
            case 4: result[place] = 0xC0
            default: result.append(contentsOf: result[place...].prefix(40))
            }
        }
        return result
    }
}

struct `mutated messages` {
    static let rounds = 150_000

    private static func server() -> (ServerLoop, Client) {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let server = ServerLoop(loop, .init(label: "test"), ResolverLimits())
        return (server, Client("c", ClientConfiguration(names: Served.names, upstream: [])))
    }

    @Test func `a mutated query is answered or dropped, and never by more than its question allows`() {
        let (server, client) = Self.server()
        let seeds = [
            TestMessage.query("web"), TestMessage.query("crowd", payload: 4096), TestMessage.query("x.example", 16),
            TestMessage.query("web", 28, payload: 512, options: TestMessage.words(10, 8, 1, 2, 3, 4)),
            TestMessage.query("2.0.0.10.in-addr.arpa", 12), HostileQuery.named([1, 0x61, 0xC0, 0x0C]),
        ]
        var mutation = Mutation(seed: 1)
        var answered = 0
        for round in 0..<Self.rounds {
            let bytes = mutation.mutate(seeds[round % seeds.count])
            let route = Route.stream(StreamPort(client, server))
            guard let reply = server.answer(ByteBuffer(bytes: bytes), from: client, route) else { continue }
            answered += 1
            let message = Array(reply.readableBytesView.dropFirst(2))
            #expect(message.count >= 12 && message[..<2] == bytes[..<2] && message[2] & 0x80 != 0)
            // Nothing but an answer with records is longer than the query by more than OPT.
            if TestMessage.answerCount(message) == 0 { #expect(message.count <= bytes.count + 11) }
        }
        #expect(answered > Self.rounds / 4)
    }

    @Test func `a mutated answer is taken apart or refused`() {
        let query = TestMessage.query("a.example", payload: 1232)
        let end = TestMessage.questionEnd(query)
        let alias = TestMessage.Record(type: 5, data: [1, 0x62, 0xC0, 0x0E])
        let seeds = [
            TestMessage.answer(query, [alias, TestMessage.Record(name: [0xC0, 0x27])], extra: HostileQuery.options),
            TestMessage.answer(query, flags: 0x8183, authority: [.soa(minimum: 60)], extra: HostileQuery.options),
            TestMessage.answer(query, (0..<30).map { _ in TestMessage.Record() }),
        ]
        let (server, client) = Self.server()
        var mutation = Mutation(seed: 2)
        var taken = 0
        for round in 0..<Self.rounds {
            let bytes = mutation.mutate(seeds[round % seeds.count])
            guard bytes.count >= end,
                let answer = try? UpstreamAnswer(ByteBuffer(bytes: bytes), questionEnd: end, ResolverLimits())
            else { continue }
            taken += 1
            let pending = PendingQuery(
                client: client, route: .stream(StreamPort(client, server)), id: 7, flags: [], hasOptions: true,
                wantsSignatures: false, question: Array(query[12..<end]), bytesMax: round % 2 == 0 ? 512 : 60)
            let message = answer.message(for: pending, age: UInt32(round % 3), framed: false)
            #expect(message.readableBytes <= max(60, min(answer.bytes.count, pending.bytesMax)) || round % 2 == 1)
            #expect(Array(message.readableBytesView)[12..<end] == query[12..<end])
        }
        #expect(taken > Self.rounds / 10)
    }
}
