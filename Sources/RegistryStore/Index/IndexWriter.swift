import Glibc
import Kernel
import OCI

/// All changes of the index and of the folder of blobs, one after another. Those that wait while one is being synced are
/// committed together: a hundred pushes at once cost a few syncs, not a hundred.
///
/// Blobs come into their folder and leave it here alone, so that a blob that is collected and the same blob that is pushed
/// cannot cross.
actor IndexWriter {
    private struct Entry: Sendable {
        /// Makes the change; what it returns tells the caller, once it is durable.
        let apply: @Sendable (Change) -> @Sendable () -> Void
        let fail: @Sendable (any Error) -> Void
    }

    /// What is to be done when a transaction is durable.
    private struct Committed: Sendable {
        let finishes: [@Sendable () -> Void]
        let repositories: Set<RepositoryName>
        let removals: Set<BlobPlace>
    }

    /// Changes in one transaction: bounds how long the first of them waits for the last.
    private static let batchMax = 256

    private let index: any IndexDatabase
    private let folder: StoreFolder
    private let cache: ManifestCache
    private let bucket: CurrentBucket
    private var waiting: [Entry] = []
    private var isWriting = false

    init(_ index: any IndexDatabase, _ folder: StoreFolder, _ cache: ManifestCache, _ bucket: CurrentBucket) {
        self.bucket = bucket
        self.index = index
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
            do {
                let committed = try await commit(batch)
                cache.forget(committed.repositories)
                await remove(committed.removals)
                for finish in committed.finishes { finish() }
            } catch {
                for entry in batch { entry.fail(error) }
            }
        }
        isWriting = false
    }

    private func commit(_ batch: [Entry]) async throws -> Committed {
        let folder = folder
        return try await index.write { connection in
            let change = Change(connection, folder)
            let finishes = batch.map { $0.apply(change) }
            try change.refreshProfiles(now: RegistryStore.now)
            try change.effects.syncFolders(folder)
            return Committed(
                finishes: finishes, repositories: change.effects.repositories, removals: change.effects.removals)
        }
    }

    /// Files go before the next change, which may bring the same one. One that stays is found by the sweep of the next start.
    private func remove(_ places: Set<BlobPlace>) async {
        var paths: [String] = []
        var objects: [ObjectRemover.Leftover] = []
        for place in places {
            switch place {
            case .file(let path): paths.append(path)
            case .object(let key): objects.append(.object(key))
            }
        }
        // Nobody waits for these: no other blob will ever have their keys.
        if !objects.isEmpty { await bucket.use?.storage.remover.remove(objects) }
        guard !paths.isEmpty else { return }
        await BlockingPool.shared.run { [paths] in for path in paths { unlink(path) } }
    }
}
