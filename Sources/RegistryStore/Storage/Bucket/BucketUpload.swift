import NIOCore
import OCI
import S3

/// A blob that is arriving in the bucket, during one request: parts are sent as they are full, one at a time while the next one
/// fills. What is smaller than a part, a small blob or the end of a chunk, becomes an object of its own when the request ends.
actor BucketUpload: BlobUpload {
    nonisolated let id: String
    nonisolated let repository: RepositoryName
    /// As of the beginning of the request.
    nonisolated let saved: UploadRecord
    private let bucket: BucketStorage
    private var client: S3Client { bucket.client }

    private var parts: (upload: String?, list: [S3Client.Part])
    /// A part on its way; the upload's id, which it may have begun, comes with it.
    private var sending: Task<(upload: String, part: S3Client.Part), any Error>?
    /// What comes after the parts, while it is in memory, and the slot that lets it be.
    private var buffer: (bytes: ByteBuffer, slot: Int)?
    /// What comes after the parts, while it is not.
    private var tail: (key: String, count: Int64)?
    private(set) var count: Int64
    private(set) var smallBytes: [UInt8]?
    /// Of all bytes; nil when some were not seen by this process.
    private var hash: StreamHash?
    private var parking: Task<Void, Never>?
    /// It is being ended or saved: the slot comes back soon.
    private var isSettling = false
    /// Why bytes were lost; the request can only go back.
    private var failure: (any Error)?
    /// Key of the object that is to become a blob.
    private var completed: String?
    /// Whether the parts have become an object.
    private var areJoined = false
    /// Objects that this request has made of all bytes, or may have.
    private(set) var made: Set<String> = []

    /// Bytes from which on memory is taken for a whole part: most blobs are smaller.
    private static let smallBytes = 64 << 10

    init(_ record: UploadRecord, _ bucket: BucketStorage, hash: StreamHash?) {
        id = record.id
        repository = record.repository
        saved = record
        self.bucket = bucket
        self.hash = hash
        parts = record.parts
        tail = record.tail.map { ($0, record.tailBytes) }
        count = record.count
    }

    var mark: UploadMark { UploadMark(count: count, hash: hash) }
    var currentHash: StreamHash? { hash }

    // MARK: Bytes

    func append(_ bytes: ByteBuffer) async throws {
        var rest = bytes
        while rest.readableBytes > 0 {
            try await hold()
            let room = bucket.partBytes - (buffer?.bytes.readableBytes ?? 0)
            guard var piece = rest.readSlice(length: min(rest.readableBytes, room)) else { return }
            piece.withUnsafeReadableBytes { hash?.update($0) }
            count += Int64(piece.readableBytes)
            if let held = buffer?.bytes.readableBytes, held + piece.readableBytes > Self.smallBytes {
                buffer?.bytes.reserveCapacity(bucket.partBytes)
            }
            buffer?.bytes.writeBuffer(&piece)
            if buffer?.bytes.readableBytes == bucket.partBytes { try await send() }
        }
    }

    /// Waits for a slot, and brings back what was given to the bucket for want of one.
    private func hold() async throws {
        while let parking { await parking.value }
        if let failure { throw failure }
        guard buffer == nil else { return }
        guard parts.list.count + (sending == nil ? 0 : 1) < S3Configuration.partsMax else {
            throw Refusal(
                .sizeInvalid, 413,
                "blob is larger than \(S3Configuration.partsMax) parts of \(bucket.partBytes) bytes: raise partBytes")
        }
        let slot = await bucket.slots.take { [weak self] slot in await self?.park(slot) }
        var bytes = ByteBuffer()
        do throws(S3Error) {
            if let tail {
                for try await part in try await client.read(tail.key, 0..<tail.count, size: tail.count) {
                    bytes.writeImmutableBuffer(part)
                }
            }
        } catch {
            await bucket.slots.give(slot)
            throw StorageFailure(error)
        }
        if isSettling {
            await bucket.slots.give(slot)
            throw Refusal.uploadUnknown
        }
        forgetTail()
        buffer = (bytes, slot)
    }

    /// An object of this request that has come back into memory; the one of the request before is the row's.
    private func forgetTail() {
        guard let key = tail?.key else { return }
        tail = nil
        guard key != saved.tail else { return }
        discard([.object(key)])
    }

    private func discard(_ leftovers: [ObjectRemover.Leftover]) {
        Task { [remover = bucket.remover] in await remover.remove(leftovers) }
    }

    private func send() async throws {
        guard let (bytes, slot) = buffer else { return }
        buffer = nil
        do { try await sent() } catch {
            await bucket.slots.give(slot)
            throw error
        }
        let (client, slots, key, begun, number) = (
            client, bucket.slots, saved.object, parts.upload, parts.list.count + 1
        )
        // Not cancelled with the request: what has arrived is kept for the next.
        sending = Task {
            do {
                let upload: String
                if let begun { upload = begun } else { upload = try await client.beginParts(key) }
                let part = try await client.putPart(key, upload: upload, number: number, bytes)
                await slots.give(slot)
                return (upload, part)
            } catch {
                await slots.give(slot)
                throw error
            }
        }
    }

    /// Waits for the part that is on its way.
    private func sent() async throws {
        if let task = sending {
            sending = nil
            do {
                let (upload, part) = try await task.value
                parts.upload = upload
                parts.list.append(part)
            } catch let error as S3Error { failure = StorageFailure(error) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Gives up the slot, since others wait for it: what it has becomes an object until the client goes on.
    private func park(_ slot: Int) async {
        guard let (bytes, held) = buffer, held == slot, parking == nil, !isSettling else { return }
        let key = BucketStorage.freshKey()
        let task = Task {
            guard bytes.readableBytes > 0 else { return parked(nil) }
            do throws(S3Error) {
                try await client.put(key, bytes)
                parked((key, Int64(bytes.readableBytes)))
            } catch {
                // It keeps its slot: nothing is lost.
                parking = nil
            }
        }
        parking = task
        await task.value
        // The client may have gone on since, with another one.
        if buffer?.slot != slot { await bucket.slots.give(slot) }
    }

    private func parked(_ place: (key: String, count: Int64)?) {
        buffer = nil
        tail = place
        parking = nil
    }

    private func releaseBuffer() async {
        guard let slot = buffer?.slot else { return }
        buffer = nil
        await bucket.slots.give(slot)
    }

    // MARK: Ends

    func goBack(to mark: UploadMark) async throws {
        guard mark.count == saved.count else { throw StoreFailure("a mark that is not of the request's beginning") }
        while let parking { await parking.value }
        // Whatever became of it, it is not wanted.
        _ = try? await sent()
        failure = nil
        await releaseBuffer()
        forgetTail()
        // A later part of the same number takes the place of one that was sent.
        parts.list = saved.parts.list
        tail = saved.tail.map { ($0, saved.tailBytes) }
        count = mark.count
        hash = mark.hash
    }

    /// Brings everything into the bucket.
    ///
    /// - Returns: what the row has to say from now on: as before where bytes were lost.
    /// - Throws: ``StorageFailure``.
    func settle() async throws -> UploadRecord {
        isSettling = true
        while let parking { await parking.value }
        do {
            try await sent()
            if let bytes = buffer?.bytes, bytes.readableBytes > 0 {
                let key = BucketStorage.freshKey()
                try await client.put(key, bytes)
                tail = (key, Int64(bytes.readableBytes))
            }
            await releaseBuffer()
        } catch {
            await releaseBuffer()
            if let error = error as? S3Error { throw StorageFailure(error) }
            throw error
        }
        var record = saved
        record.parts = parts
        record.tail = tail?.key
        record.count = count
        return record
    }

    func complete(as digest: Digest) async throws -> BlobPlace {
        isSettling = true
        while let parking { await parking.value }
        do {
            try await sent()
            if let hash, hash.algorithm == digest.algorithm, hash.digest != digest {
                throw Refusal.wrongDigest(digest, found: hash.digest)
            }
            let key = try await parts.list.isEmpty ? wholeObject() : joinedObject()
            completed = key
            made.insert(key)
            if hash?.algorithm != digest.algorithm {
                // The bytes came to another process, or were hashed otherwise.
                let found = try await bucket.digest(of: key, size: count, digest.algorithm)
                guard found == digest else {
                    completed = nil
                    throw Refusal.wrongDigest(digest, found: found)
                }
            }
            await releaseBuffer()
            return .object(key)
        } catch {
            await releaseBuffer()
            if let error = error as? S3Error { throw StorageFailure(error) }
            throw error
        }
    }

    /// - Returns: the key of the object of a blob that has not come to a part.
    private func wholeObject() async throws(S3Error) -> String {
        if buffer == nil, let tail { return tail.key }
        made.insert(saved.object)
        let bytes = buffer?.bytes ?? ByteBuffer()
        try await client.put(saved.object, bytes)
        if bytes.readableBytes <= RecentBlobs.blobBytesMax { smallBytes = Array(bytes.readableBytesView) }
        return saved.object
    }

    /// Makes the parts an object.
    private func joinedObject() async throws(S3Error) -> String {
        guard let upload = parts.upload else { throw S3Error.noUpload(saved.object) }
        var list = parts.list
        do throws(S3Error) {
            if let bytes = buffer?.bytes, bytes.readableBytes > 0 {
                list.append(try await client.putPart(saved.object, upload: upload, number: list.count + 1, bytes))
            } else if let tail, tail.count > 0 {
                list.append(
                    try await client.copyPart(
                        saved.object, upload: upload, number: list.count + 1, from: tail.key, size: tail.count))
            }
            made.insert(saved.object)
            try await client.completeParts(saved.object, upload: upload, list)
        } catch {
            // The answer was lost with a crash: the object has its bytes, and they are hashed once more.
            guard error.code == "NoSuchUpload", try await client.size(saved.object) == count else { throw error }
            hash = nil
        }
        areJoined = true
        return saved.object
    }

    /// Ends it, whatever it is doing.
    ///
    /// - Returns: what this request has put into the bucket for nothing. What the row names is that of whoever has the row: it
    ///   may have become a blob by now.
    func abandon() async -> [ObjectRemover.Leftover] {
        isSettling = true
        while let parking { await parking.value }
        // Whatever became of it, it is not wanted.
        _ = try? await sent()
        failure = failure ?? Refusal.uploadUnknown
        await releaseBuffer()
        var leftovers: [ObjectRemover.Leftover] = []
        if let key = tail?.key, key != saved.tail, key != completed { leftovers.append(.object(key)) }
        if !areJoined, let upload = parts.upload, upload != saved.parts.upload {
            leftovers.append(.parts(saved.object, upload: upload))
        }
        return leftovers
    }
}
