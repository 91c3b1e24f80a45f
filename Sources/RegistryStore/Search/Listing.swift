/// All repositories that somebody is told of, in an order, page by page.
struct Listing {
    private let connection: any SQLConnection
    private let visibility: Visibility
    private let query: SearchQuery
    private let order: SearchQuery.Order
    private let isAscending: Bool

    init(_ connection: any SQLConnection, _ visibility: Visibility, _ query: SearchQuery) {
        self.connection = connection
        self.visibility = visibility
        self.query = query
        order = query.order == .relevance ? .pulls : query.order
        isAscending = query.isAscending ?? (order == .name)
    }

    func page(_ count: Int) throws -> SearchPage {
        let seen = visibility.condition("profiles.name")
        let column = order.rawValue
        var arguments = seen.arguments
        var from = ""
        if let cursor = query.cursor {
            let position = try SearchCursor.position(cursor, isText: order == .name)
            from = "AND (profiles.\(column), profiles.repository) \(isAscending ? ">" : "<") (?, ?)"
            arguments += [position.value, .integer(position.repository)]
        }
        let direction = isAscending ? "" : " DESC"
        let rows = try connection.rows(
            """
            SELECT profiles.repository AS repository, \(RepositorySummary.columns) FROM profiles
            WHERE \(seen.sql) \(from)
            ORDER BY profiles.\(column)\(direction), profiles.repository\(direction) LIMIT ?
            """, arguments + [.integer(Int64(count) + 1)])
        let total = try connection.row(
            "SELECT count(*) AS count FROM profiles WHERE \(seen.sql)", seen.arguments)?.integer("count")
        var page = SearchPage(items: try rows.prefix(count).map(RepositorySummary.init), total: Int(total ?? 0))
        if rows.count > count, let last = page.items.last {
            page.next = SearchCursor.behind(value(last), try rows[count - 1].integer("repository"))
        }
        return page
    }

    private func value(_ item: RepositorySummary) -> SQLValue {
        switch order {
        case .relevance, .pulls: .integer(item.pulls)
        case .updated: .integer(item.updated)
        case .pushed: .integer(item.pushed)
        case .size: .integer(item.size)
        case .name: .text(item.name)
        }
    }
}
