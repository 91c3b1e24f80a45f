import Synchronization

/// How many of a thing may exist at once, for work that is left out rather than put off when there are too many.
package final class Allowance: Sendable {
    private let free: Mutex<Int>

    package init(_ count: Int) { free = Mutex(count) }

    /// Takes one; false when all are taken. Whoever took one gives it back.
    package func take() -> Bool {
        free.withLock { free in
            guard free > 0 else { return false }
            free -= 1
            return true
        }
    }

    package func give() { free.withLock { $0 += 1 } }
}
