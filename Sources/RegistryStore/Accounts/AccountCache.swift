import Synchronization

/// Accounts as they were last read. Those that this registry changes are forgotten before the change is answered; a change
/// that another registry of the same index makes is seen within ``ageMax``.
final class AccountCache: Sendable {
    private struct State {
        var records: [String: (record: AccountRecord, read: ContinuousClock.Instant)] = [:]
        /// Of the changes: what was read before one is not kept after it.
        var generation = 0
    }

    private static let ageMax = Duration.seconds(1)
    /// Names, those included that nobody has; when there are more, all are forgotten.
    private static let countMax = 4096

    private let state = Mutex(State())

    /// To be asked for before the index is read.
    var generation: Int { state.withLock { $0.generation } }

    func find(_ name: String) -> AccountRecord? {
        state.withLock { state in
            state.records[name].flatMap { .now - $0.read < Self.ageMax ? $0.record : nil }
        }
    }

    func keep(_ record: AccountRecord, _ name: String, generation: Int) {
        state.withLock { state in
            guard state.generation == generation else { return }
            if state.records.count >= Self.countMax { state.records = [:] }
            state.records[name] = (record, .now)
        }
    }

    func forget() {
        state.withLock { state in
            state.generation += 1
            state.records = [:]
        }
    }
}
