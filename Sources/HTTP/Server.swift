import Glibc
package import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// What a server does with requests.
package struct HTTPService: Sendable {
    /// Answers one request; cancelled when its client leaves.
    package var respond: @Sendable (Request) async throws -> Response
    /// The answer for what `respond` threw, or for a request that could not be read.
    package var failure: @Sendable (any Error) -> Response
    /// Told of an error after the head of an answer was sent, when the client can only be cut off.
    package var noteBroken: @Sendable (RequestHead, any Error) -> Void
    /// Told of a limit that keeps clients out, now and then while it does.
    package var noteLimit: @Sendable (ServerLimit) -> Void
    /// Whether a request with an `Origin` is heard. A browser sends it; no client of an engine does: a page must not reach an
    /// engine through the user's browser, so that nobody's is unless a service says otherwise.
    package var acceptsOrigin: @Sendable (RequestHead) -> Bool
    /// Whether the answer to a request takes next to no computing: it is then made on the connection's event loop, which saves
    /// the ways to another thread and back. Other connections of the loop wait meanwhile.
    package var isBrief: @Sendable (RequestHead) -> Bool

    package init(
        respond: @escaping @Sendable (Request) async throws -> Response,
        failure: @escaping @Sendable (any Error) -> Response,
        noteBroken: @escaping @Sendable (RequestHead, any Error) -> Void = { _, _ in },
        noteLimit: @escaping @Sendable (ServerLimit) -> Void = { _ in },
        acceptsOrigin: @escaping @Sendable (RequestHead) -> Bool = { _ in false },
        isBrief: @escaping @Sendable (RequestHead) -> Bool = { _ in false }
    ) {
        self.respond = respond
        self.failure = failure
        self.noteBroken = noteBroken
        self.noteLimit = noteLimit
        self.acceptsOrigin = acceptsOrigin
        self.isBrief = isBrief
    }
}

/// What keeps clients out, or ends their connections.
package enum ServerLimit: String, Sendable, Hashable {
    case connections = "too many connections: those that wait longest for a request are closed"
    case busy = "too many connections, and all have a request under way: new ones are answered 503"
    case resources = "connections cannot be accepted: the kernel has no more descriptors or memory for them"
    case time = "connections were closed, since their requests did not arrive in time"
}

/// An HTTP/1.1 server on listening sockets.
///
/// ``run()`` serves until ``shutdown(grace:)`` or cancellation; every request is a child task of it.
package final class HTTPServer: Sendable {
    private struct State {
        var listeners: [any Channel] = []
        var connections: [ObjectIdentifier: Transport] = [:]
        /// Connections of the table that were told to go.
        var leaving: Set<ObjectIdentifier> = []
        var isEnding = false
        var noted: [ServerLimit: NIODeadline] = [:]
    }

    private let sockets: [ListeningSocket]
    private let service: HTTPService
    private let limits: Limits
    private let group: any EventLoopGroup
    private let state = Mutex(State())
    private let lanes: [ObjectIdentifier: Lane]

    /// Connections of one event loop.
    private struct Lane {
        let executor: EventLoopExecutor
        /// Those with a request. Each is in it at most once, so that the limit on connections is its limit, too.
        let requests: AsyncStream<Transport>
        let continuation: AsyncStream<Transport>.Continuation
        let turns: LoopTurns

        init(_ loop: any EventLoop) {
            executor = EventLoopExecutor(loop)
            turns = LoopTurns(loop)
            (requests, continuation) = AsyncStream.makeStream()
        }
    }

    package init(
        _ sockets: [ListeningSocket], service: HTTPService, limits: Limits = Limits(),
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        self.sockets = sockets
        self.service = service
        self.limits = limits
        self.group = group
        lanes = Dictionary(group.makeIterator().map { (ObjectIdentifier($0), Lane($0)) }) { first, _ in first }
    }

    /// Accepts and serves.
    ///
    /// - Throws: the error that keeps a socket from being listened on.
    package func run() async throws {
        defer { close() }
        for lane in lanes.values { try await lane.turns.open() }
        for socket in sockets { try await listen(socket) }
        try await withThrowingTaskGroup { group in
            group.addTask { try await self.sweep() }
            await withDiscardingTaskGroup { loops in
                for lane in lanes.values {
                    loops.addTask(executorPreference: lane.executor) { await self.serve(lane.requests) }
                }
            }
            group.cancelAll()
        }
    }

    private func serve(_ requests: AsyncStream<Transport>) async {
        await withDiscardingTaskGroup { tasks in
            for await transport in requests {
                tasks.addTask { await Connection(transport, self.service, self.limits).serve() }
            }
        }
    }

    /// Requests that are here are served still.
    private func endRequests() {
        for lane in lanes.values {
            lane.continuation.finish()
            lane.turns.close()
        }
    }

    private func listen(_ socket: ListeningSocket) async throws {
        let limits = limits
        let (isLocal, tls) = (socket.isLocal, socket.tls)
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: ListeningSocket.backlog)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptFailures(self))
                }
            }
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            // What one read brings is handed on as it is: a second would have to be copied behind it.
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 2048, maximum: limits.readBytesMax)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if !isLocal { try channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1) }
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls.context))
                    }
                    try channel.pipeline.syncOperations.addHandler(
                        self.admit(channel, isLocal: isLocal, isPlain: tls == nil))
                }
            }
            .withBoundSocket(socket.release()).get()
        state.withLock { $0.listeners.append(listener) }
        // A listener that ends by itself ends the server.
        listener.closeFuture.whenComplete { _ in if !self.state.withLock({ $0.isEnding }) { self.endRequests() } }
    }

    // MARK: Limits

    /// What serves a new connection, or refuses it.
    private func admit(_ channel: any Channel, isLocal: Bool, isPlain: Bool) -> any ChannelInboundHandler & Sendable {
        // Connections are of the group's loops.
        guard let lane = lanes[ObjectIdentifier(channel.eventLoop)] else { return refusal("no event loop", isPlain) }
        let transport = Transport(
            channel, endOfInputIsDisconnect: !isLocal, isPlain: isPlain, limits: limits, turns: lane.turns, owner: self)
        enum Verdict { case admitted, admittedForOthers, refused, ending }
        let verdict: Verdict = state.withLock { state in
            guard !state.isEnding else { return .ending }
            let isFull = state.connections.count - state.leaving.count >= limits.connectionsMax
            if isFull, !makeRoom(&state) { return .refused }
            state.connections[ObjectIdentifier(transport)] = transport
            return isFull ? .admittedForOthers : .admitted
        }
        switch verdict {
        case .admitted: return transport
        case .admittedForOthers:
            note(.connections)
            return transport
        case .refused:
            note(.busy)
            return refusal("too many connections: close some, or try again later", isPlain)
        case .ending: return refusal("the daemon is shutting down", isPlain)
        }
    }

    /// Ends those connections that wait longest for a request: some at once, since finding them takes a look at all.
    ///
    /// - Parameter age: since when they wait at least.
    /// - Returns: whether there was one.
    private func makeRoom(_ state: inout State, age: TimeAmount = .zero) -> Bool {
        let newest = (NIODeadline.now() - age).uptimeNanoseconds
        let waiting = state.connections.values.compactMap { transport in transport.waitsSince.map { (transport, $0) } }
            .filter { $0.1 <= newest }.sorted { $0.1 < $1.1 }
        let before = state.leaving.count
        for (transport, _) in waiting.prefix(limits.connectionsMax / 64 + 1) where transport.giveUp() {
            state.leaving.insert(ObjectIdentifier(transport))
        }
        return state.leaving.count > before
    }

    /// accept(2) found no descriptor or no memory; it is tried again in a second. It looks for a descriptor before it looks for a
    /// client: who has just got the last one is to keep it.
    fileprivate func noteExhausted() {
        _ = state.withLock { makeRoom(&$0, age: .seconds(1)) }
        note(.resources)
    }

    /// Ends what is overdue, again and again.
    private func sweep() async throws {
        while true {
            try await Task.sleep(nanoseconds: UInt64(limits.sweepInterval.nanoseconds))
            let now = NIODeadline.now().uptimeNanoseconds
            let overdue = state.withLock { $0.connections.values.filter { $0.isOverdue(now) } }
            for transport in overdue { transport.expire() }
        }
    }

    private func note(_ limit: ServerLimit) {
        let now = NIODeadline.now()
        let isDue = state.withLock { state in
            if let last = state.noted[limit], now - last < limits.noteInterval { return false }
            state.noted[limit] = now
            return true
        }
        if isDue { service.noteLimit(limit) }
    }

    /// Before an answer there would have to be a handshake, which takes as long as the client wants: there is none.
    private func refusal(_ message: String, _ isPlain: Bool) -> Refusal {
        Refusal(isPlain ? wholeAnswer(HTTPError(503, message)) : nil)
    }

    private func wholeAnswer(_ error: HTTPError) -> ByteBuffer {
        let response = service.failure(error)
        guard case .bytes(let body) = response.body else { return ByteBuffer() }
        var bytes = ResponseHead.bytes(
            response.status, headers: response.headers,
            extra: [("Connection", "close"), ("Content-Length", "\(body.readableBytes)")])
        bytes.writeImmutableBuffer(body)
        return bytes
    }

    // MARK: End

    /// Stops accepting, closes connections without a request, lets requests under way finish for `grace`, then cuts them off.
    package func shutdown(grace: Duration) async {
        endListening()
        let end = ContinuousClock.now + grace
        while true {
            let connections = state.withLock { Array($0.connections.values) }
            guard !connections.isEmpty, ContinuousClock.now < end else { break }
            for connection in connections { connection.closeIfWaiting() }
            // Cancelled: the caller does not want to wait.
            guard (try? await Task.sleep(for: .milliseconds(20))) != nil else { break }
        }
        close()
    }

    private func endListening() {
        let listeners = state.withLock { state in
            state.isEnding = true
            return state.listeners
        }
        for listener in listeners { listener.close(promise: nil) }
    }

    private func close() {
        endListening()
        for connection in state.withLock({ Array($0.connections.values) }) { connection.close() }
        endRequests()
    }
}

extension HTTPServer: TransportOwner {
    func ready(_ transport: Transport) { lanes[ObjectIdentifier(transport.eventLoop)]?.continuation.yield(transport) }

    func cutOff(_ transport: Transport) { note(.time) }

    func closed(_ transport: Transport) {
        state.withLock { state in
            state.connections[ObjectIdentifier(transport)] = nil
            state.leaving.remove(ObjectIdentifier(transport))
        }
    }
}

/// Pauses accept(2) when it fails for want of something: the listener stays readable, and NIO would try again without end.
private final class AcceptFailures: ChannelInboundHandler, Sendable {
    typealias InboundIn = Never
    private static let pause = TimeAmount.seconds(1)
    private let server: HTTPServer

    init(_ server: HTTPServer) { self.server = server }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let code = (error as? IOError)?.errnoCode ?? 0
        if [EMFILE, ENFILE, ENOMEM, ENOBUFS].contains(code) {
            server.noteExhausted()
            // A listener that is closed meanwhile needs neither.
            let listener = context.channel
            _ = listener.setOption(.autoRead, value: false)
            context.eventLoop.scheduleTask(in: Self.pause) { _ = listener.setOption(.autoRead, value: true) }
        }
        context.fireErrorCaught(error)
    }
}

/// Answers, if there is an answer, and closes, whatever the client wants.
private final class Refusal: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let answer: ByteBuffer?

    init(_ answer: ByteBuffer?) { self.answer = answer }

    func channelActive(context: ChannelHandlerContext) {
        guard let answer else { return context.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(answer)).whenComplete { [channel = context.channel] _ in
            channel.close(promise: nil)
        }
    }
}
