import OCI

/// What is looked for, and how much of it.
package struct SearchQuery: Sendable, Hashable {
    package enum Order: String, Sendable, Hashable, CaseIterable {
        /// Of a text; a list without one is in the order of pulls.
        case relevance
        case pulls, updated, pushed, name, size
    }

    /// Bytes of a text: more than anybody types.
    package static let textBytesMax = 256
    /// Words of a text that are heeded: each costs a look.
    package static let wordsMax = 8
    /// Results of a page.
    package static let countMax = 100

    /// Empty for all repositories.
    package var text = ""
    package var order = Order.relevance
    /// nil for what is usual: names from A to Z, everything else from the most to the least.
    package var isAscending: Bool?
    /// Of a page.
    package var count = 25
    /// ``SearchPage/next`` of the page before.
    package var cursor: String?

    package init(_ text: String = "", order: Order = .relevance, count: Int = 25, cursor: String? = nil) {
        self.text = text
        self.order = order
        self.count = count
        self.cursor = cursor
    }
}

/// A repository as a list shows it. Title, description and owner are as whoever pushed it says: plain text, hostile or not.
package struct RepositorySummary: Sendable, Hashable {
    package let name: String
    package let title: String
    package let description: String
    /// Whose it is; empty where neither an annotation nor its name says.
    package let owner: String
    /// As `linux/arm64/v8`.
    package let platforms: [String]
    /// Bytes of its newest image, configuration and layers.
    package let size: Int64
    package let tags: Int64
    /// Manifests that clients have got by a tag or by themselves; counted a few seconds late.
    package let pulls: Int64
    /// Seconds since 1970.
    package let pushed: Int64
    /// When anything of it has changed, in seconds since 1970.
    package let updated: Int64

    static let columns = [
        "name", "title", "description", "owner", "platforms", "size", "tags", "pulls", "pushed", "updated",
    ].map { "profiles.\($0) AS \($0)" }.joined(separator: ", ")

    init(_ row: SQLRow) throws {
        name = try row.text("name")
        title = try row.text("title")
        description = try row.text("description")
        owner = try row.text("owner")
        platforms = try row.text("platforms").split(separator: " ").map(String.init)
        size = try row.integer("size")
        tags = try row.integer("tags")
        pulls = try row.integer("pulls")
        pushed = try row.integer("pushed")
        updated = try row.integer("updated")
    }
}

package struct SearchPage: Sendable, Hashable {
    package var items: [RepositorySummary] = []
    /// ``SearchQuery/cursor`` of the next page; nil when this is the last.
    package var next: String?
    /// How many have been found: of what very many match, the most popular are looked at.
    package var total = 0
    /// What was looked for instead of a text that nothing matches.
    package var corrected: String?
}

/// Where a page begins. Clients hand it back as it is, or as they like: what is none is refused.
enum SearchCursor {
    /// Behind the item with this value in the list's order, and of that number.
    static func behind(_ value: SQLValue, _ repository: Int64) -> String {
        switch value {
        case .integer(let number): "i\(number).\(repository)"
        case .text(let text): "t\(repository).\(text)"
        case .null, .bytes: ""
        }
    }

    static func position(_ cursor: String, isText: Bool) throws(Refusal) -> (value: SQLValue, repository: Int64) {
        let parts = cursor.dropFirst().split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        if cursor.first == (isText ? "t" : "i"), parts.count == 2 {
            if isText, let repository = Int64(parts[0]) { return (.text(String(parts[1])), repository) }
            if !isText, let value = Int64(parts[0]), let repository = Int64(parts[1]) {
                return (.integer(value), repository)
            }
        }
        throw invalid
    }

    /// Behind that many results of a search.
    static func offset(_ count: Int) -> String { "o\(count)" }

    static func offset(_ cursor: String?) throws(Refusal) -> Int {
        guard let cursor else { return 0 }
        guard cursor.first == "o", cursor.utf8.count <= 8, let count = Int(cursor.dropFirst()), count >= 0 else {
            throw invalid
        }
        return count
    }

    static let invalid = Refusal(
        .pageInvalid, 400, "invalid cursor: want \"next\" of the page before, of the same query")
}
