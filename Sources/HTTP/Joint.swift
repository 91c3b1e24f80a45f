import NIOCore
import NIOPosix

/// Carries bytes between a client's channel and another connected socket, on the client's event loop, without a task
/// or a copy in between. Each side is read only while the other can take more.
final class Joint: ChannelInboundHandler, @unchecked Sendable {  // only the event loop of both channels touches it
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let client: any Channel
    private var peer: (any Channel)?
    private var clientEnded = false
    private var peerEnded = false
    private var clientReadPending = false
    private var peerReadPending = false
    private var isFinished = false
    private var escape: EscapeSequence?
    /// Succeeds when the peer's output is with the client's kernel or nobody is left to have it.
    let finished: EventLoopPromise<JointEnd>

    private init(client: any Channel, _ escape: EscapeSequence?) {
        self.client = client
        self.escape = escape
        finished = client.eventLoop.makePromise(of: JointEnd.self)
    }

    static func open(
        _ socket: NIOBSDSocket.Handle, client: any Channel, escape: EscapeSequence?, limits: Limits
    ) async throws -> Joint {
        let joint = Joint(client: client, escape)
        do {
            _ = try await ClientBootstrap(group: client.eventLoop)
                .channelOption(.autoRead, value: false)
                .channelOption(.allowRemoteHalfClosure, value: true)
                .channelOption(
                    .recvAllocator,
                    value: AdaptiveRecvByteBufferAllocator(
                        minimum: 2048, initial: 8192, maximum: limits.readBytesMax)
                )
                .channelInitializer { channel in channel.pipeline.addHandler(joint) }
                .withConnectedSocket(socket).get()
        } catch {
            joint.finished.succeed(.ended)
            throw error
        }
        return joint
    }

    func handlerAdded(context: ChannelHandlerContext) { peer = context.channel }

    func start(_ early: ByteBuffer, clientEnded: Bool, clientClosed: Bool) {
        if clientClosed { return self.clientClosed() }
        if early.readableBytes > 0 { fromClient(early) }
        guard !isFinished else { return }
        peer?.flush()
        peer?.read()
        if clientEnded { return clientInputEnded() }
        clientReadComplete()
    }

    // MARK: Client to peer

    func fromClient(_ bytes: ByteBuffer) {
        guard !isFinished else { return }
        guard let (passed, isComplete) = escape?.filter(bytes.readableBytesView) else {
            peer?.write(bytes, promise: nil)
            return
        }
        if !passed.isEmpty { peer?.write(ByteBuffer(bytes: passed), promise: nil) }
        guard isComplete else { return }
        // What was typed before is delivered, as far as the peer takes it at once.
        peer?.flush()
        finish(.escaped)
        peer?.close(promise: nil)
    }

    func clientReadComplete() {
        guard let peer, !isFinished else { return }
        peer.flush()
        if peer.isWritable { client.read() } else { clientReadPending = true }
    }

    func clientInputEnded() {
        guard !clientEnded else { return }
        clientEnded = true
        // A peer that is gone already shows as its own end.
        peer?.flush()
        peer?.close(mode: .output, promise: nil)
    }

    func clientWritabilityChanged() {
        guard client.isWritable, peerReadPending else { return }
        peerReadPending = false
        peer?.read()
    }

    func clientClosed() {
        peer?.close(promise: nil)
        finish()
    }

    // MARK: Peer to client

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { client.write(unwrapInboundIn(data), promise: nil) }

    func channelReadComplete(context: ChannelHandlerContext) {
        client.flush()
        if client.isWritable { context.read() } else { peerReadPending = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable, clientReadPending else { return }
        clientReadPending = false
        client.read()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event as? ChannelEvent == .inputClosed else { return context.fireUserInboundEventTriggered(event) }
        peerOutputEnded()
    }

    func channelInactive(context: ChannelHandlerContext) { peerOutputEnded() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A write to a peer that ended early fails; what it sent before still reaches the client.
        context.close(promise: nil)
    }

    private func peerOutputEnded() {
        guard !peerEnded else { return }
        peerEnded = true
        // Whether the client took everything or left, the stream is over.
        client.writeAndFlush(ByteBuffer()).whenComplete { _ in
            self.peer?.close(promise: nil)
            self.finish()
        }
    }

    func abandon() {
        peer?.close(promise: nil)
        client.close(promise: nil)
        finish()
    }

    private func finish(_ end: JointEnd = .ended) {
        guard !isFinished else { return }
        isFinished = true
        finished.succeed(end)
    }
}

/// Why a joined connection is over.
package enum JointEnd: Sendable {
    /// One of both sides has ended.
    case ended
    /// The client has sent the sequence that ends it.
    case escaped
}
