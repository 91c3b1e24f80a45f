import HTTP
import NIOCore
import Testing

/// Requests that two readers could understand differently, or that would cost too much.
@Suite struct RefusalTests {
    @Test(arguments: [
        ("two lengths", "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        ("one length twice", "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        (
            "length and chunks",
            "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        (
            "two encodings",
            "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n"
        ),
        ("unknown encoding", "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: xchunked\r\n\r\n"),
        ("listed encoding", "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked, identity\r\n\r\n"),
        ("chunks in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("signed length", "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: +5\r\n\r\nhello"),
        ("negative length", "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: -1\r\n\r\n"),
        ("hex length", "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 0x5\r\n\r\nhello"),
        ("huge length", "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 99999999999999999999\r\n\r\n"),
        ("blank before colon", "GET / HTTP/1.1\r\nHost : d\r\n\r\n"),
        ("folded header", "GET / HTTP/1.1\r\nHost: d\r\nX: a\r\n b\r\n\r\n"),
        ("header without name", "GET / HTTP/1.1\r\nHost: d\r\n: a\r\n\r\n"),
        ("header without colon", "GET / HTTP/1.1\r\nHost: d\r\nbroken\r\n\r\n"),
        ("bare line feed", "GET / HTTP/1.1\nHost: d\n\n"),
        ("bare carriage return", "GET / HTTP/1.1\r\nHost: d\r\nX: a\rb\r\n\r\n"),
        ("NUL in a header", "GET / HTTP/1.1\r\nHost: d\r\nX: a\0b\r\n\r\n"),
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("extra blank", "GET  / HTTP/1.1\r\nHost: d\r\n\r\n"),
        ("tab for blank", "GET\t/\tHTTP/1.1\r\nHost: d\r\n\r\n"),
        ("no version", "GET /\r\nHost: d\r\n\r\n"),
        ("relative target", "GET x HTTP/1.1\r\nHost: d\r\n\r\n"),
        ("broken escape", "GET /%zz HTTP/1.1\r\nHost: d\r\n\r\n"),
        ("cut escape", "GET /%4 HTTP/1.1\r\nHost: d\r\n\r\n"),
        ("escaped NUL", "GET /a%00b HTTP/1.1\r\nHost: d\r\n\r\n"),
        ("escaped line end", "GET /a%0d%0ab HTTP/1.1\r\nHost: d\r\n\r\n"),
        ("escaped bad UTF-8", "GET /%ff%fe HTTP/1.1\r\nHost: d\r\n\r\n"),
        ("dot segments", "GET /containers/../info HTTP/1.1\r\nHost: d\r\n\r\n"),
        ("escaped dot segments", "GET /containers/%2e%2e/info HTTP/1.1\r\nHost: d\r\n\r\n"),
        ("broken escape in the query", "GET /x?a=%g1 HTTP/1.1\r\nHost: d\r\n\r\n"),
        ("not HTTP", "\u{16}\u{3}\u{1}\u{2}\r\n\r\n"),
        ("head cut off", "GET / HTTP/1.1\r\nHost"),
    ])
    func `an ambiguous or malformed request is answered 400 and ends the connection`(name: String, text: String)
        async throws
    {
        try await withServer(echo) { path, _ in
            let answer = try await blocking {
                let client = try RawClient(path)
                client.send(text)
                client.endInput()
                return client.receive()
            }
            #expect(answer.hasPrefix("HTTP/1.1 400 "), "\(name)")
            #expect(answer.components("HTTP/1.1") == 1, "\(name)")
        }
    }

    @Test(arguments: [
        "zz\r\n", "-5\r\nhello\r\n", "5\r\nhelloX\r\n", "5\nhello\r\n", "\r\n", "ffffffffffffffff\r\n",
        "0x5\r\nhello\r\n",
        "5\r\nhel",
    ])
    func `malformed chunks are answered 400`(chunks: String) async throws {
        try await withServer(echo) { path, _ in
            let answer = try await blocking {
                let client = try RawClient(path)
                client.send(get("/body", method: "POST", headers: "Transfer-Encoding: chunked\r\n") + chunks)
                client.endInput()
                return client.receive()
            }
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
        }
    }

    @Test func `a browser's request is refused`() async throws {
        try await withServer(echo) { path, _ in
            let answer = try await blocking {
                let client = try RawClient(path)
                client.send(get("/", headers: "Origin: http://evil.example\r\n"))
                return client.receive()
            }
            #expect(answer.hasPrefix("HTTP/1.1 403 "))
        }
    }

    @Test func `a head over its limit is refused, one below is not`() async throws {
        try await withServer(echo) { path, _ in
            let (refused, taken) = try await blocking {
                let large = try RawClient(path)
                large.send(get("/", headers: "X: \(String(repeating: "a", count: 65 << 10))\r\n"))
                let fitting = try RawClient(path)
                fitting.send(
                    get("/", headers: "X: \(String(repeating: "a", count: 60 << 10))\r\nConnection: close\r\n"))
                return (large.receive(), fitting.receive())
            }
            #expect(refused.hasPrefix("HTTP/1.1 431 "))
            #expect(taken.hasPrefix("HTTP/1.1 200 "))
        }
    }

    @Test func `a body over its limit is refused`() async throws {
        try await withServer(echo) { path, _ in
            let answer = try await blocking {
                let client = try RawClient(path)
                client.send(get("/body", method: "POST", headers: "Content-Length: 2000000\r\n"))
                client.send([UInt8](repeating: 0x61, count: 2_000_000))
                return client.receive()
            }
            #expect(answer.hasPrefix("HTTP/1.1 413 "))
        }
    }
}
