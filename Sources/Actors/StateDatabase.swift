import FoundationEssentials
import GRDB
import OCI

/// `state.db`: what is durable beside the files. One row an object, its body as JSON; the columns are what is looked up.
///
/// Write-ahead log with synchronous=FULL: a transaction that has returned survives a power cut.
package final class StateDatabase: Sendable {
    private let queue: DatabaseQueue
    private let reserve: DiskReserve

    private init(_ queue: DatabaseQueue, _ reserve: DiskReserve) {
        self.queue = queue
        self.reserve = reserve
    }

    static func open(_ path: String) throws -> StateDatabase {
        var configuration = Configuration()
        configuration.journalMode = .wal
        do {
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            try queue.write { try migrate($0) }
            // Opening in WAL mode has lowered it: a commit would then be forgotten by a power cut.
            try queue.inDatabase { connection in
                try setSync(connection, .full)
                let found = try Int.fetchOne(connection, sql: "PRAGMA synchronous")
                guard found == Sync.full.rawValue else {
                    throw EngineError(.system, "synchronous stays \(found ?? -1)")
                }
            }
            return StateDatabase(queue, DiskReserve(path + ".reserve", bytes: reserveBytes))
        } catch {
            throw EngineError(
                .system,
                "cannot open \(path): \(error); move it away to start with an empty index (images can be pulled again)")
        }
    }

    /// Format of the tables; `user_version` of the file.
    private static let version = 2

    private static func migrate(_ connection: Database) throws {
        let found = try Int.fetchOne(connection, sql: "PRAGMA user_version") ?? 0
        guard found <= version else {
            throw EngineError(.system, "state.db has format \(found), this engine knows \(version): upgrade the engine")
        }
        if found < 1 { try makeTables(connection) }
        guard found < version else { return }
        try connection.execute(
            sql: """
                CREATE TABLE networks (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
                PRAGMA user_version = \(version);
                """)
    }

    private static func makeTables(_ connection: Database) throws {
        try connection.execute(
            sql: """
                CREATE TABLE images (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
                CREATE TABLE tags (reference TEXT PRIMARY KEY, image TEXT NOT NULL) WITHOUT ROWID;
                CREATE TABLE repo_digests (reference TEXT PRIMARY KEY, image TEXT NOT NULL) WITHOUT ROWID;
                CREATE TABLE layers (diff_id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
                CREATE TABLE containers (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, body BLOB NOT NULL) WITHOUT ROWID;
                CREATE TABLE volumes (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
                """)
    }

    /// When a commit reaches the disk (`PRAGMA synchronous`).
    private enum Sync: Int {
        /// With the next one that must.
        case normal = 1
        /// Before it returns.
        case full = 2
    }

    private static func setSync(_ connection: Database, _ sync: Sync) throws {
        try connection.execute(sql: "PRAGMA synchronous = \(sync.rawValue)")
    }

    /// What removals need when nothing else is left: the log of changes before it is folded into the database (1000 pages),
    /// and as much again for the pages themselves.
    private static let reserveBytes: Int64 = 8 << 20

    /// Runs `body` in one transaction, durable when this returns. A change that has begun is not cancelled: the caller's
    /// own state has changed with it.
    ///
    /// - Parameter makesRoom: the change forgets something, or ends it: on a full disk it gets the reserve.
    func write<Value: Sendable>(
        makesRoom: Bool = false, _ body: @escaping @Sendable (StateTransaction) throws -> Value
    ) async throws -> Value {
        try await finishing(makesRoom: makesRoom) { queue in
            try await queue.write { try body(StateTransaction(connection: $0)) }
        }
    }

    /// A change that a full disk did not take.
    struct DiskFull: Error, CustomStringConvertible {
        var description: String {
            "no space left on device: the engine's state cannot be stored; free space, for instance by docker system prune, and try again"
        }
    }

    /// Runs `work` apart from the caller's cancellation; on a full disk once more with the space that was kept for that.
    private func finishing<Value: Sendable>(
        makesRoom: Bool = false, _ work: @escaping @Sendable (DatabaseQueue) async throws -> Value
    ) async throws -> Value {
        let (queue, reserve) = (queue, reserve)
        return try await Task {
            do {
                let value = try await work(queue)
                reserve.refill()
                return value
            } catch let error as DatabaseError where error.resultCode == .SQLITE_FULL {
                guard makesRoom, reserve.release() else { throw DiskFull() }
                do { return try await work(queue) } catch let error as DatabaseError
                    where error.resultCode == .SQLITE_FULL
                {
                    throw DiskFull()
                }
            }
        }.value
    }

    /// Runs `body` in one transaction that survives a crash of the daemon, and a power cut once a later ``write(_:)`` has
    /// returned: for what a daemon that starts again finds out by itself.
    func note(_ body: @escaping @Sendable (StateTransaction) throws -> Void) async throws {
        try await finishing { queue in
            try await queue.writeWithoutTransaction { connection in
                try Self.setSync(connection, .normal)
                let result = Result {
                    try connection.inTransaction {
                        try body(StateTransaction(connection: connection))
                        return .commit
                    }
                }
                try Self.setSync(connection, .full)
                try result.get()
            }
        }
    }

    func read<Value: Sendable>(_ body: @escaping @Sendable (StateTransaction) throws -> Value) async throws -> Value {
        try await queue.read { try body(StateTransaction(connection: $0)) }
    }
}

/// The statements of the stores, inside one transaction.
struct StateTransaction {
    fileprivate let connection: Database

    /// The tables whose rows are an identifier and a body.
    enum Table: String {
        case images, layers, volumes, networks
        var key: String {
            switch self {
            case .images, .networks: "id"
            case .layers: "diff_id"
            case .volumes: "name"
            }
        }
    }

    func put(_ table: Table, _ key: String, _ body: some Encodable) throws {
        try connection.execute(
            sql: "INSERT INTO \(table.rawValue) (\(table.key), body) VALUES (?, ?) "
                + "ON CONFLICT (\(table.key)) DO UPDATE SET body = excluded.body",
            arguments: [key, try JSONEncoder().encode(body)])
    }

    func remove(_ table: Table, _ key: String) throws {
        try connection.execute(sql: "DELETE FROM \(table.rawValue) WHERE \(table.key) = ?", arguments: [key])
    }

    /// Every body of a table; a row that does not decode is left out and named by `damaged`.
    func all<Body: Decodable>(
        _ table: Table, as type: Body.Type, damaged: (String) -> Void
    ) throws -> [Body] {
        try decode(
            try Row.fetchAll(connection, sql: "SELECT \(table.key) AS key, body FROM \(table.rawValue)"), damaged)
    }

    private func decode<Body: Decodable>(_ rows: [Row], _ damaged: (String) -> Void) throws -> [Body] {
        let decoder = JSONDecoder()
        return rows.compactMap { row in
            let body: Data = row["body"]
            // A body that cannot be read is reported to the caller, who names the object; the others stay usable.
            guard let value = try? decoder.decode(Body.self, from: body) else {
                damaged(row["key"])
                return nil
            }
            return value
        }
    }

    // MARK: Containers

    func putContainer(_ record: ContainerRecord) throws {
        try connection.execute(
            sql: "INSERT INTO containers (id, name, body) VALUES (?, ?, ?) "
                + "ON CONFLICT (id) DO UPDATE SET name = excluded.name, body = excluded.body",
            arguments: [record.id, record.name, try JSONEncoder().encode(record)])
    }

    func removeContainer(_ id: String) throws {
        try connection.execute(sql: "DELETE FROM containers WHERE id = ?", arguments: [id])
    }

    func containers(damaged: (String) -> Void) throws -> [ContainerRecord] {
        try decode(try Row.fetchAll(connection, sql: "SELECT id AS key, body FROM containers"), damaged)
    }

    // MARK: Names of images

    /// The two kinds of names: `repository:tag`, which moves, and `repository@digest`, which does not.
    enum Names: String {
        case tags
        case repoDigests = "repo_digests"
    }

    func setName(_ names: Names, _ reference: String, image: Digest) throws {
        try connection.execute(
            sql: "INSERT INTO \(names.rawValue) (reference, image) VALUES (?, ?) "
                + "ON CONFLICT (reference) DO UPDATE SET image = excluded.image",
            arguments: [reference, image.description])
    }

    func removeName(_ names: Names, _ reference: String) throws {
        try connection.execute(sql: "DELETE FROM \(names.rawValue) WHERE reference = ?", arguments: [reference])
    }

    func names(_ names: Names) throws -> [String: Digest] {
        var result: [String: Digest] = [:]
        for row in try Row.fetchAll(connection, sql: "SELECT reference, image FROM \(names.rawValue)") {
            result[row["reference"]] = try Digest(row["image"] as String)
        }
        return result
    }
}
