import FoundationEssentials
import GRDB
import Glibc
import Kernel

/// `index.db`: what the registry has. Write-ahead log with synchronous=FULL: what has been committed survives a power cut.
struct SQLiteIndex: IndexDatabase {
    /// Bytes of the write-ahead log that stay on disk after it was folded into the database.
    private static let logBytesMax = 16 << 20
    /// Pages of the log that are folded into the database at once, as many as ``logBytesMax`` has: every push changes some
    /// pages that the next one changes again, and those are written to the database once.
    private static let foldedPages = 4000

    private let pool: DatabasePool

    /// Opens the file, and brings its tables up to date.
    ///
    /// - Throws: ``StoreFailure``.
    init(_ path: String) throws {
        do {
            pool = try Self.open(path)
        } catch let error as DatabaseError { throw StoreFailure("cannot open \(path): \(error)") }
    }

    private static func open(_ path: String) throws -> DatabasePool {
        try makePrivate(path)
        var configuration = Configuration()
        configuration.prepareDatabase { connection in
            try connection.execute(
                sql: """
                    PRAGMA synchronous = FULL; PRAGMA journal_size_limit = \(logBytesMax);
                    PRAGMA wal_autocheckpoint = \(foldedPages)
                    """)
        }
        let pool = try DatabasePool(path: path, configuration: configuration)
        try pool.write { try migrate($0) }
        // Opening in WAL mode lowers it: a commit would then be forgotten by a power cut.
        try pool.writeWithoutTransaction { connection in
            // Each change may be undone by itself: what that needs would be a file for every push.
            try connection.execute(sql: "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY")
            guard try Int.fetchOne(connection, sql: "PRAGMA synchronous") == 2 else {
                throw StoreFailure("\(path): synchronous stays lower than FULL")
            }
        }
        return pool
    }

    /// It has keys and hashes of secrets. SQLite gives the files beside it the same mode. To be called before it has the file open:
    /// its locks would go with another descriptor.
    private static func makePrivate(_ path: String) throws(SystemError) {
        let file = try OwnedFD.open(path, O_RDWR | O_CREAT, mode: 0o600)
        try checked("fchmod", path) { [raw = file.raw] in fchmod(raw, 0o600) }
    }

    /// `user_version` of the file is how many steps it has.
    private static func migrate(_ connection: Database) throws {
        let (found, known) = (try Int.fetchOne(connection, sql: "PRAGMA user_version") ?? 0, Schema.steps.count)
        guard (0...known).contains(found) else {
            throw StoreFailure("index.db has format \(found), this registry knows \(known): upgrade it")
        }
        // What is left of a move that has not come to its end.
        try MoveLog.end(SQLiteConnection(connection: connection))
        for step in Schema.steps[found...] { try connection.execute(sql: step.sqlite) }
        try connection.execute(sql: "PRAGMA user_version = \(known)")
    }

    func read<Value: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> Value) async throws -> Value {
        try await Self.translating { try await pool.read { try body(SQLiteConnection(connection: $0)) } }
    }

    func write<Value: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> Value) async throws -> Value {
        try await Self.translating { try await pool.write { try body(SQLiteConnection(connection: $0)) } }
    }

    private static func translating<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        do { return try await body() } catch let error as DatabaseError { throw SQLiteConnection.translated(error) }
    }
}

/// One of SQLite's connections, while it is ours.
struct SQLiteConnection: SQLConnection {
    let connection: Database

    var dialect: SQLDialect { .sqlite }

    func execute(_ sql: String, _ arguments: [SQLValue]) throws -> Int {
        do {
            let statement = try connection.cachedStatement(sql: sql)
            try statement.execute(arguments: Self.arguments(arguments))
            return connection.changesCount
        } catch let error as DatabaseError { throw Self.translated(error) }
    }

    func rows(_ sql: String, _ arguments: [SQLValue]) throws -> [SQLRow] {
        do {
            let statement = try connection.cachedStatement(sql: sql)
            let cursor = try Row.fetchCursor(statement, arguments: Self.arguments(arguments))
            let columns = statement.columnNames
            var rows: [SQLRow] = []
            while let row = try cursor.next() {
                rows.append(SQLRow(columns: columns, values: row.databaseValues.map(Self.value)))
            }
            return rows
        } catch let error as DatabaseError { throw Self.translated(error) }
    }

    func savepoint<Value>(_ body: () throws -> Value) throws -> Value {
        var result: Result<Value, any Error>?
        do {
            try connection.inSavepoint {
                result = Result(catching: body)
                if case .success? = result { return .commit }
                return .rollback
            }
        } catch let error as DatabaseError { throw Self.translated(error) }
        guard let result else { throw StoreFailure("a savepoint has not been run") }
        return try result.get()
    }

    static func translated(_ error: DatabaseError) -> any Error {
        guard error.resultCode == .SQLITE_FULL else { return StoreFailure("index.db: \(error)") }
        return Refusal(.unknown, 507, "no space left on device: the registry's index cannot grow")
    }

    private static func arguments(_ values: [SQLValue]) -> StatementArguments {
        // Of values of one type it would ask each by a key path, which is a fifth of a transaction.
        StatementArguments(
            values.map { value -> (any DatabaseValueConvertible)? in
                switch value {
                case .null: nil
                case .integer(let number): number
                case .text(let text): text
                case .bytes(let bytes): Data(bytes)
                }
            })
    }

    private static func value(_ value: DatabaseValue) -> SQLValue {
        switch value.storage {
        case .null: .null
        case .int64(let number): .integer(number)
        case .double(let number): .text("\(number)")
        case .string(let text): .text(text)
        case .blob(let data): .bytes(Array(data))
        }
    }
}
