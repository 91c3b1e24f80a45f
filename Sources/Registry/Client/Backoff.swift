/// When to try again: a pure decision over failures and progress.
struct Backoff: Sendable {
    private let patience: RegistryConfiguration.Patience
    /// Failures since the last progress.
    private(set) var failures = 0
    private var progress: Int64 = 0

    init(_ patience: RegistryConfiguration.Patience) { self.patience = patience }

    /// Bytes arrived that will not be asked for again.
    mutating func advanced(by byteCount: Int) {
        progress += Int64(byteCount)
        if progress >= patience.progressBytes {
            failures = 0
            progress = 0
        }
    }

    /// How long to wait before the next try; `nil` when there must be none.
    ///
    /// - Parameter wasConnected: the peer did answer before, so that its absence now may pass.
    mutating func pause(after error: RegistryError, wasConnected: Bool = false) -> Duration? {
        failures += 1
        progress = 0
        guard error.isTransient || (wasConnected && error.code == .unreachable), failures < patience.attempts else {
            return nil
        }
        if let asked = error.retryAfter {
            return asked <= patience.retryAfterMax ? asked : nil
        }
        let doublings = min(failures - 1, 20)
        let longest = min(patience.pause * (1 << doublings), patience.pauseMax)
        return longest * Double.random(in: 0.5...1)
    }

    /// Runs `body` until it succeeds, fails for good, or has failed too often.
    static func retrying<Value: Sendable>(
        _ patience: RegistryConfiguration.Patience, _ body: () async throws(RegistryError) -> Value
    ) async throws(RegistryError) -> Value {
        var backoff = Backoff(patience)
        while true {
            do throws(RegistryError) { return try await body() } catch {
                guard let pause = backoff.pause(after: error) else { throw error }
                try await sleep(pause)
            }
        }
    }

    static func sleep(_ duration: Duration) async throws(RegistryError) {
        do { try await Task.sleep(for: duration) } catch { throw .cancelled }
    }
}

/// Runs `body`, but no longer than `limit`.
///
/// - Throws: `RegistryError` (`timeout`) naming `what`; the body is cancelled and waited for.
func within<Value: Sendable>(
    _ limit: Duration, _ what: String, _ body: @escaping @Sendable () async throws(RegistryError) -> Value
) async throws(RegistryError) -> Value {
    let result = await withTaskGroup(of: Result<Value, RegistryError>?.self) { group in
        group.addTask {
            do throws(RegistryError) { return .success(try await body()) } catch { return .failure(error) }
        }
        group.addTask {
            // Ends early only when the body is done first, and then nobody looks.
            try? await Task.sleep(for: limit)
            return nil
        }
        let first = await group.next()
        group.cancelAll()
        return first ?? nil
    }
    guard let result else {
        if Task.isCancelled { throw .cancelled }
        throw RegistryError(.timeout, "\(what): no complete answer within \(limit.components.seconds) seconds")
    }
    return try result.get()
}
