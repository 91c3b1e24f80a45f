import Glibc
import HTTP
import NIOCore
import Testing

/// Connections that leave HTTP.
@Suite(.serialized) struct TakeoverTests {
    private static let upgrade = get(
        "/raw", method: "POST", headers: "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n")

    @Test func `bytes sent with the request and after it both arrive, and output goes on after the input's end`()
        async throws
    {
        try await withServer(echo) { path, _ in
            let text = try await blocking {
                let client = try RawClient(path)
                client.send(Self.upgrade + "early ")
                let head = client.receive(until: "hello ")
                client.send("late")
                client.endInput()
                return head + client.receive()
            }
            #expect(text.hasPrefix("HTTP/1.1 101 UPGRADED\r\n"))
            #expect(text.contains("Upgrade: tcp"))
            #expect(text.hasSuffix("\r\n\r\nhello early late end"))
        }
    }

    @Test func `a client that does not ask to upgrade gets 200 and raw bytes`() async throws {
        try await withServer(echo) { path, _ in
            let text = try await blocking {
                let client = try RawClient(path)
                client.send(get("/raw", method: "POST") + "GET / not a request")
                client.endInput()
                return client.receive()
            }
            #expect(text.hasPrefix("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n"))
            #expect(text.hasSuffix("\r\n\r\nhello GET / not a request end"))
        }
    }

    /// Two ends of a stream socket.
    private static func pair() throws -> (CInt, CInt) {
        var ends: [CInt] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        return (ends[0], ends[1])
    }

    private static func splicing(_ socket: CInt) -> @Sendable (Request) async throws -> Response {
        { _ in Response(body: .takeover { try await $0.splice(adopting: socket) }) }
    }

    @Test func `a joined socket gets the input with its end, and its output reaches the client after that`()
        async throws
    {
        let (near, far) = try Self.pair()
        defer { close(far) }
        try await withServer(Self.splicing(near)) { path, _ in
            let (input, output) = try await blocking {
                let client = try RawClient(path)
                client.send(Self.upgrade + "early ")
                _ = client.receive(until: "\r\n\r\n")
                client.send("late")
                client.endInput()
                var input: [UInt8] = []
                var block = [UInt8](repeating: 0, count: 100)
                while case let count = read(far, &block, block.count), count > 0 {
                    input.append(contentsOf: block[..<count])
                }
                _ = write(far, "answer", 6)
                shutdown(far, Int32(SHUT_WR))
                return (String(decoding: input, as: UTF8.self), client.receive())
            }
            #expect(input == "early late")
            #expect(output == "answer")
        }
    }

    @Test func `what a joined socket sent before it closed is not lost`() async throws {
        let (near, far) = try Self.pair()
        try await withServer(Self.splicing(near)) { path, _ in
            let byteCount = 150_000
            let output = try await blocking {
                let bytes = [UInt8](repeating: 0x78, count: byteCount)
                _ = write(far, bytes, bytes.count)
                close(far)
                let client = try RawClient(path)
                client.send(Self.upgrade)
                _ = client.receive(until: "\r\n\r\n")
                return client.receive()
            }
            #expect(output.utf8.count == byteCount)
        }
    }

    @Test func `a client that leaves closes the joined socket`() async throws {
        let (near, far) = try Self.pair()
        defer { close(far) }
        try await withServer(Self.splicing(near)) { path, _ in
            let end = try await blocking {
                do {
                    let client = try RawClient(path)
                    client.send(Self.upgrade)
                    _ = client.receive(until: "\r\n\r\n")
                }
                var byte: UInt8 = 0
                return read(far, &byte, 1)
            }
            #expect(end == 0)
        }
    }

    @Test func `a client that does not read stops the joined socket's writer, and memory stays flat`() async throws {
        let (near, far) = try Self.pair()
        defer { close(far) }
        try await withServer(Self.splicing(near)) { path, _ in
            let (written, grown) = try await blocking {
                let client = try RawClient(path)
                client.send(Self.upgrade)
                _ = client.receive(until: "\r\n\r\n")
                let before = residentBytes()
                let written = fill(far)
                return (written, residentBytes() - before)
            }
            #expect(written < 8 << 20, "the writer was never stopped")
            #expect(grown < 16 << 20)
        }
    }
}

/// Writes until nothing more is taken for a while.
private func fill(_ socket: CInt) -> Int {
    let block = [UInt8](repeating: 0x61, count: 65536)
    var total = 0
    var idle = 0
    while idle < 20, total < 64 << 20 {
        let count = send(socket, block, block.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        if count > 0 {
            total += count
            idle = 0
        } else {
            idle += 1
            usleep(10_000)
        }
    }
    return total
}

/// Bytes of memory the process has in RAM.
private func residentBytes() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 200)
    guard fgets(&line, Int32(line.count), file) != nil else { return 0 }
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
}

/// Clients that are slow or leave.
@Suite(.serialized) struct BackPressureTests {
    @Test func `a client that does not read holds the handler back and costs no memory`() async throws {
        let counter = Counter()
        try await withServer({ _ in
            Response(
                body: .stream { writer in
                    let block = ByteBuffer(repeating: 0x61, count: 65536)
                    for _ in 0..<4096 {
                        try await writer.write(block)
                        counter.add(65536)
                    }
                })
        }) { path, _ in
            let (sent, grown, received) = try await blocking {
                let client = try RawClient(path)
                let before = residentBytes()
                client.send(get("/", headers: "Connection: close\r\n"))
                usleep(500_000)
                let (sent, grown) = (counter.value, residentBytes() - before)
                var received = 0
                while case let count = client.receive(count: 1 << 20).utf8.count, count > 0 { received += count }
                return (sent, grown, received)
            }
            #expect(sent < 8 << 20)
            #expect(grown < 16 << 20)
            #expect(received > 4096 * 65536)
        }
    }

    @Test func `a handler that does not read the body holds the client back`() async throws {
        try await withServer({ request in
            try await Task.sleep(for: .milliseconds(300))
            var count = 0
            for try await part in request.body { count += part.readableBytes }
            return Response(body: .bytes(ByteBuffer(string: "\(count)")))
        }) { path, _ in
            let (grown, answer) = try await blocking {
                let client = try RawClient(path)
                let before = residentBytes()
                client.send(get("/", method: "PUT", headers: "Content-Length: 67108864\r\nConnection: close\r\n"))
                let block = [UInt8](repeating: 0x61, count: 1 << 20)
                for _ in 0..<64 { client.send(block) }
                return (residentBytes() - before, client.receive())
            }
            #expect(grown < 24 << 20)
            #expect(answer.hasSuffix("67108864"))
        }
    }

    @Test func `a client that leaves cancels its handler`() async throws {
        let counter = Counter()
        try await withServer({ _ in
            do { try await Task.sleep(for: .seconds(30)) } catch {
                counter.add(1)
                throw error
            }
            return Response()
        }) { path, _ in
            try await blocking {
                let client = try RawClient(path)
                client.send(get("/"))
                usleep(100_000)
            }
            for _ in 0..<100 where counter.value == 0 { try await Task.sleep(for: .milliseconds(20)) }
            #expect(counter.value == 1)
        }
    }

    @Test func `shutdown closes idle connections and lets a request under way finish`() async throws {
        try await withServer({ request in
            if request.path == "/slow" { try await Task.sleep(for: .milliseconds(300)) }
            return Response(body: .bytes(ByteBuffer(string: "done")))
        }) { path, server in
            async let idle = blocking {
                let client = try RawClient(path)
                client.send(get("/"))
                return client.receive()
            }
            async let busy = blocking {
                let client = try RawClient(path)
                client.send(get("/slow"))
                return client.receive()
            }
            try await Task.sleep(for: .milliseconds(150))
            await server.shutdown(grace: .seconds(5))
            #expect(try await idle.hasSuffix("done"))
            #expect(try await busy.hasSuffix("done"))
        }
    }
}

/// The sequence by which a client leaves a joined connection.
@Suite struct EscapeSequenceTests {
    @Test(arguments: [
        (["xy"], "", true), (["a", "x", "y", "b"], "a", true), (["x", "ax", "xy"], "xax", true),
        (["xxy"], "x", true), (["ab", "c"], "abc", false), (["ax"], "a", false),
    ])
    func `what is no part of the sequence passes, and nothing after it`(
        _ parts: [String], _ passed: String, _ isComplete: Bool
    ) throws {
        try check("xy", parts, passed, isComplete)
    }

    @Test(arguments: [(["aaab"], "a", true), (["a", "a", "c"], "aac", false), (["aa", "aa", "b"], "aa", true)])
    func `a sequence that begins like itself is found wherever it starts`(
        _ parts: [String], _ passed: String, _ isComplete: Bool
    ) throws {
        try check("aab", parts, passed, isComplete)
    }

    private func check(_ sequence: String, _ parts: [String], _ passed: String, _ isComplete: Bool) throws {
        var escape = try #require(EscapeSequence(Array(sequence.utf8)))
        var seen: [UInt8] = []
        var isFound = false
        for part in parts where !isFound {
            let (bytes, complete) = escape.filter(part.utf8)
            seen += bytes
            isFound = complete
        }
        #expect(String(decoding: seen, as: UTF8.self) == passed)
        #expect(isFound == isComplete)
    }
}
