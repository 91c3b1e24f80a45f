/// Which rows of the embedded index have changed while it is copied: triggers write their keys down, in the same transaction.
struct MoveLog: Sendable {
    /// Keys that are taken at once.
    private static let takenMax = 200

    let tables: [MovedTable]

    /// A row that has changed: what it is now, nil when it is gone.
    struct Changed: Sendable {
        let table: MovedTable
        let key: [SQLValue]
        let row: MovedTable.Row?
    }

    private static let events = [("insert", ["NEW"]), ("update", ["OLD", "NEW"]), ("delete", ["OLD"])]

    func begin(_ source: any SQLConnection) throws {
        try Self.end(source)
        try source.execute(
            "CREATE TABLE moved_keys (relation TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (relation, key))", [])
        for table in tables {
            for (event, sides) in Self.events {
                let notes = sides.map { side in
                    let values = table.key.map { "\(side).\($0)" }.joined(separator: ", ")
                    return """
                        INSERT INTO moved_keys (relation, key) VALUES ('\(table.name)', json_array(\(values)))
                        ON CONFLICT DO NOTHING;
                        """
                }
                try source.execute(
                    """
                    CREATE TRIGGER moved_\(table.name)_\(event) AFTER \(event) ON \(table.name)
                    BEGIN \(notes.joined(separator: " ")) END
                    """, [])
            }
        }
    }

    /// Removes it; it may be of a move that a crash has ended.
    static func end(_ source: any SQLConnection) throws {
        let triggers = try source.rows(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, 6) = 'moved_'", [])
        for trigger in triggers { try source.execute("DROP TRIGGER \(try trigger.text("name"))", []) }
        try source.execute("DROP TABLE IF EXISTS moved_keys", [])
    }

    /// Takes what is written down, some of it, with the rows as they are now; in one transaction, so that none is missed.
    func take(_ source: any SQLConnection) throws -> [Changed] {
        let noted = try source.rows("SELECT relation, key FROM moved_keys LIMIT \(Self.takenMax)", [])
        return try noted.map { note in
            let (name, text) = (try note.text("relation"), try note.text("key"))
            guard let table = tables.first(where: { $0.name == name }) else { throw StoreFailure("no table \(name)") }
            let parts = table.key.indices.map { "json_extract(?, '$[\($0)]') AS k\($0)" }.joined(separator: ", ")
            let arguments = table.key.map { _ in SQLValue.text(text) }
            guard let key = try source.row("SELECT \(parts)", arguments)?.values else {
                throw StoreFailure("\(text) is no key")
            }
            try source.execute("DELETE FROM moved_keys WHERE relation = ? AND key = ?", [.text(name), .text(text)])
            return Changed(table: table, key: key, row: try table.row(at: key, source))
        }
    }

    /// Makes the target's rows what the source's are.
    static func apply(_ changes: [Changed], to target: any SQLConnection) throws {
        for change in changes {
            if let row = change.row {
                try change.table.put([row], target)
            } else {
                try change.table.remove(at: change.key, target)
            }
        }
    }
}
