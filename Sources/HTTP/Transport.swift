import NIOCore
import NIOPosix
import Synchronization

/// Who is told what a connection comes to.
protocol TransportOwner: AnyObject, Sendable {
    /// A whole head is here, or what cannot become one: the connection has to be served. Called on its event loop.
    func ready(_ transport: Transport)
    func closed(_ transport: Transport)
    /// A request did not arrive in time, or its answer was not taken.
    func cutOff(_ transport: Transport)
}

/// One accepted connection as bytes that are pulled and pushed with back-pressure, or joined to another socket.
///
/// Reads from the socket happen only when somebody asks, so a client can make the server hold one read's worth of bytes;
/// a writer waits while the socket's queue is full. Between requests no task belongs to a connection, and before its first byte
/// no buffer: what waits, or sends a head byte by byte, costs this object and its channel.
final class Transport: ChannelInboundHandler, @unchecked Sendable {  // variables are the channel's event loop's alone
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let channel: any Channel
    var eventLoop: any EventLoop { channel.eventLoop }
    /// A client on the network that ends its sending side is gone; on a unix socket a half-close is told from a close.
    private let endOfInputIsDisconnect: Bool
    /// What is encrypted has to come through memory.
    let isPlain: Bool
    private var received = ByteBuffer()
    private var inputEnded = false
    private var isClosed = false
    private var isCancelled = false
    private var isWaiting = false
    private var isStalled = false
    private var search = HeadSearch()
    private var headHasBegun = false
    private var headSent = false
    private var reader: CheckedContinuation<ByteBuffer?, any Error>?
    /// Whether the deadline is the reader's, and goes with it.
    private var readerIsLimited = false
    private var writers: [CheckedContinuation<Void, any Error>] = []
    /// Bytes of a turn of a file that were still to be sent when its deadline was set; nil while none is sent.
    private var unsent: Int?
    private var disconnectWaiter: CheckedContinuation<Void, Never>?
    private var disconnectReleased = false
    private var joint: Joint?
    private let limits: Limits
    private let turns: LoopTurns
    private let owner: any TransportOwner
    /// When ``expire()`` is due, in nanoseconds of the monotonic clock; 0 for never. A sweep reads it: a timer for each
    /// connection would be searched for among all others at each request.
    private let deadline = Atomic<UInt64>(0)
    /// Since when a request is waited for, in nanoseconds of the monotonic clock; 0 while one is served.
    private let waitingSince = Atomic<UInt64>(0)

    init(
        _ channel: any Channel, endOfInputIsDisconnect: Bool, isPlain: Bool, limits: Limits, turns: LoopTurns,
        owner: any TransportOwner
    ) {
        self.channel = channel
        self.endOfInputIsDisconnect = endOfInputIsDisconnect
        self.isPlain = isPlain
        self.limits = limits
        self.turns = turns
        self.owner = owner
        // Whoever can reach the network can connect and say nothing.
        beginWait(endOfInputIsDisconnect ? limits.headTimeout : limits.idleTimeout)
    }

    // MARK: Waiting for a request

    /// Waits for the next request, whose beginning may be in `early`; the owner is told when it is here.
    func wait(_ early: ByteBuffer) {
        channel.eventLoop.execute {
            guard !self.isClosed else { return }
            var bytes = early
            bytes.writeBuffer(&self.received)
            self.received = bytes.readableBytes > 0 ? bytes : ByteBuffer()
            self.beginWait(self.limits.idleTimeout)
            self.lookForHead()
        }
    }

    private func beginWait(_ limit: TimeAmount) {
        isWaiting = true
        search = HeadSearch()
        headHasBegun = false
        waitingSince.store(Self.now, ordering: .relaxed)
        setDeadline(limit)
    }

    func channelActive(context: ChannelHandlerContext) { lookForHead() }

    private func lookForHead() {
        guard isWaiting else { return }
        search.skipEmptyLines(&received)
        if search.isDecided(received.readableBytesView, limits) || (inputEnded && received.readableBytes > 0) {
            isWaiting = false
            waitingSince.store(0, ordering: .relaxed)
            clearDeadline()
            return owner.ready(self)
        }
        guard !inputEnded else {
            // The last answer may still be on its way.
            return channel.writeAndFlush(ByteBuffer()).whenComplete { _ in self.channel.close(promise: nil) }
        }
        if !headHasBegun, received.readableBytes > 0 {
            headHasBegun = true
            setDeadline(limits.headTimeout)
        }
        channel.read()
    }

    /// Since when a request is waited for; nil while one is served.
    var waitsSince: UInt64? {
        let since = waitingSince.load(ordering: .relaxed)
        return since == 0 ? nil : since
    }

    /// Closes the connection unless a request has come.
    ///
    /// - Returns: false for a connection that this was asked of before, or that serves a request.
    func giveUp() -> Bool {
        guard waitingSince.exchange(0, ordering: .relaxed) != 0 else { return false }
        closeIfWaiting()
        return true
    }

    /// For the end of the server.
    func closeIfWaiting() {
        channel.eventLoop.execute { if self.isWaiting { self.channel.close(promise: nil) } }
    }

    // MARK: Time limits

    private static var now: UInt64 { NIODeadline.now().uptimeNanoseconds }

    /// From then on ``expire()`` is due.
    func setDeadline(_ after: TimeAmount) { setDeadline(at: (NIODeadline.now() + after).uptimeNanoseconds) }
    func setDeadline(at time: UInt64) { deadline.store(time, ordering: .relaxed) }
    func clearDeadline() { deadline.store(0, ordering: .relaxed) }

    func isOverdue(_ now: UInt64 = Transport.now) -> Bool {
        let time = deadline.load(ordering: .relaxed)
        return time != 0 && now >= time
    }

    /// Ends what the client did not get done in time: who reads from it is told, everybody else is cut off.
    func expire() {
        channel.eventLoop.execute {
            guard self.isOverdue() else { return }
            if self.takesFile() { return self.setDeadline(self.limits.answerTimeout) }
            self.clearDeadline()
            if !self.isWaiting || self.headHasBegun { self.owner.cutOff(self) }
            guard let reader = self.takeReader() else { return self.channel.close(promise: nil) }
            self.isStalled = true
            reader.resume(throwing: HTTPError.stalled)
        }
    }

    /// What SO_PEERCRED (unix(7)) tells.
    private struct Credentials: Sendable {
        var process: Int32
        var user: UInt32
        var group: UInt32
    }
    private static let peerCredentials: CInt = 17

    /// Who connected by a unix socket; nil on the network.
    func peerProcess() async -> PeerProcess? {
        guard !endOfInputIsDisconnect, let options = channel as? any SocketOptionProvider else { return nil }
        let credentials: EventLoopFuture<Credentials> = options.unsafeGetSocketOption(
            level: .socket, name: NIOBSDSocket.Option(rawValue: Self.peerCredentials))
        // Closed already: nobody is there.
        guard let found = try? await credentials.get() else { return nil }
        return PeerProcess(id: found.process, user: found.user)
    }

    /// Who is at the other end of a connection of the network.
    var peerAddress: String? { endOfInputIsDisconnect ? channel.remoteAddress?.ipAddress : nil }

    // MARK: Reading

    /// Bytes the client sent, or nil at the end of its input. Cancelling a read ends the input for good.
    ///
    /// - Parameter time: when they have to be here, in nanoseconds of the monotonic clock. It is set and cleared where it is
    ///   acted on: who has just got bytes, or is about to wait for them, is not cut off.
    func read(by time: UInt64? = nil) async throws -> ByteBuffer? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                channel.eventLoop.execute { self.startRead(continuation, by: time) }
            }
        } onCancel: {
            channel.eventLoop.execute { self.cancel() }
        }
    }

    private func startRead(_ continuation: CheckedContinuation<ByteBuffer?, any Error>, by time: UInt64?) {
        if isCancelled { return continuation.resume(throwing: CancellationError()) }
        if received.readableBytes > 0 { return continuation.resume(returning: takeReceived()) }
        if inputEnded { return continuation.resume(returning: nil) }
        if isClosed { return continuation.resume(throwing: ConnectionClosed()) }
        if isStalled { return continuation.resume(throwing: HTTPError.stalled) }
        guard reader == nil else { return continuation.resume(throwing: ConnectionClosed()) }
        reader = continuation
        if let time {
            readerIsLimited = true
            setDeadline(at: time)
        }
        channel.read()
    }

    private func takeReader() -> CheckedContinuation<ByteBuffer?, any Error>? {
        if readerIsLimited { clearDeadline() }
        readerIsLimited = false
        defer { reader = nil }
        return reader
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
        if isWaiting { return lookForHead() }
        guard received.readableBytes > 0 else { return }
        if let reader = takeReader() { reader.resume(returning: takeReceived()) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event as? ChannelEvent == .inputClosed else { return context.fireUserInboundEventTriggered(event) }
        inputEnded = true
        if let joint { return joint.clientInputEnded() }
        if isWaiting { return lookForHead() }
        if let reader = takeReader() {
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

    /// The same for a client that has to take it within ``Limits/answerTimeout``; a file that comes after it is with the kernel
    /// when this returns. Cancelling closes the connection then.
    func writeInTime(_ bytes: ByteBuffer, _ file: FileBody? = nil) async throws {
        setDeadline(limits.answerTimeout)
        if let file { try await write(bytes, file) } else { try await write(bytes) }
        clearDeadline()
    }

    private func write(_ bytes: ByteBuffer, _ file: FileBody) async throws {
        guard isPlain else {
            try await write(bytes)
            return try await writeThroughMemory(file)
        }
        try await withTaskCancellationHandler {
            try await channel.eventLoop.flatSubmit {
                self.channel.write(bytes, promise: nil)
                let sent = self.channel.eventLoop.makePromise(of: Void.self)
                self.send(file, from: 0, sent)
                return sent.futureResult
            }.get()
        } onCancel: {
            channel.close(promise: nil)
        }
    }

    /// Sends what a client gets in one turn, and the rest in later ones: one that takes as fast as it is given would keep the
    /// event loop for itself.
    private func send(_ file: FileBody, from start: Int, _ sent: EventLoopPromise<Void>) {
        let part = file.part(from: start, bytesMax: limits.fileTurnBytes)
        unsent = part.readableBytes
        setDeadline(limits.answerTimeout)
        channel.writeAndFlush(part).assumeIsolated().whenComplete { [turns] result in
            self.unsent = nil
            let next = start + part.readableBytes
            guard case .success = result, next < file.count else { return sent.completeWith(result) }
            turns.next { self.send(file, from: next, sent) }
        }
    }

    /// Whether the client takes a file fast enough, since this was asked last.
    private func takesFile() -> Bool {
        guard let before = unsent, let now = try? channel.syncOptions?.getOption(.bufferedWritableBytes) else {
            return false
        }
        unsent = now
        return before - now >= limits.filePartBytes
    }

    /// For what has to be encrypted.
    private func writeThroughMemory(_ file: FileBody) async throws {
        let files = NonBlockingFileIO(threadPool: .singleton)
        var next = 0
        while next < file.count {
            setDeadline(limits.answerTimeout)
            let part = file.part(from: next, bytesMax: limits.readBytesMax)
            try await write(try await files.read(fileRegion: part, allocator: channel.allocator))
            next += part.readableBytes
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
        takeReader()?.resume(throwing: error)
        for writer in writers { writer.resume(throwing: error) }
        writers = []
    }

    private func noteDisconnect() {
        disconnectWaiter?.resume()
        disconnectWaiter = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        isClosed = true
        isWaiting = false
        clearDeadline()
        if inputEnded { takeReader()?.resume(returning: nil) }
        fail(ConnectionClosed())
        noteDisconnect()
        joint?.clientClosed()
        owner.closed(self)
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
        }
    }

    /// The response's head is on its way: from here an end of input on the network counts as a disconnect.
    func noteHeadSent() { channel.eventLoop.execute { self.headSent = true } }

    func close() { channel.close(promise: nil) }

    /// Ends the sending side, takes what the client still sends for a while, and closes: an answer to a request that
    /// was not read to its end would otherwise be lost with the connection's reset.
    func closeLingering(_ limits: Limits) async {
        setDeadline(limits.lingerTimeout)
        channel.eventLoop.execute { self.isStalled = false }
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
