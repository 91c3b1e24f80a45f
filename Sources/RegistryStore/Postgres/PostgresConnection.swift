/// A connection to PostgreSQL, with the statements that it has prepared.
final class PostgresConnection: SQLConnection, @unchecked Sendable {  // its pool gives it to one thread at a time
    /// What a session may take.
    struct Limits: Sendable {
        /// A statement of reading: a search that takes longer would keep others from reading.
        static let reading = Limits(statement: .seconds(15), lock: .seconds(10))
        /// Others may write for as long.
        static let writing = Limits(statement: .seconds(60), lock: .seconds(20))
        /// Until the server is given up that should have ended a statement long ago.
        static let patience = Duration.seconds(5)
        /// A transaction in which nothing is asked: its registry hangs, and others wait for what it has locked.
        static let idle = Duration.seconds(60)

        let statement: Duration
        let lock: Duration
    }

    private struct Key: Hashable {
        let sql: String
        let types: [UInt32]
    }

    private final class Statement {
        let name: String
        /// Of its answers, once there was one.
        var columns: (names: [String], types: [UInt32])?
        init(_ name: String) { self.name = name }
    }

    /// Statements that are kept, of one connection: those that are made for one request are many.
    private static let statementsMax = 256

    private let link: PostgresLink
    private let limits: Limits
    private var statements: [Key: Statement] = [:]
    private var prepared = 0
    /// The tables have been changed since its statements were prepared.
    private var isStale = false

    var dialect: SQLDialect { .postgres }
    /// Nobody may use it any more.
    var isBroken: Bool { link.isBroken || isStale }

    /// - Throws: ``PostgresFailure``.
    init(_ settings: PostgresSettings, _ limits: Limits) throws(PostgresFailure) {
        link = try PostgresLink(settings.url)
        self.limits = limits
        let milliseconds = { (duration: Duration) in duration.components.seconds * 1000 }
        try script(
            """
            SET statement_timeout = \(milliseconds(limits.statement));
            SET lock_timeout = \(milliseconds(limits.lock));
            SET idle_in_transaction_session_timeout = \(milliseconds(Limits.idle));
            SET standard_conforming_strings = on; SET bytea_output = hex;
            """)
        // What has been answered must not be lost; one that waits for more than its own disk goes on to do so.
        try script(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
        let isSafe = try script("SELECT 1 WHERE current_setting('fsync') = 'on'").first?.rowCount == 1
        guard isSafe else {
            throw PostgresFailure(.other, "the server has fsync off, and forgets what it has stored: set it on")
        }
    }

    // MARK: Statements

    func execute(_ sql: String, _ arguments: [SQLValue]) throws -> Int {
        try translating { () throws(PostgresFailure) in try run(sql, arguments).answer.changed }
    }

    func rows(_ sql: String, _ arguments: [SQLValue]) throws -> [SQLRow] {
        try translating { () throws(PostgresFailure) in
            let (answer, statement) = try run(sql, arguments)
            let columns = statement.columns ?? (answer.columns, answer.types)
            statement.columns = columns
            return (0..<answer.rowCount).map { row in
                SQLRow(
                    columns: columns.names,
                    values: columns.types.indices.map { answer.value(row, $0, columns.types[$0]) })
            }
        }
    }

    private func run(
        _ sql: String, _ arguments: [SQLValue]
    ) throws(PostgresFailure) -> (answer: PostgresAnswer, statement: Statement) {
        let statement = try statement(Key(sql: sql, types: arguments.map(PostgresType.of)))
        do throws(PostgresFailure) {
            return (try link.execute(statement.name, arguments, within: limits.statement + Limits.patience), statement)
        } catch {
            // "cached plan must not change result type", "prepared statement does not exist".
            if ["0A000", "26000"].contains(error.state) { isStale = true }
            throw error
        }
    }

    private func statement(_ key: Key) throws(PostgresFailure) -> Statement {
        if let known = statements[key] { return known }
        if statements.count >= Self.statementsMax {
            statements = [:]
            try script("DEALLOCATE ALL")
        }
        prepared += 1
        let statement = Statement("s\(prepared)")
        try link.prepare(
            statement.name, PostgresType.numbered(key.sql), key.types, within: limits.statement + Limits.patience)
        statements[key] = statement
        return statement
    }

    private func translating<Value>(_ body: () throws(PostgresFailure) -> Value) throws -> Value {
        do throws(PostgresFailure) { return try body() } catch { throw error.translated }
    }

    // MARK: Transactions

    /// Runs statements without arguments, one after another.
    ///
    /// - Parameter limit: nil for that of one statement.
    @discardableResult
    func script(_ sql: String, within limit: Duration? = nil) throws(PostgresFailure) -> [PostgresAnswer] {
        try link.script(sql, within: limit ?? limits.statement + Limits.patience)
    }

    /// Ends the transaction so that what it has changed is durable.
    func commit() throws(PostgresFailure) {
        let answer = try script("COMMIT").first?.command ?? ""
        // A transaction in which a statement has failed is rolled back by that, without an error.
        guard answer == "COMMIT" else {
            throw PostgresFailure(.other, "a change was undone, since a statement of it had failed: \(answer)")
        }
    }

    /// Ends the transaction so that nothing of it stays.
    func rollback() {
        // What cannot be asked for is done by the server when the connection has ended.
        _ = try? script("ROLLBACK")
    }

    func savepoint<Value>(_ body: () throws -> Value) throws -> Value {
        _ = try translating { () throws(PostgresFailure) in try script("SAVEPOINT change") }
        let value: Value
        do { value = try body() } catch {
            // If this fails, so does the commit.
            _ = try? script("ROLLBACK TO SAVEPOINT change; RELEASE SAVEPOINT change")
            throw error
        }
        _ = try translating { () throws(PostgresFailure) in try script("RELEASE SAVEPOINT change") }
        return value
    }
}
