/// Who is told of changes, and where what was pushed is copied to. It is asked in the transaction of each change: what there is
/// to tell or to copy is as durable as the change itself.
package struct Watches: Sendable, Hashable {
    /// Somebody who is told.
    package struct Hook: Sendable, Hashable {
        package let name: String
        package let kinds: Set<RegistryEvent.Kind>
        package let repositories: [NamePattern]

        package init(name: String, kinds: Set<RegistryEvent.Kind>, repositories: [NamePattern]) {
            self.name = name
            self.kinds = kinds
            self.repositories = repositories
        }
    }

    /// A registry that has what these repositories and tags have.
    package struct Copy: Sendable, Hashable {
        package let name: String
        package let repositories: [NamePattern]
        package let tags: [NamePattern]
        /// Whether a tag that goes here goes there, too.
        package let deletes: Bool

        package init(name: String, repositories: [NamePattern], tags: [NamePattern], deletes: Bool) {
            self.name = name
            self.repositories = repositories
            self.tags = tags
            self.deletes = deletes
        }
    }

    package var hooks: [Hook]
    package var copies: [Copy]

    package init(hooks: [Hook] = [], copies: [Copy] = []) {
        self.hooks = hooks
        self.copies = copies
    }

    func hooks(for kind: RegistryEvent.Kind, in repository: String) -> [Hook] {
        hooks.filter { $0.kinds.contains(kind) && $0.repositories.matches(repository) }
    }
}

/// Where a change came from.
package struct Origin: Sendable, Hashable {
    package var user: String?
    /// Of the client.
    package var address: String?
    /// That the client has called the registry by.
    package var host: String?
    package var method: String
    package var agent: String?

    package init(
        user: String? = nil, address: String? = nil, host: String? = nil, method: String = "", agent: String? = nil
    ) {
        self.user = user
        self.address = address
        self.host = host
        self.method = method
        self.agent = agent
    }
}
