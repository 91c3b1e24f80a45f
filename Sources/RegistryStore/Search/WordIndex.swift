/// What a repository is found by.
struct WordEntry: Sendable, Hashable {
    /// Words of its name, of everything else it tells, and ``SearchWords/paths(_:)``; parted by spaces.
    let name: String
    let body: String
    let paths: String
}

/// What is looked for: every word, the last one perhaps only begun, below one of some names.
struct WordMatch: Sendable, Hashable {
    let words: [String]
    let isLastBegun: Bool
    let isInName: Bool
    /// ``SearchWords/path(_:)`` of each; none for everywhere.
    let paths: [String]
}

/// A database's full-text index, in the transaction of its connection. Words come from ``SearchWords`` alone: letters and
/// digits, so that none of them means anything to the database.
protocol WordIndex {
    func put(_ entry: WordEntry, at place: Int64) throws
    func entry(at place: Int64) throws -> WordEntry?
    func remove(at place: Int64) throws

    /// Tables of a SELECT that joins the index with `profiles`.
    var tables: String { get }
    /// What that asks for, with one argument.
    var condition: String { get }
    /// The order in which popular ones come first.
    var order: String { get }
    /// A SELECT of the places that ``condition`` finds.
    var places: String { get }
    func argument(_ match: WordMatch) -> SQLValue
}

extension SQLConnection {
    var words: any WordIndex {
        switch dialect {
        case .sqlite: SQLiteWords(connection: self)
        case .postgres: PostgresWords(connection: self)
        }
    }
}

/// FTS5, with words as they are (`ascii`).
struct SQLiteWords: WordIndex {
    let connection: any SQLConnection

    let tables = "words JOIN profiles ON profiles.place = words.rowid"
    let condition = "words MATCH ?"
    let order = "words.rowid DESC"
    var places: String { "SELECT words.rowid FROM words WHERE \(condition)" }

    func put(_ entry: WordEntry, at place: Int64) throws {
        try connection.execute(
            "INSERT INTO words (rowid, name, body, paths) VALUES (?, ?, ?, ?)",
            [.integer(place), .text(entry.name), .text(entry.body), .text(entry.paths)])
    }

    func entry(at place: Int64) throws -> WordEntry? {
        try connection.row("SELECT name, body, paths FROM words WHERE rowid = ?", [.integer(place)]).map { row in
            WordEntry(name: try row.text("name"), body: try row.text("body"), paths: try row.text("paths"))
        }
    }

    func remove(at place: Int64) throws {
        try connection.execute("DELETE FROM words WHERE rowid = ?", [.integer(place)])
    }

    func argument(_ match: WordMatch) -> SQLValue {
        var words = match.words.map { "\"\($0)\"" }
        if match.isLastBegun, let last = words.popLast() { words.append(last + " *") }
        var text = "\(match.isInName ? "name" : "{name body}") : (\(words.joined(separator: " AND ")))"
        if !match.paths.isEmpty {
            text += " AND paths : (" + match.paths.map { "\"\($0)\"" }.joined(separator: " OR ") + ")"
        }
        return .text(text)
    }
}

/// A `tsvector` that is written word by word: A is the name, B the rest, C the paths.
struct PostgresWords: WordIndex {
    let connection: any SQLConnection

    let tables = "words JOIN profiles ON profiles.place = words.place"
    let condition = "words.vector @@ CAST(? AS TSQUERY)"
    let order = "words.place DESC"
    var places: String { "SELECT words.place FROM words WHERE \(condition)" }

    func put(_ entry: WordEntry, at place: Int64) throws {
        // A word at two places has both marks.
        let parts = [("1A", entry.name), ("2B", entry.body), ("3C", entry.paths)]
        let vector = parts.flatMap { mark, text in text.split(separator: " ").map { "'\($0)':\(mark)" } }
        try connection.execute(
            "INSERT INTO words (place, name, body, paths, vector) VALUES (?, ?, ?, ?, CAST(? AS TSVECTOR))",
            [
                .integer(place), .text(entry.name), .text(entry.body), .text(entry.paths),
                .text(vector.joined(separator: " ")),
            ])
    }

    func entry(at place: Int64) throws -> WordEntry? {
        try connection.row("SELECT name, body, paths FROM words WHERE place = ?", [.integer(place)]).map { row in
            WordEntry(name: try row.text("name"), body: try row.text("body"), paths: try row.text("paths"))
        }
    }

    func remove(at place: Int64) throws {
        try connection.execute("DELETE FROM words WHERE place = ?", [.integer(place)])
    }

    func argument(_ match: WordMatch) -> SQLValue {
        let marks = match.isInName ? "A" : "AB"
        var words = match.words.map { "'\($0)':\(marks)" }
        if match.isLastBegun, let last = match.words.last { words[words.count - 1] = "'\(last)':*\(marks)" }
        if !match.paths.isEmpty { words.append("(" + match.paths.map { "'\($0)':C" }.joined(separator: " | ") + ")") }
        return .text(words.joined(separator: " & "))
    }
}
