package import NIOCore
import Synchronization

/// One request; its body is read as it arrives.
package struct Request: Sendable {
    package let head: RequestHead
    package let body: RequestBody

    package var method: Method { head.method }
    package var path: String { head.path }
    package var query: Query { head.query }
    package var headers: Headers { head.headers }
}

/// The body of a request: chunks of payload, read from the socket only when asked for. One reader at a time.
package struct RequestBody: Sendable, AsyncSequence {
    package typealias Element = ByteBuffer
    package typealias Failure = any Error

    let input: ConnectionInput

    package struct AsyncIterator: AsyncIteratorProtocol {
        let input: ConnectionInput
        package mutating func next() async throws -> ByteBuffer? { try await input.nextBodyPart() }
    }

    package func makeAsyncIterator() -> AsyncIterator { AsyncIterator(input: input) }

    /// The whole body.
    ///
    /// - Throws: ``HTTPError`` 413 when it has more than `bytesMax` bytes.
    package func collect(bytesMax: Int) async throws -> ByteBuffer {
        var result = ByteBuffer()
        for try await var part in self {
            guard result.readableBytes + part.readableBytes <= bytesMax else {
                throw HTTPError(413, "request body is larger than \(bytesMax) bytes")
            }
            result.writeBuffer(&part)
        }
        return result
    }
}

/// The receiving half of a connection: heads, then each head's body, then raw bytes after a takeover.
final class ConnectionInput: Sendable {
    private struct State {
        var bytes = ByteBuffer()
        var body = BodyDecoder(.none)
        var continueIsOwed = false
    }

    private let transport: Transport
    private let limits: Limits
    /// Taken out while a read is under way: a second reader finds nil.
    private let state = Mutex<State?>(State())

    init(_ transport: Transport, _ limits: Limits) {
        self.transport = transport
        self.limits = limits
    }

    private func exclusively<Value>(_ body: (inout State) async throws -> Value) async throws -> Value {
        let taken = state.withLock { value in
            defer { value = nil }
            return value
        }
        guard var current = taken else { throw HTTPError(500, "two readers of one request body") }
        defer { state.withLock { $0 = current } }
        return try await body(&current)
    }

    /// The next request's head; nil when the client ended its input between requests.
    ///
    /// - Throws: ``HTTPError`` for what is not a request.
    func nextHead() async throws -> RequestHead? {
        try await exclusively { state in
            var searched = 0
            while true {
                Self.skipEmptyLines(&state.bytes)
                if let head = try takeHead(&state.bytes, &searched) {
                    transport.clearDeadline()
                    state.body = BodyDecoder(head.framing)
                    state.continueIsOwed =
                        head.minorVersion == 1 && head.framing != .none
                        && head.headers.contains("expect", token: "100-continue")
                    return head
                }
                let isPartial = state.bytes.readableBytes > 0
                if isPartial { transport.setDeadline(limits.headTimeout) } else { transport.noteIdle() }
                guard var more = try await transport.read() else {
                    guard isPartial else { return nil }
                    throw HTTPError.badRequest("request head ends early")
                }
                if isPartial { state.bytes.writeBuffer(&more) } else { state.bytes = more }
            }
        }
    }

    /// RFC 9112 §2.2: a client may send an empty line before its request.
    private static func skipEmptyLines(_ bytes: inout ByteBuffer) {
        while bytes.readableBytesView.starts(with: [0x0d, 0x0a]) { bytes.moveReaderIndex(forwardBy: 2) }
    }

    private func takeHead(_ bytes: inout ByteBuffer, _ searched: inout Int) throws -> RequestHead? {
        let view = bytes.readableBytesView
        // The end may lie across two reads: go back by less than its length.
        var from = view.startIndex + max(0, searched - 3)
        while let feed = view[from...].firstIndex(of: 0x0a) {
            guard feed > view.startIndex, view[feed - 1] == 0x0d else {
                throw HTTPError.badRequest("malformed header line ending")
            }
            let isEnd = feed - view.startIndex >= 3 && view[feed - 2] == 0x0a
            let count = feed - view.startIndex + 1
            guard count <= limits.headBytesMax else { throw HTTPError(431, "request head is too large") }
            guard isEnd else {
                from = feed + 1
                continue
            }
            let head = bytes.readBytes(length: count) ?? []
            return try RequestHead(parsing: Array(head.dropLast(4)), headerCountMax: limits.headerCountMax)
        }
        searched = view.count
        guard searched < limits.headBytesMax else { throw HTTPError(431, "request head is too large") }
        return nil
    }

    /// The next bytes of the body; nil at its end.
    func nextBodyPart() async throws -> ByteBuffer? {
        try await exclusively { state in
            while true {
                if let part = try state.body.next(&state.bytes) { return part }
                if state.body.isDone { return nil }
                if state.continueIsOwed {
                    state.continueIsOwed = false
                    try await transport.write(ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n"))
                }
                guard var more = try await transport.read() else {
                    throw HTTPError.badRequest("request body ends early")
                }
                if state.bytes.readableBytes == 0 { state.bytes = more } else { state.bytes.writeBuffer(&more) }
            }
        }
    }

    /// Skips what is left of a small body.
    ///
    /// - Returns: false when the connection cannot carry another request.
    func drain() async throws -> Bool {
        // A client that still waits for "100 Continue" sends either the body or the next request: nobody can tell.
        if try await exclusively({ $0.continueIsOwed && !$0.body.isDone }) { return false }
        var rest = limits.drainBytesMax
        while rest >= 0 {
            guard let part = try await nextBodyPart() else { return true }
            rest -= part.readableBytes
        }
        return false
    }

    /// Bytes received after the body: the start of a taken-over stream.
    func takeEarly() async throws -> ByteBuffer {
        try await exclusively { state in
            defer { state.bytes = ByteBuffer() }
            return state.bytes
        }
    }
}
