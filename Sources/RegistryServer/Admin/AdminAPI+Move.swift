import Logging
import FoundationEssentials
import HTTP
import NIOCore
package import RegistryStore

extension AdminAPI {
    static let moveEndpoints: [Route<Handler>] = [
        .init(.post, "/move/database") { try await $0.moveDatabase($1) },
        .init(.post, "/move/storage") { try await $0.moveStorage($1) },
        .init(.post, "/move/files") { await $0.moveFiles($1) },
    ]

    /// Of `POST /move/database`.
    package struct DatabaseTarget: Codable, Sendable {
        package let url: String
        package init(url: String) { self.url = url }
    }

    /// A line of the answer: what has been copied, and at the end either ``isMoved`` or ``error``.
    package struct MoveLine: Codable, Sendable {
        package var progress: DatabaseMove.Progress?
        /// Of blobs.
        package var blobs: BlobMove.Progress?
        package var isMoved: Bool?
        package var error: String?
    }

    /// Lines that wait for a client that reads slowly; older ones are told no more.
    private static let waitingMax = 16

    private func moveDatabase(_ call: Call) async throws -> Response {
        let target = try await call.body(DatabaseTarget.self)
        let settings: PostgresSettings
        do throws(StoreFailure) { settings = try PostgresSettings(url: target.url) } catch {
            throw Refusal(.unknown, 400, error.description)
        }
        let (store, logger) = (store, api.logger)
        return await audited("move-database", to: settings.place, call) { tell in
            do {
                try await store.moveIndex(to: settings) { tell(MoveLine(progress: $0)) }
                logger.info("the index was moved to \(settings.place)")
            } catch {
                logger.error("the index was not moved: \(error)")
                throw error
            }
        }
    }

    /// The body is what `"storage"` of the configuration says.
    private func moveStorage(_ call: Call) async throws -> Response {
        let target = try await call.body(StorageConfiguration.self)
        let store = store
        return await blobs("the bucket", call) { try await store.moveBlobs(to: target, progress: $0) }
    }

    private func moveFiles(_ call: Call) async -> Response {
        let store = store
        return await blobs("files", call) { try await store.moveBlobsBack(progress: $0) }
    }

    private func blobs(
        _ place: String, _ call: Call,
        _ move: @escaping @Sendable (@escaping @Sendable (BlobMove.Progress) -> Void) async throws -> BlobMove.Progress
    ) async -> Response {
        await audited("move-storage", to: place, call) { [logger = api.logger] tell in
            do {
                let moved = try await move { tell(MoveLine(blobs: $0)) }
                logger.info("\(moved.blobs) blobs (\(moved.bytes) bytes) were moved to \(place)")
            } catch {
                logger.error("the blobs were not all moved to \(place): \(error)")
                throw error
            }
        }
    }

    /// Writes down that a move has begun, with the answer, and how it has ended.
    private func audited(
        _ action: String, to place: String, _ call: Call,
        _ move: @escaping @Sendable (_ tell: @escaping @Sendable (MoveLine) -> Void) async throws -> Void
    ) async -> Response {
        let peer = await call.request.peerProcess()
        call.done.deed = .init(action, target: place)
        return Self.lines { [auditLog = api.auditLog] tell in
            let end = AuditLog.Deed("\(action)-end", target: place)
            do { try await move(tell) } catch {
                await auditLog?.add(end, status: 500, by: peer)
                throw error
            }
            await auditLog?.add(end, status: 200, by: peer)
        }
    }

    /// Tells how far `move` is while it runs, and what came of it.
    private static func lines(
        _ move: @escaping @Sendable (_ tell: @escaping @Sendable (MoveLine) -> Void) async throws -> Void
    ) -> Response {
        let body: @Sendable (ResponseWriter) async throws -> Void = { writer in
            let (lines, continuation) = AsyncStream.makeStream(
                of: MoveLine.self, bufferingPolicy: .bufferingNewest(waitingMax))
            // A client that leaves ends the move.
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let last: MoveLine
                    do {
                        try await move { continuation.yield($0) }
                        last = MoveLine(isMoved: true)
                    } catch {
                        last = MoveLine(error: (error as? Refusal)?.message ?? "\(error)")
                    }
                    continuation.yield(last)
                    continuation.finish()
                }
                for await line in lines {
                    var bytes = ByteBuffer(bytes: try JSONEncoder().encode(line))
                    bytes.writeStaticString("\n")
                    try await writer.write(bytes)
                }
                try await group.waitForAll()
            }
        }
        return Response(headers: ["Content-Type": "application/x-ndjson"], body: .stream(body))
    }
}
