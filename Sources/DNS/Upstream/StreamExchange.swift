import NIOCore
import NIOPosix

/// One question put to a server by TCP.
final class StreamExchange: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let forwarder: Forwarder
    private let flight: Flight
    private let attempt: Int
    private let id = UInt16.random(in: .min ... .max)
    private var channel: (any Channel)?
    private var input = ByteBuffer()
    private var hasEnded = false

    init(_ forwarder: Forwarder, _ flight: Flight, _ attempt: Int) {
        self.forwarder = forwarder
        self.flight = flight
        self.attempt = attempt
    }

    func start(_ server: DNSEndpoint) {
        let bound = NIOLoopBound(self, eventLoop: forwarder.loop)
        // A zone that has gone is as good as a server that is not there.
        guard let address = try? server.socketAddress() else { return end(failed: true) }
        ClientBootstrap(group: forwarder.loop)
            .connectTimeout(forwarder.limits.attemptTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(bound.value) }
            }
            .connect(to: address)
            .assumeIsolated()
            .whenComplete { result in
                guard case .success(let channel) = result else { return self.end(failed: true) }
                self.channel = channel
                if self.hasEnded { channel.close(promise: nil) }
            }
    }

    func channelActive(context: ChannelHandlerContext) {
        var message = context.channel.allocator.buffer(capacity: flight.message.count + 2)
        message.writeInteger(UInt16(flight.message.count))
        message.writeBytes(flight.message)
        message.setInteger(id, at: 2)
        context.writeAndFlush(wrapOutboundOut(message), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        input.writeBuffer(&bytes)
        guard let length = input.getInteger(at: 0, as: UInt16.self),
            let message = input.getSlice(at: 2, length: Int(length)), !hasEnded
        else { return }
        // One question, one answer: what is not it ends the exchange.
        let isAnswer =
            message.getInteger(at: message.readerIndex, as: UInt16.self) == id && flight.isAnswered(by: message)
        end(failed: !isAnswer)
        if isAnswer { forwarder.received(message, flight, attempt, byStream: true) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { end(failed: true) }

    func channelInactive(context: ChannelHandlerContext) { end(failed: true) }

    /// Its answer is no longer wanted.
    func cancel() { end(failed: false) }

    private func end(failed: Bool) {
        guard !hasEnded else { return }
        hasEnded = true
        channel?.close(promise: nil)
        forwarder.noteConnectionEnded()
        if failed { forwarder.failed(flight, attempt) }
    }
}
