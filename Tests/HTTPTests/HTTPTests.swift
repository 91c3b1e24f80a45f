import Glibc
import HTTP
import NIOCore
import NIOPosix
import Synchronization
import Testing

/// A blocking client socket, so that tests decide about every byte. Used off the cooperative pool only.
final class RawClient: Sendable {
    private let socket: CInt

    init(_ path: String) throws {
        socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(result == 0, "cannot connect to \(path)")
        limitWaits()
    }

    /// Of loopback.
    init(port: UInt16) throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(result == 0, "cannot connect to port \(port)")
        limitWaits()
    }

    private func limitWaits() {
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { _ = Glibc.close(socket) }

    func send(_ text: String) { send(Array(text.utf8)) }

    /// Sends what the server takes; a server that closed ends it.
    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    func endInput() { shutdown(socket, Int32(SHUT_WR)) }

    /// Whether the server has closed the connection and everything was read.
    var hasEnded: Bool {
        var byte: UInt8 = 0
        return recv(socket, &byte, 1, Int32(MSG_DONTWAIT) | Int32(MSG_PEEK)) == 0
    }

    /// Reads until `marker`, `count` bytes, or the end.
    func receive(until marker: String? = nil, count: Int = .max) -> String {
        String(decoding: receiveBytes(until: marker, count: count), as: UTF8.self)
    }

    func receiveBytes(until marker: String? = nil, count: Int = .max) -> [UInt8] {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65536)
        let wanted = marker.map { Array($0.utf8) }
        while bytes.count < count {
            let read = recv(socket, &block, wanted == nil ? min(block.count, count - bytes.count) : 1, 0)
            guard read > 0 else { break }
            bytes.append(contentsOf: block[..<read])
            if let wanted, bytes.suffix(wanted.count) == wanted[...] { break }
        }
        return bytes
    }
}

/// A server on a socket of its own, alive while `body` runs.
func withServer(
    limits: Limits = Limits(), isBrief: @escaping @Sendable (RequestHead) -> Bool = { _ in false },
    group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
    noteLimit: @escaping @Sendable (ServerLimit) -> Void = { _ in },
    _ respond: @escaping @Sendable (Request) async throws -> Response,
    _ body: @escaping @Sendable (String, HTTPServer) async throws -> Void
) async throws {
    let path = "/tmp/http-test-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).sock"
    defer { unlink(path) }
    let service = HTTPService(
        respond: respond,
        failure: { error in
            let error = error as? HTTPError ?? HTTPError(500, "\(error)")
            return Response(error.status, body: .bytes(ByteBuffer(string: error.message)))
        }, noteLimit: noteLimit, isBrief: isBrief)
    let server = HTTPServer(
        [try ListeningSocket.unix(path, group: nil)], service: service, limits: limits, group: group)
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await server.run() }
        group.addTask { try await body(path, server) }
        // The server ends only by being cancelled or shut down, so the first end is the body's.
        try await group.next()
        group.cancelAll()
    }
}

/// Runs a blocking client on a thread of its own.
func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        let box = Mutex<(@Sendable () -> Void)?>({ continuation.resume(with: Result { try body() }) })
        let argument = Unmanaged.passRetained(ThreadBody(box.withLock { $0 })).toOpaque()
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            {
                guard let argument = $0 else { return nil }
                Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().body?()
                return nil
            }, argument)
        pthread_detach(thread)
    }
}

private final class ThreadBody: Sendable {
    let body: (@Sendable () -> Void)?
    init(_ body: (@Sendable () -> Void)?) { self.body = body }
}

/// One request in the shortest lawful form.
func get(_ path: String, method: String = "GET", headers: String = "") -> String {
    "\(method) \(path) HTTP/1.1\r\nHost: docker\r\n\(headers)\r\n"
}

/// Answers with what it was asked, and a few behaviours by path.
@Sendable func echo(_ request: Request) async throws -> Response {
    switch request.path {
    case "/body":
        let body = try await request.body.collect(bytesMax: 1 << 20)
        return Response(body: .bytes(body))
    case "/stream":
        return Response(
            body: .stream { writer in
                for part in ["one", "two", "three"] { try await writer.write(ByteBuffer(string: part)) }
            })
    case "/broken":
        return Response(
            body: .stream { writer in
                try await writer.write(ByteBuffer(string: "half"))
                throw HTTPError(500, "gone")
            })
    case "/raw":
        return Response(
            headers: ["Content-Type": "application/vnd.docker.raw-stream"],
            body: .takeover { stream in
                try await stream.write(ByteBuffer(string: "hello "))
                while let bytes = try await stream.read() { try await stream.write(bytes) }
                try await stream.write(ByteBuffer(string: " end"))
            })
    default: return Response(body: .bytes(ByteBuffer(string: "\(request.method) \(request.path)")))
    }
}

@Suite struct ExchangeTests {
    @Test func `a connection carries several requests, also when they are sent at once`() async throws {
        try await withServer(echo) { path, _ in
            let text = try await blocking {
                let client = try RawClient(path)
                client.send(get("/a") + get("/b") + get("/c", headers: "Connection: close\r\n"))
                return client.receive()
            }
            #expect(text.components("HTTP/1.1 200 OK") == 3)
            #expect(text.contains("GET /a") && text.contains("GET /b") && text.hasSuffix("GET /c"))
        }
    }

    @Test func `a head that comes byte by byte is read`() async throws {
        try await withServer(echo) { path, _ in
            let text = try await blocking {
                let client = try RawClient(path)
                for byte in get("/slow", headers: "Connection: close\r\n").utf8 { client.send([byte]) }
                return client.receive()
            }
            #expect(text.hasSuffix("GET /slow"))
        }
    }

    @Test func `a chunked body is read to its end and the next request follows`() async throws {
        try await withServer(echo) { path, _ in
            let text = try await blocking {
                let client = try RawClient(path)
                client.send(get("/body", method: "POST", headers: "Transfer-Encoding: chunked\r\n"))
                client.send(
                    "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: t\r\n\r\n"
                        + get("/n", headers: "Connection: close\r\n"))
                return client.receive()
            }
            #expect(text.contains("hello world"))
            #expect(text.hasSuffix("GET /n"))
        }
    }

    @Test func `an answer of unknown length is chunked, and ends its chunks`() async throws {
        try await withServer(echo) { path, _ in
            let text = try await blocking {
                let client = try RawClient(path)
                client.send(get("/stream", headers: "Connection: close\r\n"))
                return client.receive()
            }
            #expect(text.contains("Transfer-Encoding: chunked"))
            #expect(text.hasSuffix("\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"))
        }
    }

    @Test func `an answer that breaks off has no last chunk`() async throws {
        try await withServer(echo) { path, _ in
            let text = try await blocking {
                let client = try RawClient(path)
                client.send(get("/broken"))
                return client.receive()
            }
            #expect(text.hasSuffix("4\r\nhalf\r\n"))
        }
    }

    @Test func `HEAD has the head of GET and no body`() async throws {
        try await withServer(echo) { path, _ in
            let text = try await blocking {
                let client = try RawClient(path)
                client.send(get("/x", method: "HEAD", headers: "Connection: close\r\n"))
                return client.receive()
            }
            #expect(text.contains("Content-Length: 7"))
            #expect(text.hasSuffix("\r\n\r\n"))
        }
    }

    @Test func `100 Continue is sent when the body is wanted`() async throws {
        try await withServer(echo) { path, _ in
            let (interim, text) = try await blocking {
                let client = try RawClient(path)
                client.send(
                    get(
                        "/body", method: "PUT",
                        headers: "Expect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n"))
                let interim = client.receive(until: "\r\n\r\n")
                client.send("abc")
                return (interim, client.receive())
            }
            #expect(interim == "HTTP/1.1 100 Continue\r\n\r\n")
            #expect(text.hasSuffix("abc"))
        }
    }

    @Test func `a client that ends its sending side still gets the answer`() async throws {
        try await withServer(echo) { path, _ in
            let text = try await blocking {
                let client = try RawClient(path)
                client.send(get("/a"))
                client.endInput()
                return client.receive()
            }
            #expect(text.hasSuffix("GET /a"))
        }
    }
}

extension String {
    func components(_ separator: String) -> Int {
        var count = 0
        var rest = self[...]
        while let found = rest.firstRange(of: separator) {
            count += 1
            rest = rest[found.upperBound...]
        }
        return count
    }

    private func firstRange(of text: String) -> Range<Index>? { self[...].firstRange(of: text) }
}

extension Substring {
    fileprivate func firstRange(of text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
