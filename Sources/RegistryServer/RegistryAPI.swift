import FoundationEssentials
import Glibc
package import HTTP
import Kernel
package import Logging
import NIOCore
import OCI
package import RegistryEngine
package import RegistryMirror
package import RegistryStore
package import RegistryUpkeep
import Synchronization

/// The registry's answers: the OCI distribution protocol over a store.
package struct RegistryAPI: Sendable {
    let store: RegistryStore
    let logger: Logger
    let access: AccessPolicy
    let authenticator: Authenticator?
    /// nil where nothing is written down.
    package var auditLog: AuditLog?
    let metrics = Metrics()
    package var searchSettings = SearchSettings()
    /// Servers that have blobs, too.
    package var redirects = RedirectRules()
    /// Registries that this one is a copy of; nil where there are none.
    package var mirrors: Mirrors?
    /// Whose images are served, instead of what is pushed; nil for none.
    package var engine: EngineImages?
    /// nil where the registry does nothing by itself.
    let upkeep: Upkeep?

    /// - Parameter authenticator: nil where there are no accounts.
    package init(
        _ store: RegistryStore, access: AccessPolicy = AccessPolicy(), authenticator: Authenticator? = nil,
        upkeep: Upkeep? = nil, logger: Logger
    ) {
        self.store = store
        self.access = access
        self.authenticator = authenticator
        self.upkeep = upkeep
        self.logger = logger
    }

    /// One request and what its path names.
    struct Call: Sendable {
        let request: Request
        let route: DistributionRoute
        let caller: Caller
        var claimed = Claimed()
        /// The account that the request is of.
        var user: String? { caller.name }

        /// - Throws: ``Refusal`` NAME_INVALID.
        func repository() throws(Refusal) -> RepositoryName { try RepositoryName(route.name) }
        func digest() throws(Refusal) -> Digest { try ManifestName.digest(route.reference) }

        /// What others are told of who has asked.
        var origin: Origin {
            Origin(
                user: user, address: request.peerAddress, host: request.headers["host"],
                method: request.method.description, agent: request.headers["user-agent"])
        }
    }

    /// Who a request's body says that it is of, where its head does not.
    final class Claimed: Sendable {
        private let held = Mutex<String?>(nil)
        var name: String? {
            get { held.withLock { $0 } }
            set { held.withLock { $0 = newValue } }
        }
    }

    typealias Handler = @Sendable (RegistryAPI, Call) async throws -> Response

    /// A row of the table: what a kind of path answers to a method.
    struct Endpoint: Sendable {
        let method: Method
        let kind: DistributionRoute.Kind
        let handler: Handler

        init(_ method: Method, _ kind: DistributionRoute.Kind, _ handler: @escaping Handler) {
            self.method = method
            self.kind = kind
            self.handler = handler
        }
    }

    /// HEAD is answered by the row of GET.
    static let endpoints: [Endpoint] = [
        .init(.get, .base) { _, _ in Self.empty },
        .init(.get, .health) { api, _ in try await api.health() },
        .init(.get, .metrics) { api, _ in try await api.allMetrics() },
        .init(.get, .catalog) { try await $0.catalog($1) },
        .init(.get, .tags) { try await $0.tags($1) },
        .init(.get, .referrers) { try await $0.referrers($1) },
        .init(.get, .manifest) { try await $0.getManifest($1) },
        .init(.put, .manifest) { try await $0.putManifest($1) },
        .init(.delete, .manifest) { try await $0.deleteManifest($1) },
        .init(.get, .blob) { try await $0.getBlob($1) },
        .init(.delete, .blob) { try await $0.deleteBlob($1) },
        .init(.post, .uploads) { try await $0.beginUpload($1) },
        .init(.get, .upload) { try await $0.uploadStatus($1) },
        .init(Method("PATCH"), .upload) { try await $0.appendToUpload($1) },
        .init(.put, .upload) { try await $0.finishUpload($1) },
        .init(.delete, .upload) { try await $0.cancelUpload($1) },
        .init(.get, .indexPing) { _, _ in Self.indexPing },
        .init(.get, .indexSearch) { try await $0.indexSearch($1) },
        .init(.get, .legacyImages) { try await $0.legacyImages($1) },
        .init(.get, .legacyTags) { try await $0.legacyTags($1) },
        .init(.get, .legacyTag) { try await $0.legacyTag($1) },
        .init(.get, .legacyImage) { try await $0.legacyImage($1) },
        .init(.get, .search) { try await $0.search($1) },
        .init(.get, .repositories) { try await $0.repositories($1) },
        .init(.get, .repository) { try await $0.repositoryDetail($1) },
        .init(.get, .repositoryTags) { try await $0.repositoryTags($1) },
        .init(.get, .token) { try await $0.getToken($1) },
        .init(.post, .token) { try await $0.postToken($1) },
        .init(.get, .tokenKeys) { try await $0.tokenKeys($1) },
        .init(.delete, .repository) { try await $0.deleteRepository($1) },
        .init(.get, .home) { try await $0.homePage($1) },
        .init(.get, .list) { try await $0.listPage($1) },
        .init(.get, .found) { try await $0.foundPage($1) },
        .init(.get, .page) { try await $0.repositoryOrImagePage($1) },
        .init(.get, .login) { api, _ in api.loggedIn },
    ]

    private static let table: [DistributionRoute.Kind: [Method: Handler]] = {
        var table: [DistributionRoute.Kind: [Method: Handler]] = [:]
        for endpoint in endpoints { table[endpoint.kind, default: [:]][endpoint.method] = endpoint.handler }
        return table
    }()

    /// What an HTTP server serves.
    package var service: HTTPService {
        HTTPService(
            respond: { try await respond($0) }, failure: { failure($0) },
            noteBroken: { head, error in
                logger.debug("\(head.method) \(head.path) was cut: \(error)")
            },
            noteLimit: { logger.warning("\($0.rawValue)") }, acceptsOrigin: Self.isOwnPage, isBrief: isBrief)
    }

    /// What pulls are made of: found in memory or by one look at the index, and sent by the kernel.
    private func isBrief(_ head: RequestHead) -> Bool {
        guard mirrors == nil, engine == nil, [.get, .head].contains(head.method) else { return false }
        switch DistributionRoute(head.path)?.kind {
        case .manifest: return true
        case .blob: return store.sendsFiles
        default: return false
        }
    }

    private func respond(_ request: Request) async throws -> Response {
        let began = ContinuousClock.now
        var response: Response
        let route = DistributionRoute(request.path).map { named($0, request) }
        var caller: Caller?
        let claimed = Claimed()
        do {
            let known =
                try await authenticator?.caller(
                    of: request.headers["authorization"], from: request.peerAddress, store) ?? .anybody
            caller = known
            response = try await answer(request, route, known, claimed)
        } catch let error as ConnectionClosed { throw error } catch {
            try Task.checkCancellation()
            response = failure(error)
            if wantsPage(request, route) { response = errorPage(refusal(error), request, caller?.name) }
        }
        if response.status == 401 { response.headers.add("WWW-Authenticate", challenge(request, route, caller)) }
        response.headers.add("Docker-Distribution-Api-Version", "registry/2.0")
        response.headers.add("X-Content-Type-Options", "nosniff")
        if let namespace = scope(request, route), response.status < 400 {
            response.headers.add("OCI-Namespace", namespace)
        }
        note(request, route, caller?.name, response, .now - began)
        await audit(request, route, caller, claimed, response)
        return response
    }

    /// Counts an answer, and tells what has changed and who was kept out.
    private func note(
        _ request: Request, _ route: DistributionRoute?, _ user: String?, _ response: Response, _ duration: Duration
    ) {
        metrics.count(route?.kind, request.method, response.status, duration)
        if request.method != .head {
            switch response.body {
            case .file(let file): metrics.sends(file.count)
            case .stream: metrics.sends(response.headers["content-length"].flatMap { Int($0) } ?? 0)
            default: break
            }
        }
        // What begins or goes on with an upload changes nothing yet.
        let isDelete = route.map { AccessPolicy.right($0.kind, request.method) == .delete } ?? false
        let isTold = isDelete || [201, 401].contains(response.status)
        logger.log(
            level: isTold ? .info : .debug,
            "\(request.peerAddress ?? "-") \(user ?? "-") \(request.method) \(request.path) \(response.status)")
    }

    private func answer(
        _ request: Request, _ route: DistributionRoute?, _ caller: Caller, _ claimed: Claimed
    ) async throws -> Response {
        guard let route else {
            throw Refusal(.unknown, 404, "page not found: a registry's paths begin with /v2/")
        }
        let right = AccessPolicy.right(route.kind, request.method)
        if let refusal = access.verdict(right, repository: route.name, caller).refusal { throw refusal }
        guard let methods = Self.table[route.kind],
            let handler = methods[request.method == .head ? .get : request.method]
        else {
            var response = failure(
                Refusal(.unsupported, 405, "the operation is unsupported: \(request.method) is not for this path"))
            response.headers.add("Allow", Self.allowed(route.kind))
            return response
        }
        let call = Call(request: request, route: route, caller: caller, claimed: claimed)
        if let engine, let served = try await served(call, by: engine) { return served }
        if let mirrored = try await mirrored(call) { return mirrored }
        return try await handler(self, call)
    }

    private static func allowed(_ kind: DistributionRoute.Kind) -> String {
        let methods = endpoints.filter { $0.kind == kind }.map(\.method.description)
        return (methods + (methods.contains("GET") ? ["HEAD"] : [])).joined(separator: ", ")
    }

    private struct Health: Encodable {
        let problems: [String]
    }

    /// 503 when nothing can be had from the registry; what else is wrong is told, and keeps no client from it.
    private func health() async throws -> Response {
        do {
            // The index answers.
            _ = try await store.repositories(after: nil, countMax: 1)
            let problems = await upkeep?.problems() ?? []
            return problems.isEmpty ? Self.empty : try Self.json(200, Health(problems: problems))
        } catch {
            try Task.checkCancellation()
            logger.error("\(error)")
            return try Self.json(503, Health(problems: ["the index does not answer: the registry's log says more"]))
        }
    }

    private func allMetrics() async throws -> Response {
        Response(
            headers: ["Content-Type": "text/plain; version=0.0.4"],
            body: .bytes(ByteBuffer(string: metrics.text + (try await upkeep?.metrics() ?? ""))))
    }

    // MARK: Answers

    /// There is nothing to say but that the registry answers.
    static let empty = Response(
        headers: ["Content-Type": "application/json"], body: .bytes(ByteBuffer(string: "{}")))

    static func json(_ status: Int, _ value: some Encodable) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        return Response(
            status, headers: ["Content-Type": "application/json"],
            body: .bytes(ByteBuffer(bytes: try encoder.encode(value))))
    }

    private struct WireErrors: Encodable {
        struct Item: Encodable {
            let code: String
            let message: String
        }
        let errors: [Item]
    }

    func failure(_ error: any Error) -> Response {
        refused(refusal(error))
    }

    func refused(_ refusal: Refusal) -> Response {
        let body = WireErrors(errors: [.init(code: refusal.code.rawValue, message: refusal.message)])
        // Two strings always encode.
        var response = (try? Self.json(refusal.status, body)) ?? Response(refusal.status)
        if let pause = refusal.retryAfter { response.headers.add("Retry-After", "\(pause.components.seconds)") }
        return response
    }

    /// When a registry without free descriptors is asked again: requests that have some end meanwhile.
    private static let descriptorPause = Duration.seconds(5)

    func refusal(_ error: any Error) -> Refusal {
        switch error {
        case let refusal as Refusal: return refusal
        case let error as HTTPError:
            return Refusal(error.status == 413 ? .sizeInvalid : .unknown, error.status, error.message)
        case let error as SystemError where error.code == ENOSPC || error.code == EDQUOT:
            return Refusal(.unknown, 507, "no space left on device: the registry cannot store more")
        case let error as SystemError where error.code == EMFILE || error.code == ENFILE:
            logger.error("\(error)")
            return Refusal(
                .unknown, 503, "too many open files: the registry has reached its limit, try again later",
                retryAfter: Self.descriptorPause)
        case let error as EngineImages.Failure:
            logger.error("\(error)")
            return Refusal(
                .unknown, 503, "the engine whose images are served does not answer: the registry's log says more")
        case let error as StorageFailure:
            logger.error("\(error)")
            return Refusal(.unknown, 503, "the registry's storage does not answer: try again later")
        default:
            // What is wrong with the machine is the operator's to know.
            logger.error("\(error)")
            return Refusal(.unknown, 500, "internal error: the registry's log says more")
        }
    }
}
