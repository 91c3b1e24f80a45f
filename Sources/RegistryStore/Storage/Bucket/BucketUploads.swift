import Glibc
import OCI
import S3

/// Uploads whose bytes are in the bucket, and whose state is rows: any instance can go on with any of them.
actor BucketUploads: UploadSessions {
    /// For how long a request has an upload without saying so again: what a crash of its instance costs its client at most.
    private static let leaseSeconds: Int64 = 30
    private static let renewal = Duration.seconds(10)

    /// The digest of an upload that lies, of as many bytes as its row had at that turn.
    private struct Known {
        let hash: StreamHash
        let count: Int64
        let holder: String
        let touched = ContinuousClock.now
    }

    private let bucket: BucketStorage
    private let index: any IndexDatabase
    private let writer: IndexWriter
    private let countMax: Int
    private var live: [String: BucketUpload] = [:]
    private var known: [String: Known] = [:]
    private var isRenewing = false

    init(_ bucket: BucketStorage, _ index: any IndexDatabase, _ writer: IndexWriter, countMax: Int) {
        self.bucket = bucket
        self.index = index
        self.writer = writer
        self.countMax = countMax
    }

    private static var now: Int64 { Int64(time(nil)) }

    func begin(_ repository: RepositoryName, _ algorithm: Digest.Algorithm) async throws -> String {
        let (record, countMax, now) = (UploadRecord(repository, algorithm), Int64(countMax), Self.now)
        try await writer.change { change in
            let count = try change.connection.row("SELECT count(*) AS count FROM uploads", [])?.integer("count") ?? 0
            guard count < countMax else { throw Refusal.tooManyUploads }
            try record.insert(change.connection, now: now)
        }
        return record.id
    }

    /// Of uploads that no client has begun, and none can go on with.
    static let copies = "copies"

    /// Begins an upload that one copy has from its first byte to its ``end(_:)``. What a crash leaves of it expires as others do.
    func beginCopy(_ algorithm: Digest.Algorithm) async throws -> BucketUpload {
        var record = UploadRecord(try RepositoryName(Self.copies), algorithm)
        record.holder = UploadID.fresh()
        let (inserted, now) = (record, Self.now)
        try await writer.change { change in
            try inserted.insert(change.connection, now: now, lease: now + Self.leaseSeconds)
        }
        let upload = BucketUpload(record, bucket, hash: StreamHash(algorithm))
        live[record.id] = upload
        renew()
        return upload
    }

    func has(_ id: String) async throws -> Bool {
        try await index.read { try $0.isAny("SELECT 1 AS found FROM uploads WHERE id = ?", [.text(id)]) }
    }

    func count(_ id: String, _ repository: RepositoryName) async throws -> Int64 {
        let found = try await index.read { try UploadRecord.find(id, $0) }
        guard let record = found?.record, record.repository == repository else { throw Refusal.uploadUnknown }
        return record.count
    }

    func take(_ id: String, _ repository: RepositoryName) async throws -> any BlobUpload {
        guard live[id] == nil else { throw Refusal.uploadIsBusy }
        let (holder, now) = (UploadID.fresh(), Self.now)
        let (before, record) = try await writer.change { change in
            guard let (before, lease) = try UploadRecord.find(id, change.connection), before.repository == repository
            else { throw Refusal.uploadUnknown }
            guard lease < now else { throw Refusal.uploadIsBusy }
            let record = before.next(holder)
            try record.begin(change.connection, lease: now + Self.leaseSeconds)
            return (before, record)
        }
        if let begun = before.parts.upload, record.parts.upload == nil {
            await bucket.remover.remove([.parts(before.object, upload: begun)])
        }
        var hash: StreamHash?
        if before.count == 0 {
            hash = StreamHash(before.algorithm)
        } else if let known = known.removeValue(forKey: id), known.count == before.count, known.holder == before.holder
        {
            hash = known.hash
        }
        let upload = BucketUpload(record, bucket, hash: hash)
        live[id] = upload
        renew()
        return upload
    }

    /// Says now and then that requests still have their uploads.
    private func renew() {
        guard !isRenewing else { return }
        isRenewing = true
        Task {
            while !live.isEmpty {
                // It ends with the last request, and is not cancelled.
                try? await Task.sleep(for: Self.renewal)
                let (holders, until) = (live.values.map(\.saved.holder), Self.now + Self.leaseSeconds)
                // One that could not be renewed is lost when another asks for it, and its request is told then.
                try? await writer.change { change in
                    for holder in holders {
                        try change.connection.execute(
                            "UPDATE uploads SET lease = ? WHERE holder = ?", [.integer(until), .text(holder)])
                    }
                }
            }
            isRenewing = false
        }
    }

    func putBack(_ upload: any BlobUpload) async throws {
        guard let upload = live[upload.id] else { return }
        // A request that was cut is cancelled: what it has brought is kept all the same.
        try await Task { try await self.save(upload) }.value
    }

    private func save(_ upload: BucketUpload) async throws {
        defer { live[upload.id] = nil }
        let (record, failure): (UploadRecord, (any Error)?)
        do { (record, failure) = (try await upload.settle(), nil) } catch { (record, failure) = (upload.saved, error) }
        let (before, now) = (upload.saved, Self.now)
        let isSaved = try await writer.change { change in
            guard try record.save(change.connection, now: now) else { return false }
            if let old = before.tail, old != record.tail { change.effects.remove(.object(old)) }
            return true
        }
        if let failure { throw failure }
        guard isSaved else {
            let leftovers = await upload.abandon()
            await bucket.remover.remove(leftovers)
            throw Refusal.uploadUnknown
        }
        if let hash = await upload.currentHash {
            known[upload.id] = Known(hash: hash, count: record.count, holder: record.holder)
        }
    }

    nonisolated func claim(_ upload: any BlobUpload, _ change: Change) throws {
        guard let upload = upload as? BucketUpload else { return }
        // Whoever has ended it or has taken it over has its objects removed.
        let found = try change.connection.execute(
            "DELETE FROM uploads WHERE id = ? AND holder = ?", [.text(upload.id), .text(upload.saved.holder)])
        guard found > 0 else { throw Refusal.uploadUnknown }
        if let tail = upload.saved.tail { try change.discard(.object(tail)) }
    }

    func end(_ id: String) async {
        known[id] = nil
        let upload = live.removeValue(forKey: id)
        // A request that was cut is cancelled: its upload ends all the same.
        await Task {
            var leftovers: [ObjectRemover.Leftover] = []
            if let upload { leftovers += await upload.abandon() }
            // What cannot be said to the index now is said when it expires, or found by the sweep.
            leftovers += (try? await self.forget(id, of: upload?.saved.holder, made: await upload?.made ?? [])) ?? []
            await self.bucket.remover.remove(leftovers)
        }.value
    }

    /// Removes a row, and with it what it names unless that has become a blob.
    ///
    /// - Parameters:
    ///   - holder: whose turn it has to be; nil for anybody's.
    ///   - made: objects of that turn, which go unless they have become a blob, or another turn has them.
    ///   - oldest: seconds since 1970; one that was touched since, or has a request, stays.
    private func forget(
        _ id: String, of holder: String? = nil, made: Set<String> = [], ifUntouchedSince oldest: Int64? = nil
    ) async throws -> [ObjectRemover.Leftover] {
        let now = Self.now
        return try await writer.change { change in
            let leftovers = try change.forgetUpload(id, of: holder, ifUntouchedSince: oldest, now: now)
            for key in made where try !RegistryStore.isNamed(key, change.connection) {
                change.effects.remove(.object(key))
            }
            return leftovers
        }
    }

    func expire(after duration: Duration) async throws -> Int {
        let clock = ContinuousClock.now
        known = known.filter { clock - $0.value.touched < duration }
        let oldest = Self.now - duration.components.seconds
        let ids = try await index.read { connection in
            try connection.rows(
                "SELECT id FROM uploads WHERE touched < ? AND lease < ?", [.integer(oldest), .integer(oldest)]
            )
            .map { try $0.text("id") }
        }
        for id in ids where live[id] == nil {
            await bucket.remover.remove(try await forget(id, ifUntouchedSince: oldest))
        }
        return ids.count
    }

    /// Gives up turns that a crash has left: nobody else has this index.
    func clearLeases() async throws {
        _ = try await writer.change { try $0.connection.execute("UPDATE uploads SET lease = 0", []) }
    }
}

extension Change {
    fileprivate func forgetUpload(
        _ id: String, of holder: String?, ifUntouchedSince oldest: Int64?, now: Int64
    ) throws -> [ObjectRemover.Leftover] {
        guard let (record, lease) = try UploadRecord.find(id, connection), holder == nil || record.holder == holder
        else { return [] }
        if let oldest {
            let isOld = try connection.isAny(
                "SELECT 1 AS found FROM uploads WHERE id = ? AND touched < ?", [.text(id), .integer(oldest)])
            guard isOld, lease < now else { return [] }
        }
        try connection.execute("DELETE FROM uploads WHERE id = ?", [.text(id)])
        for key in [record.object, record.tail].compactMap({ $0 }) { try discard(.object(key)) }
        return record.parts.upload.map { [.parts(record.object, upload: $0)] } ?? []
    }
}
