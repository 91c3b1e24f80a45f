import Glibc

/// Threads for calls that block: file synchronisation, tree walks, mounts, decompression.
///
/// The cooperative pool is as wide as the machine has cores, so nothing may block it; work that must is handed here and
/// awaited. Bounded: at most `threadsMax` run at once, the rest wait in order; an idle thread ends after its work.
package final class BlockingPool: Sendable {
    private struct State {
        var waiting: [@Sendable () -> Void] = []
        var threads = 0
        var idle = 0
    }

    private let state: Guarded<State>
    private let threadsMax: Int

    /// - Parameter threadsMax: how many calls may block at once.
    package init(threadsMax: Int) {
        self.threadsMax = threadsMax
        state = Guarded(State())
    }

    /// One pool for the process: wide enough for parallel fsync and tree walks, narrow enough to bound memory.
    package static let shared = BlockingPool(threadsMax: 16)

    /// Runs `body` on a pool thread and waits for it without blocking the caller's.
    package func run<Value: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let result: Result<Value, Failure> = await withCheckedContinuation { continuation in
            enqueue {
                do throws(Failure) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        return try result.get()
    }

    private func enqueue(_ work: @escaping @Sendable () -> Void) {
        let startsThread = state.withLock(waking: .one) { state in
            state.waiting.append(work)
            guard state.idle < state.waiting.count, state.threads < threadsMax else { return false }
            state.threads += 1
            return true
        }
        guard startsThread else { return }
        do throws(SystemError) {
            try Threads.start("blocking") { self.loop() }
        } catch {
            // Without a thread of its own the work goes to those that exist; without any it runs here rather than never.
            let alone = state.withLock(waking: .nobody) { state in
                state.threads -= 1
                return state.threads == 0 ? state.waiting.popLast() : nil
            }
            alone?()
        }
    }

    private func loop() {
        while true {
            // Whoever waits is woken by what comes, one for each.
            state.withLock(waking: .nobody) { $0.idle += 1 }
            let work = state.wait(waking: .nobody, until: { !$0.waiting.isEmpty }) { state in
                state.idle -= 1
                return state.waiting.removeFirst()
            }
            work()
        }
    }
}
