import Glibc
import Synchronization

/// How far a long copy is, and the wish that it end. Written by the threads that copy, read by whoever tells of it.
package final class BulkMove: Sendable {
    private let doneBytes = Atomic<Int64>(0)
    private let allBytes = Atomic<Int64>(0)
    private let isStopped = Atomic<Bool>(false)

    package init() {}

    /// Bytes of content that were moved.
    package var done: Int64 { doneBytes.load(ordering: .relaxed) }
    /// Bytes of content there are in all; 0 until that is known.
    package var total: Int64 { allBytes.load(ordering: .relaxed) }

    package func set(total: Int64) { allBytes.store(total, ordering: .relaxed) }

    package func add(_ bytes: Int) { doneBytes.wrappingAdd(Int64(bytes), ordering: .relaxed) }

    /// Makes every thread of it end at its next object or part of a large one.
    package func stop() { isStopped.store(true, ordering: .relaxed) }

    /// - Throws: `SystemError` with ECANCELED after ``stop()``.
    package func check() throws(SystemError) {
        if isStopped.load(ordering: .relaxed) { throw SystemError("copy", ECANCELED) }
    }

    /// Runs `body` on a blocking thread; a caller that is cancelled stops it, and still waits until it has ended.
    package func run<Value: Sendable>(_ body: @escaping @Sendable (BulkMove) throws -> Value) async throws -> Value {
        try await withTaskCancellationHandler {
            try await BlockingPool.shared.run { try body(self) }
        } onCancel: {
            stop()
        }
    }
}

/// Threads that share one piece of work.
package enum Workers {
    /// More than this many threads on one file system wait for each other's locks.
    private static let countMax = 4
    /// How many threads a piece of work gets.
    package static var count: Int { min(max(Int(sysconf(CInt(_SC_NPROCESSORS_ONLN))), 1), countMax) }

    /// Runs `body` on ``count`` threads beside `own` on the calling one, and returns when all have ended.
    ///
    /// A thread that the system does not give is done without; `body` runs at least once.
    package static func run(_ name: String, _ body: @escaping @Sendable () -> Void, beside own: () -> Void = {}) {
        let running = Guarded(0)
        var started = 0
        for _ in 0..<count {
            running.withLock { $0 += 1 }
            do throws(SystemError) {
                try Threads.start(name) {
                    body()
                    running.withLock { $0 -= 1 }
                }
                started += 1
            } catch { running.withLock { $0 -= 1 } }
        }
        if started == 0 { body() }
        own()
        running.wait(until: { $0 == 0 }) { _ in }
    }
}
