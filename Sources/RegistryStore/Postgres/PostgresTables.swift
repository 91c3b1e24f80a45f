import Kernel

extension PostgresIndex {
    /// Days until the row of a registry that was stopped is removed.
    private static let writerDays = 7
    /// Until the server has to answer when a registry starts: both may have been started at the same time.
    private static let startMax = Duration.seconds(30)
    /// A step may have to go through everything there is.
    private static let stepMax = Duration.seconds(3600)

    /// Of every registry, whatever its steps are: what the database is for, and what its registries have written last.
    private static let own = """
        CREATE TABLE IF NOT EXISTS registry_state (name TEXT PRIMARY KEY, value TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS registry_writers (
            instance TEXT PRIMARY KEY, number BIGINT NOT NULL, moment BIGINT NOT NULL);
        """

    /// Brings the tables up to date, and makes them when there are none. Blocks its thread.
    ///
    /// - Parameters:
    ///   - storages: names of the place of the blobs, of which an index has one; the first is that of a new one.
    ///   - hasMovedHere: whether the folder says that its index is in this database.
    /// - Throws: ``StoreFailure``, ``Refusal`` when the server does not answer.
    func prepare(storages: [String], hasMovedHere: Bool) throws {
        try change { connection in
            if let mover = try Self.value("moving", connection) {
                guard hasMovedHere, storages.contains(mover) else {
                    throw StoreFailure(
                        "the database has a part of an index: a move to it has not come to its end. Begin it again, or start the "
                            + "registry that was moved, with the same address of the database, when it had")
                }
                // It was cut between its end and this.
                try Self.endMove(connection)
            }
            try Self.migrate(connection)
            try Self.claim(connection, storages)
        }
    }

    /// Makes the tables for an index that is going to be moved here. Until ``endMove(_:)`` no registry takes them for one.
    ///
    /// - Throws: ``Refusal`` 409 for a database that has an index already.
    func prepareMove(storage: String) throws {
        try change { connection in
            if let mover = try Self.value("moving", connection) {
                guard mover == storage else {
                    throw Refusal(.unsupported, 409, "the index of another registry is being moved to this database")
                }
                try Self.removeAll(connection)
            } else if try Self.value("steps", connection) != nil {
                throw Refusal(.unsupported, 409, "the database has an index already: give it another one")
            }
            try Self.migrate(connection)
            try Self.claim(connection, [storage])
            try Self.set("moving", storage, connection)
        }
    }

    static func endMove(_ connection: any SQLConnection) throws {
        try connection.execute("DELETE FROM registry_state WHERE name = 'moving'", [])
    }

    /// What a move has left that has not come to its end.
    private static func removeAll(_ connection: PostgresConnection) throws {
        let tables = try connection.rows(
            """
            SELECT quote_ident(relname) AS name FROM pg_class WHERE relkind = 'r'
            AND relnamespace = current_schema()::text::regnamespace AND relname NOT LIKE 'registry\\_%'
            """, [])
        for table in tables { try connection.script("TRUNCATE \(try table.text("name"))", within: stepMax) }
    }

    private func change(_ body: (PostgresConnection) throws -> Void) throws {
        try writer.use(until: .now + Self.startMax, isPatient: true) { connection in
            do {
                try Self.change(connection, body)
            } catch let error as PostgresFailure {
                throw connection.isBroken ? PostgresPool.Unhappened(cause: error) : error
            }
        }
    }

    private static func change(_ connection: PostgresConnection, _ body: (PostgresConnection) throws -> Void) throws {
        do {
            try connection.script("BEGIN; SET LOCAL statement_timeout = 0; \(lock)")
            try connection.script(own)
            _ = try connection.execute(
                "DELETE FROM registry_writers WHERE moment < extract(epoch FROM now())::bigint - \(writerDays * 86_400)",
                [])
            try body(connection)
            try connection.commit()
        } catch {
            connection.rollback()
            throw error
        }
    }

    private static func migrate(_ connection: PostgresConnection) throws {
        let (found, known) = (Int(try value("steps", connection) ?? "0") ?? -1, Schema.steps.count)
        guard (0...known).contains(found) else {
            throw StoreFailure("the database has format \(found), this registry knows \(known): upgrade it")
        }
        for step in Schema.steps[found...] { try connection.script(step.postgres, within: stepMax) }
        try set("steps", "\(known)", connection)
    }

    /// Two registries with blobs of their own, and one index, would each have half of them.
    private static func claim(_ connection: PostgresConnection, _ storages: [String]) throws {
        guard let owner = try value("storage", connection) else {
            if let first = storages.first { try set("storage", first, connection) }
            return
        }
        guard storages.contains(owner) else {
            guard !storages.contains(where: { owner.hasPrefix($0 + "+") }) else {
                throw StoreFailure("some blobs are in a bucket: say in which one, by \"storage\" of --config")
            }
            guard !storages.contains(where: { $0.hasPrefix(owner + "+") }) else {
                throw StoreFailure(
                    "the blobs are in the data folder: start the registry without \"storage\", and move them by "
                        + "`docker registry move --storage`")
            }
            throw StoreFailure(
                "the database is the index of other blobs: give this registry the data folder or the bucket that it was "
                    + "made with, or a database of its own")
        }
    }

    /// The blobs have come to another place, or are on their way there.
    static func renameStorage(_ old: String, to new: String, _ connection: any SQLConnection) throws {
        try connection.execute(
            "UPDATE registry_state SET value = ? WHERE name = 'storage' AND value = ?", [.text(new), .text(old)])
    }

    private static func value(_ name: String, _ connection: PostgresConnection) throws -> String? {
        try connection.row("SELECT value FROM registry_state WHERE name = ?", [.text(name)])?.text("value")
    }

    private static func set(_ name: String, _ value: String, _ connection: PostgresConnection) throws {
        _ = try connection.execute(
            """
            INSERT INTO registry_state (name, value) VALUES (?, ?)
            ON CONFLICT (name) DO UPDATE SET value = excluded.value
            """, [.text(name), .text(value)])
    }
}
