import NIOCore

/// One TCP connection of a container: queries one after another, each with its length before it (RFC 7766).
///
/// The next query is read when its answer has somewhere to go, so that a client that only sends makes nothing grow.
final class StreamPort: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes of answers that wait for the client, before the next query is read.
    static let outputBytes = ChannelOptions.Types.WriteBufferWaterMark(low: 32 << 10, high: 64 << 10)

    private let client: Client
    private let server: ServerLoop
    private var context: ChannelHandlerContext?
    private var input = ByteBuffer()
    /// Queries that wait for servers.
    private var waiting = 0
    private var hasInputEnded = false
    private var wantsRead = false
    private var isWorking = false

    init(_ client: Client, _ server: ServerLoop) {
        self.client = client
        self.server = server
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        client.connections[ObjectIdentifier(self)] = self
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        client.connections[ObjectIdentifier(self)] = nil
    }

    func close() { context?.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if input.readableBytes == 0 { input = bytes } else { input.writeBuffer(&bytes) }
        work(context)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        work(context)
        context.fireChannelWritabilityChanged()
    }

    /// Answers what has been read, as far as answers have somewhere to go.
    private func work(_ context: ChannelHandlerContext) {
        // An answer may change the writability, which leads here again.
        guard !isWorking else { return }
        isWorking = true
        defer { isWorking = false }
        while canTakeQuery(context), let message = nextMessage() {
            guard message.readableBytes >= Wire.headerBytes else { return context.close(promise: nil) }
            if let answer = server.answer(message, from: client, .stream(self)) {
                context.write(wrapOutboundOut(answer), promise: nil)
            }
        }
        context.flush()
        if canTakeQuery(context) {
            input.discardReadBytes()
            if hasInputEnded, waiting == 0 { return context.close(promise: nil) }
            if wantsRead {
                wantsRead = false
                context.read()
            }
        }
    }

    private func canTakeQuery(_ context: ChannelHandlerContext) -> Bool {
        waiting < server.limits.pipelinedMax && context.channel.isWritable
    }

    private func nextMessage() -> ByteBuffer? {
        guard let length = input.getInteger(at: input.readerIndex, as: UInt16.self),
            input.readableBytes >= 2 + Int(length)
        else { return nil }
        input.moveReaderIndex(forwardBy: 2)
        return input.readSlice(length: Int(length))
    }

    func read(context: ChannelHandlerContext) {
        if canTakeQuery(context) { context.read() } else { wantsRead = true }
    }

    /// The query that is being answered waits for a server.
    func noteWaiting() { waiting += 1 }

    /// Sends the answer of a query that waited.
    func send(_ message: ByteBuffer) {
        waiting -= 1
        guard let context else { return }
        context.write(wrapOutboundOut(message), promise: nil)
        work(context)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case ChannelEvent.inputClosed:
            hasInputEnded = true
            work(context)
        case is IdleStateHandler.IdleStateEvent:
            context.close(promise: nil)
        default:
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
