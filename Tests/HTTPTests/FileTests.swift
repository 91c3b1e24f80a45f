import Foundation
import Glibc
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import HTTP

/// Files as answers, and who gets his turn while they are sent.
struct FileTests {
    private static let fileBytes = 24 << 20

    /// A limit that is looked at often, and parts that are smaller than a socket's queue.
    private static func limits(_ answerTimeout: TimeAmount) -> Limits {
        var limits = Limits()
        limits.sweepInterval = .milliseconds(20)
        limits.filePartBytes = 256 << 10
        limits.fileTurnBytes = 1 << 20
        limits.answerTimeout = answerTimeout
        return limits
    }

    /// Serves one file, whole at `/`, and the part that `/FIRST-COUNT` names.
    private static func withFile(
        _ limits: Limits, noteLimit: @escaping @Sendable (ServerLimit) -> Void = { _ in },
        _ body: @escaping @Sendable (String, [UInt8]) async throws -> Void
    ) async throws {
        let file = "/tmp/http-file-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        defer { unlink(file) }
        let bytes = (0..<fileBytes).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 11) }
        try Data(bytes).write(to: URL(filePath: file))
        let respond: @Sendable (Request) async throws -> Response = { request in
            let part = request.path.dropFirst().split(separator: "-").compactMap { Int($0) }
            let opened = open(file, O_RDONLY | O_CLOEXEC)
            return Response(
                body: .file(
                    FileBody(adopting: opened, offset: part.first ?? 0, count: part.last ?? Self.fileBytes)))
        }
        try await withServer(limits: limits, isBrief: { $0.method == .get }, noteLimit: noteLimit, respond) { path, _ in
            try await body(path, bytes)
        }
    }

    @Test func `many clients get a file whole, or the part that they ask for, and the next answer after it`()
        async throws
    {
        try await Self.withFile(Self.limits(.seconds(30))) { path, bytes in
            try await withThrowingTaskGroup { group in
                for index in 0..<8 {
                    group.addTask {
                        let first = index * 300_001
                        let answers = try await blocking {
                            let client = try RawClient(path)
                            client.send(
                                get("/\(first)-\(Self.fileBytes - first)") + get("/\(index)-0")
                                    + get("/7-9", headers: "Connection: close\r\n"))
                            return client.receiveBytes()
                        }
                        let end = Array("\r\n\r\n".utf8)
                        let body = try #require(answers.firstRange(of: end)).upperBound
                        #expect(answers[body...].starts(with: bytes[first...]))
                        let rest = answers[(body + Self.fileBytes - first)...]
                        #expect(rest.starts(with: Array("HTTP/1.1 200 OK\r\n".utf8)))
                        #expect(rest.suffix(9) == bytes[7..<16])
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test func `who takes nothing of a file is cut off, who takes it slowly gets it whole`() async throws {
        let notes = Mutex<[ServerLimit]>([])
        try await Self.withFile(
            Self.limits(.milliseconds(600)), noteLimit: { note in notes.withLock { $0.append(note) } }
        ) { path, bytes in
            async let taken = blocking {
                let client = try RawClient(path)
                client.send(get("/", headers: "Connection: close\r\n"))
                var count = 0
                // For three times as long as a part may take.
                for _ in 0..<12 {
                    usleep(150_000)
                    count += client.receiveBytes(count: 2 << 20).count
                }
                return count + client.receiveBytes().count
            }
            #expect(try await taken > bytes.count)
            #expect(notes.withLock { $0 } == [])
            let idle = try await blocking {
                let client = try RawClient(path)
                client.send(get("/"))
                usleep(1_500_000)
                return client.receiveBytes().count
            }
            #expect(idle < bytes.count)
            #expect(notes.withLock { $0 } == [.time])
        }
    }

    @Test func `work that always brings more of itself lets its event loop hear clients`() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let turns = LoopTurns(group.next())
        try await turns.open()
        let isHeard = Atomic(false)
        @Sendable func workOn() {
            if !isHeard.load(ordering: .relaxed) { turns.next { workOn() } }
        }
        try await withServer(group: group, echo) { path, _ in
            group.next().execute { workOn() }
            let text = try await blocking {
                let client = try RawClient(path)
                client.send(get("/heard", headers: "Connection: close\r\n"))
                return client.receive()
            }
            #expect(text.hasSuffix("GET /heard"))
            isHeard.store(true, ordering: .relaxed)
        }
        turns.close()
        try await group.shutdownGracefully()
    }

    @Test func `a handler on the event loop is cancelled when its client leaves, and holds up nobody while it waits`()
        async throws
    {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let isCancelled = Atomic(false)
        let respond: @Sendable (Request) async throws -> Response = { request in
            guard request.path == "/wait" else { return try await echo(request) }
            do { try await Task.sleep(for: .seconds(60)) } catch { isCancelled.store(true, ordering: .relaxed) }
            return Response()
        }
        try await withServer(isBrief: { _ in true }, group: group, respond) { path, _ in
            let text = try await blocking {
                let waiting = try RawClient(path)
                waiting.send(get("/wait"))
                let client = try RawClient(path)
                client.send(get("/other", headers: "Connection: close\r\n"))
                defer { withExtendedLifetime(waiting) {} }
                return client.receive()
            }
            #expect(text.hasSuffix("GET /other"))
            for _ in 0..<200 where !isCancelled.load(ordering: .relaxed) {
                try await Task.sleep(for: .milliseconds(20))
            }
            let wasCancelled = isCancelled.load(ordering: .relaxed)
            #expect(wasCancelled)
        }
        try await group.shutdownGracefully()
    }
}
