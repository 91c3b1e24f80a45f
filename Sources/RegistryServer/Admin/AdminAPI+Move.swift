import Logging
import FoundationEssentials
import HTTP
import NIOCore
package import RegistryStore

extension AdminAPI {
    static let moveEndpoints: [Route<Handler>] = [
        .init(.post, "/move/database") { try await $0.moveDatabase($1) }
    ]

    /// Of `POST /move/database`.
    package struct DatabaseTarget: Codable, Sendable {
        package let url: String
        package init(url: String) { self.url = url }
    }

    /// A line of the answer: what has been copied, and at the end either ``isMoved`` or ``error``.
    package struct MoveLine: Codable, Sendable {
        package var progress: DatabaseMove.Progress?
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
        let body: @Sendable (ResponseWriter) async throws -> Void = { writer in
            let (lines, continuation) = AsyncStream.makeStream(
                of: MoveLine.self, bufferingPolicy: .bufferingNewest(Self.waitingMax))
            // A client that leaves ends the move.
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let last: MoveLine
                    do {
                        try await store.moveIndex(to: settings) { continuation.yield(MoveLine(progress: $0)) }
                        logger.info("the index was moved to \(settings.place)")
                        last = MoveLine(isMoved: true)
                    } catch {
                        logger.error("the index was not moved: \(error)")
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
