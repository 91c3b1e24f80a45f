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
    /// - Parameter storage: names the place of the blobs; an index is of one.
    /// - Throws: ``StoreFailure``, ``Refusal`` when the server does not answer.
    func prepare(storage: String) throws {
        try writer.use(until: .now + Self.startMax, isPatient: true) { connection in
            do {
                try Self.prepare(connection, storage)
            } catch let error as PostgresFailure {
                throw connection.isBroken ? PostgresPool.Unhappened(cause: error) : error
            }
        }
    }

    private static func prepare(_ connection: PostgresConnection, _ storage: String) throws {
        do {
            try connection.script("BEGIN; SET LOCAL statement_timeout = 0; \(lock)")
            try connection.script(own)
            _ = try connection.execute(
                "DELETE FROM registry_writers WHERE moment < extract(epoch FROM now())::bigint - \(writerDays * 86_400)",
                [])
            try migrate(connection)
            try claim(connection, storage)
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
    private static func claim(_ connection: PostgresConnection, _ storage: String) throws {
        let owner = try value("storage", connection)
        guard owner == nil || owner == storage else {
            throw StoreFailure(
                "the database is the index of other blobs: give this registry the data folder or the bucket that it was "
                    + "made with, or a database of its own")
        }
        try set("storage", storage, connection)
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
