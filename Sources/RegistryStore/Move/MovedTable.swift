/// A table that both databases have, with the columns of both.
struct MovedTable: Sendable, Hashable {
    /// A row, and what the full-text index has for it.
    struct Row: Sendable {
        let values: [SQLValue]
        let words: WordEntry?
    }

    let name: String
    let columns: [String]
    /// Of the primary key, in its order.
    let key: [String]
    /// Columns of which no two rows have the same.
    let uniques: [[String]]
    /// The column whose values the database makes by itself.
    let identity: String?
    /// Rows that are read at once: those that have bytes may have mebibytes of them.
    let pageMax: Int

    private static let pages = (of: 500, ofBytes: 16)
    /// Rows of one statement.
    private static let rowsMax = 50

    /// The full-text index is another one in each database: it goes with the table whose rows it is of.
    private var hasWords: Bool { name == "profiles" }

    // MARK: Which there are

    private static let columnsOfAll = """
        SELECT c.relname::text AS relation, a.attname::text AS name, a.atttypid = 17 AS is_bytes,
            a.attidentity <> '' AS is_identity, coalesce((
                SELECT k.place FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (number, place)
                WHERE i.indrelid = c.oid AND i.indisprimary AND k.number = a.attnum), 0) AS place
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::text::regnamespace AND a.attnum > 0
            AND NOT a.attisdropped AND a.attgenerated = '' AND c.relname NOT LIKE 'registry\\_%'
        ORDER BY c.relname, a.attnum
        """
    private static let uniquesOf = """
        SELECT i.indexrelid::bigint AS number, a.attname::text AS name FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        WHERE i.indrelid = CAST(? AS text)::regclass AND i.indisunique AND NOT i.indisprimary AND i.indpred IS NULL
        """

    /// The tables of a database of PostgreSQL that `source` has, too.
    ///
    /// - Throws: ``StoreFailure`` for one without a primary key.
    static func all(_ target: any SQLConnection, _ source: any SQLConnection) throws -> [MovedTable] {
        let rows = try Dictionary(grouping: target.rows(columnsOfAll, [])) { try $0.text("relation") }
        return try rows.keys.sorted().compactMap { name in
            // Others come from what both have.
            let isPlain = try source.isAny(
                "SELECT 1 AS found FROM sqlite_master WHERE type = 'table' AND name = ? AND sql NOT LIKE 'CREATE VIRTUAL%'",
                [.text(name)])
            guard isPlain else { return nil }
            let known = Set(
                try source.rows("SELECT name FROM pragma_table_info(?)", [.text(name)]).map { try $0.text("name") })
            let columns = try (rows[name] ?? []).filter { known.contains(try $0.text("name")) }
            let uniques = try Dictionary(grouping: target.rows(uniquesOf, [.text(name)])) { try $0.integer("number") }
            return try MovedTable(name, columns, uniques.values.map { try $0.map { try $0.text("name") } })
        }
    }

    private init(_ name: String, _ rows: [SQLRow], _ uniques: [[String]]) throws {
        self.name = name
        self.uniques = uniques
        columns = try rows.map { try $0.text("name") }
        let places = try rows.map { (place: try $0.integer("place"), name: try $0.text("name")) }
        key = places.filter { $0.place > 0 }.sorted { $0.place < $1.place }.map(\.name)
        identity = try rows.first { try $0.integer("is_identity") == 1 }?.text("name")
        pageMax = try rows.contains { try $0.integer("is_bytes") == 1 } ? Self.pages.ofBytes : Self.pages.of
        guard !key.isEmpty else { throw StoreFailure("\(name) has no key, and cannot be moved") }
    }

    // MARK: The source

    private var list: String { columns.joined(separator: ", ") }
    private var keyList: String { key.joined(separator: ", ") }

    private static func all(_ names: [String]) -> String { names.map { "\($0) = ?" }.joined(separator: " AND ") }

    /// The rows after a key, in the order of keys.
    func page(after last: [SQLValue], _ source: any SQLConnection) throws -> [Row] {
        let after = last.isEmpty ? "" : "WHERE (\(keyList)) > \(SQLList.marks(key.count))"
        return try source.rows("SELECT \(list) FROM \(name) \(after) ORDER BY \(keyList) LIMIT \(pageMax)", last)
            .map { try row($0, source) }
    }

    /// The row of a key; nil when there is none.
    func row(at key: [SQLValue], _ source: any SQLConnection) throws -> Row? {
        try source.row("SELECT \(list) FROM \(name) WHERE \(Self.all(self.key))", key).map { try row($0, source) }
    }

    private func row(_ row: SQLRow, _ source: any SQLConnection) throws -> Row {
        Row(
            values: row.values,
            words: hasWords ? try source.words.entry(at: try row.integer("place")) : nil)
    }

    func key(of row: Row) -> [SQLValue] { values(key, row) }

    private func values(_ names: [String], _ row: Row) -> [SQLValue] {
        names.compactMap { name in columns.firstIndex(of: name).map { row.values[$0] } }
    }

    // MARK: The target

    /// Makes rows what they are in the source.
    func put(_ rows: [Row], _ target: any SQLConnection) throws {
        // A row that is gone may still have there what this one has now.
        if !uniques.isEmpty {
            for row in rows {
                for names in [key] + uniques { try remove(Self.all(names), values(names, row), target) }
            }
        }
        let others = columns.filter { !key.contains($0) }.map { "\($0) = excluded.\($0)" }
        let conflict = others.isEmpty ? "NOTHING" : "UPDATE SET \(others.joined(separator: ", "))"
        for start in stride(from: 0, to: rows.count, by: Self.rowsMax) {
            let part = rows[start..<min(start + Self.rowsMax, rows.count)]
            try target.execute(
                """
                INSERT INTO \(name) (\(list)) OVERRIDING SYSTEM VALUE
                VALUES \(SQLList.rows(part.count, of: columns.count))
                ON CONFLICT (\(keyList)) DO \(conflict)
                """, part.flatMap(\.values))
        }
        for row in rows {
            guard let words = row.words, case .integer(let place)? = values(["place"], row).first else { continue }
            try target.words.put(words, at: place)
        }
    }

    func remove(at key: [SQLValue], _ target: any SQLConnection) throws {
        try remove(Self.all(self.key), key, target)
    }

    private func remove(_ condition: String, _ arguments: [SQLValue], _ target: any SQLConnection) throws {
        if hasWords {
            try target.execute(
                "DELETE FROM words WHERE place IN (SELECT place FROM \(name) WHERE \(condition))", arguments)
        }
        try target.execute("DELETE FROM \(name) WHERE \(condition)", arguments)
    }

    /// Lets the database go on with values that no row has.
    func settleIdentity(_ target: any SQLConnection) throws {
        guard let identity else { return }
        _ = try target.rows(
            """
            SELECT setval(pg_get_serial_sequence('\(name)', '\(identity)'),
                (SELECT coalesce(max(\(identity)), 0) + 1 FROM \(name)), false) AS next
            """, [])
    }
}
