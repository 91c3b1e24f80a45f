import Glibc
import Kernel
import Synchronization

/// Connections to one database, each on a thread of its own while it is used.
///
/// All waits have an end: for a connection, for the server to come back, and for an answer. One that is broken is closed, and
/// with it those that lie, which have most likely ended as well.
final class PostgresPool: Sendable {
    /// Is thrown by what may be done again on another connection, since nothing of it has happened.
    struct Unhappened: Error {
        let cause: any Error
    }

    private struct State {
        var idle: [PostgresConnection] = []
        /// Callers under way, those that wait included.
        var callers = 0
        /// Of connecting, one after another.
        var failures = 0
        /// Since when there is no connection to be had; nil while there is.
        var downSince: ContinuousClock.Instant?
        /// When the next may try to connect.
        var next = ContinuousClock.now
    }

    /// Callers that wait or work. More would be answered too late.
    private static let callersMax = 4096
    /// Until a caller that has no connection yet is told so.
    private static let waitMax = Duration.seconds(10)
    /// Between two attempts to connect: the first, and the longest.
    private static let pauses = (first: Duration.milliseconds(50), longest: Duration.seconds(2))
    /// How often something is done again.
    private static let attemptsMax = 3

    private let settings: PostgresSettings
    private let limits: PostgresConnection.Limits
    private let threads: BlockingPool
    private let state = Mutex(State())

    init(_ settings: PostgresSettings, _ limits: PostgresConnection.Limits, count: Int) {
        self.settings = settings
        self.limits = limits
        threads = BlockingPool(threadsMax: count)
    }

    /// Runs `body` on a thread of the pool.
    ///
    /// - Throws: what `body` throws, and ``Refusal`` 503 when there are too many callers.
    func run<Value: Sendable>(
        _ body: @escaping @Sendable (ContinuousClock.Instant) throws -> Value
    ) async throws -> Value {
        let isTaken = state.withLock { state in
            guard state.callers < Self.callersMax else { return false }
            state.callers += 1
            return true
        }
        guard isTaken else { throw PostgresFailure(.busy, "too many wait for the database").translated }
        defer { state.withLock { $0.callers -= 1 } }
        let end = ContinuousClock.now + Self.waitMax
        return try await threads.run { () throws in try body(end) }
    }

    /// Lets `body` have a connection, on a thread of the pool, and again another if it says that nothing has happened.
    ///
    /// - Parameters:
    ///   - end: when a connection has to have been there.
    ///   - isPatient: to wait for a server that has been away for long.
    func use<Value>(
        until end: ContinuousClock.Instant, isPatient: Bool = false, _ body: (PostgresConnection) throws -> Value
    ) throws -> Value {
        var attempts = 0
        while true {
            attempts += 1
            let connection = try take(end, isPatient)
            defer { giveBack(connection) }
            do { return try body(connection) } catch let error as Unhappened {
                guard attempts < Self.attemptsMax, ContinuousClock.now < end else { throw error.cause }
            }
        }
    }

    private func take(_ end: ContinuousClock.Instant, _ isPatient: Bool) throws -> PostgresConnection {
        while true {
            guard ContinuousClock.now < end else { throw PostgresFailure(.busy, "no connection is free").translated }
            let (idle, next, since) = state.withLock { ($0.idle.popLast(), $0.next, $0.downSince) }
            if let idle { return idle }
            let pause = next - .now
            if pause > .zero {
                // It does not come back in a moment: nobody has to wait to be told so.
                if !isPatient, let since, since + Self.waitMax < .now {
                    throw PostgresFailure(.lost, "no connection").translated
                }
                Self.sleep(min(pause, end - .now))
                continue
            }
            do throws(PostgresFailure) {
                let connection = try PostgresConnection(settings, limits)
                let failures = state.withLock { state in
                    defer {
                        state.failures = 0
                        state.downSince = nil
                    }
                    return state.failures
                }
                if failures > 0 { settings.note("the database answers again") }
                return connection
            } catch {
                try failed(error)
            }
        }
    }

    /// Notes that there was no connection to be had.
    ///
    /// - Throws: what no second attempt would change.
    private func failed(_ error: PostgresFailure) throws {
        guard error.kind == .lost || error.kind == .busy else { throw error.translated }
        let isFirst = state.withLock { state in
            let pause = min(Self.pauses.first * (1 << min(state.failures, 10)), Self.pauses.longest)
            // All registries of a server come back at different times.
            state.next = .now + pause * Double.random(in: 0.5...1)
            state.failures += 1
            state.downSince = state.downSince ?? .now
            return state.failures == 1
        }
        if isFirst { settings.note("no connection to \(settings.place): \(error.message)") }
    }

    private func giveBack(_ connection: PostgresConnection) {
        // Closed outside of the lock.
        let closed = state.withLock { state in
            guard connection.isBroken else {
                state.idle.append(connection)
                return [PostgresConnection]()
            }
            defer { state.idle = [] }
            return state.idle
        }
        _ = closed
    }

    private static func sleep(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else { return }
        usleep(useconds_t(seconds * 1_000_000 + attoseconds / 1_000_000_000_000))
    }
}
