import RegistryStore

/// Who a request is from, and what that one may do.
struct Caller: Sendable, Hashable {
    enum Kind: Sendable, Hashable {
        /// There are no accounts: everybody may do everything.
        case anybody
        /// Has not said who it is, where others have accounts.
        case anonymous
        /// Came with an account's password or secret.
        case account
        /// Came with a token of a token service, which says what it is for.
        case token
    }

    let kind: Kind
    /// Of the account; nil for those that have none.
    let name: String?
    /// Of the account. A token of another service's account has all: its scopes alone count.
    let grants: [Grant]
    /// What a token is for.
    let scopes: [Scope]

    private init(_ kind: Kind, _ name: String? = nil, _ grants: [Grant] = [], _ scopes: [Scope] = []) {
        self.kind = kind
        self.name = name
        self.grants = grants
        self.scopes = scopes
    }

    static let anybody = Caller(.anybody)
    static let anonymous = Caller(.anonymous)
    static func account(_ name: String, _ grants: [Grant]) -> Caller { Caller(.account, name, grants) }
    static func token(_ name: String?, _ grants: [Grant], _ scopes: [Scope]) -> Caller {
        Caller(.token, name, grants, scopes)
    }

    /// The rights in one repository that this caller has by itself, without those that everybody has.
    func rights(in repository: String) -> Rights {
        switch kind {
        case .anybody: .all
        case .anonymous: []
        case .account: grants.rights(in: repository)
        case .token:
            // Rights that have been taken away since the token was made are gone.
            grants.rights(in: repository).intersection(
                scopes.reduce([]) { sum, scope in
                    scope.type == "repository" && scope.name == repository ? sum.union(scope.rights) : sum
                })
        }
    }

    /// Whether it may ask for what is about all repositories; each shows it only what it may see.
    var seesOverview: Bool {
        switch kind {
        case .anybody, .account: true
        case .anonymous: false
        case .token: scopes.contains { $0.type == "registry" && $0.name == "catalog" && $0.actions.contains("*") }
        }
    }
}
