import Logging
import NIOCore

/// The UDP socket of one container.
final class DatagramPort: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    /// Bytes of a query that are read: a name, and options of some hundred bytes.
    static let queryBytesMax = 1280
    /// Datagrams that one system call takes.
    static let batchMax = 8
    /// Such calls before other sockets have their turn.
    static let batchesMax: UInt = 4

    private let client: Client
    private let server: ServerLoop
    private var context: ChannelHandlerContext?

    init(_ client: Client, _ server: ServerLoop) {
        self.client = client
        self.server = server
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        let route = Route.datagram(self, envelope.remoteAddress)
        guard let answer = server.answer(envelope.data, from: client, route) else { return }
        write(answer, to: envelope.remoteAddress, context)
    }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }

    func send(_ message: ByteBuffer, to address: SocketAddress) {
        guard let context else { return }
        write(message, to: address, context)
        context.flush()
    }

    private func write(_ message: ByteBuffer, to address: SocketAddress, _ context: ChannelHandlerContext) {
        // A datagram may be lost; one that would have to wait is.
        guard context.channel.isWritable else { return }
        context.write(wrapOutboundOut(AddressedEnvelope(remoteAddress: address, data: message)), promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        guard server.isServing(client) else { return }
        server.logger.error(
            "the name server of a container has lost its socket: restart the container",
            metadata: ["container": "\(client.container)"])
    }

    /// Nothing that happens to one datagram ends the service.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        server.logger.debug("dns datagram failed", metadata: ["container": "\(client.container)", "error": "\(error)"])
    }
}
