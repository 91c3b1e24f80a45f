import NIOCore

/// Hands the bytes of a connection on when they are asked for, those that come with its end as well.
///
/// At the end of a connection NIO reads all that the kernel still has, and the HTTP client drops what its consumer has
/// not
/// taken when it hears of the end. So the end is held back here until the consumer has asked past the last byte: what a
/// registry sent before it failed is not fetched twice. Needs `allowRemoteHalfClosure`, so that the channel stays open.
///
/// First in the pipeline; used on the channel's event loop alone.
final class ReadGate: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer

    /// At most what the kernel buffers for one connection (tcp_rmem).
    private var held = CircularBuffer<ByteBuffer>()
    /// A read was asked for and nothing has come yet.
    private var isWanted = false
    /// Something was handed on since the last end of a read.
    private var isHandingOn = false
    private var hasEnded = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard isWanted, held.isEmpty else {
            held.append(unwrapInboundIn(data))
            return
        }
        isHandingOn = true
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        guard isHandingOn else { return }
        isHandingOn = false
        isWanted = false
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        if let next = held.popFirst() {
            context.fireChannelRead(wrapInboundOut(next))
            context.fireChannelReadComplete()
            // As the channel itself does after each of its reads (auto-read).
            context.channel.read()
        } else if hasEnded {
            context.close(promise: nil)
        } else {
            isWanted = true
            context.read()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .some(.inputClosed) = event as? ChannelEvent else {
            return context.fireUserInboundEventTriggered(event)
        }
        hasEnded = true
        if held.isEmpty { context.close(promise: nil) } else { context.channel.read() }
    }
}
