import NIOCore
import NIOPosix

/// The sockets by which one server is asked.
///
/// A question goes out by a random one with a random id: a socket of its own, hence a port of the kernel's choosing, as long
/// as there are few (RFC 5452). They are connected, so that nobody else's datagrams arrive and a server that is not there is
/// known at once.
final class DatagramPool {
    private let forwarder: Forwarder
    let server: DNSEndpoint
    private var sockets: [UpstreamSocket] = []
    /// Full ones that still wait for answers.
    private var retiring: [UpstreamSocket] = []

    /// How long a socket is kept without a question.
    private static let idleTime = TimeAmount.seconds(5)

    init(_ forwarder: Forwarder, _ server: DNSEndpoint) {
        self.forwarder = forwarder
        self.server = server
    }

    var isEmpty: Bool { sockets.isEmpty && retiring.isEmpty }

    /// Puts the flight's question to the server.
    func ask(_ flight: Flight, attempt: Int) {
        sockets.removeAll(where: \.isClosed)
        let socket: UpstreamSocket
        if sockets.count < forwarder.limits.upstreamSocketsMax {
            socket = UpstreamSocket(forwarder)
            sockets.append(socket)
            socket.connect(to: server)
        } else {
            socket = sockets[Int.random(in: sockets.indices)]
        }
        socket.ask(flight, attempt: attempt)
        if socket.uses >= forwarder.limits.queriesPerSocketMax, let place = sockets.firstIndex(where: { $0 === socket })
        {
            sockets.remove(at: place)
            retiring.append(socket)
        }
    }

    func closeIdle(_ now: NIODeadline) {
        func isOver(_ socket: UpstreamSocket, after time: TimeAmount) -> Bool {
            guard socket.isClosed || socket.isIdle && now - socket.lastUse > time else { return false }
            socket.close()
            return true
        }
        sockets.removeAll { isOver($0, after: Self.idleTime) }
        retiring.removeAll { isOver($0, after: .zero) }
    }

    func close() {
        for socket in sockets + retiring { socket.close() }
    }
}

/// A connected UDP socket with the questions that went out by it.
final class UpstreamSocket: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = ByteBuffer

    /// Bytes of a datagram that are read: the largest that clients usually offer. A longer one is asked for by TCP.
    private static let answerBytesMax = 4096
    private static let batchMax = 4

    private struct Question {
        let flight: Flight
        let attempt: Int
    }

    private let forwarder: Forwarder
    private var channel: (any Channel)?
    private var questions: [UInt16: Question] = [:]
    /// What is sent as soon as the socket is connected.
    private var early: [ByteBuffer] = []
    private(set) var uses = 0
    private(set) var lastUse = NIODeadline.now()
    private(set) var isClosed = false

    init(_ forwarder: Forwarder) { self.forwarder = forwarder }

    var isIdle: Bool { questions.isEmpty }

    func connect(to server: DNSEndpoint) {
        let bound = NIOLoopBound(self, eventLoop: forwarder.loop)
        // A zone that has gone is as good as a server that is not there.
        guard let address = try? server.socketAddress() else { return close() }
        DatagramBootstrap(group: forwarder.loop)
            .channelOption(.datagramVectorReadMessageCount, value: Self.batchMax)
            .channelOption(
                .recvAllocator,
                value: FixedSizeRecvByteBufferAllocator(capacity: Self.batchMax * Self.answerBytesMax)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(bound.value) }
            }
            .connect(to: address)
            .assumeIsolated()
            .whenComplete { self.connected($0) }
    }

    private func connected(_ result: Result<any Channel, any Error>) {
        guard case .success(let channel) = result, !isClosed else {
            if case .success(let channel) = result { channel.close(promise: nil) }
            return close()
        }
        self.channel = channel
        for message in early { channel.write(message, promise: nil) }
        channel.flush()
        early = []
    }

    func ask(_ flight: Flight, attempt: Int) {
        guard !isClosed else { return forwarder.failed(flight, attempt) }
        uses += 1
        lastUse = .now()
        var id = UInt16.random(in: .min ... .max)
        // Ends: a socket is replaced long before it has used all of them.
        while questions[id] != nil { id &+= 1 }
        questions[id] = Question(flight: flight, attempt: attempt)
        flight.datagrams.append((self, id))
        var message = ByteBufferAllocator().buffer(capacity: flight.message.count)
        message.writeBytes(flight.message)
        message.setInteger(id, at: 0)
        if let channel { channel.writeAndFlush(message, promise: nil) } else { early.append(message) }
    }

    /// The answer is no longer wanted.
    func forget(_ id: UInt16, of flight: Flight) {
        if questions[id]?.flight === flight { questions[id] = nil }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let message = unwrapInboundIn(data).data
        guard let id = message.getInteger(at: message.readerIndex, as: UInt16.self), let question = questions[id] else {
            return
        }
        // Anything else was not asked for, or is somebody's guess: the true answer may still come.
        let isAnswer = question.flight.isAnswered(by: message)
        guard isAnswer || Flight.isRefusal(message) else { return }
        questions[id] = nil
        if isAnswer {
            forwarder.received(message, question.flight, question.attempt, byStream: false)
        } else {
            forwarder.failed(question.flight, question.attempt)
        }
    }

    /// Nobody listens at the server's address, or there is no way to it.
    func errorCaught(context: ChannelHandlerContext, error: any Error) { close() }

    func channelInactive(context: ChannelHandlerContext) { close() }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        channel?.close(promise: nil)
        let lost = questions.values
        questions = [:]
        early = []
        for question in lost { forwarder.failed(question.flight, question.attempt) }
    }
}
