import struct Crypto.HMAC
import struct Crypto.SHA256
import struct Crypto.SymmetricKey
import FoundationEssentials
import Glibc
import Kernel
package import Logging
package import RegistryStore

/// Finds out who a request is from: an account of the password file, one of the index, or whoever has a token.
package actor Authenticator {
    /// How long a password that was right is not checked again; another password of the account ends it at once.
    private static let memory = Duration.seconds(300)
    /// Passwords that are remembered, by a keyed digest; when there are more, all are forgotten.
    private static let rememberedMax = 4096

    /// What a name has to log in with, and what it may do then.
    private struct Candidate: Sendable {
        /// nil for a name that nobody has.
        let hash: String?
        let isRobot: Bool
        let grants: [Grant]
        /// Why the account may not be used, whatever it is told.
        let obstacle: String?
    }

    private let file: PasswordFileWatch?
    nonisolated let tokens: TokenAuthority?
    private var turns = LoginTurns()
    private var ticketCount = 0
    private var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
    private let key = SymmetricKey(size: .bits256)
    private var remembered: [[UInt8]: ContinuousClock.Instant] = [:]

    /// - Parameters:
    ///   - passwordFile: of htpasswd; nil where all accounts are in the index.
    ///   - tokens: nil where none are taken.
    /// - Throws: what keeps the file from being used.
    package init(passwordFile: String?, tokens: TokenAuthority? = nil, logger: Logger) throws {
        self.tokens = tokens
        file = try passwordFile.map { try PasswordFileWatch($0, logger: logger) }
    }

    /// Who an `Authorization` header is of.
    ///
    /// - Parameter address: that it came from.
    /// - Throws: ``Refusal`` UNAUTHORIZED for a name or password that is not right, TOOMANYREQUESTS; what keeps the index
    ///   from being read.
    func caller(of header: String?, from address: String?, _ store: RegistryStore) async throws -> Caller {
        guard let header else { return .anonymous }
        if let tokens, let token = TokenAuthority.token(header) { return try await caller(of: token, tokens, store) }
        guard let (name, password) = Self.credentials(header) else { throw Self.refusal }
        // What skopeo, podman and buildah send when they have nothing to send.
        if name.isEmpty, password.isEmpty { return .anonymous }
        return try await logIn(name, password, from: address, store)
    }

    // MARK: Tokens

    private func caller(of token: Substring, _ tokens: TokenAuthority, _ store: RegistryStore) async throws -> Caller {
        do {
            let claims = try await tokens.claims(of: token, store)
            let scopes = claims.access ?? []
            let name = claims.sub.flatMap { $0.isEmpty ? nil : $0 }
            // The accounts of another service are its own: it has looked at what they may do.
            guard tokens.isOwn else {
                return .token(name, [Grant(pattern: Grant.everything, rights: .all)], scopes)
            }
            guard let name else { return .token(nil, [], scopes) }
            // An account that may not log in any more has no use of the tokens that it has, either.
            let candidate = try await candidate(name, store)
            guard candidate.hash != nil, candidate.obstacle == nil else {
                throw WebToken.Failure("the token's account is gone")
            }
            return .token(name, candidate.grants, scopes)
        } catch let failure as WebToken.Failure {
            throw Refusal(.unauthorized, 401, "authentication required: \(failure)")
        }
    }

    /// Who comes with a token that stands for a password.
    ///
    /// - Throws: as ``caller(of:from:_:)``.
    func refreshed(_ token: String, _ store: RegistryStore) async throws -> Caller {
        guard let tokens else { throw Self.refusal }
        do {
            let (name, fingerprint) = try await tokens.refreshed(token, store)
            let candidate = try await candidate(name, store)
            guard let hash = candidate.hash, candidate.obstacle == nil,
                PasswordHash.areEqual(TokenAuthority.fingerprint(hash), fingerprint)
            else { throw WebToken.Failure("the account has another password now, or is gone") }
            return .account(name, candidate.grants)
        } catch let failure as WebToken.Failure {
            throw Refusal(.unauthorized, 401, "authentication required: \(failure)")
        }
    }

    /// Of the password that an account has; nil for those that have none.
    func fingerprint(of name: String?, _ store: RegistryStore) async throws -> String? {
        guard let name else { return nil }
        return try await candidate(name, store).hash.map(TokenAuthority.fingerprint)
    }

    // MARK: Passwords

    /// - Throws: as ``caller(of:from:_:)``.
    func logIn(
        _ name: String, _ password: String, from address: String?, _ store: RegistryStore
    ) async throws -> Caller {
        let candidate = try await candidate(name, store)
        guard try await isRight(password, name, from: address, candidate) else { throw Self.refusal }
        // Said to nobody who does not have the password.
        if let obstacle = candidate.obstacle {
            throw Refusal(.unauthorized, 401, "authentication required: \(obstacle)")
        }
        return .account(name, candidate.grants)
    }

    private func candidate(_ name: String, _ store: RegistryStore) async throws -> Candidate {
        let filed = await file?.hash(of: name)
        // Of a name that no account of the index can have, there is nothing to read.
        let isPossible = (try? Account.checkName(name)) != nil
        let record = isPossible ? try await store.account(name) : AccountRecord.none
        if let filed {
            let grants = record.grants.isEmpty ? [Grant(pattern: Grant.everything, rights: .all)] : record.grants
            return Candidate(hash: filed, isRobot: false, grants: grants, obstacle: nil)
        }
        let account = record.account
        return Candidate(
            hash: account?.secret, isRobot: account?.kind == .robot, grants: record.grants,
            obstacle: account?.obstacle(at: Int64(time(nil))))
    }

    private func isRight(
        _ password: String, _ name: String, from address: String?, _ candidate: Candidate
    ) async throws -> Bool {
        let hash = candidate.hash
        if candidate.isRobot, let hash, PasswordHash.areEqual(PasswordHash.hash(ofSecret: password), hash) {
            return true
        }
        let text = "\(name)\0\(password)\0\(hash ?? "")"
        let digest = Array(HMAC<SHA256>.authenticationCode(for: Data(text.utf8), using: key))
        if let until = remembered[digest], until > .now { return true }
        // A robot's wrong secret takes as long as everybody's wrong password.
        let tried = candidate.isRobot ? nil : hash
        let cost = max(PasswordHash.cost, await file?.cost ?? 0)
        let isRight = try await inTurn(name, address) {
            await BlockingPool.shared.run { PasswordHash.matches(password, tried, asLongAs: cost) }
        }
        guard isRight else { return false }
        if remembered.count >= Self.rememberedMax { remembered = [:] }
        remembered[digest] = .now + Self.memory
        return true
    }

    /// Runs `body` when it is this log-in's turn.
    ///
    /// - Throws: ``Refusal`` TOOMANYREQUESTS; `CancellationError` for a client that has left.
    private func inTurn(_ name: String, _ address: String?, _ body: () async -> Bool) async throws -> Bool {
        ticketCount += 1
        let ticket = LoginTurns.Ticket(
            id: ticketCount, address: LoginTurns.network(address ?? ""), account: name)
        switch turns.begin(ticket) {
        case .begins: break
        case .waits: await withCheckedContinuation { waiting[ticket.id] = $0 }
        case .refused:
            throw Refusal(
                .tooManyRequests, 429, "too many log-ins at once: try again in a second", retryAfter: .seconds(1))
        }
        defer { for next in turns.end(ticket) { waiting.removeValue(forKey: next.id)?.resume() } }
        try Task.checkCancellation()
        return await body()
    }

    static let refusal = Refusal(.unauthorized, 401, "authentication required: unknown name or wrong password")

    /// Name and password of `Basic` (RFC 7617).
    static func credentials(_ header: String) -> (name: String, password: String)? {
        let parts = header.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "basic", let data = Data(base64Encoded: String(parts[1])),
            let text = String(validating: data, as: UTF8.self), let colon = text.firstIndex(of: ":")
        else { return nil }
        return (String(text[..<colon]), String(text[text.index(after: colon)...]))
    }
}
