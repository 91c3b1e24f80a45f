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

extension BulkMove {
    /// Milliseconds between two looks at whether it was stopped while a pipe is full.
    private static let pollMilliseconds: CInt = 200

    /// Writes all of `bytes` to a file, or to a pipe that does not make its writer wait (O_NONBLOCK).
    ///
    /// - Throws: `SystemError`; ECANCELED when this was stopped while the pipe was full.
    package func write(_ bytes: UnsafeRawBufferPointer, to descriptor: borrowing OwnedFD) throws(SystemError) {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(descriptor.raw, rest.baseAddress, rest.count)
            if count >= 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN: try waitForRoom(in: descriptor)
            case let code: throw SystemError("write", code)
            }
        }
    }

    /// Waits until a pipe takes more, or nobody reads from it any longer.
    ///
    /// - Throws: `SystemError` with ECANCELED after ``stop()``.
    package func waitForRoom(in descriptor: borrowing OwnedFD) throws(SystemError) {
        var waiting = pollfd(fd: descriptor.raw, events: Int16(POLLOUT), revents: 0)
        while true {
            try check()
            if poll(&waiting, 1, Self.pollMilliseconds) != 0 { return }
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
