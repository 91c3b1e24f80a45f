import Glibc
import Kernel
import OCI
import S3
import Synchronization

/// Moves blobs from files of the folder into the bucket, or back, while both are used.
///
/// New blobs go to the other place from its begin on, so that those in the first become fewer. Each is copied as an upload is, checked against
/// its digest, and its row names the other place from one transaction on, behind which the bytes of the first go; whoever has the
/// file open goes on reading it. What ends the move at any time leaves every blob in the one place or the other, and the next goes on there.
package struct BlobMove: Sendable {
    /// How far it is. A copy that comes to nothing, since its blob is removed meanwhile, counts as done.
    package struct Progress: Codable, Sendable, Hashable {
        package fileprivate(set) var blobs: Int64 = 0
        package fileprivate(set) var bytes: Int64 = 0
        /// What there was to move when it began.
        package fileprivate(set) var blobsTotal: Int64
        package fileprivate(set) var bytesTotal: Int64
        /// Blobs that were set aside, since their bytes have not their digests.
        package fileprivate(set) var damaged: Int64 = 0
        /// Since it began.
        package fileprivate(set) var bytesPerSecond: Int64 = 0
        /// nil while nothing is known.
        package fileprivate(set) var secondsLeft: Int64?
    }

    /// The blob was removed, or moved, while it was copied.
    fileprivate struct HasChanged: Error {}

    /// Copies at once: small blobs wait for answers, large ones for the slots that they share with uploads.
    private static let copiesMax = 4
    private static let pageMax = 100
    private static let progressInterval = Duration.milliseconds(500)

    let store: RegistryStore
    /// nil for files.
    let target: CurrentBucket.Use?
    let progress: @Sendable (Progress) -> Void

    /// Which blobs are not there yet, as SQL.
    private var condition: String { target == nil ? RegistryStore.isObject : RegistryStore.isFile }

    func run() async throws -> Progress {
        let tally = Tally(try await store.count(where: condition))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while (try? await Task.sleep(for: Self.progressInterval)) != nil { progress(tally.progress) }
            }
            // Until there is none: the first pass may have missed what came behind it.
            while try await pass(tally) > 0 {}
            group.cancelAll()
        }
        progress(tally.progress)
        return tally.progress
    }

    /// - Returns: how many blobs there were.
    private func pass(_ tally: Tally) async throws -> Int {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var (last, count, running) = ("", 0, 0)
            while case let page = try await store.blobs(after: last, countMax: Self.pageMax, where: condition),
                let final = page.last
            {
                last = final.digest.description
                count += page.count
                for blob in page {
                    if running == Self.copiesMax {
                        try await group.next()
                        running -= 1
                    }
                    group.addTask { try await move(blob, tally) }
                    running += 1
                }
            }
            try await group.waitForAll()
            return count
        }
    }

    private func move(_ blob: StoredBlob, _ tally: Tally) async throws {
        let copied = Mutex<Int64>(0)
        let count: @Sendable (Int) -> Void = { count in
            copied.withLock { $0 += Int64(count) }
            tally.add(bytes: Int64(count))
        }
        do {
            switch (blob.place, target) {
            case (.file(let path), let target?):
                guard let file = try await BlobFile.open(path) else { throw SystemError("open", ENOENT, path) }
                try await store.send(file, as: blob.digest, to: target, sent: count) { try $0.move(blob, to: $1) }
            case (.object(let key), nil):
                try await store.receive(key, as: blob.digest, size: blob.size, got: count) { try $0.move(blob, to: $1) }
            default: break
            }
        } catch is HasChanged {} catch {
            guard Self.isOfBytes(error), case .damaged(let damage) = try await store.condition(of: blob, rate: .max)
            else { throw error }
            // A push heals it, in the other place.
            if try await store.quarantine(blob, damage) {
                store.settings.note(
                    "blob \(blob.digest) is damaged, \(damage.reason): it is set aside until it is pushed again")
                tally.add(damaged: 1)
            }
            tally.add(bytes: blob.size - copied.withLock { $0 })
        }
        tally.add(blobs: 1)
    }

    /// Whether the blob's bytes may be what is wrong.
    private static func isOfBytes(_ error: any Error) -> Bool {
        if let error = error as? Refusal { return error.code == .digestInvalid }
        if let error = error as? StorageFailure { return error.isOfObject }
        return (error as? SystemError).map { [ENOENT, EIO].contains($0.code) } ?? false
    }

    /// What copies at once have done.
    private final class Tally: Sendable {
        private let sum: Mutex<Progress>
        private let began = ContinuousClock.now

        init(_ total: (blobs: Int64, bytes: Int64)) {
            sum = Mutex(Progress(blobsTotal: total.blobs, bytesTotal: total.bytes))
        }

        func add(blobs: Int64 = 0, bytes: Int64 = 0, damaged: Int64 = 0) {
            sum.withLock { sum in
                sum.blobs += blobs
                sum.bytes += bytes
                sum.damaged += damaged
            }
        }

        var progress: Progress {
            var sum = sum.withLock { $0 }
            let seconds: Double = (.now - began) / .seconds(1)
            guard seconds > 0, sum.bytes > 0 else { return sum }
            let rate: Double = Double(sum.bytes) / seconds
            sum.bytesPerSecond = Int64(rate)
            sum.secondsLeft = Int64(Double(max(0, sum.bytesTotal - sum.bytes)) / rate)
            return sum
        }
    }
}

extension Change {
    /// Makes a copy of a blob's bytes the blob's, and has those of before removed.
    ///
    /// - Throws: ``BlobMove/HasChanged``.
    fileprivate func move(_ blob: StoredBlob, to place: BlobPlace) throws {
        let digest = SQLValue.text(blob.digest.description)
        let row = try connection.row(
            "SELECT object FROM blobs WHERE digest = ? AND \(RegistryStore.isSound)", [digest])
        guard let row, BlobPlace(try row.optionalText("object"), blob.digest, folder) == blob.place else {
            throw BlobMove.HasChanged()
        }
        let object = try takeOver(place, as: blob.digest)
        try connection.execute("UPDATE blobs SET object = ? WHERE digest = ?", [.text(object), digest])
        effects.remove(blob.place)
    }
}

extension RegistryStore {
    static let isFile = "object IS NULL AND \(isSound)"
    static let isObject = "object IS NOT NULL AND \(isSound)"

    fileprivate nonisolated func count(where condition: String) async throws -> (blobs: Int64, bytes: Int64) {
        try await index.read { connection in
            let row = try connection.row(
                """
                SELECT count(*) AS count, CAST(coalesce(SUM(size), 0) AS BIGINT) AS bytes FROM blobs
                WHERE \(condition)
                """, [])
            return (try row?.integer("count") ?? 0, try row?.integer("bytes") ?? 0)
        }
    }

    /// Moves all blobs into a bucket. New ones go there from the moment when it has answered, whatever becomes of the rest.
    ///
    /// - Parameter configuration: where the registry has a bucket already, the same one, which is used as it is.
    /// - Returns: what was moved.
    /// - Throws: ``Refusal`` 409 while something moves, or for another bucket; `S3Error`, ``StorageFailure``: what has moved by
    ///   then has, and the next call goes on.
    package nonisolated func moveBlobs(
        to configuration: StorageConfiguration, progress: @escaping @Sendable (BlobMove.Progress) -> Void
    ) async throws -> BlobMove.Progress {
        guard let wanted = configuration.s3 else {
            throw Refusal(.unknown, 400, "say in which bucket: \"s3\" is missing")
        }
        try await beginMove()
        defer { areBlobsMoving.withLock { $0 = false } }
        let names = try await BlockingPool.shared.run { [folder] () throws(SystemError) in
            try StorageNames(folder, wanted)
        }
        let use = try await bucket(wanted, names)
        let moved = try await BlobMove(store: self, target: use, progress: progress).run()
        try await writer.change { try names.rename(names.both, to: names.bucket, $0.connection) }
        return moved
    }

    /// Moves all blobs back into files of the folder, where new ones go from now on until the next start.
    ///
    /// - Returns: what was moved.
    /// - Throws: ``Refusal`` 409 while something moves, without a bucket, or for an index in a database: other registries may
    ///   have the bucket, and none has this folder. That there is none now would say nothing of the next minute. Else as
    ///   ``moveBlobs(to:progress:)``.
    package nonisolated func moveBlobsBack(
        progress: @escaping @Sendable (BlobMove.Progress) -> Void
    ) async throws -> BlobMove.Progress {
        guard bucket.use != nil else { throw Refusal(.unsupported, 409, "no blob is in a bucket") }
        guard try await index.read({ $0.dialect == .sqlite }) else {
            throw Refusal(
                .unsupported, 409,
                """
                the index is in a database, by which others may have the bucket, too: they could not read files of this folder. \
                Copy the repositories, by "replication" of --config, to a registry with an index and a folder of its own
                """)
        }
        try await beginMove()
        defer { areBlobsMoving.withLock { $0 = false } }
        bucket.takeNoMore()
        // Changes that have not seen it are before this one.
        try await writer.change { _ in }
        return try await BlobMove(store: self, target: nil, progress: progress).run()
    }

    private nonisolated func beginMove() async throws {
        let isFirst = areBlobsMoving.withLock { areMoving in
            defer { areMoving = true }
            return !areMoving
        }
        guard isFirst else { throw Refusal(.unsupported, 409, "the blobs are being moved: wait until that has ended") }
        do {
            let isInDatabase = try await index.read { $0.dialect == .postgres }
            guard isInDatabase || !isMoving.withLock({ $0 }) else {
                throw Refusal(
                    .unsupported, 409, "the index is on its way to a database: move the blobs when it is there")
            }
        } catch {
            areBlobsMoving.withLock { $0 = false }
            throw error
        }
    }

    /// The bucket that blobs are moved to, which takes what is new when this returns.
    private nonisolated func bucket(
        _ wanted: S3Configuration, _ names: StorageNames
    ) async throws -> CurrentBucket.Use {
        if let use = bucket.use {
            guard use.storage.client.configuration.identity == wanted.identity else {
                throw Refusal(
                    .unsupported, 409, "new blobs go to the bucket \(use.storage.client.configuration.bucket) already")
            }
            guard !use.takesNew else { return use }
            try await begin(.init(storage: use.storage, uploads: use.uploads))
            return use
        }
        let use = try makeUse(wanted)
        do {
            try await use.storage.check()
            do { try await claim(use.storage) } catch let error as StoreFailure {
                throw Refusal(.unsupported, 409, error.description)
            }
            // Before any row names an object: who starts again is let in with the bucket then.
            try await writer.change { try names.rename(names.folder, to: names.both, $0.connection) }
        } catch {
            await use.storage.client.close()
            throw error
        }
        try await begin(use)
        return use
    }

    private nonisolated func begin(_ use: CurrentBucket.Use) async throws {
        bucket.begin(use)
        // Changes that have not seen it are before this one.
        try await writer.change { _ in }
    }
}
