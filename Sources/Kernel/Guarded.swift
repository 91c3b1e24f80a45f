import CLinux
import Glibc

/// State shared by threads that wait for each other: a mutex and a condition variable (pthread_cond_wait(3)).
///
/// For dedicated threads only; code on the cooperative pool must not call ``wait(until:_:)``.
package final class Guarded<State>: @unchecked Sendable {  // `mutex` is held around every use of `state`
    private var state: State
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    package init(_ state: sending State) {
        self.state = state
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Who of those that wait looks at the state again. A thread that is woken for nothing costs two switches and its turn at
    /// the lock.
    package enum Waking {
        /// The change is of no use to those that wait.
        case nobody
        /// All wait for the same, and one of them can use the change.
        case one
        case all
    }

    private func wake(_ waking: Waking) {
        switch waking {
        case .nobody: break
        case .one: pthread_cond_signal(condition)
        case .all: pthread_cond_broadcast(condition)
        }
    }

    /// Changes the state and wakes threads that wait for it.
    package func withLock<Value>(waking: Waking = .all, _ body: (inout State) -> Value) -> Value {
        pthread_mutex_lock(mutex)
        defer {
            wake(waking)
            pthread_mutex_unlock(mutex)
        }
        return body(&state)
    }

    /// Sleeps until `ready` holds, then runs `body` under the same lock and wakes others.
    package func wait<Value>(
        waking: Waking = .all, until ready: (State) -> Bool, _ body: (inout State) -> Value
    ) -> Value {
        pthread_mutex_lock(mutex)
        defer {
            wake(waking)
            pthread_mutex_unlock(mutex)
        }
        while !ready(state) { pthread_cond_wait(condition, mutex) }
        return body(&state)
    }
}

/// Plain threads, for pipeline stages and blocking calls.
package enum Threads {
    /// Stack of a started thread, in bytes; parsers of ours recurse nowhere deeply.
    private static let stackBytes = 1 << 20

    private final class Body {
        let run: @Sendable () -> Void
        let name: String
        let niceness: CInt
        let isBatch: Bool
        init(_ name: String, _ niceness: CInt, _ isBatch: Bool, _ run: @escaping @Sendable () -> Void) {
            self.name = name
            self.niceness = niceness
            self.isBatch = isBatch
            self.run = run
        }
    }

    /// Starts a detached thread named `name` (15 bytes at most are shown by the kernel).
    ///
    /// - Parameters:
    ///   - niceness: nice(2) of the thread alone; more than 0 for work that others must not wait for.
    ///   - isBatch: SCHED_BATCH (sched(7)): the thread has its share of the processors, but when work comes for it, it does
    ///     not interrupt who runs.
    /// - Throws: `SystemError` with EAGAIN when the system has no more threads to give.
    package static func start(
        _ name: String, niceness: CInt = 0, isBatch: Bool = false, _ run: @escaping @Sendable () -> Void
    ) throws(SystemError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, CInt(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, stackBytes)
        let box = Unmanaged.passRetained(Body(name, niceness, isBatch, run))
        var thread = pthread_t()
        let code = pthread_create(
            &thread, &attributes,
            { pointer in
                guard let pointer else { return nil }
                let body = Unmanaged<Body>.fromOpaque(pointer).takeRetainedValue()
                cl_thread_name(body.name)
                // On Linux the calling thread's. What cannot be had is only a little less politeness.
                if body.niceness != 0 { _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, body.niceness) }
                if body.isBatch { cl_thread_batch() }
                body.run()
                return nil
            }, box.toOpaque())
        guard code == 0 else {
            box.release()
            throw SystemError("pthread_create", code)
        }
    }
}
