/// One request of HTTP/1.1 (RFC 9112).
struct Request {
    var method: String
    /// Path and query, already escaped, without a version prefix.
    var path: String
    var headers: [(String, String)] = []
    var body: [UInt8]?
    /// The body follows in chunks sent by the caller.
    var chunked = false
    /// Asks for a raw connection behind the head (`101 UPGRADED`).
    var upgrade = false

    /// The head, and the body when it is known.
    func encoded() -> [UInt8] {
        var text = "\(method) \(path) HTTP/1.1\r\nHost: docker\r\nUser-Agent: Docker-Client/28 (swift)\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        if upgrade { text += "Connection: Upgrade\r\nUpgrade: tcp\r\n" }
        if chunked {
            text += "Transfer-Encoding: chunked\r\n"
        } else if let body {
            text += "Content-Length: \(body.count)\r\n"
        } else if method == "POST" || method == "PUT" {
            text += "Content-Length: 0\r\n"
        }
        text += "\r\n"
        return Array(text.utf8) + (body ?? [])
    }
}

/// A response: its head, and a body that is read from the connection piece by piece.
final class Response {
    /// Largest body that is taken into memory as a whole (a `system df` of a very large host stays far below).
    static let bodyBytesMax = 256 << 20
    private static let headersMax = 200

    private enum Framing { case none, length(Int), chunk(Int), untilClose, ended }

    let status: Int
    /// Names in lower case.
    let headers: [String: String]
    let connection: Connection
    private var framing: Framing
    private var lineBuffer: [UInt8] = []

    /// Reads a response's head.
    init(from connection: Connection, method: String) throws(CLIError) {
        self.connection = connection
        guard let first = try connection.line() else { throw CLIError("the daemon closed the connection") }
        let parts = first.split(separator: " ", maxSplits: 2)
        guard parts.count >= 2, parts[0].hasPrefix("HTTP/1."), let status = Int(parts[1]) else {
            throw CLIError("this is not an Engine API: the answer begins with \"\(first.prefix(60))\"")
        }
        var headers: [String: String] = [:]
        var count = 0
        while let line = try connection.line(), !line.isEmpty {
            let (name, value) = line.cut(":")
            headers[name.lowercased()] = (value ?? "").trimmed
            count += 1
            guard count <= Self.headersMax else {
                throw CLIError("the daemon sent more than \(Self.headersMax) headers")
            }
        }
        self.status = status
        self.headers = headers
        if method == "HEAD" || status == 204 || status == 304 || status == 101 {
            framing = .none
        } else if headers["transfer-encoding"]?.lowercased().contains("chunked") == true {
            framing = .chunk(0)
        } else if let length = headers["content-length"].flatMap({ Int($0) }), length >= 0 {
            framing = .length(length)
        } else {
            framing = .untilClose
        }
    }

    /// The next piece of the body; empty at its end.
    func piece(_ countMax: Int = 262_144) throws(CLIError) -> [UInt8] {
        switch framing {
        case .none, .ended: return []
        case .untilClose: return try connection.receive(countMax)
        case .length(let left):
            guard left > 0 else { return [] }
            let part = try taken(min(left, countMax))
            framing = .length(left - part.count)
            return part
        case .chunk(var left):
            if left == 0 {
                left = try chunkSize()
                guard left > 0 else {
                    while let line = try connection.line(), !line.isEmpty {}
                    framing = .ended
                    return []
                }
            }
            let part = try taken(min(left, countMax))
            framing = .chunk(left - part.count)
            if part.count == left { _ = try connection.line() }
            return part
        }
    }

    private func chunkSize() throws(CLIError) -> Int {
        guard let line = try connection.line() else { throw CLIError("unexpected EOF") }
        guard let size = Int(line.cut(";").0.trimmed, radix: 16), size >= 0 else {
            throw CLIError("the daemon sent a malformed chunk")
        }
        return size
    }

    private func taken(_ countMax: Int) throws(CLIError) -> [UInt8] {
        let part = try connection.receive(countMax)
        guard !part.isEmpty else { throw CLIError("unexpected EOF") }
        return part
    }

    /// The whole body.
    func body() throws(CLIError) -> [UInt8] {
        var bytes: [UInt8] = []
        if case .length(let length) = framing { bytes.reserveCapacity(min(length, Self.bodyBytesMax)) }
        while true {
            let part = try piece()
            if part.isEmpty { return bytes }
            bytes += part
            guard bytes.count <= Self.bodyBytesMax else { throw CLIError("the daemon's answer is too large") }
        }
    }

    /// The body as one JSON document; null when empty.
    func json() throws(CLIError) -> JSON {
        let bytes = try body()
        return bytes.isEmpty ? .null : try JSONParser.parse(bytes)
    }

    /// The next of the JSON documents a streaming answer sends one a line; `nil` at the end.
    func nextMessage() throws(CLIError) -> JSON? {
        while true {
            if let end = lineBuffer.firstIndex(of: 0x0a) {
                let line = Array(lineBuffer[..<end])
                lineBuffer.removeFirst(end + 1)
                if line.allSatisfy({ $0 == 0x0d || $0 == 0x20 }) { continue }
                return try JSONParser.parse(line)
            }
            let part = try piece()
            if part.isEmpty {
                let rest = lineBuffer
                lineBuffer = []
                if rest.allSatisfy({ $0 <= 0x20 }) { return Optional<JSON>.none }
                return try JSONParser.parse(rest)
            }
            lineBuffer += part
            guard lineBuffer.count <= Self.bodyBytesMax else { throw CLIError("the daemon's answer is too large") }
        }
    }
}
