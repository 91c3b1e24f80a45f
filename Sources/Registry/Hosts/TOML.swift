/// A value of a TOML document, with the line in which it begins, from 1.
struct TOMLValue: Sendable, Hashable {
    enum Content: Sendable, Hashable {
        case string(String)
        case boolean(Bool)
        case array([TOMLValue])
        case table(TOMLTable)
    }

    var content: Content
    let line: Int

    init(_ content: Content, line: Int) {
        self.content = content
        self.line = line
    }
}

/// A table of a TOML document. Its members are in the order in which the document names them first.
struct TOMLTable: Sendable, Hashable {
    struct Member: Sendable, Hashable {
        let key: String
        var value: TOMLValue
    }

    /// What made a table, which decides what may be added to it (TOML 1.0, "Table").
    enum Origin: Sendable, Hashable {
        /// A longer header: one of its own may follow.
        case implied
        case header
        /// A dotted key: other dotted keys may add to it.
        case dotted
        /// Braces: it is whole.
        case inline
    }

    private(set) var members: [Member] = []
    private var places: [String: Int] = [:]
    private var origin: Origin

    init(_ origin: Origin) { self.origin = origin }

    subscript(key: String) -> TOMLValue? { places[key].map { members[$0].value } }

    /// Opens the table that a header names.
    ///
    /// - Throws: `TOMLError` when it is there already.
    mutating func define(_ path: ArraySlice<String>, line: Int) throws(TOMLError) {
        guard let key = path.first else { return }
        let rest = path.dropFirst()
        try enter(key, making: rest.isEmpty ? .header : .implied, line: line) { table throws(TOMLError) in
            guard table.origin != .inline else { throw Self.whole(key, line) }
            if !rest.isEmpty { return try table.define(rest, line: line) }
            guard table.isNew || table.origin == .implied else {
                throw TOMLError(line, "the table \(TOMLError.quoted(key)) is there twice", remedy: "make it one")
            }
            (table.origin, table.isNew) = (.header, false)
        }
    }

    /// Adds a member to the table of the header `header`; `path` is its key, of several parts where it has dots.
    ///
    /// - Throws: `TOMLError` when it is there already.
    mutating func insert(_ value: TOMLValue, under header: ArraySlice<String>, at path: ArraySlice<String>, line: Int)
        throws(TOMLError)
    {
        if let key = header.first {
            return try enter(key, making: .implied, line: line) { table throws(TOMLError) in
                try table.insert(value, under: header.dropFirst(), at: path, line: line)
            }
        }
        guard let key = path.first else { return }
        let rest = path.dropFirst()
        guard rest.isEmpty else {
            return try enter(key, making: .dotted, line: line) { table throws(TOMLError) in
                guard table.origin == .dotted else { throw Self.whole(key, line) }
                try table.insert(value, under: [], at: rest, line: line)
            }
        }
        guard places[key] == nil else {
            throw TOMLError(line, "\(TOMLError.quoted(key)) is there twice", remedy: "take one out")
        }
        append(key, value)
    }

    /// The same table, as what stood in braces.
    consuming func closed() -> TOMLTable {
        origin = .inline
        return self
    }

    /// Made by the header that is being read.
    private var isNew = false

    private mutating func append(_ key: String, _ value: TOMLValue) {
        places[key] = members.count
        members.append(Member(key: key, value: value))
    }

    private static func whole(_ key: String, _ line: Int) -> TOMLError {
        TOMLError(line, "the table \(TOMLError.quoted(key)) is whole already", remedy: "say all of it in one place")
    }

    private mutating func enter(
        _ key: String, making origin: Origin, line: Int, _ body: (inout TOMLTable) throws(TOMLError) -> Void
    ) throws(TOMLError) {
        if places[key] == nil {
            var table = TOMLTable(origin)
            table.isNew = origin == .header
            append(key, TOMLValue(.table(table), line: line))
        }
        guard let place = places[key], case .table(var table) = members[place].value.content else {
            throw TOMLError(line, "\(TOMLError.quoted(key)) is a value, not a table")
        }
        // Held once only, so that what is added copies nothing.
        members[place].value.content = .boolean(false)
        try body(&table)
        members[place].value.content = .table(table)
    }
}

/// What is wrong with a document, and in which line.
struct TOMLError: Error, Sendable, Hashable {
    /// From 1.
    let line: Int
    let message: String
    /// What to do about it.
    let remedy: String?

    init(_ line: Int, _ message: String, remedy: String? = nil) {
        (self.line, self.message, self.remedy) = (line, message, remedy)
    }
}
