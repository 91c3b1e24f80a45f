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

    package init(
        respond: @escaping @Sendable (Request) async throws -> Response,
        failure: @escaping @Sendable (any Error) -> Response,
        noteBroken: @escaping @Sendable (RequestHead, any Error) -> Void = { _, _ in }
    ) {
        self.respond = respond
        self.failure = failure
        self.noteBroken = noteBroken
    }
}

/// An HTTP/1.1 server on listening sockets.
///
/// ``run()`` serves until ``shutdown(grace:)`` or cancellation; every connection is a child task of it.
package final class HTTPServer: Sendable {
    private struct State {
        var listeners: [any Channel] = []
        var connections: [ObjectIdentifier: Transport] = [:]
        var isEnding = false
    }

    private let sockets: [ListeningSocket]
    private let service: HTTPService
    private let limits: Limits
    private let group: any EventLoopGroup
    private let state = Mutex(State())

    package init(
        _ sockets: [ListeningSocket], service: HTTPService, limits: Limits = Limits(),
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        self.sockets = sockets
        self.service = service
        self.limits = limits
        self.group = group
    }

    /// Accepts and serves.
    ///
    /// - Throws: the error that keeps a socket from being listened on.
    package func run() async throws {
        try await withThrowingTaskGroup { tasks in
            for socket in sockets {
                let channel = try await listen(socket)
                tasks.addTask { try await self.accept(channel, isLocal: socket.isLocal) }
            }
            try await tasks.waitForAll()
        }
    }

    private func listen(_ socket: ListeningSocket) async throws -> NIOAsyncChannel<Transport, Never> {
        let limits = limits
        let (isLocal, tls) = (socket.isLocal, socket.tls)
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: ListeningSocket.backlog)
            .childChannelOption(.autoRead, value: false)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(
                .recvAllocator,
                value: AdaptiveRecvByteBufferAllocator(
                    minimum: 1024, initial: 4096, maximum: limits.readBytesMax)
            )
            .bind(socket.release()) { channel in
                channel.eventLoop.makeCompletedFuture {
                    if !isLocal { try channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1) }
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls.context))
                    }
                    let transport = Transport(channel, endOfInputIsDisconnect: !isLocal)
                    try channel.pipeline.syncOperations.addHandler(transport)
                    // Whoever can reach the network can connect and say nothing: until the first head this ends it.
                    if !isLocal { transport.setDeadline(limits.headTimeout) }
                    return transport
                }
            }
        state.withLock { $0.listeners.append(channel.channel) }
        return channel
    }

    private func accept(_ listener: NIOAsyncChannel<Transport, Never>, isLocal: Bool) async throws {
        try await withThrowingDiscardingTaskGroup { tasks in
            try await listener.executeThenClose { inbound in
                for try await transport in inbound {
                    guard admit(transport) else {
                        tasks.addTask { await self.turnAway(transport) }
                        continue
                    }
                    tasks.addTask {
                        await Connection(transport, self.service, self.limits).serve()
                        self.state.withLock { $0.connections[ObjectIdentifier(transport)] = nil }
                    }
                }
            }
        }
    }

    private func admit(_ transport: Transport) -> Bool {
        state.withLock { state in
            guard !state.isEnding, state.connections.count < limits.connectionsMax else { return false }
            state.connections[ObjectIdentifier(transport)] = transport
            return true
        }
    }

    private func turnAway(_ transport: Transport) async {
        let head = ResponseHead.bytes(503, headers: ["Connection": "close", "Content-Length": "0"], extra: [])
        // The client may be gone already, which is as good.
        try? await transport.write(head)
        transport.close()
    }

    /// Stops accepting, closes idle connections, lets requests under way finish for `grace`, then cuts them off.
    package func shutdown(grace: Duration) async {
        let (listeners, connections) = state.withLock { state in
            state.isEnding = true
            return (state.listeners, Array(state.connections.values))
        }
        for listener in listeners { listener.close(promise: nil) }
        for connection in connections { connection.closeIfIdle() }
        let end = ContinuousClock.now + grace
        while ContinuousClock.now < end, state.withLock({ !$0.connections.isEmpty }) {
            // Cancelled: the caller does not want to wait.
            guard (try? await Task.sleep(for: .milliseconds(20))) != nil else { break }
            for connection in state.withLock({ Array($0.connections.values) }) { connection.closeIfIdle() }
        }
        for connection in state.withLock({ Array($0.connections.values) }) { connection.close() }
    }
}
