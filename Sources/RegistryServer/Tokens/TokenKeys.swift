import Crypto
import FoundationEssentials
import Glibc
import RegistryStore

/// The registry's own keys (ES256), which the index keeps: all registries of one index sign with the newest, and take tokens of
/// those before it as long as there are any.
actor TokenKeys {
    /// How long what is known of the index is not read again for a key that is not known.
    private static let lookInterval = Duration.seconds(1)

    private struct Key: Sendable {
        let id: String
        let created: Int64
        let secret: P256.Signing.PrivateKey
    }

    /// After how many seconds another key signs.
    private let period: Int64
    /// Seconds that the last token of a key lives.
    private let lifetimeMax: Int64
    private var keys: [Key] = []
    private var lookedAt: ContinuousClock.Instant?
    /// The read of the index that is under way, for all who want one meanwhile.
    private var reading: Task<[StoredTokenKey], any Error>?

    init(period: Duration, lifetimeMax: Duration) {
        self.period = period.components.seconds
        self.lifetimeMax = lifetimeMax.components.seconds
    }

    private func take(_ stored: [StoredTokenKey]) throws {
        keys = try stored.map { key in
            Key(id: key.id, created: key.created, secret: try P256.Signing.PrivateKey(rawRepresentation: key.bytes))
        }
    }

    private func read(_ store: RegistryStore) async throws {
        let began = ContinuousClock.now
        let task = reading ?? Task { try await store.tokenKeys() }
        reading = task
        let found = await task.result
        // Somebody has taken it already, or has made a newer key meanwhile.
        guard reading == task else { return _ = try found.get() }
        reading = nil
        try take(try found.get())
        lookedAt = began
    }

    /// Signs with the newest key, which is made when there is none or it has signed long enough.
    func sign(_ claims: WebToken.Claims, _ store: RegistryStore) async throws -> String {
        let now = Int64(time(nil))
        func isFresh() -> Bool { keys.first.map { $0.created + period > now } ?? false }
        if !isFresh() { try await read(store) }
        if !isFresh() {
            let secret = P256.Signing.PrivateKey()
            let fresh = StoredTokenKey(
                id: VerificationKey.p256(secret.publicKey).name, bytes: Array(secret.rawRepresentation), created: now)
            try take(
                try await store.rotateTokenKey(
                    fresh, ifNewestBefore: now - period, forgetting: now - lifetimeMax))
            reading = nil
        }
        guard let key = keys.first else { throw StoreFailure("the index has lost the key that it was given") }
        let header = WebToken.Header(alg: "ES256", kid: key.id, typ: "JWT")
        return try WebToken.make(header, claims) { bytes in
            Array(try key.secret.signature(for: SHA256.hash(data: bytes)).rawRepresentation)
        }
    }

    /// The key that a token says it was signed with.
    ///
    /// - Throws: ``WebToken/Failure`` for one that is not ours.
    func key(for header: WebToken.Header, _ store: RegistryStore) async throws -> VerificationKey {
        func known() -> VerificationKey? { keys.first { $0.id == header.kid }.map { .p256($0.secret.publicKey) } }
        if let key = known() { return key }
        // Another registry of this index may have made it.
        if lookedAt.map({ .now - $0 >= Self.lookInterval }) ?? true { try await read(store) }
        guard let key = known() else { throw WebToken.Failure("the token's key is not known") }
        return key
    }

    /// The public halves, for others that check our tokens.
    func published(_ store: RegistryStore) async throws -> WebKeySet {
        try await read(store)
        return WebKeySet(
            keys: keys.map { key in
                let point = Array(key.secret.publicKey.rawRepresentation)
                return WebKey(
                    kty: "EC", kid: key.id, use: "sig", alg: "ES256", crv: "P-256",
                    x: Base64URL.encode(point.prefix(32)), y: Base64URL.encode(point.suffix(32)))
            })
    }
}
