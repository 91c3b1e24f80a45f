import Foundation
import Glibc
import Kernel
import NIOCore
import NIOPosix
import Testing

@testable import DNS

struct `many queries` {
    @Test func `two thousand from two hundred sockets are all answered`() async throws {
        let upstream = try await ScriptedServer { query, _ in [TestMessage.answer(query, [.init(ttl: 0)])] }
        let served = try await Served([upstream.endpoint])
        let port = served.port
        let answered = try await withThrowingTaskGroup(of: Int.self) { group in
            for worker in 0..<4 {
                group.addTask { try Self.worker(worker, port) }
            }
            return try await group.reduce(0, +)
        }
        #expect(answered == 2000)
        await served.resolver.close()
        await upstream.close()
    }

    /// Asks ten questions on each of fifty sockets at once; half of them are the server's.
    private static func worker(_ number: Int, _ port: UInt16) throws -> Int {
        final class Held {
            let fd: OwnedFD
            init(_ fd: consuming OwnedFD) { self.fd = fd }
        }
        let sockets = try (0..<50).map { _ in Held(try TestSockets.connected(SOCK_DGRAM, port, seconds: 5)) }
        for (place, socket) in sockets.enumerated() {
            for id in 0..<10 {
                let name = id % 2 == 0 ? "web" : "n\(number)-\(place)-\(id).example"
                try TestSockets.send(socket.fd, TestMessage.query(name, id: UInt16(id)))
            }
        }
        var answered = 0
        for socket in sockets {
            var ids: Set<UInt8> = []
            while ids.count < 10, let answer = TestSockets.receive(socket.fd) {
                if TestMessage.answerCount(answer) == 1, answer[0] == 0 { ids.insert(answer[1]) }
            }
            answered += ids.count
        }
        return answered
    }

    private static func descriptors() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
    }

    @Test func `beginnings and ends of service leave no descriptor`() async throws {
        let upstream = try await ScriptedServer { query, _ in [TestMessage.answer(query, [.init(ttl: 0)])] }
        let served = try await Served([upstream.endpoint])
        let before = try Self.descriptors()
        let configuration = ClientConfiguration(names: Served.names, upstream: [upstream.endpoint])
        for number in 0..<200 {
            let port = try await Served.add("r\(number)", to: served.resolver, configuration)
            let connection = try TestSockets.connected(SOCK_STREAM, port)
            try TestSockets.send(connection, TestMessage.framed(TestMessage.query("n\(number).example")))
            #expect(TestSockets.receiveFrame(connection) != nil)
            #expect(try TestSockets.ask(port, TestMessage.query("u\(number).example")) != nil)
            await served.resolver.stop("r\(number)")
        }
        // Sockets to servers go when they have been idle for five seconds.
        for _ in 0..<80 where try Self.descriptors() > before { try await Task.sleep(for: .milliseconds(100)) }
        #expect(try Self.descriptors() <= before)
        await served.resolver.close()
        await upstream.close()
    }

    @Test func `more than may wait are refused, and known names are still answered`() async throws {
        let silent = try await ScriptedServer { _, _ in [] }
        var limits = ResolverLimits()
        limits.queriesPerContainerMax = 5
        let served = try await Served([silent.endpoint], limits: limits)
        let socket = try TestSockets.connected(SOCK_DGRAM, served.port)
        for id in 0..<7 { try TestSockets.send(socket, TestMessage.query("n\(id).example", id: UInt16(id))) }
        let refused = [TestSockets.receive(socket), TestSockets.receive(socket)].compactMap { $0 }
        #expect(refused.map(TestMessage.code) == [5, 5] && refused.map { $0[1] } == [5, 6])
        #expect(try served.dig("+short", "web") == "10.0.0.2\n")
        // Places are free again when servers have had their time.
        var failed = 0
        while failed < 5, let answer = TestSockets.receive(socket) ?? TestSockets.receive(socket) {
            #expect(TestMessage.code(answer) == 2)
            failed += 1
        }
        #expect(failed == 5)
        try TestSockets.send(socket, TestMessage.query("web", id: 9))
        #expect(TestSockets.receive(socket)?[1] == 9)
        await served.resolver.close()
        await silent.close()
    }
}

struct `connections by TCP` {
    @Test func `queries one after another are answered, and the rest after the client's last`() async throws {
        let upstream = try await ScriptedServer { query, _ in [TestMessage.answer(query, [.init()])] }
        let served = try await Served([upstream.endpoint])
        let socket = try TestSockets.connected(SOCK_STREAM, served.port)
        let queries = (0..<300).map { TestMessage.query($0 % 3 == 0 ? "n\($0).example" : "web", id: UInt16($0)) }
        // In pieces that have nothing to do with messages.
        let bytes = queries.flatMap(TestMessage.framed)
        for start in stride(from: 0, to: bytes.count, by: 1001) {
            try TestSockets.send(socket, Array(bytes[start..<min(start + 1001, bytes.count)]))
        }
        shutdown(socket.raw, CInt(SHUT_WR))
        var ids: Set<UInt16> = []
        while let answer = TestSockets.receiveFrame(socket) {
            #expect(TestMessage.answerCount(answer) == 1)
            ids.insert(UInt16(answer[0]) << 8 | UInt16(answer[1]))
        }
        #expect(ids.count == 300)
        await served.resolver.close()
        await upstream.close()
    }

    @Test func `a client that does not read is not read from`() async throws {
        var limits = ResolverLimits()
        limits.idleTimeout = .milliseconds(500)
        let served = try await Served(limits: limits)
        let socket = try TestSockets.connected(SOCK_STREAM, served.port)
        var window: CInt = 4096
        setsockopt(socket.raw, SOL_SOCKET, SO_RCVBUF, &window, socklen_t(MemoryLayout<CInt>.size))
        _ = fcntl(socket.raw, F_SETFL, O_NONBLOCK)
        // Each has an answer of 1.6 kB.
        let block = Array(repeating: TestMessage.framed(TestMessage.query("crowd")), count: 1000).flatMap { $0 }
        var sent = 0
        var rests = 0
        while rests < 10 {
            let count = send(socket.raw, block, block.count, CInt(MSG_NOSIGNAL))
            if count > 0 {
                sent += count - count % block.count
            } else if errno != EAGAIN {
                break
            } else {
                rests += 1
                try await Task.sleep(for: .milliseconds(20))
            }
            if count > 0, count < block.count {
                rests += 1
                try await Task.sleep(for: .milliseconds(20))
            }
        }
        #expect(sent < 8 << 20)
        // Others are served meanwhile, and this one is cut off.
        #expect(try served.dig("+short", "+tcp", "web") == "10.0.0.2\n")
        var isCut = false
        for _ in 0..<200 where !isCut {
            try await Task.sleep(for: .milliseconds(50))
            isCut = send(socket.raw, block, 1, CInt(MSG_NOSIGNAL)) < 0 && errno != EAGAIN
        }
        #expect(isCut)
        await served.resolver.close()
    }

    @Test func `an idle connection ends, and so does one with less than a header`() async throws {
        var limits = ResolverLimits()
        limits.idleTimeout = .milliseconds(300)
        let served = try await Served(limits: limits)
        let idle = try TestSockets.connected(SOCK_STREAM, served.port)
        #expect(TestSockets.receive(idle)?.isEmpty == true)
        let short = try TestSockets.connected(SOCK_STREAM, served.port)
        try TestSockets.send(short, [0, 3, 1, 2, 3])
        #expect(TestSockets.receive(short)?.isEmpty ?? true)
        let hostile = try TestSockets.connected(SOCK_STREAM, served.port)
        try TestSockets.send(hostile, TestMessage.framed(HostileQuery.changed(5, 2)))
        #expect(TestSockets.receiveFrame(hostile).map(TestMessage.code) == 1)
        await served.resolver.close()
    }

    @Test func `a container has so many connections and no more`() async throws {
        var limits = ResolverLimits()
        limits.connectionsPerContainerMax = 3
        let served = try await Served(limits: limits)
        let first = try TestSockets.connected(SOCK_STREAM, served.port)
        let second = try TestSockets.connected(SOCK_STREAM, served.port)
        let third = try TestSockets.connected(SOCK_STREAM, served.port)
        func ask(_ socket: borrowing OwnedFD) throws -> Int? {
            try TestSockets.send(socket, TestMessage.framed(TestMessage.query("web")))
            return TestSockets.receiveFrame(socket).map(TestMessage.answerCount)
        }
        let answers = try [ask(first), ask(second), ask(third)]
        #expect(answers == [1, 1, 1])
        let fourth = try TestSockets.connected(SOCK_STREAM, served.port)
        #expect(TestSockets.receive(fourth)?.isEmpty ?? true)
        let last = try ask(first)
        #expect(last == 1)
        await served.resolver.close()
    }
}
