import OCI
import Synchronization

/// Pulls that hooks are to be told of, as long as they are not in the outbox: a pull waits for nothing. A crash forgets those of
/// the last few seconds.
package final class PullNotices: Sendable {
    private struct State {
        var notices: [Notice] = []
        var lost = 0
        /// Of those, what the operator was told of, and when.
        var told = (count: 0, at: ContinuousClock.Instant?.none)
    }

    /// Pulls between two times that they are written down; what comes on top is not told.
    static let noticesMax = 10_000
    /// Between two times that the operator is told of what is lost.
    private static let tellingInterval = Duration.seconds(60)

    private let watches: Watches
    private let hasHooks: Bool
    private let state = Mutex(State())

    init(_ watches: Watches) {
        self.watches = watches
        hasHooks = watches.hooks.contains { $0.kinds.contains(.pull) }
    }

    func note(
        _ manifest: StoredManifest, _ reference: ManifestName, in repository: RepositoryName, _ origin: () -> Origin
    ) {
        guard hasHooks, !watches.hooks(for: .pull, in: repository.description).isEmpty else { return }
        var tag: String?
        if case .tag(let name) = reference { tag = name }
        let notice = Notice(.pull, repository, manifest, tag: tag, origin())
        state.withLock { state in
            if state.notices.count < Self.noticesMax { state.notices.append(notice) } else { state.lost += 1 }
        }
    }

    /// Takes what there is.
    func take() -> [Notice] {
        state.withLock { state in
            defer { state.notices = [] }
            return state.notices
        }
    }

    /// Pulls that no hook was told of, since there were too many at once.
    package var lost: Int { state.withLock { $0.lost } }

    /// - Returns: how many more are lost than the operator knows; nil for none, or where he was told a moment ago.
    func lostToTell(now: ContinuousClock.Instant = .now) -> Int? {
        state.withLock { state in
            let isSoon = state.told.at.map { now - $0 < Self.tellingInterval } ?? false
            guard state.lost > state.told.count, !isSoon else { return nil }
            defer { state.told = (state.lost, now) }
            return state.lost - state.told.count
        }
    }
}

extension RegistryStore {
    /// Entries of one transaction: pushes go on in between.
    private static let noticesAtOnce = 500

    /// Puts pulls into the outbox of who is told of them.
    nonisolated func writePullNotices() async throws {
        let notices = pullNotices.take()
        if let lost = pullNotices.lostToTell() {
            settings.note(
                "webhooks are not told of \(lost) pulls: more than \(PullNotices.noticesMax) came within some seconds")
        }
        let (settings, now) = (settings, Self.now)
        for start in stride(from: 0, to: notices.count, by: Self.noticesAtOnce) {
            let part = notices[start..<min(start + Self.noticesAtOnce, notices.count)]
            try await writer.change { change in
                for notice in part { try change.tell(notice, settings, now: now) }
            }
        }
    }
}
