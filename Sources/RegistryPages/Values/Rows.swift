/// What every page has: where it is, and for whom.
package struct Site: Sendable, Hashable {
    /// Host and port that clients name in front of a repository.
    package var host: String
    /// The account that looks at the page.
    package var user: String?
    /// Whether there are accounts, so that logging in may show more.
    package var hasAccounts: Bool
    /// Seconds since 1970: what times on the page are counted from.
    package var now: Int64

    package init(host: String, user: String?, hasAccounts: Bool, now: Int64) {
        self.host = host
        self.user = user
        self.hasAccounts = hasAccounts
        self.now = now
    }
}

/// A repository in a list.
package struct RepositoryRow: Sendable, Hashable {
    package var name: String
    package var description: String?
    package var pulls: Int64?
    package var tags: Int64?
    /// Bytes of its newest image.
    package var size: Int64?
    /// Seconds since 1970.
    package var pushed: Int64?
    package var architectures: [String] = []

    package init(name: String) { self.name = name }
}

/// A tag in a list.
package struct TagRow: Sendable, Hashable {
    package var name: String
    package var digest: String
    package var size: Int64?
    package var pushed: Int64?
    /// As `amd64`, `arm64/v8`.
    package var architectures: [String] = []

    package init(name: String, digest: String) {
        self.name = name
        self.digest = digest
    }
}

/// A part of a long list.
package struct Slice<Element: Sendable & Hashable>: Sendable, Hashable {
    package var items: [Element]
    /// Address of the page with what comes next.
    package var next: String?

    package init(_ items: [Element], next: String? = nil) {
        self.items = items
        self.next = next
    }
}
