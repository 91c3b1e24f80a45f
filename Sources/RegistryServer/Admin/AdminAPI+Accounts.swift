import Glibc
import HTTP
import OCI
package import RegistryStore

/// Accounts and their rights. `{kind}` is `user` or `robot`.
extension AdminAPI {
    static let accountEndpoints: [Route<Handler>] = [
        .init(.get, "/accounts/{kind}") { try await $0.listAccounts($1) },
        .init(.post, "/accounts/{kind}") { try await $0.addAccount($1) },
        .init(.post, "/accounts/{kind}/{name}") { try await $0.changeAccount($1) },
        .init(.delete, "/accounts/{kind}/{name}") { try await $0.removeAccount($1) },
        .init(.get, "/rights") { try await $0.listRights($1) },
        .init(.post, "/rights") { try await $0.setRights($1) },
    ]

    /// Of `GET /accounts/{kind}`.
    package struct AccountItem: Codable, Sendable {
        package let name: String
        package let isEnabled: Bool
        /// Seconds since 1970.
        package let created: Int64
        package let expires: Int64?
    }

    /// Of `GET /rights`, and what of it `POST /rights` sets.
    package struct RightsItem: Codable, Sendable {
        package let account: String
        package let pattern: String
        /// Joined by commas; none take them away.
        package let rights: String

        package init(account: String, pattern: String, rights: String) {
            self.account = account
            self.pattern = pattern
            self.rights = rights
        }
    }

    /// Of `POST /accounts/{kind}` and, without the name, of `POST /accounts/{kind}/{name}`.
    package struct AccountChange: Codable, Sendable {
        package var name: String?
        /// Of a user.
        package var password: String?
        /// Whether a robot gets another secret.
        package var renews: Bool?
        package var isEnabled: Bool?
        /// In how many seconds it ends.
        package var lifetime: Int64?

        package init() {}
    }

    /// What a change of accounts or rights comes to.
    package struct AccountAnswer: Codable, Sendable {
        /// The new secret of a robot, which nobody is told again.
        package var secret: String?
        /// Whether the registry asks anybody who they are.
        package let isEnforced: Bool
    }

    private func answer(secret: String? = nil) throws -> Response {
        try RegistryAPI.json(200, AccountAnswer(secret: secret, isEnforced: api.authenticator != nil))
    }

    private func kind(_ call: Call) throws(Refusal) -> Account.Kind {
        guard let kind = Account.Kind(rawValue: call.parameter("kind")) else {
            throw Refusal(.unknown, 404, "no such kind of account: want user or robot")
        }
        return kind
    }

    private func listAccounts(_ call: Call) async throws -> Response {
        let items = try await store.allAccounts(try kind(call)).map { account in
            AccountItem(
                name: account.name, isEnabled: account.isEnabled, created: account.created, expires: account.expires)
        }
        return try RegistryAPI.json(200, items)
    }

    /// What is kept of a new password or secret, and the secret.
    private func credentials(
        _ kind: Account.Kind, _ password: String?
    ) async throws -> (secret: String?, hash: String) {
        switch kind {
        case .robot:
            let made = PasswordHash.makeSecret()
            return (made.secret, made.hash)
        case .user:
            guard let password else { throw Refusal(.unknown, 400, "a user has a password") }
            return (nil, try await PasswordHash.make(password))
        }
    }

    private func addAccount(_ call: Call) async throws -> Response {
        let (kind, change) = (try kind(call), try await call.body(AccountChange.self))
        let name = change.name ?? ""
        try Account.checkName(name)
        call.done.deed = .init("\(kind)-add", account: name)
        let (secret, hash) = try await credentials(kind, change.password)
        let now = Int64(time(nil))
        let lifetime = change.lifetime.map { min(max($0, 0), Self.lifetimeMax) }
        try await store.addAccount(
            Account(name: name, kind: kind, secret: hash, expires: lifetime.map { now + $0 }, created: now))
        return try answer(secret: secret)
    }

    /// Seconds: a century.
    private static let lifetimeMax: Int64 = 100 * 366 * 86400

    private func changeAccount(_ call: Call) async throws -> Response {
        let (kind, change) = (try kind(call), try await call.body(AccountChange.self))
        let renews = change.password != nil || change.renews == true
        let verb =
            renews ? (kind == .user ? "passwd" : "renew") : change.isEnabled == false ? "disable" : "enable"
        call.done.deed = .init("\(kind)-\(verb)", account: call.parameter("name"))
        var (secret, hash): (String?, String?) = (nil, nil)
        if renews {
            (secret, hash) = try await credentials(kind, change.password)
        }
        try await store.changeAccount(
            call.parameter("name"), kind, secret: hash, isEnabled: change.isEnabled)
        return try answer(secret: secret)
    }

    private func removeAccount(_ call: Call) async throws -> Response {
        let kind = try kind(call)
        call.done.deed = .init("\(kind)-remove", account: call.parameter("name"))
        try await store.removeAccount(call.parameter("name"), kind)
        return try answer()
    }

    private func listRights(_ call: Call) async throws -> Response {
        let items = try await store.grants(of: call.request.query["account"]).map { account, grant in
            RightsItem(account: account, pattern: grant.pattern, rights: grant.rights.description)
        }
        return try RegistryAPI.json(200, items)
    }

    private func setRights(_ call: Call) async throws -> Response {
        let item = try await call.body(RightsItem.self)
        let rights = item.rights.isEmpty ? [] : try Rights(parsing: item.rights)
        call.done.deed = .init(
            rights.isEmpty ? "revoke" : "grant", account: item.account, rights: rights.description,
            repository: item.pattern)
        try await store.grant(
            Grant(pattern: try Grant.pattern(item.pattern), rights: rights), to: item.account)
        return try answer()
    }
}
