import GRDB
import OCI

/// All changes of the index and of the folder of blobs, one after another on the writer's thread. Those that wait while one
/// is being synced are committed together: a hundred pushes at once cost a few syncs, not a hundred.
///
/// Blobs come into their folder and leave it here alone, so that a blob that is collected and the same blob that is pushed
/// cannot cross.
actor IndexWriter {
    private struct Entry: Sendable {
        /// Makes the change; what it returns tells the caller, once it is durable.
        let apply: @Sendable (Change) -> @Sendable () -> Void
        let fail: @Sendable (any Error) -> Void
    }

    /// Changes in one transaction: bounds how long the first of them waits for the last.
    private static let batchMax = 256

    private let pool: DatabasePool
    private let folder: StoreFolder
    private let cache: ManifestCache
    private var waiting: [Entry] = []
    private var isWriting = false

    init(_ pool: DatabasePool, _ folder: StoreFolder, _ cache: ManifestCache) {
        self.pool = pool
        self.folder = folder
        self.cache = cache
    }

    /// Runs `body` in a transaction that is durable when this returns. A change that throws is undone alone. It is not
    /// cancelled with its caller.
    func change<Value: Sendable>(_ body: @escaping @Sendable (Change) throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            waiting.append(
                Entry(
                    apply: { change in
                        let result = Result { try change.undoingFailure(body) }
                        return { continuation.resume(with: result) }
                    },
                    fail: { continuation.resume(throwing: $0) }))
            guard !isWriting else { return }
            isWriting = true
            Task { await write() }
        }
    }

    private func write() async {
        while !waiting.isEmpty {
            let batch = Array(waiting.prefix(Self.batchMax))
            waiting.removeFirst(batch.count)
            let (folder, cache) = (folder, cache)
            do {
                let finishes = try await pool.writeWithoutTransaction { connection in
                    try Self.commit(batch, connection, folder, cache)
                }
                for finish in finishes { finish() }
            } catch {
                for entry in batch { entry.fail(Self.translated(error)) }
            }
        }
        isWriting = false
    }

    private static func commit(
        _ batch: [Entry], _ connection: Database, _ folder: StoreFolder, _ cache: ManifestCache
    ) throws -> [@Sendable () -> Void] {
        let change = Change(connection, folder)
        var finishes: [@Sendable () -> Void] = []
        try connection.inTransaction {
            finishes = batch.map { $0.apply(change) }
            try change.effects.syncFolders(folder)
            return .commit
        }
        cache.forget(change.effects.repositories)
        change.effects.removeFiles()
        return finishes
    }

    private static func translated(_ error: any Error) -> any Error {
        guard let error = error as? DatabaseError, error.resultCode == .SQLITE_FULL else { return error }
        return Refusal(.unknown, 507, "no space left on device: the registry's index cannot grow")
    }
}
