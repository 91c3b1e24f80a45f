import NIOCore

/// A parsed request line with its headers and how its body is framed (RFC 9112).
///
/// The parser is strict where two readings of one message are possible: what a proxy and we could frame differently is
/// refused, not repaired.
package struct RequestHead: Sendable, Hashable {
    package enum Framing: Sendable, Hashable {
        case none
        case length(Int)
        case chunked
    }

    package let method: Method
    /// Percent-decoded once; begins with a slash and has no `.` or `..` segment.
    package let path: String
    package let query: Query
    package let headers: Headers
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    package let minorVersion: Int
    package let framing: Framing

    /// Whether the connection may carry another request.
    var keepsAlive: Bool {
        minorVersion == 1
            ? !headers.contains("connection", token: "close") : headers.contains("connection", token: "keep-alive")
    }

    /// Whether the client asked to take the connection over.
    package var wantsUpgrade: Bool { headers["upgrade"] != nil && headers.contains("connection", token: "upgrade") }

    /// Parses a whole head, without its final empty line.
    ///
    /// - Throws: ``HTTPError`` with the status to answer.
    init(parsing bytes: [UInt8], headerCountMax: Int) throws(HTTPError) {
        var lines = try Self.lines(bytes)
        guard !lines.isEmpty else { throw .badRequest("malformed request line") }
        let (method, target, minorVersion) = try Self.requestLine(lines.removeFirst())
        guard lines.count <= headerCountMax else { throw HTTPError(431, "too many headers") }
        var headers = Headers()
        for line in lines {
            let field = try Self.field(line)
            headers.add(field.name, field.value)
        }
        self.method = method
        self.minorVersion = minorVersion
        (path, query) = try Self.split(target)
        framing = try Self.framing(headers, minorVersion)
        guard minorVersion == 0 || headers.values("host").count == 1 else {
            throw .badRequest("one Host header is required")
        }
        self.headers = headers
    }

    /// The lines of a head; each must end with CR LF, and nothing else may contain either.
    private static func lines(_ bytes: [UInt8]) throws(HTTPError) -> [ArraySlice<UInt8>] {
        var result: [ArraySlice<UInt8>] = []
        for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            result.append(line)
        }
        for index in result.indices {
            let isLast = index == result.count - 1
            if !isLast {
                guard result[index].last == UInt8(ascii: "\r") else {
                    throw .badRequest("malformed header line ending")
                }
                result[index].removeLast()
            }
            let isClean = result[index].allSatisfy { $0 == 0x09 || ($0 >= 0x20 && $0 != 0x7f) }
            guard isClean else { throw .badRequest("control character in the request head") }
        }
        return result
    }

    private static func requestLine(_ line: ArraySlice<UInt8>) throws(HTTPError) -> (Method, Substring, Int) {
        let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[0].isEmpty, parts[0].count <= 32, parts[0].allSatisfy(isToken) else {
            throw .badRequest("malformed request line")
        }
        let minorVersion: Int
        switch String(decoding: parts[2], as: UTF8.self) {
        case "HTTP/1.1": minorVersion = 1
        case "HTTP/1.0": minorVersion = 0
        case let text where text.hasPrefix("HTTP/"): throw HTTPError(505, "unsupported protocol version")
        default: throw .badRequest("malformed request line")
        }
        guard parts[1].allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { throw .badRequest("malformed request target") }
        return (
            Method(String(decoding: parts[0], as: UTF8.self)), Substring(decoding: parts[1], as: UTF8.self),
            minorVersion
        )
    }

    private static func field(_ line: ArraySlice<UInt8>) throws(HTTPError) -> Headers.Field {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex,
            line[..<colon].allSatisfy(isToken)
        else { throw .badRequest("malformed header") }
        guard let value = String(validating: line[(colon + 1)...], as: UTF8.self) else {
            throw .badRequest("malformed header")
        }
        return Headers.Field(
            name: String(decoding: line[..<colon], as: UTF8.self), value: Headers.trimmed(Substring(value)))
    }

    private static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }

    /// Path and query of an origin-form or absolute-form target.
    private static func split(_ target: Substring) throws(HTTPError) -> (String, Query) {
        var rest = target
        if !rest.hasPrefix("/"), rest.lowercased().hasPrefix("http://") {
            rest = rest.dropFirst(7)
            rest = rest.firstIndex { $0 == "/" || $0 == "?" }.map { rest[$0...] } ?? "/"
        }
        let parts = rest.utf8.split(separator: UInt8(ascii: "?"), maxSplits: 1, omittingEmptySubsequences: false)
        guard rest.hasPrefix("/"), let path = PercentCoding.decode(parts[0]) else {
            throw .badRequest("malformed request target")
        }
        let isHostile = path.utf8.split(separator: UInt8(ascii: "/")).contains {
            $0.elementsEqual(".".utf8) || $0.elementsEqual("..".utf8)
        }
        guard !isHostile, path.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw .badRequest("malformed request target")
        }
        return (path, parts.count > 1 ? try Query(parsing: Substring(parts[1]).utf8) : Query())
    }

    /// RFC 9112 §6.3, without the cases that let two readers disagree.
    private static func framing(_ headers: Headers, _ minorVersion: Int) throws(HTTPError) -> Framing {
        let lengths = headers.values("content-length")
        let encodings = headers.values("transfer-encoding")
        guard lengths.count <= 1, encodings.count <= 1, lengths.isEmpty || encodings.isEmpty else {
            throw .badRequest("conflicting Content-Length and Transfer-Encoding headers")
        }
        if let encoding = encodings.first {
            guard minorVersion == 1, Headers.areEqual(encoding, "chunked") else {
                throw .badRequest("unsupported Transfer-Encoding")
            }
            return .chunked
        }
        guard let text = lengths.first else { return .none }
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int(text) else {
            throw .badRequest("malformed Content-Length")
        }
        return length == 0 ? .none : .length(length)
    }
}

/// A request method; any token is one.
package struct Method: Sendable, Hashable, CustomStringConvertible {
    package let description: String
    package init(_ text: String) { description = text }

    package static let get = Method("GET")
    package static let head = Method("HEAD")
    package static let post = Method("POST")
    package static let put = Method("PUT")
    package static let delete = Method("DELETE")
}

/// Looks for the end of a head in bytes that come piece by piece; what was looked at is not looked at again.
struct HeadSearch {
    private var searched = 0

    /// RFC 9112 §2.2: a client may send an empty line before its request.
    mutating func skipEmptyLines(_ bytes: inout ByteBuffer) {
        guard searched < 2 else { return }
        while bytes.readableBytesView.starts(with: [0x0d, 0x0a]) {
            bytes.moveReaderIndex(forwardBy: 2)
            searched = 0
        }
    }

    /// Bytes of the head, its last empty line included; nil when that is not here yet.
    ///
    /// - Throws: ``HTTPError`` for what cannot become a head.
    mutating func end(in view: ByteBufferView, _ limits: Limits) throws(HTTPError) -> Int? {
        // The end may lie across two pieces: go back by less than its length.
        var from = view.startIndex + max(0, searched - 3)
        while let feed = view[from...].firstIndex(of: 0x0a) {
            guard feed > view.startIndex, view[feed - 1] == 0x0d else {
                throw .badRequest("malformed header line ending")
            }
            let count = feed - view.startIndex + 1
            guard count <= limits.headBytesMax else { throw HTTPError(431, "request head is too large") }
            if count >= 4, view[feed - 2] == 0x0a { return count }
            from = feed + 1
        }
        searched = view.count
        guard searched < limits.headBytesMax else { throw HTTPError(431, "request head is too large") }
        return nil
    }

    /// Whether there is a whole head, or what cannot become one.
    mutating func isDecided(_ view: ByteBufferView, _ limits: Limits) -> Bool {
        do throws(HTTPError) { return try end(in: view, limits) != nil } catch { return true }
    }
}
