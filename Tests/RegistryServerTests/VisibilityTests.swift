import Foundation
import Testing

@testable import RegistryStore

/// Who is told of some repositories alone is told of them as by the plain rule, and at the price of those.
@Suite(.onBothIndexes) struct VisibilityTests {
    /// Names whose order is not that of their parts: "-" and "." come before "/", digits after.
    private static let parts = ["a", "a-b", "a.b", "a0", "ab", "b", "team"]

    private static func name(_ random: inout some RandomNumberGenerator) -> String {
        (0..<Int.random(in: 1...3, using: &random)).map { _ in parts.randomElement(using: &random) ?? "a" }
            .joined(separator: "/")
    }

    /// Numbers that are the same in every run.
    private struct Random: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ (state >> 29)
        }
    }

    private static func fill(_ place: GarbageTests.Place, _ names: [String]) async throws {
        try await place.store.index.write { connection in
            for (number, name) in names.enumerated() {
                let row = try connection.row(
                    "INSERT INTO repositories (name) VALUES (?) RETURNING id", [.text(name)])
                let id = SQLValue.integer(try row?.integer("id") ?? 0)
                try connection.words.put(
                    WordEntry(
                        name: SearchWords.split(name).joined(separator: " "), body: "",
                        paths: SearchWords.paths(name).joined(separator: " ")), at: try row?.integer("id") ?? 0)
                try connection.execute(
                    """
                    INSERT INTO manifests (repository, digest, media_type, annotations, body, pushed)
                    VALUES (?, 'x', 'x', '{}', ?, 1)
                    """, [id, .bytes([0x7b, 0x7d])])
                try connection.execute(
                    """
                    INSERT INTO profiles (repository, name, leaf, source, title, description, owner, platforms, size, tags,
                    pulls, pushed, updated, place) VALUES (?, ?, ?, 'x', '', '', '', '', ?, 1, ?, ?, 1, ?)
                    """,
                    [
                        id, .text(name), .text(Profile.leaf(name)), .integer(Int64(number % 7)),
                        .integer(Int64(number * 31 % 101)), .integer(Int64(number)), id,
                    ])
            }
        }
    }

    @Test func `intervals have what the plain rule has, and touch one another nowhere`() {
        var random = Random(state: 1)
        for _ in 0..<500 {
            let names = (0..<Int.random(in: 0...12, using: &random)).map { _ in Self.name(&random) }
            let ranges = NameRanges(names).ranges
            for (left, right) in zip(ranges, ranges.dropFirst()) {
                #expect((left.high ?? "~") < right.low, "\(names)")
            }
            for _ in 0..<50 {
                let name = Self.name(&random)
                let isIn = ranges.contains { $0.low <= name && name < ($0.high ?? "~") }
                #expect(isIn == Visibility.only(names).contains(name), "\(name) in \(names)")
                #expect(isIn == NameRanges(names).contains(name), "\(name) in \(names)")
            }
        }
        #expect(NameRanges(["a", "a/b", "a/b/c", "a"]).ranges == NameRanges(["a"]).ranges)
    }

    @Test func `lists and searches have what the plain rule has, page by page, in every order`() async throws {
        let place = try GarbageTests.Place()
        var random = Random(state: 2)
        let names = Array(Set((0..<150).map { _ in Self.name(&random) })).sorted()
        try await Self.fill(place, names)
        for round in 0..<25 {
            let granted = (0..<[0, 1, 3, 20, 200][round % 5]).map { _ in Self.name(&random) }
            let visibility = Visibility.only(granted)
            let told = names.filter(visibility.contains)
            var (found, last): ([String], String?) = ([], nil)
            repeat {
                let page = try await place.store.repositories(after: last, countMax: 4, visibility)
                found += page.items
                last = page.hasMore ? page.items.last : nil
            } while last != nil
            #expect(found == told, "\(granted)")
            for order in SearchQuery.Order.allCases {
                for isAscending in [true, false] {
                    var query = SearchQuery(order: order, count: 7)
                    query.isAscending = isAscending
                    let all = try await Self.pages(place, query, .all)
                    let own = try await Self.pages(place, query, visibility)
                    #expect(own == all.filter(visibility.contains), "\(order) \(isAscending) \(granted)")
                }
            }
            for text in ["a", "a-b", "team/a", "b "] {
                let query = SearchQuery(text, order: .name, count: 100)
                let all = try await Self.pages(place, query, .all)
                let own = try await Self.pages(place, query, visibility)
                #expect(own == all.filter(visibility.contains), "\(text) \(granted)")
            }
        }
    }

    private static func pages(
        _ place: GarbageTests.Place, _ query: SearchQuery, _ visibility: Visibility
    ) async throws -> [String] {
        var (query, found) = (query, [String]())
        while true {
            let page = try await place.store.search(query, visibility)
            found += page.items.map(\.name)
            guard let next = page.next else {
                #expect(page.total == found.count)
                return found
            }
            query.cursor = next
        }
    }

    /// A connection that asks how each statement would be carried out, and counts rows.
    private final class Watched: SQLConnection {
        let connection: any SQLConnection
        var plans: [String] = []
        var rowCount = 0

        init(_ connection: any SQLConnection) { self.connection = connection }

        var dialect: SQLDialect { connection.dialect }
        func execute(_ sql: String, _ arguments: [SQLValue]) throws -> Int { try connection.execute(sql, arguments) }
        func savepoint<Value>(_ body: () throws -> Value) throws -> Value { try connection.savepoint(body) }
        func rows(_ sql: String, _ arguments: [SQLValue]) throws -> [SQLRow] {
            if dialect == .sqlite {
                plans += try connection.rows("EXPLAIN QUERY PLAN " + sql, arguments).map { try $0.text("detail") }
            }
            let rows = try connection.rows(sql, arguments)
            rowCount += rows.count
            return rows
        }
    }

    @Test func `a page reads the ranges that it needs, and no table from one end to the other`() async throws {
        let place = try GarbageTests.Place()
        try await Self.fill(place, (0..<1500).map { "r\($0)/app" })
        let granted = (0..<300).map { "r\($0 * 5)" }
        let names = granted.map { $0 + "/app" }.sorted()
        let plans = try await place.store.index.read { connection in
            let watched = Watched(connection)
            let page = try Listing(watched, .only(granted), SearchQuery(order: .name)).page(10)
            #expect(page.items.map(\.name) == Array(names.prefix(10)) && page.total == 300)
            let first = try Listing(watched, .only(granted), SearchQuery(order: .pulls, count: 10)).page(10)
            let next = SearchQuery(order: .pulls, count: 10, cursor: first.next)
            #expect(try Listing(watched, .only(granted), next).page(10).items.count == 10)
            watched.rowCount = 0
            #expect(try Finding(watched, .only(granted), SearchQuery("app ")).page(10).total == 300)
            // Those that may be seen, once for each way to match; none of others.
            #expect(watched.rowCount <= 1000)
            return watched.plans
        }
        for plan in plans { #expect(!plan.hasPrefix("SCAN profiles"), "\(plan)") }
        #expect(plans.isEmpty || plans.contains { $0.contains("profiles_name (name>? AND name<?)") }, "\(plans)")
        #expect(!plans.contains { $0.contains("profiles_pulls") || $0.hasSuffix("profiles_leaf (leaf=?)") }, "\(plans)")
    }

    @Test func `a catalog's page reads what it needs, and its last page no more than the grants`() async throws {
        let place = try GarbageTests.Place()
        try await Self.fill(place, (0..<600).map { "r\($0)" })
        let plans = try await place.store.index.read { connection in
            let watched = Watched(connection)
            let select = RangedSelect(
                connection: watched, sql: "SELECT name FROM repositories WHERE TRUE", arguments: [], column: "name",
                ranges: NameRanges((0..<600).map { "r\($0)" }))
            let names = try select.byName(isDescending: false, countMax: 20).map { try $0.text("name") }
            #expect(names == Array((0..<600).map { "r\($0)" }.sorted().prefix(20)))
            return watched.plans
        }
        // Three statements of sixteen seeks have twenty names.
        #expect(plans.count { $0.hasPrefix("SEARCH repositories") } <= 48, "\(plans)")
        #expect(!plans.contains { $0.hasPrefix("SCAN repositories") })
    }

    @Test func `a search of those with thousands of grants takes no statement of thousands of comparisons`()
        async throws
    {
        let place = try GarbageTests.Place()
        try await Self.fill(place, ["team-7/app", "other/app"])
        let visibility = Visibility.only((0..<4000).map { "team-\($0)" })
        for text in ["app", "team", "app latest"] {
            let took = try await ContinuousClock().measure {
                let found = try await place.store.search(SearchQuery(text, count: 5), visibility).items.map(\.name)
                #expect(found == (text == "app latest" ? [] : ["team-7/app"]), "\(text)")
            }
            #expect(took < .seconds(5), "\(text)")
        }
    }
}
