import Kernel
import Logging
import NIOCore
import NIOPosix

/// Everything that serves queries. Belongs to one event loop, which alone calls it: no query waits for a lock.
final class ServerLoop {
    let loop: any EventLoop
    let logger: Logger
    let limits: ResolverLimits
    private var clients: [String: Client] = [:]
    private let forwarder: Forwarder
    private var random: Shuffling

    init(_ loop: any EventLoop, _ logger: Logger, _ limits: ResolverLimits) {
        self.loop = loop
        self.logger = logger
        self.limits = limits
        forwarder = Forwarder(loop, logger, limits)
        var seed = SystemRandomNumberGenerator()
        random = Shuffling(state: seed.next())
    }

    // MARK: Containers

    /// Begins to serve; takes over both descriptors, whatever happens.
    func serve(
        _ container: String, udp: CInt, tcp: CInt, _ configuration: ClientConfiguration
    ) -> EventLoopFuture<Void> {
        guard clients[container] == nil else {
            return abandon(udp, tcp, ResolverError("container \(container) already has a name server"))
        }
        let client = Client(container, configuration)
        clients[container] = client
        client.servers = forwarder.list(for: configuration)
        let bound = NIOLoopBound((self, client), eventLoop: loop)
        let datagrams = DatagramBootstrap(group: loop)
            .channelOption(.maxMessagesPerRead, value: DatagramPort.batchesMax)
            .channelOption(.datagramVectorReadMessageCount, value: DatagramPort.batchMax)
            .channelOption(
                .recvAllocator,
                value: FixedSizeRecvByteBufferAllocator(capacity: DatagramPort.batchMax * DatagramPort.queryBytesMax)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let (server, client) = bound.value
                    try channel.pipeline.syncOperations.addHandler(DatagramPort(client, server))
                }
            }
            .withBoundSocket(udp)
        let listener = listen(tcp, bound)
        return datagrams.and(listener).map { datagrams, listener in
            let (server, client) = bound.value
            client.datagrams = datagrams
            client.listener = listener
            // Stopped meanwhile.
            if !server.isServing(client) { server.shut(client) }
        }.flatMapError { error in
            let (server, client) = bound.value
            if server.isServing(client) { _ = server.stop(container) }
            datagrams.whenSuccess { $0.close(promise: nil) }
            listener.whenSuccess { $0.close(promise: nil) }
            return server.loop.makeFailedFuture(
                ResolverError("name server of container \(container) cannot use its sockets: \(error)"))
        }
    }

    private func abandon(_ udp: CInt, _ tcp: CInt, _ error: ResolverError) -> EventLoopFuture<Void> {
        _ = OwnedFD(adopting: udp)
        _ = OwnedFD(adopting: tcp)
        return loop.makeFailedFuture(error)
    }

    private func listen(_ tcp: CInt, _ bound: NIOLoopBound<(ServerLoop, Client)>) -> EventLoopFuture<any Channel> {
        ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: 128)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.writeBufferWaterMark, value: StreamPort.outputBytes)
            .childChannelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 512, maximum: 16 << 10)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let (server, client) = bound.value
                    guard client.connections.count < server.limits.connectionsPerContainerMax else {
                        throw ResolverError("too many connections")
                    }
                    let idle = IdleStateHandler(allTimeout: server.limits.idleTimeout)
                    try channel.pipeline.syncOperations.addHandler(idle)
                    try channel.pipeline.syncOperations.addHandler(StreamPort(client, server))
                }
            }
            .withBoundSocket(tcp)
    }

    func isServing(_ client: Client) -> Bool { clients[client.container] === client }

    func update(_ container: String, _ configuration: ClientConfiguration) {
        guard let client = clients[container] else { return }
        let before = client.servers
        client.configuration = configuration
        client.servers = forwarder.list(for: configuration)
        forwarder.release(before)
    }

    /// Ends the service of a container; returns when its sockets are closed.
    func stop(_ container: String) -> EventLoopFuture<Void> {
        guard let client = clients.removeValue(forKey: container) else { return loop.makeSucceededVoidFuture() }
        forwarder.release(client.servers)
        client.servers = nil
        return shut(client)
    }

    @discardableResult
    private func shut(_ client: Client) -> EventLoopFuture<Void> {
        for connection in client.connections.values { connection.close() }
        let channels = [client.datagrams, client.listener].compactMap { $0 }
        for channel in channels { channel.close(promise: nil) }
        return .andAllComplete(channels.map(\.closeFuture), on: loop)
    }

    func close() -> EventLoopFuture<Void> {
        let ended = clients.keys.map { stop($0) }
        forwarder.close()
        return .andAllComplete(ended, on: loop)
    }

    // MARK: Queries

    /// The answer to a query, with its length before it for a stream; nil when it comes later, or not at all.
    func answer(_ message: ByteBuffer, from client: Client, _ route: Route) -> ByteBuffer? {
        let query: Query
        do {
            query = try Query(message.readableBytesUInt8Span)
        } catch {
            return Reply.refusal(of: message, error, framed: route.isStream)
        }
        let framed = route.isStream
        guard query.options?.version ?? 0 == 0 else {
            return Reply.empty(query, message, code: ResponseCode.badVersion, framed: framed)
        }
        if query.recordClass == RecordClass.internet, let answer = known(query, message, client, framed) {
            return answer
        }
        return forward(query, message, client, route)
    }

    /// The answer from the container's networks; nil when they know nothing of it.
    private func known(_ query: Query, _ message: ByteBuffer, _ client: Client, _ framed: Bool) -> ByteBuffer? {
        guard [RecordType.a, RecordType.aaaa, RecordType.mx, RecordType.ptr].contains(query.type),
            let name = query.name(in: message.readableBytesUInt8Span)
        else { return nil }
        let names = client.configuration.names
        let bytesMax = bytesMax(query, framed)
        if query.type == RecordType.ptr {
            guard let address = ReverseName.address(name), let target = names.name(of: address) else { return nil }
            return Reply.pointer(query, message, to: target, bytesMax: bytesMax, framed: framed)
        }
        if let answer = names.addresses(of: name) {
            // Without a mail exchanger of its own a name is one itself (RFC 5321, 5.1).
            guard query.type != RecordType.mx else { return Reply.empty(query, message, framed: framed) }
            return Reply.addresses(query, message, answer, bytesMax: bytesMax, framed: framed, using: &random)
        }
        guard !client.configuration.forwardsSingleLabels, query.type != RecordType.mx, !name.contains(".") else {
            return nil
        }
        return Reply.empty(query, message, framed: framed)
    }

    private func bytesMax(_ query: Query, _ isStream: Bool) -> Int {
        guard !isStream else { return Int(UInt16.max) }
        return min(max(Wire.datagramBytesMin, query.options?.datagramBytes ?? 0), Wire.datagramBytesMax)
    }

    private func forward(_ query: Query, _ message: ByteBuffer, _ client: Client, _ route: Route) -> ByteBuffer? {
        let framed = route.isStream
        guard let servers = client.servers else {
            return Reply.empty(query, message, code: ResponseCode.serverFailure, framed: framed)
        }
        // A transfer is many messages, which this connection could not tell apart from answers.
        guard query.type != RecordType.axfr, query.type != RecordType.ixfr else {
            return Reply.empty(query, message, code: ResponseCode.refused, framed: framed)
        }
        let bytes = message.readableBytesView
        let question = bytes[bytes.startIndex + Wire.headerBytes..<bytes.startIndex + query.questionEnd]
        let pending = PendingQuery(
            client: client, route: route, id: query.id, flags: query.flags, hasOptions: query.options != nil,
            wantsSignatures: query.options?.wantsSignatures ?? false, question: Array(question),
            bytesMax: bytesMax(query, framed))
        if let answer = forwarder.answer(pending, whole: query.isOpaque ? Array(bytes) : nil, servers) { return answer }
        if case .stream(let port) = route { port.noteWaiting() }
        return nil
    }
}

/// Numbers to shuffle by, where nobody gains from guessing them: SplitMix64.
struct Shuffling: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
