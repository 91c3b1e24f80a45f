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

    /// The address that it came from; nil for a unix socket.
    package var peerAddress: String? { body.input.transport.peerAddress }

    /// Who connected by a unix socket; nil on the network.
    package func peerProcess() async -> PeerProcess? { await body.input.transport.peerProcess() }
}

/// A process at the other end of a unix socket when it connected, as this one's namespaces number it and its user.
package struct PeerProcess: Sendable, Hashable {
    package let id: Int32
    package let user: UInt32
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
        input.limitBody()
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

    let transport: Transport
    private let limits: Limits
    /// Taken out while a read is under way: a second reader finds nil.
    private let state = Mutex<State?>(State())
    /// When the whole body has to be here, in nanoseconds of the monotonic clock; 0 for a body that is read as it comes.
    private let bodyDeadline = Atomic<UInt64>(0)

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

    /// The request's head, of a connection that was found to have one; nil when the client ended its input.
    ///
    /// - Throws: ``HTTPError`` for what is not a request.
    func nextHead() async throws -> RequestHead? {
        try await exclusively { state in
            var search = HeadSearch()
            while true {
                search.skipEmptyLines(&state.bytes)
                if let count = try search.end(in: state.bytes.readableBytesView, limits) {
                    let bytes = state.bytes.readBytes(length: count) ?? []
                    let head = try RequestHead(parsing: Array(bytes.dropLast(4)), headerCountMax: limits.headerCountMax)
                    state.body = BodyDecoder(head.framing)
                    state.continueIsOwed =
                        head.minorVersion == 1 && head.framing != .none
                        && head.headers.contains("expect", token: "100-continue")
                    return head
                }
                guard var more = try await transport.read() else {
                    guard state.bytes.readableBytes > 0 else { return nil }
                    throw HTTPError.badRequest("request head ends early")
                }
                if state.bytes.readableBytes > 0 { state.bytes.writeBuffer(&more) } else { state.bytes = more }
            }
        }
    }

    /// The body is read as a whole, and has to be here in time.
    func limitBody() { setBodyDeadline(limits.bodyTimeout) }

    private func setBodyDeadline(_ after: TimeAmount) {
        bodyDeadline.store((NIODeadline.now() + after).uptimeNanoseconds, ordering: .relaxed)
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
                let wholeBy = bodyDeadline.load(ordering: .relaxed)
                let now = NIODeadline.now()
                guard wholeBy == 0 || now.uptimeNanoseconds < wholeBy else { throw HTTPError.stalled }
                let time = wholeBy > 0 ? wholeBy : (now + limits.stallTimeout).uptimeNanoseconds
                guard var more = try await transport.read(by: time) else {
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
        setBodyDeadline(limits.lingerTimeout)
        var rest = limits.drainBytesMax
        do {
            while rest >= 0 {
                guard let part = try await nextBodyPart() else { return true }
                rest -= part.readableBytes
            }
        } catch let error as HTTPError where error == .stalled {
            // The answer does not wait for it.
        }
        return false
    }

    /// Bytes received after the body: the start of the next request, or of a taken-over stream.
    func takeEarly() async throws -> ByteBuffer {
        try await exclusively { state in
            defer { state.bytes = ByteBuffer() }
            return state.bytes
        }
    }
}
