/// What `wait` waits for.
package enum WaitCondition: String, Sendable {
    case notRunning = "not-running"
    case nextExit = "next-exit"
    case removed
}

/// How a container ended.
package struct WaitResult: Sendable, Hashable {
    package let exitCode: Int
    package let error: String?
}

/// Who waits for a container.
extension Container {
    /// Sleeps until `condition` holds.
    ///
    /// - Throws: `CancellationError` when the caller gives up.
    package func wait(_ condition: WaitCondition) async throws -> WaitResult {
        for await result in waiter(condition) { return result }
        throw CancellationError()
    }

    /// Registers for `condition` at once: the result comes when it holds, and then the stream ends.
    package func waiter(_ condition: WaitCondition) -> AsyncStream<WaitResult> {
        let (stream, continuation) = AsyncStream<WaitResult>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let holdsNow =
            switch (condition, phase) {
            case (_, .removed): true
            case (.notRunning, .running): false
            case (.notRunning, _): true
            default: false
            }
        guard !holdsNow else {
            let error = record.state.error
            continuation.yield(WaitResult(exitCode: record.state.exitCode, error: error.isEmpty ? nil : error))
            continuation.finish()
            return stream
        }
        let number = nextWaiter
        nextWaiter += 1
        waiters[number] = (condition, continuation)
        continuation.onTermination = { _ in Task { await self.forget(waiter: number) } }
        return stream
    }

    private func forget(waiter number: Int) { waiters[number] = nil }

    func wake(_ result: WaitResult, _ matching: (WaitCondition) -> Bool) {
        for (condition, continuation) in waiters.values where matching(condition) {
            continuation.yield(result)
            continuation.finish()
        }
    }
}
