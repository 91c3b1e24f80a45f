import Glibc
import Kernel
import Synchronization

/// An HTTP/1.1 server on loopback that says exactly what a test wants it to, byte by byte, and remembers what it was asked.
package final class FaultyServer: Sendable {
    package struct Asked: Sendable {
        package let method: String
        package let target: String
        package let headers: [String: String]
        package let body: [UInt8]
        /// The number of this request at the server, from 0.
        package let number: Int
    }

    /// What to write to one connection.
    package struct Answer: Sendable {
        let socket: CInt
        package func send(_ text: String) { send(Array(text.utf8)) }
        /// False when the peer is gone.
        @discardableResult
        package func send(_ bytes: [UInt8]) -> Bool {
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
                if count <= 0 { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }
        package func reply(_ status: Int, _ headers: [String] = [], _ body: [UInt8] = []) {
            let lines =
                ["HTTP/1.1 \(status) Status", "Content-Length: \(body.count)", "Connection: close"] + headers + [
                    "", "",
                ]
            send(Array(lines.joined(separator: "\r\n").utf8) + body)
        }
    }

    package let port: Int
    package var authority: String { "127.0.0.1:\(port)" }
    private let listener: CInt
    private let log = Mutex<[Asked]>([])
    private let handler: @Sendable (Asked, Answer) -> Void
    package var asked: [Asked] { log.withLock { $0 } }

    /// - Parameter handler: answers one request; the connection is closed after each.
    package init(_ handler: @escaping @Sendable (Asked, Answer) -> Void) throws {
        self.handler = handler
        (listener, port) = try Self.listen()
        let listener = listener
        try Threads.start("faulty") { [weak self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0, let self else { return }
                // Without a thread the connection is closed, which fails the test.
                do { try Threads.start("faulty") { self.serve(connection) } } catch { Glibc.close(connection) }
            }
        }
    }

    deinit {
        shutdown(listener, CInt(SHUT_RDWR))
        Glibc.close(listener)
    }

    package static func listen() throws -> (CInt, Int) {
        let listener = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { raw in
                try checked("bind") { bind(listener, raw, length) }
                try checked("listen") { Glibc.listen(listener, 64) }
                try checked("getsockname") { getsockname(listener, raw, &length) }
            }
        }
        return (listener, Int(UInt16(bigEndian: address.sin_port)))
    }

    /// A port that nothing listens on just now.
    package static func freePort() throws -> Int {
        let (listener, port) = try listen()
        Glibc.close(listener)
        return port
    }

    private func serve(_ connection: CInt) {
        defer { Glibc.close(connection) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65536)
        var head: (end: Int, lines: [String])?
        while head == nil {
            let count = recv(connection, &block, block.count, 0)
            if count <= 0 { return }
            bytes += block[..<count]
            // A TLS handshake: answer as a plain HTTP server does.
            if bytes[0] == 0x16 { return Answer(socket: connection).send("HTTP/1.0 400 Bad Request\r\n\r\n") }
            let text = String(decoding: bytes, as: UTF8.self)
            if let end = text.utf8.firstRange(of: "\r\n\r\n".utf8) {
                let lines = text[..<end.lowerBound].split(separator: "\r\n").map(String.init)
                head = (text.utf8.distance(from: text.utf8.startIndex, to: end.upperBound), lines)
            }
        }
        guard let head else { return }
        var headers: [String: String] = [:]
        for line in head.lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].drop { $0 == " " }.description
        }
        var body = Array(bytes[head.end...])
        let length = headers["content-length"].flatMap { Int($0) } ?? 0
        while body.count < length {
            let count = recv(connection, &block, block.count, 0)
            if count <= 0 { return }
            body += block[..<count]
        }
        let words = head.lines[0].split(separator: " ").map(String.init)
        let asked = log.withLock { log in
            let asked = Asked(method: words[0], target: words[1], headers: headers, body: body, number: log.count)
            log.append(asked)
            return asked
        }
        handler(asked, Answer(socket: connection))
        shutdown(connection, CInt(SHUT_WR))
    }
}
