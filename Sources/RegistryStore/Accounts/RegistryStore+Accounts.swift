extension RegistryStore {
    /// What is known of a name.
    package nonisolated func account(_ name: String) async throws -> AccountRecord {
        if let known = accounts.find(name) { return known }
        let generation = accounts.generation
        let record = try await index.read { connection in
            let row = try connection.row(
                "SELECT name, kind, secret, expires, enabled, created FROM accounts WHERE name = ?", [.text(name)])
            let grants = try connection.rows("SELECT pattern, rights FROM grants WHERE account = ?", [.text(name)])
            return AccountRecord(account: try row.map(Account.init), grants: try grants.map(Grant.init))
        }
        accounts.keep(record, name, generation: generation)
        return record
    }

    /// All accounts by name, without their secrets being of use to anybody.
    package nonisolated func allAccounts(_ kind: Account.Kind) async throws -> [Account] {
        try await index.read { connection in
            try connection.rows(
                "SELECT name, kind, secret, expires, enabled, created FROM accounts WHERE kind = ? ORDER BY name",
                [.text(kind.rawValue)]
            ).map(Account.init)
        }
    }

    /// Makes an account; durable when this returns, as every change of accounts.
    ///
    /// - Throws: ``Refusal`` 409 for a name that is taken.
    package nonisolated func addAccount(_ account: Account) async throws {
        try Account.checkName(account.name)
        try await changeAccounts { change in
            let known = try change.connection.row(
                "SELECT name FROM accounts WHERE name = ?", [.text(account.name)])
            guard known == nil else {
                throw Refusal(.unknown, 409, "account \(account.name) exists already: remove it, or take another name")
            }
            try change.connection.execute(
                "INSERT INTO accounts (name, kind, secret, expires, enabled, created) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    .text(account.name), .text(account.kind.rawValue), .text(account.secret),
                    account.expires.map(SQLValue.integer) ?? .null, .integer(account.isEnabled ? 1 : 0),
                    .integer(account.created),
                ])
        }
    }

    /// Changes an account.
    ///
    /// - Parameters:
    ///   - kind: that it has to be of.
    ///   - secret: the new one, hashed; nil leaves it.
    /// - Throws: ``Refusal`` 404.
    package nonisolated func changeAccount(
        _ name: String, _ kind: Account.Kind, secret: String? = nil, isEnabled: Bool? = nil
    ) async throws {
        try await changeAccounts { change in
            let count = try change.connection.execute(
                """
                UPDATE accounts SET secret = COALESCE(?, secret), enabled = COALESCE(?, enabled)
                WHERE name = ? AND kind = ?
                """,
                [
                    SQLValue.text(secret), isEnabled.map { SQLValue.integer($0 ? 1 : 0) } ?? .null, .text(name),
                    .text(kind.rawValue),
                ])
            guard count > 0 else { throw Self.noAccount(name, kind) }
        }
    }

    /// Removes an account and its grants.
    ///
    /// - Throws: ``Refusal`` 404.
    package nonisolated func removeAccount(_ name: String, _ kind: Account.Kind) async throws {
        try await changeAccounts { change in
            let count = try change.connection.execute(
                "DELETE FROM accounts WHERE name = ? AND kind = ?", [.text(name), .text(kind.rawValue)])
            guard count > 0 else { throw Self.noAccount(name, kind) }
            try change.connection.execute("DELETE FROM grants WHERE account = ?", [.text(name)])
        }
    }

    private static func noAccount(_ name: String, _ kind: Account.Kind) -> Refusal {
        Refusal(.unknown, 404, "no such \(kind.rawValue): \(String(name.prefix(128)))")
    }

    /// Gives rights in place of those that the name had by that pattern; none take them away.
    package nonisolated func grant(_ grant: Grant, to name: String) async throws {
        try Account.checkName(name)
        try await changeAccounts { change in
            guard !grant.rights.isEmpty else {
                try change.connection.execute(
                    "DELETE FROM grants WHERE account = ? AND pattern = ?", [.text(name), .text(grant.pattern)])
                return
            }
            try change.connection.execute(
                """
                INSERT INTO grants (account, pattern, rights) VALUES (?, ?, ?)
                ON CONFLICT (account, pattern) DO UPDATE SET rights = excluded.rights
                """, [.text(name), .text(grant.pattern), .integer(grant.rights.rawValue)])
        }
    }

    /// Grants by name and pattern.
    ///
    /// - Parameter name: nil for everybody's.
    package nonisolated func grants(of name: String?) async throws -> [(account: String, grant: Grant)] {
        try await index.read { connection in
            let rows =
                if let name {
                    try connection.rows(
                        "SELECT account, pattern, rights FROM grants WHERE account = ? ORDER BY pattern", [.text(name)])
                } else {
                    try connection.rows("SELECT account, pattern, rights FROM grants ORDER BY account, pattern", [])
                }
            return try rows.map { (try $0.text("account"), try Grant($0)) }
        }
    }

    private nonisolated func changeAccounts(_ body: @escaping @Sendable (Change) throws -> Void) async throws {
        defer { accounts.forget() }
        try await writer.change(body)
    }
}

extension Account {
    init(_ row: SQLRow) throws {
        self.init(
            name: try row.text("name"), kind: try row.text("kind") == Kind.robot.rawValue ? .robot : .user,
            secret: try row.text("secret"), expires: try row.optionalInteger("expires"),
            isEnabled: try row.integer("enabled") != 0, created: try row.integer("created"))
    }
}

extension Grant {
    init(_ row: SQLRow) throws {
        self.init(pattern: try row.text("pattern"), rights: Rights(rawValue: try row.integer("rights")))
    }
}
