import Glibc
import NIOCore
import NIOPosix

/// Work that an event loop does only after it has looked at its sockets again. Tasks of a loop run until there is none left:
/// those that each bring the next keep it from its sockets, and what new clients send from being read.
final class LoopTurns: ChannelInboundHandler, @unchecked Sendable {  // variables are the event loop's alone
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let loop: any EventLoop
    /// Both ends of a pair. A byte in it is a socket to look at; nil before ``open()`` and after ``close()``.
    private var channel: (any Channel)?
    private var waiting: [() -> Void] = []

    init(_ loop: any EventLoop) { self.loop = loop }

    /// - Throws: `IOError` of socketpair(2).
    func open() async throws {
        var ends: [CInt] = [-1, -1]
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw IOError(errnoCode: errno, reason: "socketpair") }
        do {
            _ = try await NIOPipeBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(self) }
                }
                .takingOwnershipOfDescriptors(input: ends[0], output: ends[1]).get()
        } catch {
            for end in ends { _ = Glibc.close(end) }
            throw error
        }
    }

    func close() { loop.execute { self.channel?.close(promise: nil) } }

    /// To be called on the loop.
    func next(_ work: @escaping () -> Void) {
        // The server ends: there is nobody to be fair to.
        guard let channel else { return loop.assumeIsolated().execute(work) }
        waiting.append(work)
        if waiting.count == 1 { channel.writeAndFlush(ByteBuffer(bytes: [0]), promise: nil) }
    }

    func channelActive(context: ChannelHandlerContext) { channel = context.channel }

    func channelReadComplete(context: ChannelHandlerContext) { run() }

    func channelInactive(context: ChannelHandlerContext) {
        channel = nil
        run()
    }

    private func run() {
        let due = waiting
        waiting = []
        for work in due { work() }
    }
}
