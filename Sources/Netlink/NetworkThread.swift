import Glibc
import Kernel

/// A thread that runs one piece of work after another, and may be an actor's executor.
///
/// A network namespace belongs to a thread (setns(2)) and netlink calls block it, so both stay off the cooperative pool.
/// Work that has been handed over runs even after ``stop()``.
final class NetworkThread: SerialExecutor {
    private enum Work {
        case job(UnownedJob)
        case call(@Sendable () -> Void)
    }

    private struct State {
        var waiting: [Work] = []
        var isStopped = false
    }

    private let state = Guarded(State())

    /// - Parameters:
    ///   - name: shown by the kernel, cut to 15 bytes.
    ///   - niceness: nice(2) of the thread; more than 0 for work that others must not wait for.
    init(name: String, niceness: CInt = 0) throws(SystemError) {
        let state = state
        try Threads.start(name, niceness: niceness) { [weak self] in
            Self.loop(state) { self?.asUnownedSerialExecutor() }
        }
    }

    /// Ends the thread when the work handed over so far is done.
    func stop() { state.withLock { $0.isStopped = true } }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { $0.waiting.append(.job(job)) }
    }

    /// Runs `body` on the thread some time, and does not wait for it.
    func perform(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.waiting.append(.call(body)) } }

    /// Runs `body` on the thread and waits for it without blocking the caller's.
    func run<Value: Sendable, Failure: Error>(
        _ body: @escaping @Sendable () throws(Failure) -> Value
    ) async throws(Failure) -> Value {
        let result: Result<Value, Failure> = await withCheckedContinuation { continuation in
            let call: @Sendable () -> Void = {
                do throws(Failure) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
            state.withLock { $0.waiting.append(.call(call)) }
        }
        return try result.get()
    }

    private static func loop(_ state: Guarded<State>, _ executor: () -> UnownedSerialExecutor?) {
        while true {
            let (batch, isStopped) = state.wait(until: { !$0.waiting.isEmpty || $0.isStopped }) { state in
                defer { state.waiting.removeAll() }
                return (state.waiting, state.isStopped)
            }
            for work in batch {
                switch work {
                case .call(let call): call()
                case .job(let job):
                    // The actor that enqueued the job holds the executor.
                    if let executor = executor() { job.runSynchronously(on: executor) }
                }
            }
            if isStopped && batch.isEmpty { return }
        }
    }
}
