import Actors
import HTTP
import Kernel
import NIOCore
import NIOPosix

/// Bytes between the API and descriptors of the engine, with back-pressure and without blocking a thread.
enum PipeTransfer {
    /// Bytes of one read from a pipe.
    private static let readBytes = 256 << 10

    private static func bootstrap() -> NIOPipeBootstrap {
        NIOPipeBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: readBytes))
    }

    /// Sends what can be read from a pipe until its end.
    static func send(_ reader: consuming OwnedFD, to writer: ResponseWriter) async throws {
        let descriptor = reader.release()
        let channel = try await bootstrap().takingOwnershipOfDescriptor(input: descriptor) { channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, Never>(wrappingChannelSynchronously: channel)
            }
        }
        try await channel.executeThenClose { inbound in
            for try await bytes in inbound { try await writer.write(bytes) }
        }
    }

    /// How long a client may take to send on after its body is of no use any more.
    private static let uselessBodyLimit = Duration.seconds(2)

    /// What one of the tasks of `receive` came to.
    private enum Step<Value: Sendable>: Sendable {
        case fed, timedOut
        case used(Result<Value, any Error>)
    }

    /// Gives `use` the reading end of a pipe with the request's body in it.
    ///
    /// The reading of the body is not cancelled when `use` is done with it or fails: that would end the connection, and with
    /// it the answer that says why.
    static func receive<Value: Sendable>(
        _ body: RequestBody, _ use: @escaping @Sendable (consuming OwnedFD) async throws -> Value
    ) async throws -> Value {
        let pipe = try Pipe()
        return try await withThrowingTaskGroup(of: Step<Value>.self) { group in
            group.addTask {
                try await feed(body, to: try pipe.writer.take())
                return .fed
            }
            group.addTask {
                do { return .used(.success(try await use(try pipe.reader.take()))) } catch {
                    return .used(.failure(error))
                }
            }
            var isFed = false
            var result: Result<Value, any Error>?
            while result == nil || !isFed, let step = try await group.next() {
                switch step {
                case .fed, .timedOut: isFed = true
                case .used(let value):
                    result = value
                    group.addTask {
                        // Cancelled: the body ended first.
                        try? await Task.sleep(for: uselessBodyLimit)
                        return .timedOut
                    }
                }
            }
            group.cancelAll()
            guard let result else { throw EngineError(.system, "the request body was not read") }
            return try result.get()
        }
    }

    private static func feed(_ body: RequestBody, to writer: consuming OwnedFD) async throws {
        let descriptor = writer.release()
        let channel = try await bootstrap().takingOwnershipOfDescriptor(output: descriptor) { channel in
            channel.eventLoop.makeSucceededFuture(channel)
        }
        do {
            for try await part in body {
                // Each is in the pipe before the next, and so before the end: closing drops what is not yet written.
                // Whoever reads may have seen enough: its own result tells, not this end.
                guard (try? await channel.writeAndFlush(part)) != nil else { break }
            }
        } catch {
            try? await channel.close()
            throw error
        }
        // Closed already where the reader was gone.
        try? await channel.close()
    }
}

extension RawStream {
    /// Joins the client to `socket`; see ``splice(adopting:leavingOn:)``.
    ///
    /// - Parameter keys: what leaves a terminal; nil where there is none.
    /// - Returns: whether the client has sent them.
    func splice(_ socket: consuming OwnedFD, leavingOn keys: DetachKeys?) async throws -> Bool {
        try await splice(adopting: socket.release(), leavingOn: keys?.sequence) == .escaped
    }
}

/// The frames that keep two outputs apart on one connection.
enum StreamFrame {
    /// Stream number, three zero bytes, length in big endian, then the bytes.
    static func append(_ stream: UInt8, _ bytes: some Collection<UInt8>, to buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt32(stream) << 24)
        buffer.writeInteger(UInt32(bytes.count))
        buffer.writeBytes(bytes)
    }

    /// Content type of raw or framed streams.
    static func contentType(tty: Bool, version: APIVersion) -> String {
        tty || version < APIVersion(1, 42)
            ? "application/vnd.docker.raw-stream" : "application/vnd.docker.multiplexed-stream"
    }
}

extension OutgoingStream {
    /// Sends what the stream produces; throws when it was not produced whole. Once.
    func send(to writer: ResponseWriter) async throws {
        try await PipeTransfer.send(try reader.take(), to: writer)
        try await completion.value
    }
}
