/// All repositories that somebody is told of, in an order, page by page.
struct Listing {
    /// Rows of an order's index that are looked through for a page of what not everybody is told of. Whoever is told of fewer has those
    /// sorted instead, and so has whoever finds no page among them.
    private static let walkedMax: Int64 = 10_000

    private let connection: any SQLConnection
    private let visibility: Visibility
    private let ranges: NameRanges
    private let query: SearchQuery
    private let order: SearchQuery.Order
    private let isAscending: Bool

    init(_ connection: any SQLConnection, _ visibility: Visibility, _ query: SearchQuery) {
        self.connection = connection
        self.visibility = visibility
        ranges = visibility.ranges
        self.query = query
        order = query.order == .relevance ? .pulls : query.order
        isAscending = query.isAscending ?? (order == .name)
    }

    /// Where a page begins.
    private typealias Position = (value: SQLValue, repository: Int64)

    private static let columns = "profiles.repository AS repository, \(RepositorySummary.columns)"
    private var column: String { order.rawValue }
    private var direction: String { isAscending ? "" : " DESC" }

    func page(_ count: Int) throws -> SearchPage {
        let position = try query.cursor.map { try SearchCursor.position($0, isText: order == .name) }
        let total = try select("1 AS found", nil, ranges).count()
        let rows =
            switch (order, visibility) {
            case (.name, _): try named(position, count + 1)
            case (_, .all): try walk(position, count + 1)
            case (_, .only): try few(position, count + 1, of: total)
            }
        var page = SearchPage(items: try rows.prefix(count).map(RepositorySummary.init), total: Int(total))
        if rows.count > count, let last = page.items.last {
            page.next = SearchCursor.behind(value(last), try rows[count - 1].integer("repository"))
        }
        return page
    }

    private func select(_ columns: String, _ position: Position?, _ ranges: NameRanges) -> RangedSelect {
        // Not by the order's index, which would be read to its end for each range.
        let (behind, arguments) = behind(position, " + 0")
        return RangedSelect(
            connection: connection, sql: "SELECT \(columns) FROM profiles WHERE \(behind)", arguments: arguments,
            column: "profiles.name", ranges: ranges)
    }

    private func behind(_ position: Position?, _ added: String = "") -> (sql: String, arguments: [SQLValue]) {
        guard let position else { return ("TRUE", []) }
        return (
            "(profiles.\(column)\(added), profiles.repository\(added)) \(isAscending ? ">" : "<") (?, ?)",
            [position.value, .integer(position.repository)]
        )
    }

    private func named(_ position: Position?, _ count: Int) throws -> [SQLRow] {
        var ranges = ranges
        if case .text(let name)? = position?.value {
            // No two repositories have one name.
            ranges =
                isAscending ? ranges.clipped(from: NameRanges.after(name), to: nil) : ranges.clipped(from: "", to: name)
        }
        return try select(Self.columns, nil, ranges).byName(isDescending: !isAscending, countMax: count)
    }

    /// The order's index from the position on.
    private func walk(_ position: Position?, _ count: Int) throws -> [SQLRow] {
        let (behind, arguments) = behind(position)
        return try connection.rows(
            """
            SELECT \(Self.columns) FROM profiles WHERE \(behind)
            ORDER BY profiles.\(column)\(direction), profiles.repository\(direction) LIMIT ?
            """, arguments + [.integer(Int64(count))])
    }

    /// Of `total` repositories that this one is told of.
    private func few(_ position: Position?, _ count: Int, of total: Int64) throws -> [SQLRow] {
        guard total > 0 else { return [] }
        if total > Self.walkedMax {
            let rows = try walkedThrough(position, count)
            if rows.count == count { return rows }
        }
        let rows = try select(Self.columns, position, ranges).byNumbers(
            [column, "repository"], isDescending: !isAscending, countMax: count)
        let keyed = try rows.map { (key: (try $0.integer(column), try $0.integer("repository")), row: $0) }
        return keyed.sorted { isAscending ? $0.key < $1.key : $0.key > $1.key }.prefix(count).map(\.row)
    }

    /// Those among the next rows of the order's index that this one is told of.
    private func walkedThrough(_ position: Position?, _ count: Int) throws -> [SQLRow] {
        guard ranges.ranges.count <= NameRanges.comparedMax else {
            let walked = try walk(position, Int(Self.walkedMax))
            return Array(try walked.filter { ranges.contains(try $0.text("name")) }.prefix(count))
        }
        let (behind, arguments) = behind(position)
        let seen = ranges.condition("name")
        return try connection.rows(
            """
            SELECT * FROM (SELECT \(Self.columns) FROM profiles WHERE \(behind)
            ORDER BY profiles.\(column)\(direction), profiles.repository\(direction) LIMIT ?) AS walked
            WHERE \(seen.sql) ORDER BY \(column)\(direction), repository\(direction) LIMIT ?
            """, arguments + [.integer(Self.walkedMax)] + seen.arguments + [.integer(Int64(count))])
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
