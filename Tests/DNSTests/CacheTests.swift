import Glibc
import Kernel
import NIOCore
import NIOPosix
import Testing

@testable import DNS

struct `kept answers` {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let flags: UInt16
        let answers: [TestMessage.Record]
        var authority: [TestMessage.Record] = []
        let isKept: Bool
    }

    static let cases: [Case] = [
        Case(testDescription: "an address", flags: 0x8180, answers: [.init()], isKept: true),
        Case(
            testDescription: "one without a lifetime", flags: 0x8180, answers: [.init(), .init(ttl: 0)], isKept: false),
        Case(testDescription: "a lifetime below zero", flags: 0x8180, answers: [.init(ttl: 1 << 31)], isKept: false),
        Case(
            testDescription: "a failure to find", flags: 0x8183, answers: [], authority: [.soa(minimum: 60)],
            isKept: true),
        Case(testDescription: "the same without SOA", flags: 0x8183, answers: [], isKept: false),
        Case(
            testDescription: "the same for no time", flags: 0x8183, answers: [], authority: [.soa(minimum: 0)],
            isKept: false),
        Case(
            testDescription: "no such record", flags: 0x8180, answers: [], authority: [.soa(minimum: 60)], isKept: true),
        Case(testDescription: "no such record without SOA", flags: 0x8180, answers: [], isKept: false),
        Case(
            testDescription: "an alias of nothing", flags: 0x8180,
            answers: [.init(type: 5, data: [1, 0x62, 0])], isKept: false),
        Case(
            testDescription: "a question that the server does not take (NOTIMP)", flags: 0x8184, answers: [.init()],
            isKept: false),
    ]

    @Test(arguments: cases) func `an answer is kept when it says so`(_ one: Case) async throws {
        let upstream = try await ScriptedServer { query, _ in
            [TestMessage.answer(query, flags: one.flags, one.answers, authority: one.authority)]
        }
        let served = try await Served([upstream.endpoint])
        let first = try #require(try served.ask(TestMessage.query("a.example", id: 1)))
        let second = try #require(try served.ask(TestMessage.query("A.eXample", id: 2)))
        #expect(upstream.queries.count == (one.isKept ? 1 : 2))
        let query = TestMessage.query("A.eXample", id: 2)
        var expected = query[..<2] + first[2..<12]
        expected += query[12..<27]
        expected += first[27...]
        #expect(second == Array(expected))
        await served.resolver.close()
        await upstream.close()
    }

    @Test func `a kept answer grows older and goes`() async throws {
        let upstream = try await ScriptedServer { query, _ in [TestMessage.answer(query, [.init(ttl: 3)])] }
        let served = try await Served([upstream.endpoint])
        #expect(try served.ask(TestMessage.query("a.example")).map(TestMessage.lifetime) == 3)
        try await Task.sleep(for: .milliseconds(1300))
        #expect(try served.ask(TestMessage.query("a.example")).map(TestMessage.lifetime) == 2)
        #expect(upstream.queries.count == 1)
        try await Task.sleep(for: .milliseconds(1900))
        #expect(try served.ask(TestMessage.query("a.example")).map(TestMessage.lifetime) == 3)
        #expect(upstream.queries.count == 2)
        await served.resolver.close()
        await upstream.close()
    }

    @Test func `queries that differ in what servers look at have answers of their own`() async throws {
        let upstream = try await ScriptedServer { query, _ in
            let type = UInt16(query[TestMessage.questionEnd(query) - 3])
            return [TestMessage.answer(query, [.init(type: type)])]
        }
        let served = try await Served([upstream.endpoint])
        let queries = [
            TestMessage.query("a.example"), TestMessage.query("b.example"), TestMessage.query("a.example", 28),
            TestMessage.query("a.example", flags: 0), TestMessage.query("a.example", flags: 0x0110),
            TestMessage.query("a.example", flags: 0x0120), TestMessage.query("a.example", payload: 512),
            TestMessage.query("a.example", payload: 512, wantsSignatures: true),
        ]
        for _ in 0..<2 {
            for query in queries { #expect(try served.ask(query).map(TestMessage.code) == 0) }
        }
        #expect(upstream.queries.count == queries.count)
        await served.resolver.close()
        await upstream.close()
    }

    @Test func `containers with the same servers share what is kept, others do not`() async throws {
        let upstream = try await ScriptedServer { query, _ in [TestMessage.answer(query, [.init()])] }
        let other = try await ScriptedServer { query, _ in [TestMessage.answer(query, [.init(data: [192, 0, 2, 9])])] }
        let served = try await Served([upstream.endpoint])
        let second = try await Served.add(
            "c2", to: served.resolver, ClientConfiguration(names: NameTable(), upstream: [upstream.endpoint]))
        let third = try await Served.add(
            "c3", to: served.resolver, ClientConfiguration(names: NameTable(), upstream: [other.endpoint]))
        let query = TestMessage.query("a.example")
        let first = try served.ask(query)
        #expect(try TestSockets.ask(second, query) == first)
        #expect(try TestSockets.ask(third, query)?.last == 9)
        #expect(upstream.queries.count == 1 && other.queries.count == 1)
        await served.resolver.close()
        await upstream.close()
        await other.close()
    }

    @Test func `the same question under way is asked once`() async throws {
        let held = try await ScriptedServer { _, _ in [] }
        let served = try await Served([held.endpoint])
        let sockets = try (0..<20).map { _ in Held(try TestSockets.connected(SOCK_DGRAM, served.port)) }
        for (number, socket) in sockets.enumerated() {
            try TestSockets.send(socket.fd, TestMessage.query("a.eXample", id: UInt16(number)))
            try TestSockets.send(socket.fd, TestMessage.query("A.example", id: UInt16(100 + number)))
        }
        while held.queries.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        // All forty are in by now, or soon: they take microseconds.
        try await Task.sleep(for: .milliseconds(200))
        try await held.send(TestMessage.answer(held.queries[0].message, [.init()]), to: held.queries[0].source)
        for (number, socket) in sockets.enumerated() {
            let answers = [TestSockets.receive(socket.fd) ?? [], TestSockets.receive(socket.fd) ?? []]
            let expected = [
                TestMessage.answer(TestMessage.query("a.eXample", id: UInt16(number)), [.init()]),
                TestMessage.answer(TestMessage.query("A.example", id: UInt16(100 + number)), [.init()]),
            ]
            #expect(Set(answers) == Set(expected))
        }
        #expect(held.queries.count == 1)
        await served.resolver.close()
        await held.close()
    }

    /// A descriptor in an array.
    private final class Held {
        let fd: OwnedFD
        init(_ fd: consuming OwnedFD) { self.fd = fd }
    }

    private static func key(_ number: Int) -> AnswerKey {
        AnswerKey(
            servers: 1, flags: [], hasOptions: false, wantsSignatures: false,
            question: TestMessage.name("n\(number)") + TestMessage.words(1, 1))
    }

    private static func answer(_ number: Int, ttl: UInt32 = 300) throws -> UpstreamAnswer {
        let query = TestMessage.query("n\(number)")
        return try UpstreamAnswer(
            ByteBuffer(bytes: TestMessage.answer(query, [.init(ttl: ttl)])),
            questionEnd: TestMessage.questionEnd(query),
            ResolverLimits())
    }

    @Test func `there are never too many, and the longest unused go first`() throws {
        var cache = AnswerCache(entriesMax: 10, bytesMax: 1 << 20)
        let now = NIODeadline.now()
        for number in 0..<10 { cache.store(try Self.answer(number), for: Self.key(number), at: now) }
        #expect(cache.answer(to: Self.key(0), at: now) != nil)
        cache.store(try Self.answer(5), for: Self.key(5), at: now)
        for number in 10..<18 { cache.store(try Self.answer(number), for: Self.key(number), at: now) }
        #expect(cache.count == 10)
        let left = (0..<18).filter { cache.answer(to: Self.key($0), at: now) != nil }
        #expect(left == [0, 5] + Array(10..<18))
    }

    @Test func `their bytes have a bound, and come back`() throws {
        var cache = AnswerCache(entriesMax: 1000, bytesMax: 5000)
        let now = NIODeadline.now()
        for number in 0..<500 {
            cache.store(try Self.answer(number), for: Self.key(number), at: now)
            #expect(cache.bytes <= 5000)
        }
        #expect(cache.count > 8)
        for number in 0..<500 { #expect(cache.answer(to: Self.key(number), at: now + .hours(1)) == nil) }
        #expect(cache.count == 0 && cache.bytes == 0)
    }

    @Test func `a lifetime has a ceiling`() throws {
        #expect(try Self.answer(1, ttl: 1_000_000).lifetime == 3600)
    }
}
