/// Somebody, or a program, that may log in.
package struct Account: Sendable, Hashable {
    package enum Kind: String, Sendable, Hashable, Codable {
        /// Has a password that a person has chosen.
        case user
        /// Has a secret that the registry has made, and shown once.
        case robot
    }

    package let name: String
    package let kind: Kind
    /// A hash by bcrypt of a user's password; the SHA-256 of a robot's secret, whose 256 random bits nobody can try.
    package var secret: String
    /// When it ends, in seconds since 1970.
    package var expires: Int64?
    package var isEnabled: Bool
    package let created: Int64

    package init(
        name: String, kind: Kind, secret: String, expires: Int64? = nil, isEnabled: Bool = true, created: Int64
    ) {
        self.name = name
        self.kind = kind
        self.secret = secret
        self.expires = expires
        self.isEnabled = isEnabled
        self.created = created
    }

    /// Characters of a name: what fits into lists, headers and logs of everybody.
    private static let nameCountMax = 128

    /// - Throws: ``Refusal`` for a name that no account can have.
    package static func checkName(_ name: String) throws(Refusal) {
        let isPlain = name.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || "._-+@$".utf8.contains(byte)
        }
        guard isPlain, (1...nameCountMax).contains(name.utf8.count), !name.hasPrefix("-") else {
            throw Refusal(
                .unknown, 400,
                "invalid account name \(String(name.prefix(60)).debugDescription): want up to \(nameCountMax) letters, digits and . _ - + @ $"
            )
        }
    }

    /// Why it may not log in at a time, in seconds since 1970; nil when it may.
    package func obstacle(at now: Int64) -> String? {
        if !isEnabled { return "account \(name) is disabled" }
        if let expires, expires <= now { return "account \(name) has expired" }
        return nil
    }
}

/// What the index knows of a name: an account, grants, or both. An account of a password file has only grants.
package struct AccountRecord: Sendable, Hashable {
    package let account: Account?
    package let grants: [Grant]

    package static let none = AccountRecord(account: nil, grants: [])
}
