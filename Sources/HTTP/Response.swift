package import NIOCore

/// What a handler answers.
package struct Response: Sendable {
    package enum Body: Sendable {
        case bytes(ByteBuffer)
        /// Goes from the page cache to the socket (sendfile(2)), whatever its size; the head tells its length.
        case file(FileBody)
        /// The head is sent at once; the closure writes the body, which is cut short visibly when it throws.
        case stream(@Sendable (ResponseWriter) async throws -> Void)
        /// The connection leaves HTTP: `101 UPGRADED`, or `200 OK` for a client that did not ask to upgrade.
        case takeover(@Sendable (RawStream) async throws -> Void)
    }

    package var status: Int
    package var headers: Headers
    package var body: Body

    package init(_ status: Int = 200, headers: Headers = [:], body: Body = .bytes(ByteBuffer())) {
        self.status = status
        self.headers = headers
        self.body = body
    }
}

/// Writes a streamed body; a write returns when the client's socket has room for more. Where the length is known, a client that
/// takes nothing for ``Limits/answerTimeout`` is cut off.
package struct ResponseWriter: Sendable {
    enum Framing: Sendable {
        case chunked
        case untilClose
        /// A known length, or no body at all (HEAD): nothing is framed.
        case plain
        case discard
    }

    let transport: Transport
    let framing: Framing
    let limits: Limits

    /// Sends `bytes` now.
    ///
    /// - Throws: ``ConnectionClosed`` when the client is gone.
    package func write(_ bytes: ByteBuffer) async throws {
        guard bytes.readableBytes > 0 else { return }
        switch framing {
        case .discard: return
        case .plain: try await transport.writeInTime(bytes)
        case .untilClose: try await transport.write(bytes)
        case .chunked:
            var chunk = ByteBuffer()
            chunk.reserveCapacity(bytes.readableBytes + 16)
            chunk.writeString(String(bytes.readableBytes, radix: 16))
            chunk.writeStaticString("\r\n")
            chunk.writeImmutableBuffer(bytes)
            chunk.writeStaticString("\r\n")
            try await transport.write(chunk)
        }
    }

    func finish() async throws {
        guard case .chunked = framing else { return }
        try await transport.write(ByteBuffer(string: "0\r\n\r\n"))
    }
}

/// A connection that left HTTP: bytes both ways.
package struct RawStream: Sendable {
    let transport: Transport
    let input: ConnectionInput
    let limits: Limits

    /// Bytes from the client, those received with the request first; nil when it ended its sending side.
    package func read() async throws -> ByteBuffer? {
        let early = try await input.takeEarly()
        return early.readableBytes > 0 ? early : try await transport.read()
    }

    /// Sends `bytes`; returns when the client's socket has room for more.
    package func write(_ bytes: ByteBuffer) async throws { try await transport.write(bytes) }

    /// Joins the client to a connected stream socket, with back-pressure, until the socket ends its output or the
    /// client leaves. The client's end of input becomes `shutdown(SHUT_WR)` of the socket.
    ///
    /// - Parameters:
    ///   - socket: a descriptor this call owns from now on, whatever it does.
    ///   - escape: what the client sends to end it; nil for nothing.
    @discardableResult
    package func splice(
        adopting socket: NIOBSDSocket.Handle, leavingOn escape: EscapeSequence? = nil
    ) async throws -> JointEnd {
        try await transport.splice(socket, early: try await input.takeEarly(), escape: escape, limits: limits)
    }
}
