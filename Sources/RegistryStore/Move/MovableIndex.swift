import Synchronization

/// The index of a store, which may come to be another database while it is used.
final class MovableIndex: IndexDatabase {
    private struct State {
        var database: any IndexDatabase
        /// How often it has moved.
        var moves = 0
    }

    /// The change has come to a database that is not the index any more.
    private struct HasMoved: Error {}

    private let state: Mutex<State>

    init(_ database: any IndexDatabase) { state = Mutex(State(database: database)) }

    func read<Value: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> Value) async throws -> Value {
        while true {
            let (database, moves) = state.withLock { ($0.database, $0.moves) }
            let value = try await database.read(body)
            // What was read may be older than what has been answered for since it moved.
            if state.withLock({ $0.moves == moves }) { return value }
        }
    }

    func write<Value: Sendable>(_ body: @escaping @Sendable (any SQLConnection) throws -> Value) async throws -> Value {
        while true {
            let (database, moves) = state.withLock { ($0.database, $0.moves) }
            do {
                return try await database.write { connection in
                    guard self.state.withLock({ $0.moves == moves }) else { throw HasMoved() }
                    return try body(connection)
                }
            } catch is HasMoved {}
        }
    }

    /// Replaces the database by the one that `body` returns, while nobody else writes to the one of now.
    func move(_ body: @escaping @Sendable (any SQLConnection) throws -> any IndexDatabase) async throws {
        let (database, moves) = state.withLock { ($0.database, $0.moves) }
        do {
            try await database.write { connection in
                guard self.state.withLock({ $0.moves == moves }) else { throw StoreFailure("the index has moved") }
                let next = try body(connection)
                self.state.withLock { $0 = State(database: next, moves: moves + 1) }
            }
        } catch {
            // The commit of a database that is the index no more changes nothing.
            if state.withLock({ $0.moves == moves }) { throw error }
        }
    }
}
