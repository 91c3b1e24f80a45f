import FoundationEssentials
import HTTP
import NIOCore
import OCI
import RegistryStore

/// The token service (Docker token authentication, "Requesting a token", and its form of OAuth2).
extension RegistryAPI {
    /// Bytes of a form: a password, a token and scopes.
    private static let formBytesMax = 64 << 10

    private struct WireToken: Encodable {
        let token: String?
        let access_token: String
        let expires_in: Int64
        let issued_at: String
        let refresh_token: String?
        let scope: String?
    }

    private func authority() throws(Refusal) -> (TokenAuthority, Authenticator) {
        guard let authenticator, let tokens = authenticator.tokens, tokens.isOwn else {
            throw Refusal(.unknown, 404, "page not found: this registry gives no tokens")
        }
        return (tokens, authenticator)
    }

    func getToken(_ call: Call) async throws -> Response {
        let (tokens, authenticator) = try authority()
        let query = call.request.query
        guard call.caller.kind != .token else {
            throw Refusal(.unsupported, 400, "a token is not exchanged for another: come with a name and its password")
        }
        let wantsRefresh = query["offline_token"] == "true"
        let issued = try await issue(
            tokens, authenticator, call.caller, call.request, service: query["service"], scopes: query.all("scope"),
            wantsRefresh: wantsRefresh)
        return try Self.answer(
            WireToken(
                token: issued.token, access_token: issued.token, expires_in: issued.lifetime,
                issued_at: Self.timestamp(issued.issued), refresh_token: issued.refreshToken, scope: nil))
    }

    func postToken(_ call: Call) async throws -> Response {
        let (tokens, authenticator) = try authority()
        let bytes = try await call.request.body.collect(bytesMax: Self.formBytesMax)
        let form = try Query(form: Array(bytes.readableBytesView))
        let caller: Caller
        switch form["grant_type"] {
        case "password":
            call.claimed.name = form["username"]
            caller = try await authenticator.logIn(
                form["username"] ?? "", form["password"] ?? "", from: call.request.peerAddress, store)
        case "refresh_token":
            caller = try await authenticator.refreshed(form["refresh_token"] ?? "", store)
            call.claimed.name = caller.name
        default:
            throw Refusal(.unsupported, 400, "unknown grant_type: want password or refresh_token")
        }
        let issued = try await issue(
            tokens, authenticator, caller, call.request, service: form["service"], scopes: form.all("scope"),
            wantsRefresh: form["access_type"] == "offline")
        return try Self.answer(
            WireToken(
                token: nil, access_token: issued.token, expires_in: issued.lifetime,
                issued_at: Self.timestamp(issued.issued), refresh_token: issued.refreshToken ?? form["refresh_token"],
                scope: issued.scopes.map(\.text).joined(separator: " ")))
    }

    private static func answer(_ token: WireToken) throws -> Response {
        var response = try json(200, token)
        response.headers.add("Cache-Control", "no-store")
        return response
    }

    func tokenKeys(_ call: Call) async throws -> Response {
        let (tokens, _) = try authority()
        return try Self.json(200, try await tokens.published(store))
    }

    private func issue(
        _ tokens: TokenAuthority, _ authenticator: Authenticator, _ caller: Caller, _ request: Request,
        service: String?, scopes: [String], wantsRefresh: Bool
    ) async throws -> TokenAuthority.Issued {
        if let service, service != tokens.settings.service {
            throw Refusal(
                .unsupported, 400, "unknown service \(OCIError.quoted(service)): this is \(tokens.settings.service)")
        }
        let words = scopes.flatMap { $0.split(separator: " ") }
        guard words.count <= TokenAuthority.scopesMax else {
            throw Refusal(.unsupported, 400, "a token is for at most \(TokenAuthority.scopesMax) scopes")
        }
        let wanted = words.compactMap { Scope(parsing: String($0)) }
        let fingerprint = wantsRefresh ? try await authenticator.fingerprint(of: caller.name, store) : nil
        return try await tokens.issue(
            caller.name, wanted.flatMap { granted($0, caller, request) }, fingerprint: fingerprint, store)
    }

    /// A scope as far as the caller has rights to it. Challenges say what a repository is called here; Docker's clients do not
    /// look at that, and ask by the name that they use.
    private func granted(_ wanted: Scope, _ caller: Caller, _ request: Request) -> [Scope] {
        switch wanted.type {
        case "repository":
            let local = localName(wanted.name, request)
            return [wanted.name, local].prefix(local == wanted.name ? 1 : 2).compactMap { name in
                let rights = access.rights(of: caller, in: name).intersection(wanted.rights)
                return rights.isEmpty ? nil : .repository(name, rights)
            }
        case "registry": return wanted == .catalog && caller.seesOverview ? [wanted] : []
        default: return []
        }
    }

    private static func timestamp(_ seconds: Int64) -> String {
        Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(.iso8601)
    }

    // MARK: Challenges

    /// The `WWW-Authenticate` of an answer with status 401.
    ///
    /// - Parameter caller: nil when it is not known who asked.
    func challenge(_ request: Request, _ route: DistributionRoute?, _ caller: Caller?) -> String {
        let basic = "Basic realm=\"docker-registry\""
        // A browser asks its user for a password; it knows of no tokens.
        guard let tokens = authenticator?.tokens, route?.kind != .token, route?.kind.isPage != true,
            let realm = tokens.realm(
                host: request.headers["host"], forwarded: request.headers["x-forwarded-proto"])
        else { return basic }
        var text = "Bearer realm=\"\(realm)\",service=\"\(tokens.settings.service)\""
        if let scope = route.flatMap({ Self.scope($0, request) }) { text += ",scope=\"\(scope)\"" }
        if request.headers["authorization"].map({ TokenAuthority.token($0) != nil }) ?? false {
            text += ",error=\"\(caller == nil ? "invalid_token" : "insufficient_scope")\""
        }
        return text
    }

    /// What a request needs a token for.
    private static func scope(_ route: DistributionRoute, _ request: Request) -> String? {
        let rights: Rights
        switch AccessPolicy.right(route.kind, request.method) {
        case .overview, .browse: return Scope.catalog.text
        case .pull: rights = .pull
        case .push: rights = [.pull, .push]
        case .delete: rights = .delete
        default: return nil
        }
        // A name may have anything in it; a header may not.
        guard let name = try? RepositoryName(route.name) else { return nil }
        let scope = Scope.repository(name.description, rights).text
        // What is mounted is pulled where it is.
        guard route.kind == .uploads, request.query["mount"] != nil,
            let source = request.query["from"].flatMap({ try? RepositoryName($0) })
        else { return scope }
        return scope + " " + Scope.repository(source.description, .pull).text
    }
}
