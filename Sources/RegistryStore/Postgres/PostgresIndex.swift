import Glibc
import Kernel
import Synchronization

/// The index in PostgreSQL, for one registry or several that share their blobs.
///
/// **Writing** is one transaction at a time, of all registries: each begins by taking a lock of the database
/// (pg_advisory_xact_lock), so that what is decided in it is as true as with the one writer of the embedded index.
///
/// **What became of a commit** whose answer is lost is found out, not guessed: each transaction leaves a number in a row of its
/// registry, which is looked for on the next connection, under the same lock. It is there if and only if the rest is.
final class PostgresIndex: IndexDatabase {
    /// "docker" in ASCII; others who use the database choose another one.
    private static let lockKey: Int64 = 0x646f_636b_6572
    private let readers: PostgresPool
    /// One connection: a second would wait for the first.
    let writer: PostgresPool
    private let note: @Sendable (String) -> Void
    /// Names this registry in the database, until it ends.
    private let instance: String
    private let number = Mutex<Int64>(0)

    init(_ settings: PostgresSettings) {
        readers = PostgresPool(settings, .reading, count: settings.connections)
        writer = PostgresPool(settings, .writing, count: 1)
        note = settings.note
        instance = String(UInt64.random(in: .min ... .max), radix: 16)
    }

    // MARK: Reading

    func read<Value: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> Value) async throws -> Value {
        try await readers.run { end in
            try self.readers.use(until: end) { connection in
                do { return try Self.read(connection, body) } catch {
                    guard connection.isBroken else { throw error }
                    // Nothing was changed: it is read again.
                    throw PostgresPool.Unhappened(cause: error)
                }
            }
        }
    }

    private static func read<Value>(
        _ connection: PostgresConnection, _ body: (any SQLConnection) throws -> Value
    ) throws -> Value {
        do throws(PostgresFailure) {
            try connection.script("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        } catch { throw error.translated }
        defer { connection.rollback() }
        return try body(connection)
    }

    // MARK: Writing

    /// How a transaction has ended.
    private enum Outcome<Value: Sendable>: Sendable {
        case committed(Value)
        /// The answer to the commit is lost.
        case unknown(Value, PostgresFailure)
    }

    func write<Value: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> Value) async throws -> Value {
        try await writer.run { try self.writeNow(until: $0, body) }
    }

    /// As ``write(_:)``, on a thread that may block.
    func writeNow<Value: Sendable>(
        until end: ContinuousClock.Instant = .now + .seconds(30), _ body: (any SQLConnection) throws -> Value
    ) throws -> Value {
        let number = self.number.withLock { number in
            number += 1
            return number
        }
        switch try self.writer.use(until: end, { try self.write($0, number, body) }) {
        case .committed(let value): return value
        case .unknown(let value, let failure):
            self.note("the answer to a commit is lost, and looked for: \(failure.message)")
            guard try self.isCommitted(number) else { throw failure.translated }
            return value
        }
    }

    private func write<Value>(
        _ connection: PostgresConnection, _ number: Int64, _ body: (any SQLConnection) throws -> Value
    ) throws -> Outcome<Value> {
        do throws(PostgresFailure) { try begin(connection, number) } catch {
            guard connection.isBroken else {
                connection.rollback()
                throw error.translated
            }
            throw PostgresPool.Unhappened(cause: error.translated)
        }
        let value: Value
        do { value = try body(connection) } catch {
            connection.rollback()
            throw error
        }
        do throws(PostgresFailure) {
            // Nothing was committed, and `body` may have moved files: its callers do it again.
            guard !connection.isBroken else { throw PostgresFailure(.busy, "the connection has broken") }
            try connection.commit()
            return .committed(value)
        } catch  where error.kind == .lost {
            return .unknown(value, error)
        } catch {
            connection.rollback()
            throw error.translated
        }
    }

    static let lock = "SELECT pg_advisory_xact_lock(\(lockKey));"

    /// Begins a transaction that no other registry writes beside. Its statements see all that others have committed.
    private func begin(_ connection: PostgresConnection, _ number: Int64) throws(PostgresFailure) {
        try connection.script(
            """
            BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \(Self.lock)
            INSERT INTO registry_writers (instance, number, moment)
            VALUES ('\(instance)', \(number), extract(epoch FROM now())::bigint)
            ON CONFLICT (instance) DO UPDATE SET number = excluded.number, moment = excluded.moment;
            """)
    }

    /// Whether the transaction of that number is in the database, on the writer's thread.
    private func isCommitted(_ number: Int64) throws -> Bool {
        // The server may be starting again.
        let end = ContinuousClock.now + .seconds(60)
        return try writer.use(until: end, isPatient: true) { connection in
            do throws(PostgresFailure) {
                // Who has the lock knows that no other transaction is about to end.
                let answers = try connection.script(
                    """
                    BEGIN; \(Self.lock)
                    SELECT 1 AS found FROM registry_writers WHERE instance = '\(instance)' AND number = \(number); ROLLBACK;
                    """)
                return answers.contains { $0.columns == ["found"] && $0.rowCount == 1 }
            } catch {
                connection.rollback()
                throw PostgresPool.Unhappened(cause: error.translated)
            }
        }
    }
}
