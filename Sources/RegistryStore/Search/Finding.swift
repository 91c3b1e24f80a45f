/// Repositories that match a text. What many match is bounded: of each way to match, the most popular are looked at, which
/// the full-text index gives first, and those are then put in order.
struct Finding {
    /// Repositories of one way to match.
    private static let candidatesMax: Int64 = 300
    /// Repositories that match some words and are then asked for a tag.
    private static let taggedMax: Int64 = 2000
    /// Names of a visibility that the full-text index is asked for, each of which costs a look; with more, what it gives for everybody is
    /// looked through.
    private static let pathsMax = 4096
    /// Those that it gives for everybody then.
    private static let lookedThroughMax: Int64 = 5000

    private let connection: any SQLConnection
    private let ranges: NameRanges
    /// What the full-text index is asked for; none where it is not.
    private let paths: [String]
    private let query: SearchQuery

    init(_ connection: any SQLConnection, _ visibility: Visibility, _ query: SearchQuery) {
        self.connection = connection
        ranges = visibility.ranges
        if case .only(let names) = visibility, names.count <= Self.pathsMax {
            paths = names.map(SearchWords.path)
        } else {
            paths = []
        }
        self.query = query
    }

    /// A repository that matches, and how well.
    private struct Match {
        let item: RepositorySummary
        var score: Int64
    }

    /// What a text says.
    private struct Text {
        /// As it was typed, in lower case.
        let whole: String
        let words: [String]
        /// As tags are looked for.
        let parts: [String]
        /// The last word may go on.
        let isBegun: Bool

        init(_ text: String) {
            whole = text.lowercased().split(whereSeparator: \.isWhitespace).joined(separator: " ")
            words = SearchWords.split(text, countMax: SearchQuery.wordsMax)
            parts = whole.split(separator: " ").prefix(SearchQuery.wordsMax).map(SearchWords.tagWord)
            isBegun = text.last?.isWhitespace == false
        }
    }

    func page(_ count: Int) throws -> SearchPage {
        let offset = try SearchCursor.offset(query.cursor)
        let text = Text(query.text)
        var (found, corrected): ([Match], String?) = (try matches(text), nil)
        if found.isEmpty, let other = try self.corrected(text) {
            found = try matches(Text(other))
            corrected = found.isEmpty ? nil : other
        }
        let sorted = found.sorted(by: isBefore)
        var page = SearchPage(
            items: sorted.dropFirst(offset).prefix(count).map(\.item), total: found.count, corrected: corrected)
        if offset + count < found.count { page.next = SearchCursor.offset(offset + count) }
        return page
    }

    // MARK: Ways to match

    private func matches(_ text: Text) throws -> [Match] {
        var found: [String: Match] = [:]
        func add(_ rows: [SQLRow], _ score: (RepositorySummary) -> Int64) throws {
            for row in rows {
                let item = try RepositorySummary(row)
                let score = score(item)
                if let known = found[item.name], known.score >= score { continue }
                found[item.name] = Match(item: item, score: score)
            }
        }
        try add(try named(text)) { Self.nameScore($0, text) }
        if !text.words.isEmpty {
            for isInName in [true, false] {
                let rows = try withWords(text.words, isBegun: text.isBegun, isInName: isInName)
                try add(rows) { Self.nameScore($0, text) }
            }
        }
        for place in text.parts.indices { try add(try tagged(text, place)) { _ in Self.tagScore } }
        return Array(found.values)
    }

    private func select(_ tables: String, _ condition: String, _ arguments: [SQLValue], _ order: String) throws
        -> [SQLRow]
    {
        let isCompared = ranges.ranges.count <= NameRanges.comparedMax
        let seen = isCompared ? ranges.condition("profiles.name") : (sql: "TRUE", arguments: [])
        // By paths nobody else's come, but for a few by chance.
        let countMax = isCompared || !paths.isEmpty ? Self.candidatesMax : Self.lookedThroughMax
        let rows = try connection.rows(
            """
            SELECT \(RepositorySummary.columns) FROM \(tables) WHERE \(condition) AND \(seen.sql)
            ORDER BY \(order) LIMIT ?
            """, arguments + seen.arguments + [.integer(countMax)])
        if isCompared { return rows }
        return Array(try rows.filter { ranges.contains(try $0.text("name")) }.prefix(Int(Self.candidatesMax)))
    }

    /// Those that are called just that, or begin so from the front.
    private func named(_ text: Text) throws -> [SQLRow] {
        let leaf = try called(text)
        guard let end = SearchWords.end(of: text.whole) else { return leaf }
        return leaf
            + (try RangedSelect(
                connection: connection, sql: "SELECT \(RepositorySummary.columns) FROM profiles WHERE TRUE",
                arguments: [], column: "profiles.name", ranges: ranges.clipped(from: text.whole, to: end)
            ).byName(isDescending: false, countMax: Int(Self.candidatesMax)))
    }

    /// Those whose last part is the text. Who may see few is not made to look through all that are called so.
    private func called(_ text: Text) throws -> [SQLRow] {
        guard !paths.isEmpty, !text.words.isEmpty else {
            return try select("profiles", "profiles.leaf = ?", [.text(text.whole)], "profiles.place DESC")
        }
        let index = connection.words
        let match = WordMatch(words: text.words, isLastBegun: false, isInName: true, paths: paths)
        return try select(
            index.tables, "\(index.condition) AND profiles.leaf = ?", [index.argument(match), .text(text.whole)],
            index.order)
    }

    private func withWords(_ words: [String], isBegun: Bool, isInName: Bool) throws -> [SQLRow] {
        let index = connection.words
        let match = WordMatch(words: words, isLastBegun: isBegun, isInName: isInName, paths: paths)
        return try select(index.tables, index.condition, [index.argument(match)], index.order)
    }

    /// Those that one word names a tag of, and that match the others.
    private func tagged(_ text: Text, _ place: Int) throws -> [SQLRow] {
        let part = text.parts[place]
        let isBegun = text.isBegun && place == text.parts.count - 1
        let end = isBegun ? SearchWords.end(of: part) : nil
        let asked: [SQLValue] = end.map { [.text(part), .text($0)] } ?? [.text(part)]
        let condition = end == nil ? "tag_words.word = ?" : "tag_words.word >= ? AND tag_words.word < ?"
        var others = text.parts
        others.remove(at: place)
        let words = others.flatMap { SearchWords.split($0) }
        guard !words.isEmpty else {
            return try select(
                "profiles",
                """
                profiles.repository IN (SELECT repository FROM tag_words WHERE \(condition) LIMIT \(Self.candidatesMax))
                """, asked, "profiles.place DESC")
        }
        let index = connection.words
        let match = WordMatch(
            words: Array(words.prefix(SearchQuery.wordsMax)), isLastBegun: text.isBegun && !isBegun, isInName: false,
            paths: paths)
        return try select(
            "profiles",
            """
            profiles.place IN (\(index.places) ORDER BY \(index.order) LIMIT \(Self.taggedMax)) AND EXISTS
            (SELECT 1 FROM tag_words WHERE tag_words.repository = profiles.repository AND \(condition))
            """, [index.argument(match)] + asked, "profiles.place DESC")
    }

    /// The text with words of names in place of those that are nearly such.
    private func corrected(_ text: Text) throws -> String? {
        let words = try text.words.map { try Spelling.corrected($0, connection) ?? $0 }
        return words == text.words ? nil : words.joined(separator: " ")
    }

    // MARK: Order

    /// Points of a match by its tags: more than for a word somewhere, less than for one in the name.
    private static let tagScore: Int64 = 1500

    /// How well a name fits, in points.
    private static func nameScore(_ item: RepositorySummary, _ text: Text) -> Int64 {
        if item.name == text.whole { return 10_000 }
        let leaf = Profile.leaf(item.name)
        if leaf == text.whole { return 8000 }
        let own = SearchWords.split(leaf)
        if !text.words.isEmpty, own.starts(with: text.words) { return 6000 }
        if text.isBegun, leaf.hasPrefix(text.whole) { return 5000 }
        func has(_ words: [String]) -> Bool {
            text.words.enumerated().allSatisfy { place, word in
                let isBegun = text.isBegun && place == text.words.count - 1
                return words.contains { isBegun ? $0.hasPrefix(word) : $0 == word }
            }
        }
        if has(own) { return 4000 }
        if has(SearchWords.split(item.name)) { return 3000 }
        return has(SearchWords.split(item.name + " " + item.title + " " + item.description)) ? 2000 : 1000
    }

    /// Pulls count beside how well a name fits: a thousandfold makes up for a step.
    private static func relevance(_ match: Match) -> Int64 {
        match.score + Int64(Int64.bitWidth - match.item.pulls.leadingZeroBitCount) * 100
    }

    private func isBefore(_ left: Match, _ right: Match) -> Bool {
        let (a, b) = (value(left), value(right))
        // Names are parted by themselves alone.
        guard query.order != .name, a != b else {
            return (query.order == .name && query.isAscending == false)
                ? left.item.name > right.item.name : left.item.name < right.item.name
        }
        return query.isAscending == true ? a < b : a > b
    }

    private func value(_ match: Match) -> Int64 {
        switch query.order {
        case .relevance, .name: Self.relevance(match)
        case .pulls: match.item.pulls
        case .updated: match.item.updated
        case .pushed: match.item.pushed
        case .size: match.item.size
        }
    }
}
