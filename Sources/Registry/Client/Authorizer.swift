import AsyncHTTPClient
import FoundationEssentials
import NIOCore
import NIOHTTP1
import OCI
import Synchronization

/// Who asks whom for what: what a token is fetched and kept for.
struct Access: Sendable, Hashable {
    let endpoint: RegistryEndpoint
    /// `repository:<path>:<actions>`, or empty for a log-in.
    var scopes: [String]
    /// For this endpoint only; a mirror is asked without.
    let credentials: Credentials?
    /// Asks the token server for a refresh token too (log-in).
    var wantsIdentityToken = false

    init(_ endpoint: RegistryEndpoint, _ scopes: [String], _ credentials: Credentials?) {
        self.endpoint = endpoint
        self.scopes = scopes
        self.credentials = endpoint.isMirror ? nil : credentials
    }

    static func pull(_ repository: String) -> String { "repository:\(repository):pull" }
    static func push(_ repository: String) -> String { "repository:\(repository):pull,push" }
}

/// Answers challenges and keeps the tokens: Basic (RFC 7617) and Bearer by a token server
/// (distribution's token and OAuth 2 specifications).
final class Authorizer: Sendable {
    private let transport: Transport
    private let configuration: RegistryConfiguration
    private let state = Mutex(State())

    private struct State {
        /// The last challenge of each endpoint, so that later requests need not be refused first.
        var challenges: [RegistryEndpoint: Challenge] = [:]
        var tokens: [Access: Token] = [:]
    }

    struct Token: Sendable {
        let text: String
        let expires: ContinuousClock.Instant
        /// A refresh token, where one was asked for and given.
        let identity: String?
    }

    /// Tokens kept; beyond it the old ones go. One pull uses one.
    private static let tokensMax = 512
    /// Shortest life of a token, whatever it says, as Docker has it.
    private static let tokenLifeMin = 60
    private static let tokenLifeMax = 24 * 3600
    /// A token is renewed this long before its end, so that it does not end on the way.
    private static let tokenMargin: Duration = .seconds(5)
    /// What Docker calls itself at token servers; some know no other.
    private static let clientID = "docker"

    init(_ transport: Transport, _ configuration: RegistryConfiguration) {
        self.transport = transport
        self.configuration = configuration
    }

    /// The `Authorization` to send before being asked; `nil` where nothing is known yet.
    func header(for access: Access) async throws(RegistryError) -> String? {
        if let given = access.credentials?.registryToken, !given.isEmpty { return "Bearer \(given)" }
        let (challenge, token) = state.withLock { ($0.challenges[access.endpoint], $0.tokens[access]) }
        if let token, token.expires > .now { return "Bearer \(token.text)" }
        guard let challenge else { return nil }
        if challenge.scheme == "basic" { return access.credentials.flatMap { $0.username.isEmpty ? nil : $0.basic } }
        do throws(RegistryError) { return "Bearer \(try await fetch(challenge, access).text)" } catch {
            if error.code == .cancelled { throw error }
            // What the registry once asked for does not work any more: it is asked again what it wants.
            state.withLock { $0.challenges[access.endpoint] = nil }
            return nil
        }
    }

    /// The `Authorization` that answers a 401.
    ///
    /// - Returns: `nil` when there is no other answer than the one that was refused.
    /// - Throws: `RegistryError`: `unauthorized`, `denied`, `forbidden`, and what the token server does.
    func answer(_ challenges: [Challenge], for access: Access, refused: String?) async throws(RegistryError) -> String?
    {
        if let given = access.credentials?.registryToken, !given.isEmpty { return nil }
        if let bearer = challenges.first(where: { $0.scheme == "bearer" && $0.parameters["realm"] != nil }) {
            state.withLock { $0.tokens[access] = nil }
            let answer = "Bearer \(try await fetch(bearer, access).text)"
            // Only one that could be answered is worth remembering.
            state.withLock { $0.challenges[access.endpoint] = bearer }
            return answer == refused ? nil : answer
        }
        guard let basic = challenges.first(where: { $0.scheme == "basic" }) else { return nil }
        state.withLock { $0.challenges[access.endpoint] = basic }
        guard let credentials = access.credentials, !credentials.username.isEmpty else {
            throw RegistryError(
                .unauthorized, "no basic auth credentials", remedy: "log in: docker login \(access.endpoint.authority)")
        }
        return credentials.basic == refused ? nil : credentials.basic
    }

    /// The token kept for `access`, if any.
    func token(for access: Access) -> Token? { state.withLock { $0.tokens[access] } }

    private func fetch(_ challenge: Challenge, _ access: Access) async throws(RegistryError) -> Token {
        let realm = try trusted(realm: challenge.parameters["realm"] ?? "", of: access.endpoint)
        var access = access
        let kept = access
        if access.scopes.isEmpty, let scope = challenge.parameters["scope"], !access.wantsIdentityToken {
            access.scopes = [scope]
        }
        let isOwn = realm.host == access.endpoint.host
        let (request, location) = tokenRequest(realm, challenge.parameters["service"], access)
        let reply = try await transport.send(
            request, to: location, verifies: !(access.endpoint.isInsecure && isOwn),
            settings: isOwn ? access.endpoint.settings : nil)
        let body = try await reply.collect(bytesMax: configuration.limits.tokenBytesMax)
        guard reply.status == 200 else {
            throw WireErrors.error(
                status: reply.status, body: body, challenges: reply.challenges, retryAfter: reply.retryAfter,
                reference: nil)
        }
        let token = try Self.decode(body, realm)
        state.withLock { state in
            if state.tokens.count >= Self.tokensMax { state.tokens = state.tokens.filter { $0.value.expires > .now } }
            if state.tokens.count >= Self.tokensMax { state.tokens.removeAll() }
            state.tokens[kept] = token
        }
        return token
    }

    /// The token server a registry names, if a secret may go there: by verified TLS, or in the open only to the insecure
    /// registry's own host. An address of this machine or link is refused unless the registry is there too.
    private func trusted(realm text: String, of endpoint: RegistryEndpoint) throws(RegistryError) -> Location {
        guard let realm = Location(text) else {
            throw RegistryError(.malformed, "\(endpoint) names a malformed token server \(OCIError.quoted(text))")
        }
        guard realm.scheme == .https || (endpoint.isInsecure && realm.host == endpoint.host) else {
            throw RegistryError(
                .forbidden,
                "\(endpoint) names a token server without TLS, \(realm.authority): no credentials are sent there",
                remedy: "use a registry whose token server has https")
        }
        guard realm.host == endpoint.host || !realm.isLocal || endpoint.location(.https, "/").isLocal else {
            throw RegistryError(.forbidden, "\(endpoint) names a token server on this machine, \(realm.authority)")
        }
        return realm
    }

    private func tokenRequest(_ realm: Location, _ service: String?, _ access: Access) -> (Request, Location) {
        var items: [(name: String, value: String)] = []
        if let service { items.append(("service", service)) }
        var request = Request()
        guard let credentials = access.credentials, !credentials.isEmpty else {
            return (request, realm.adding(query: items + access.scopes.map { ("scope", $0) }))
        }
        if !credentials.identityToken.isEmpty {
            items += [
                ("grant_type", "refresh_token"), ("client_id", Self.clientID),
                ("refresh_token", credentials.identityToken),
            ]
            if !access.scopes.isEmpty { items.append(("scope", access.scopes.joined(separator: " "))) }
            let form = items.map { "\(Location.encoded($0.name))=\(Location.encoded($0.value))" }.joined(separator: "&")
            request.method = .POST
            request.headers.add(name: "content-type", value: "application/x-www-form-urlencoded")
            request.body = .bytes(ByteBuffer(string: form))
            return (request, realm)
        }
        request.headers.add(name: "authorization", value: credentials.basic)
        if access.wantsIdentityToken { items += [("client_id", Self.clientID), ("offline_token", "true")] }
        items.append(("account", credentials.username))
        return (request, realm.adding(query: items + access.scopes.map { ("scope", $0) }))
    }

    private static func decode(_ body: [UInt8], _ realm: Location) throws(RegistryError) -> Token {
        struct Wire: Decodable {
            var token: String?
            var access_token: String?
            var expires_in: Int?
            var refresh_token: String?
        }
        let wire: Wire
        do { wire = try JSONDecoder().decode(Wire.self, from: Data(body)) } catch {
            throw RegistryError(.malformed, "unable to decode token response of \(realm.authority)", cause: error)
        }
        let text = [wire.token, wire.access_token].compactMap(\.self).first { !$0.isEmpty }
        guard let text, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw RegistryError(
                .malformed, "authorization server \(realm.authority) did not include a token in the response")
        }
        let seconds = min(max(wire.expires_in ?? tokenLifeMin, tokenLifeMin), tokenLifeMax)
        return Token(text: text, expires: .now + .seconds(seconds) - tokenMargin, identity: wire.refresh_token)
    }
}

extension Location {
    /// True for `localhost` and for literal addresses of this machine or link.
    var isLocal: Bool { host == "localhost" || IPAddress(host)?.isLocal == true }
}
