import struct Crypto.SHA256
import FoundationEssentials
import Glibc
import OCI
import RegistryStore

/// Whose tokens are taken, and, when that is the registry itself, how they are made.
package struct TokenAuthority: Sendable {
    private enum Source: Sendable {
        case own(TokenKeys)
        case external(ExternalKeys)
    }

    /// What one request for a token may ask for, in scopes: an image and what it mounts from is a handful.
    static let scopesMax = 100

    let settings: TokenSettings
    /// Whether clients speak HTTPS to the registry.
    private let isEncrypted: Bool
    private let source: Source
    private let expectation: TokenExpectation

    /// - Throws: what keeps the files of keys from being used.
    package init(_ settings: TokenSettings, isEncrypted: Bool) throws {
        self.settings = settings
        self.isEncrypted = isEncrypted
        expectation = TokenExpectation(
            issuer: settings.issuer, audience: settings.service, leeway: settings.leeway)
        source =
            settings.issues
            ? .own(
                TokenKeys(
                    period: settings.rotation,
                    lifetimeMax: max(settings.lifetime, settings.refreshLifetime) + settings.leeway))
            : .external(try ExternalKeys(keySet: settings.keySet, certificates: settings.certificates))
    }

    var isOwn: Bool { settings.issues }

    /// The token of an `Authorization` header; nil for another scheme.
    static func token(_ header: String) -> Substring? {
        let parts = header.split(separator: " ", maxSplits: 1)
        guard let first = parts.first, first.lowercased() == "bearer" else { return nil }
        return parts.count == 2 ? parts[1] : ""
    }

    /// What a token says, whose signature, issuer, service and time are right.
    ///
    /// - Throws: ``WebToken/Failure``; what keeps the index from being read.
    func claims(
        of text: some StringProtocol, _ store: RegistryStore, for audience: String? = nil
    ) async throws -> WebToken.Claims {
        let token = try WebToken(parsing: text)
        let key =
            switch source {
            case .own(let keys): try await keys.key(for: token.header, store)
            case .external(let keys): try await keys.key(for: token.header)
            }
        guard key.algorithm == token.header.alg else {
            throw WebToken.Failure("the token's key is not for the algorithm that it names")
        }
        guard key.isRight(token.signature, of: token.signed) else {
            throw WebToken.Failure("the token's signature is not right")
        }
        let expectation =
            audience.map { TokenExpectation(issuer: settings.issuer, audience: $0, leeway: settings.leeway) }
            ?? self.expectation
        try expectation.check(token.claims, at: Double(time(nil)))
        return token.claims
    }

    // MARK: Tokens of our own

    /// What a client gets.
    struct Issued: Sendable {
        let token: String
        let scopes: [Scope]
        let issued: Int64
        /// Seconds.
        let lifetime: Int64
        let refreshToken: String?
    }

    private var refreshAudience: String { settings.service + "#refresh" }

    /// - Parameter fingerprint: of the account's password, for a client that wants to come again without it.
    /// - Throws: what keeps a key from being read or made.
    func issue(
        _ name: String?, _ scopes: [Scope], fingerprint: String?, _ store: RegistryStore
    ) async throws -> Issued {
        guard case .own(let keys) = source else { throw StoreFailure("tokens are another service's to give") }
        let now = Int64(time(nil))
        func claims(_ audience: String, _ lifetime: Duration) -> WebToken.Claims {
            WebToken.Claims(
                iss: settings.issuer, sub: name, aud: .init(audience), exp: Double(now + lifetime.components.seconds),
                nbf: Double(now), iat: Double(now), jti: Digest.hex((0..<16).map { _ in UInt8.random(in: 0...255) }))
        }
        var access = claims(settings.service, settings.lifetime)
        access.access = scopes
        var refreshToken: String?
        if let fingerprint {
            var refresh = claims(refreshAudience, settings.refreshLifetime)
            refresh.fingerprint = fingerprint
            refreshToken = try await keys.sign(refresh, store)
        }
        return Issued(
            token: try await keys.sign(access, store), scopes: scopes, issued: now,
            lifetime: settings.lifetime.components.seconds, refreshToken: refreshToken)
    }

    /// Whose a refresh token is, and which password that account had when it was given.
    ///
    /// - Throws: as ``claims(of:_:for:)``.
    func refreshed(_ text: String, _ store: RegistryStore) async throws -> (name: String, fingerprint: String) {
        let claims = try await claims(of: text, store, for: refreshAudience)
        guard let name = claims.sub, let fingerprint = claims.fingerprint else {
            throw WebToken.Failure("the token is not one to get others by")
        }
        return (name, fingerprint)
    }

    func published(_ store: RegistryStore) async throws -> WebKeySet {
        guard case .own(let keys) = source else { return WebKeySet(keys: []) }
        return try await keys.published(store)
    }

    /// Tells one password of an account from the next; says nothing about either.
    static func fingerprint(_ hash: String) -> String {
        Digest.hex(Array(SHA256.hash(data: Array(hash.utf8)).prefix(16)))
    }

    // MARK: Challenges

    /// Where a client finds the token service; nil when nobody can tell.
    ///
    /// - Parameters:
    ///   - host: the `Host` of the request.
    ///   - forwarded: its `X-Forwarded-Proto`.
    func realm(host: String?, forwarded: String?) -> String? {
        if let realm = settings.realm { return realm }
        let isPlain = host?.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || ".-:[]_".utf8.contains(byte)
        }
        guard let host, !host.isEmpty, isPlain == true else { return nil }
        return (isEncrypted || forwarded?.lowercased() == "https" ? "https://" : "http://") + host + "/token"
    }
}
