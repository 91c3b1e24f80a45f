/// How many parts of uploads are in memory: a slot each. They are given in turn. An upload whose client is slow gives its slot
/// up when others wait: what it has goes to the bucket meanwhile.
actor PartSlots {
    /// How long a part may take to arrive while others wait.
    private static let patience = Duration.seconds(5)
    /// How often that is looked at.
    private static let interval = Duration.seconds(1)

    private struct Holder {
        let since: ContinuousClock.Instant
        /// Asks the upload to give the slot back.
        let park: @Sendable (Int) async -> Void
    }

    private let countMax: Int
    private var holders: [Int: Holder] = [:]
    private var waiting: [(park: @Sendable (Int) async -> Void, continuation: CheckedContinuation<Int, Never>)] = []
    private var last = 0
    private var isWatching = false

    init(countMax: Int) { self.countMax = countMax }

    /// - Parameter park: gives the slot back if it can be done without.
    /// - Returns: the slot, which is to be given back once.
    func take(_ park: @escaping @Sendable (Int) async -> Void) async -> Int {
        if holders.count < countMax { return hand(to: park) }
        return await withCheckedContinuation { continuation in
            waiting.append((park, continuation))
            watch()
        }
    }

    private func hand(to park: @escaping @Sendable (Int) async -> Void) -> Int {
        last += 1
        holders[last] = Holder(since: .now, park: park)
        return last
    }

    func give(_ slot: Int) {
        guard holders.removeValue(forKey: slot) != nil, !waiting.isEmpty else { return }
        let next = waiting.removeFirst()
        next.continuation.resume(returning: hand(to: next.park))
    }

    private func watch() {
        guard !isWatching else { return }
        isWatching = true
        Task {
            while !waiting.isEmpty {
                // It ends with the last that waits, and is not cancelled.
                try? await Task.sleep(for: Self.interval)
                let oldest = ContinuousClock.now - Self.patience
                let slow = holders.filter { $0.value.since < oldest }.sorted { $0.key < $1.key }.prefix(waiting.count)
                for (slot, holder) in slow { await holder.park(slot) }
            }
            isWatching = false
        }
    }
}
