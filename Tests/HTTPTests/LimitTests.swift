import Foundation
import Glibc
import HTTP
import NIOCore
import Synchronization
import Testing

/// What clients that are slow, silent or many can take from the others: nothing.
struct LimitTests {
    /// Short times, so that a test waits for them.
    private static func limits(_ change: (inout Limits) -> Void) -> Limits {
        var limits = Limits()
        limits.sweepInterval = .milliseconds(20)
        change(&limits)
        return limits
    }

    /// Answers with `begun` and then nothing until the client leaves; what is read to its end is counted.
    @Sendable private static func respond(_ request: Request) async throws -> Response {
        switch request.path {
        case "/busy":
            return Response(
                body: .stream { writer in
                    try await writer.write(ByteBuffer(string: "begun"))
                    try await Task.sleep(for: .seconds(60))
                })
        case "/known":
            // More than the kernel takes for a client.
            let part = ByteBuffer(repeating: 0x78, count: 256 << 10)
            return Response(
                headers: ["Content-Length": "\(part.readableBytes * 256)"],
                body: .stream { writer in for _ in 0..<256 { try await writer.write(part) } })
        case "/stream":
            var count = 0
            for try await part in request.body { count += part.readableBytes }
            return Response(body: .bytes(ByteBuffer(string: "\(count)")))
        case "/long":
            let part = ByteBuffer(repeating: 0, count: 1 << 20)
            return Response(
                headers: ["Content-Length": "\(1 << 30)"],
                body: .stream { writer in for _ in 0..<1024 { try await writer.write(part) } })
        default: return try await echo(request)
        }
    }

    // MARK: Time

    @Test(arguments: ["", "GET / HTTP/1.1\r\nHost: "])
    func `a head that does not end in time closes the connection, however often a byte comes`(_ start: String)
        async throws
    {
        let limits = Self.limits { $0.headTimeout = .milliseconds(300) }
        let notes = Mutex<[ServerLimit]>([])
        try await withServer(limits: limits, noteLimit: { note in notes.withLock { $0.append(note) } }, echo) {
            path, _ in
            let answers = try await blocking {
                let clients = [try RawClient(path), try RawClient(path)]
                for client in clients { client.send(start) }
                // Empty lines before a request are no way around it.
                for _ in 0..<100 {
                    for client in clients { client.send(start.isEmpty ? "\r\n\r" : "x") }
                    usleep(10_000)
                }
                return clients.map { $0.receive() }
            }
            #expect(answers.allSatisfy { !$0.contains("200") }, "\(answers)")
        }
        #expect(start.isEmpty || notes.withLock { $0 } == [.time])
    }

    @Test func `a connection that waits too long for its next request is closed, one with a stream is not`()
        async throws
    {
        let limits = Self.limits { $0.idleTimeout = .milliseconds(300) }
        try await withServer(limits: limits, Self.respond) { path, _ in
            let (silent, kept, busy) = try await blocking {
                let (silent, kept, busy) = (try RawClient(path), try RawClient(path), try RawClient(path))
                kept.send(get("/"))
                _ = kept.receive(until: "GET /")
                busy.send(get("/busy"))
                let begun = busy.receive(until: "begun")
                let ends = (silent.receive(), kept.receive())
                usleep(600_000)
                // Not closed: it would read as at its end, not as without data.
                return (ends.0, ends.1, begun + (busy.hasEnded ? "" : ", goes on"))
            }
            #expect(silent.isEmpty && kept.isEmpty)
            #expect(busy.hasSuffix("begun, goes on"), "\(busy)")
        }
    }

    @Test func `a client that takes nothing of an answer of known length is cut off`() async throws {
        let limits = Self.limits { $0.answerTimeout = .milliseconds(300) }
        let notes = Mutex<[ServerLimit]>([])
        try await withServer(limits: limits, noteLimit: { note in notes.withLock { $0.append(note) } }, Self.respond) {
            path, _ in
            let count = try await blocking {
                let client = try RawClient(path)
                client.send(get("/known"))
                usleep(1_500_000)
                return client.receive().utf8.count
            }
            #expect(count > 0 && count < 32 << 20)
        }
        #expect(notes.withLock { $0 } == [.time])
    }

    @Test(arguments: ["/body", "/stream"])
    func `a body that stalls is answered 408`(_ path: String) async throws {
        let limits = Self.limits {
            $0.bodyTimeout = .milliseconds(300)
            $0.stallTimeout = .milliseconds(300)
        }
        try await withServer(limits: limits, Self.respond) { socket, _ in
            let answer = try await blocking {
                let client = try RawClient(socket)
                client.send(get(path, method: "POST", headers: "Content-Length: 10\r\n") + "half")
                return client.receive()
            }
            #expect(answer.hasPrefix("HTTP/1.1 408 ") && answer.contains("Connection: close"), "\(answer)")
        }
    }

    @Test func `a body read as a whole has to end in time, one read as it comes has to go on`() async throws {
        let limits = Self.limits {
            $0.bodyTimeout = .milliseconds(500)
            $0.stallTimeout = .seconds(20)
        }
        try await withServer(limits: limits, Self.respond) { socket, _ in
            let answers = try await blocking {
                try ["/body", "/stream"].map { path in
                    let client = try RawClient(socket)
                    client.send(get(path, method: "POST", headers: "Content-Length: 100\r\nConnection: close\r\n"))
                    for _ in 0..<100 {
                        client.send("x")
                        usleep(10_000)
                    }
                    return client.receive()
                }
            }
            #expect(answers[0].hasPrefix("HTTP/1.1 408 "), "\(answers)")
            #expect(answers[1].hasPrefix("HTTP/1.1 200 ") && answers[1].hasSuffix("100"), "\(answers)")
        }
    }

    @Test func `the answer does not wait for a body that no handler reads`() async throws {
        let limits = Self.limits { $0.lingerTimeout = .milliseconds(300) }
        try await withServer(limits: limits, Self.respond) { socket, _ in
            let answer = try await blocking {
                let client = try RawClient(socket)
                client.send(get("/", method: "POST", headers: "Content-Length: 10\r\n"))
                return client.receive()
            }
            #expect(answer.hasPrefix("HTTP/1.1 200 ") && answer.contains("Connection: close"), "\(answer)")
        }
    }

    @Test func `an answer of known length that nobody takes ends, also one that is made as it goes`() async throws {
        let limits = Self.limits { $0.answerTimeout = .milliseconds(300) }
        let notes = Mutex<[ServerLimit]>([])
        try await withServer(limits: limits, noteLimit: { note in notes.withLock { $0.append(note) } }, Self.respond) {
            path, _ in
            try await blocking {
                let client = try RawClient(path)
                client.send(get("/long"))
                usleep(2_000_000)
                #expect(client.receive().utf8.count < 1 << 26)
            }
        }
        #expect(notes.withLock { $0 } == [.time])
    }

    // MARK: Number

    @Test func `a connection too many is closed where it would first have to be encrypted`() async throws {
        let folder = "/tmp/http-test-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let made = try Process.run(
            URL(filePath: "/usr/bin/openssl"),
            arguments: [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x",
                "-keyout", folder + "/key", "-out", folder + "/cert",
            ])
        made.waitUntilExit()
        let tls = try ServerTLS(authority: nil, certificate: folder + "/cert", key: folder + "/key")
        let port = UInt16.random(in: 20_000...30_000)
        let socket = try ListeningSocket.tcp(host: "127.0.0.1", port: port, tls: tls)
        let service = HTTPService(respond: Self.respond, failure: { _ in Response(503) })
        let server = HTTPServer([socket], service: service, limits: Self.limits { $0.connectionsMax = 0 })
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask {
                try await blocking {
                    let client = try RawClient(port: port)
                    for _ in 0..<100 where !client.hasEnded { usleep(20_000) }
                    #expect(client.hasEnded)
                }
            }
            try await group.next()
            group.cancelAll()
        }
    }

    @Test func `for a connection too many, those go that wait longest`() async throws {
        let limits = Self.limits { $0.connectionsMax = 8 }
        let notes = Mutex<[ServerLimit]>([])
        try await withServer(limits: limits, noteLimit: { note in notes.withLock { $0.append(note) } }, Self.respond) {
            path, _ in
            try await blocking {
                let busy = try RawClient(path)
                busy.send(get("/busy"))
                _ = busy.receive(until: "begun")
                var clients: [RawClient] = []
                for _ in 0..<100 {
                    let client = try RawClient(path)
                    client.send(get("/"))
                    #expect(client.receive(until: "GET /").hasPrefix("HTTP/1.1 200 "))
                    clients.append(client)
                }
                #expect(clients[0].receive().isEmpty && clients[50].receive().isEmpty)
                // The last ones are kept, and so is who has a request under way.
                clients[99].send(get("/"))
                #expect(clients[99].receive(until: "GET /").hasPrefix("HTTP/1.1 200 "))
                #expect(!busy.hasEnded)
            }
        }
        #expect(notes.withLock { $0 } == [.connections])
    }

    @Test func `a connection too many is answered 503 when none waits`() async throws {
        let limits = Self.limits { $0.connectionsMax = 2 }
        let notes = Mutex<[ServerLimit]>([])
        try await withServer(limits: limits, noteLimit: { note in notes.withLock { $0.append(note) } }, Self.respond) {
            path, _ in
            try await blocking {
                let clients = [try RawClient(path), try RawClient(path)]
                for client in clients {
                    client.send(get("/busy"))
                    _ = client.receive(until: "begun")
                }
                for _ in 0..<3 {
                    let answer = try RawClient(path).receive()
                    #expect(answer.hasPrefix("HTTP/1.1 503 ") && answer.contains("too many connections"), "\(answer)")
                }
            }
        }
        #expect(notes.withLock { $0 } == [.busy])
    }

    @Test func `beside hundreds that say nothing or little everybody is served`() async throws {
        try await withServer(Self.respond) { path, _ in
            try await blocking {
                let silent = try (0..<300).map { _ in try RawClient(path) }
                let slow = try (0..<100).map { _ in try RawClient(path) }
                for round in 0..<20 {
                    for client in slow { client.send(round == 0 ? "GET /late HTTP/1.1\r\nHost: x" : "x") }
                    let client = try RawClient(path)
                    for _ in 0..<5 {
                        client.send(get("/"))
                        #expect(client.receive(until: "GET /").hasPrefix("HTTP/1.1 200 "))
                    }
                }
                // They are served as well, once they ask.
                for client in slow {
                    client.send("\r\n\r\n")
                    #expect(client.receive(until: "GET /late").hasPrefix("HTTP/1.1 200 "))
                }
                for client in silent.prefix(3) {
                    client.send(get("/"))
                    #expect(client.receive(until: "GET /").hasPrefix("HTTP/1.1 200 "))
                }
            }
        }
    }
}
