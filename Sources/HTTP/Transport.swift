import NIOCore

/// One accepted connection as bytes that are pulled and pushed with back-pressure, or joined to another socket.
///
/// Reads from the socket happen only when somebody asks, so a client can make the server hold one read's worth of bytes;
/// a writer waits while the socket's queue is full.
// @unchecked Sendable: other tasks hold it, but every stored variable is touched on the channel's event loop only.
final class Transport: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let channel: any Channel
    /// A client on the network that ends its sending side is gone; on a unix socket a half-close is told from a close.
    private let endOfInputIsDisconnect: Bool
    private var received = ByteBuffer()
    private var inputEnded = false
    private var isClosed = false
    private var isCancelled = false
    private var isIdle = false
    private var headSent = false
    private var reader: CheckedContinuation<ByteBuffer?, any Error>?
    private var writers: [CheckedContinuation<Void, any Error>] = []
    private var disconnectWaiter: CheckedContinuation<Void, Never>?
    private var disconnectReleased = false
    private var deadline: Scheduled<Void>?
    private var joint: Joint?

    init(_ channel: any Channel, endOfInputIsDisconnect: Bool) {
        self.channel = channel
        self.endOfInputIsDisconnect = endOfInputIsDisconnect
    }

    // MARK: Reading

    /// Bytes the client sent, or nil at the end of its input. Cancelling a read ends the input for good.
    func read() async throws -> ByteBuffer? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                channel.eventLoop.execute { self.startRead(continuation) }
            }
        } onCancel: {
            channel.eventLoop.execute { self.cancel() }
        }
    }

    private func startRead(_ continuation: CheckedContinuation<ByteBuffer?, any Error>) {
        if isCancelled { return continuation.resume(throwing: CancellationError()) }
        if received.readableBytes > 0 { return continuation.resume(returning: takeReceived()) }
        if inputEnded { return continuation.resume(returning: nil) }
        if isClosed { return continuation.resume(throwing: ConnectionClosed()) }
        guard reader == nil else { return continuation.resume(throwing: ConnectionClosed()) }
        reader = continuation
        channel.read()
    }

    private func takeReceived() -> ByteBuffer {
        defer { received = ByteBuffer() }
        return received
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if let joint { return joint.fromClient(bytes) }
        if received.readableBytes == 0 { received = bytes } else { received.writeBuffer(&bytes) }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if let joint { return joint.clientReadComplete() }
        guard let reader, received.readableBytes > 0 else { return }
        self.reader = nil
        reader.resume(returning: takeReceived())
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event as? ChannelEvent == .inputClosed else { return context.fireUserInboundEventTriggered(event) }
        inputEnded = true
        if let joint { return joint.clientInputEnded() }
        if let reader {
            self.reader = nil
            reader.resume(returning: received.readableBytes > 0 ? takeReceived() : nil)
        }
        if endOfInputIsDisconnect && headSent { noteDisconnect() }
    }

    // MARK: Writing

    /// Sends `bytes`; returns when the socket's queue has room for more.
    func write(_ bytes: ByteBuffer) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                channel.eventLoop.execute { self.startWrite(bytes, continuation) }
            }
        } onCancel: {
            channel.eventLoop.execute { self.cancel() }
        }
    }

    private func startWrite(_ bytes: ByteBuffer, _ continuation: CheckedContinuation<Void, any Error>) {
        if isCancelled { return continuation.resume(throwing: CancellationError()) }
        if isClosed { return continuation.resume(throwing: ConnectionClosed()) }
        channel.writeAndFlush(bytes, promise: nil)
        if channel.isWritable || isClosed { return continuation.resume() }
        writers.append(continuation)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if let joint { return joint.clientWritabilityChanged() }
        guard channel.isWritable else { return }
        for writer in writers { writer.resume() }
        writers = []
    }

    /// Returns when everything written is with the kernel.
    func flush() async throws {
        try await channel.writeAndFlush(ByteBuffer()).get()
    }

    // MARK: End

    private func cancel() {
        isCancelled = true
        fail(CancellationError())
    }

    private func fail(_ error: any Error) {
        reader?.resume(throwing: error)
        reader = nil
        for writer in writers { writer.resume(throwing: error) }
        writers = []
    }

    private func noteDisconnect() {
        disconnectWaiter?.resume()
        disconnectWaiter = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        isClosed = true
        deadline?.cancel()
        if inputEnded, let reader {
            self.reader = nil
            reader.resume(returning: nil)
        }
        fail(ConnectionClosed())
        noteDisconnect()
        joint?.clientClosed()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The reason does not matter to anybody: whoever reads or writes is told that the connection is closed.
        context.close(promise: nil)
    }

    /// Returns when the client is gone, or when the calling task is cancelled.
    func disconnected() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                channel.eventLoop.execute {
                    let isGone = self.isClosed || (self.endOfInputIsDisconnect && self.headSent && self.inputEnded)
                    if isGone || self.disconnectReleased { return continuation.resume() }
                    self.disconnectWaiter = continuation
                }
            }
        } onCancel: {
            channel.eventLoop.execute {
                self.disconnectReleased = true
                self.noteDisconnect()
            }
        }
    }

    /// Begins a request: a disconnect can be waited for again.
    func beginRequest() {
        channel.eventLoop.execute {
            self.disconnectReleased = false
            self.headSent = false
            self.isIdle = false
        }
    }

    /// The response's head is on its way: from here an end of input on the network counts as a disconnect.
    func noteHeadSent() { channel.eventLoop.execute { self.headSent = true } }

    /// The connection waits for its next request: a graceful shutdown may close it.
    func noteIdle() { channel.eventLoop.execute { self.isIdle = true } }

    func closeIfIdle() {
        channel.eventLoop.execute { if self.isIdle { self.channel.close(promise: nil) } }
    }

    func close() { channel.close(promise: nil) }

    /// Closes the connection unless ``clearDeadline()`` is called in time.
    func setDeadline(_ after: TimeAmount) {
        channel.eventLoop.execute {
            self.isIdle = false
            guard self.deadline == nil else { return }
            self.deadline = self.channel.eventLoop.scheduleTask(in: after) { self.channel.close(promise: nil) }
        }
    }

    func clearDeadline() {
        channel.eventLoop.execute {
            self.deadline?.cancel()
            self.deadline = nil
        }
    }

    /// Ends the sending side, takes what the client still sends for a while, and closes: an answer to a request that
    /// was not read to its end would otherwise be lost with the connection's reset.
    func closeLingering(_ limits: Limits) async {
        setDeadline(limits.lingerTimeout)
        // A connection that is closed already needs no more.
        _ = try? await channel.close(mode: .output).get()
        var rest = 1 << 20
        while rest > 0, let bytes = try? await read() { rest -= bytes.readableBytes }
        clearDeadline()
        _ = try? await channel.close().get()
    }

    // MARK: Joining

    /// Joins the connection to `socket` in both directions; `early` goes to the socket first.
    ///
    /// - Returns: when the socket has ended its output and the client has it, the client is gone, or has sent `escape`.
    func splice(
        _ socket: NIOBSDSocket.Handle, early: ByteBuffer, escape: EscapeSequence?, limits: Limits
    ) async throws -> JointEnd {
        let joint = try await Joint.open(socket, client: channel, escape: escape, limits: limits)
        channel.eventLoop.execute {
            var first = early
            if self.received.readableBytes > 0 {
                var received = self.takeReceived()
                first.writeBuffer(&received)
            }
            self.joint = joint
            joint.start(first, clientEnded: self.inputEnded, clientClosed: self.isClosed)
        }
        // What the client sends from here on is read, and thrown away, by the end of the connection.
        defer { channel.eventLoop.execute { self.joint = nil } }
        return try await withTaskCancellationHandler {
            try await joint.finished.futureResult.get()
        } onCancel: {
            channel.eventLoop.execute { joint.abandon() }
        }
    }
}
