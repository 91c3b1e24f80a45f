import Glibc
import Kernel
import OCI
import S3
import Synchronization

/// Moves blobs from files of the folder into the bucket while both are used.
///
/// New blobs go to the bucket from its begin on, so that the files become fewer. Each is copied as an upload is, checked against
/// its digest, and its row names the object from one transaction on, behind which the file goes; whoever has the file open
/// goes on reading it. What ends the move at any time leaves every blob in the one place or the other, and the next goes on there.
package struct BlobMove: Sendable {
    /// How far it is. A copy that comes to nothing, since its blob is removed meanwhile, counts as done.
    package struct Progress: Codable, Sendable, Hashable {
        package fileprivate(set) var blobs: Int64 = 0
        package fileprivate(set) var bytes: Int64 = 0
        /// What there was to move when it began.
        package fileprivate(set) var blobsTotal: Int64
        package fileprivate(set) var bytesTotal: Int64
        /// Blobs that were set aside, since their files have not their digests.
        package fileprivate(set) var damaged: Int64 = 0
        /// Since it began.
        package fileprivate(set) var bytesPerSecond: Int64 = 0
        /// nil while nothing is known.
        package fileprivate(set) var secondsLeft: Int64?
    }

    /// The blob was removed, or moved, while it was copied.
    private struct HasChanged: Error {}

    /// Copies at once: small blobs wait for answers, large ones for the slots that they share with uploads.
    private static let copiesMax = 4
    private static let pageMax = 100
    private static let progressInterval = Duration.milliseconds(500)

    let store: RegistryStore
    let use: CurrentBucket.Use
    let progress: @Sendable (Progress) -> Void

    func run() async throws -> Progress {
        let tally = Tally(try await store.filesToMove())
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

    /// - Returns: how many files there were.
    private func pass(_ tally: Tally) async throws -> Int {
        try await withThrowingTaskGroup(of: Void.self) { group in
            var (last, count, running) = ("", 0, 0)
            while case let page = try await store.blobFiles(after: last, countMax: Self.pageMax), let final = page.last
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
        guard case .file(let path) = blob.place else { return }
        let copied = Mutex<Int64>(0)
        do {
            guard let file = try await BlobFile.open(path) else { throw SystemError("open", ENOENT, path) }
            try await store.send(
                file, as: blob.digest, to: use,
                sent: { count in
                    copied.withLock { $0 += Int64(count) }
                    tally.add(bytes: Int64(count))
                },
                { change, place in
                    guard case .object(let key) = place else { throw HasChanged() }
                    let moved = try change.connection.execute(
                        "UPDATE blobs SET object = ? WHERE digest = ? AND \(RegistryStore.isFile)",
                        [.text(key), .text(blob.digest.description)])
                    guard moved > 0 else { throw HasChanged() }
                    change.effects.remove(blob.place)
                })
        } catch is HasChanged {} catch {
            guard Self.isOfFile(error), case .damaged(let damage) = try await store.condition(of: blob, rate: .max)
            else { throw error }
            // A push heals it, into the bucket.
            if try await store.quarantine(blob, damage) {
                store.settings.note(
                    "blob \(blob.digest) is damaged, \(damage.reason): it is set aside until it is pushed again")
                tally.add(damaged: 1)
            }
            tally.add(bytes: blob.size - copied.withLock { $0 })
        }
        tally.add(blobs: 1)
    }

    /// Whether the file may be what is wrong.
    private static func isOfFile(_ error: any Error) -> Bool {
        if let error = error as? Refusal { return error.code == .digestInvalid }
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

extension RegistryStore {
    static let isFile = "object IS NULL AND \(isSound)"

    /// Sound blobs that are files of the folder.
    fileprivate nonisolated func filesToMove() async throws -> (blobs: Int64, bytes: Int64) {
        try await index.read { connection in
            let row = try connection.row(
                """
                SELECT count(*) AS count, CAST(coalesce(SUM(size), 0) AS BIGINT) AS bytes FROM blobs
                WHERE \(Self.isFile)
                """, [])
            return (try row?.integer("count") ?? 0, try row?.integer("bytes") ?? 0)
        }
    }

    fileprivate nonisolated func blobFiles(after last: String, countMax: Int) async throws -> [StoredBlob] {
        try await blobs(after: last, countMax: countMax, where: Self.isFile)
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
        let isFirst = areBlobsMoving.withLock { areMoving in
            defer { areMoving = true }
            return !areMoving
        }
        guard isFirst else { throw Refusal(.unsupported, 409, "the blobs are on their way to a bucket already") }
        defer { areBlobsMoving.withLock { $0 = false } }
        let isInDatabase = try await index.read { $0.dialect == .postgres }
        guard isInDatabase || !isMoving.withLock({ $0 }) else {
            throw Refusal(.unsupported, 409, "the index is on its way to a database: move the blobs when it is there")
        }
        let names = try await BlockingPool.shared.run { [folder] () throws(SystemError) in
            try StorageNames(folder, wanted)
        }
        let use = try await bucket(wanted, names)
        let moved = try await BlobMove(store: self, use: use, progress: progress).run()
        try await writer.change { try names.rename(names.both, to: names.bucket, $0.connection) }
        return moved
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
            return use
        }
        let use = try makeUse(wanted)
        do {
            try await use.storage.check()
            // Before any row names an object: who starts again is let in with the bucket then.
            try await writer.change { try names.rename(names.folder, to: names.both, $0.connection) }
        } catch {
            await use.storage.client.close()
            throw error
        }
        bucket.begin(use)
        // Changes that have not seen it are before this one.
        try await writer.change { _ in }
        return use
    }
}
