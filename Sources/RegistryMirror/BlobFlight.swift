package import NIOCore
import Registry
import RegistryStore
import Synchronization

/// A blob on its way. Its bytes come in at one end and go into a file; any number of clients follow there, each at its own pace.
/// The last ones are held back until the digest of all is known to be right: whoever got everything got the right bytes.
///
/// Clients come by the names of repositories. A name that fails takes its own clients along and nobody else's.
final class BlobFlight: Sendable {
    enum Phase: Sendable {
        case opening
        /// - available: bytes that clients may have.
        case flowing(SpoolFile, size: Int64, available: Int64)
        /// It is in the store.
        case stored
        case failed(any Error)
    }

    /// Bytes that are held back. A blob that is not larger is sent when it is known to be right.
    static let heldBytes: Int64 = 64 << 10

    /// Fewer bytes than this are no progress: a registry that drips cannot hold a flight for ever.
    static let progressBytes: Int64 = 64 << 10

    /// How long it goes on when nobody waits for it: a client that was cut comes back meanwhile.
    static let abandonedGrace = Duration.seconds(5)

    private struct State {
        var phase = Phase.opening
        /// Of names that are not got the blob by any more.
        var failures: [RepositoryName: any Error] = [:]
        /// Clients that wait or follow.
        var clientCount = 0
        /// When the last of them left.
        var leftAt = ContinuousClock.now
        /// Nobody waited for it any more: who comes now begins it anew.
        var isAbandoned = false
        /// Nothing of it is under way any more.
        var isOver = false
        /// What clients follow in; they hold the one that they began with.
        var file: SpoolFile?
        /// Bytes of the file.
        var arrived: Int64 = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var waiterCount = 0
    }

    private let state = Mutex(State())

    func set(_ phase: Phase) {
        change { state in
            state.phase = phase
            if case .flowing(let file, _, _) = phase { state.file = file }
        }
    }

    /// The blob does not come by that name: its clients are told, the others go on.
    func fail(_ name: RepositoryName, _ error: any Error) { change { $0.failures[name] = error } }

    /// The name's registry has said that it has the blob.
    func admit(_ name: RepositoryName) { change { $0.failures[name] = nil } }

    /// Nobody has to wait for its end any more, see ``over()``.
    func finish() { change { $0.isOver = true } }

    private func change(_ body: (inout State) -> Void) {
        let waiters = state.withLock { state in
            body(&state)
            defer { state.waiters = [:] }
            return state.waiters.values
        }
        for waiter in waiters { waiter.resume() }
    }

    /// What has arrived is wrong and comes anew, into another file. Who follows in the first one has bytes that must not be gone on
    /// with, and fails.
    func beginAgain() {
        state.withLock { ($0.file, $0.arrived) = (nil, 0) }
        set(.opening)
    }

    /// Bytes of all that those who follow in a file were told of; nil for one that nobody can follow in.
    func size(toldOf file: SpoolFile) -> Int64? {
        state.withLock { state in
            guard state.file === file, case .flowing(_, let size, _) = state.phase else { return nil }
            return size
        }
    }

    /// What has arrived can be had, but for what is held back.
    func advance(_ file: SpoolFile, size: Int64, to count: Int64) {
        state.withLock { $0.arrived = count }
        set(.flowing(file, size: size, available: max(0, min(count, size - Self.heldBytes))))
    }

    /// Returns when no progress was made for so long.
    func stall(_ limit: Duration) async throws {
        var mark = state.withLock { $0.arrived }
        while true {
            try await Task.sleep(for: limit)
            let arrived = state.withLock { $0.arrived }
            // It has begun anew.
            if arrived < mark { mark = 0 }
            guard arrived - mark >= Self.progressBytes else { return }
            mark = arrived
        }
    }

    /// Returns when nobody has waited for it for ``abandonedGrace``; from then on nobody can.
    func abandonment() async throws {
        while true {
            let rest = state.withLock { state in
                guard !state.isAbandoned else { return Duration.zero }
                guard state.clientCount == 0 else { return Self.abandonedGrace }
                let rest = state.leftAt + Self.abandonedGrace - .now
                state.isAbandoned = rest <= .zero
                return rest
            }
            guard rest > .zero else { return }
            try await Task.sleep(for: rest)
        }
    }

    fileprivate func enter() { state.withLock { $0.clientCount += 1 } }

    fileprivate func leave() {
        state.withLock { state in
            state.clientCount -= 1
            state.leftAt = .now
        }
    }

    /// Returns when nothing of it is under way any more.
    func over() async throws { try await wait { $0.isOver ? .success(()) : nil } }

    /// How a client gets the blob.
    enum Opening: Sendable {
        case stored
        case following(FollowedBlob)
        case abandoned
    }

    /// Waits until the size is known; with a small blob until all of it is here.
    ///
    /// - Parameter name: that the client has come by.
    func opened(_ name: RepositoryName) async throws -> Opening {
        let client = FlightClient(self)
        defer { withExtendedLifetime(client) {} }
        return try await wait { state in
            if state.isAbandoned { return .success(.abandoned) }
            if let error = state.failures[name] { return .failure(error) }
            switch state.phase {
            case .opening: return nil
            case .flowing(_, let size, let available) where size <= Self.heldBytes && available < size: return nil
            case .flowing(let file, let size, _):
                return .success(.following(FollowedBlob(client: client, name: name, file: file, size: size)))
            case .stored: return .success(.stored)
            case .failed(let error): return .failure(error)
            }
        }
    }

    /// Waits until bytes of `file` behind `offset` can be had.
    ///
    /// - Returns: where they end.
    func available(
        behind offset: Int64, of size: Int64, in file: SpoolFile, _ name: RepositoryName
    ) async throws -> Int64 {
        try await wait { state in
            if let error = state.failures[name] { return .failure(error) }
            guard state.file === file else {
                return .failure(RegistryError(.digestMismatch, "the bytes so far were wrong"))
            }
            switch state.phase {
            case .opening: return nil
            case .flowing(_, _, let available): return available > offset ? .success(available) : nil
            case .stored: return .success(size)
            case .failed(let error): return .failure(error)
            }
        }
    }

    private func wait<Value: Sendable>(_ ready: (State) -> Result<Value, any Error>?) async throws -> Value {
        while true {
            try Task.checkCancellation()
            let (found, id) = state.withLock { state in
                state.waiterCount += 1
                return (ready(state), state.waiterCount)
            }
            if let found { return try found.get() }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let waits = state.withLock { state in
                        // Looked at under the lock that the one who cancels takes.
                        guard !Task.isCancelled, ready(state) == nil else { return false }
                        state.waiters[id] = continuation
                        return true
                    }
                    if !waits { continuation.resume() }
                }
            } onCancel: {
                state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
            }
        }
    }
}

/// Somebody who waits for a flight, or follows it, as long as this is there.
final class FlightClient: Sendable {
    let flight: BlobFlight

    init(_ flight: BlobFlight) {
        self.flight = flight
        flight.enter()
    }

    deinit { flight.leave() }
}

/// A blob that is read while it arrives.
package struct FollowedBlob: Sendable {
    let client: FlightClient
    let name: RepositoryName
    let file: SpoolFile
    /// Bytes of all.
    package let size: Int64

    /// Between 1 and `countMax` bytes at `offset`, which is below ``size``, when they are here.
    ///
    /// - Throws: when they will not come, or are not the right ones.
    package func read(at offset: Int64, countMax: Int) async throws -> ByteBuffer {
        let end = try await client.flight.available(behind: offset, of: size, in: file, name)
        return try await file.read(at: offset, countMax: Int(min(Int64(countMax), end - offset)))
    }
}
