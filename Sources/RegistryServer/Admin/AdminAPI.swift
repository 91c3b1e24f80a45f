import FoundationEssentials
package import HTTP
import NIOCore
import OCI
import RegistryStore
import Synchronization

/// What the operator asks of a running registry, through a socket in its folder: nothing of it is on the public port, and the
/// file's mode is who may ask. Bodies are JSON; errors are those of the public side.
package struct AdminAPI: Sendable {
    let api: RegistryAPI
    var store: RegistryStore { api.store }

    package init(_ api: RegistryAPI) { self.api = api }

    /// One request and what its path names.
    struct Call: Sendable {
        let request: Request
        let parameters: [String: String]
        let done = Done()

        /// The value of `{name}` in the pattern; empty when the pattern has none.
        func parameter(_ name: String) -> String { parameters[name] ?? "" }

        /// - Throws: ``Refusal`` 400 for what is not JSON of that kind.
        func body<Body: Decodable>(_: Body.Type) async throws -> Body {
            let bytes = Array(try await request.body.collect(bytesMax: AdminAPI.bodyBytesMax).readableBytesView)
            do {
                try StrictJSON.check(bytes)
                return try JSONDecoder().decode(Body.self, from: Data(bytes))
            } catch {
                throw Refusal(.unknown, 400, "invalid request: \(String("\(error)".prefix(200)))")
            }
        }
    }

    /// What a request is about to change, for the audit log.
    final class Done: Sendable {
        private let held = Mutex<AuditLog.Deed?>(nil)
        var deed: AuditLog.Deed? {
            get { held.withLock { $0 } }
            set { held.withLock { $0 = newValue } }
        }
    }

    typealias Handler = @Sendable (AdminAPI, Call) async throws -> Response

    private static let bodyBytesMax = 1 << 20
    private static let version = APIVersion(1, 0)

    static let endpoints: [Route<Handler>] = [
        .init(.post, "/gc") { try await $0.collectGarbage($1) },
        .init(.delete, "/repositories/{name:.*}") { try await $0.deleteRepository($1) },
        .init(.get, "/webhooks") { try await $0.webhooks($1) },
        .init(.post, "/webhooks/redeliver") { try await $0.redeliver($1) },
        .init(.get, "/retention") { api, _ in try api.previewRetention() },
        .init(.post, "/retention") { try await $0.applyRetention($1) },
        .init(.get, "/replication") { api, _ in try await api.replication() },
        .init(.post, "/replication") { try await $0.queueReplication($1) },
        .init(.get, "/scrub") { api, _ in try await api.scrubStatus() },
        .init(.post, "/scrub") { try await $0.beginScrub($1) },
    ]

    private static let router = Router(
        endpoints + accountEndpoints + quotaEndpoints + moveEndpoints, versions: version...version)

    /// What an HTTP server on the socket serves.
    package var service: HTTPService {
        HTTPService(respond: { try await respond($0) }, failure: { api.failure($0) })
    }

    /// The status of a request whose client did not wait for its end, which no client sees.
    private static let brokenOff = 499

    private func respond(_ request: Request) async throws -> Response {
        var call: Call?
        let response: Response
        // Who has left cannot be asked for any more.
        let peer = await request.peerProcess()
        func audit(_ status: Int) async {
            if let deed = call?.done.deed { await api.auditLog?.add(deed, status: status, by: peer) }
        }
        do {
            let match = try Self.router.match(request.method, request.path)
            let matched = Call(request: request, parameters: match.parameters)
            call = matched
            response = try await match.handler(self, matched)
        } catch {
            if error is ConnectionClosed || Task.isCancelled {
                // Some of it may have been done.
                await audit(Self.brokenOff)
                throw error
            }
            response = api.failure(error)
        }
        await audit(response.status)
        return response
    }

    // MARK: Garbage

    /// Of `POST /gc`.
    package struct Collected: Codable, Sendable {
        package let uploads: Int
        package let blobs: Int
        package let bytes: Int64
    }

    private func collectGarbage(_ call: Call) async throws -> Response {
        call.done.deed = .init("gc")
        let uploads = try await store.expireUploads()
        let found = try await store.collectGarbage()
        return try RegistryAPI.json(200, Collected(uploads: uploads, blobs: found.blobs, bytes: found.bytes))
    }
}
