import Glibc
import Kernel
import NIOCore
import OCI
import S3

extension RegistryStore {
    /// New blobs go elsewhere than when it was looked.
    private struct HasChanged: Error {}

    /// Makes bytes that are whole and durable a blob, by `body`, in the storage that new ones go to: what has come otherwise is
    /// copied there first. Durable when this returns.
    ///
    /// - Parameter body: gets the place that the bytes have then; what they were copied from is removed once it is durable.
    /// - Throws: ``Refusal`` DIGEST_INVALID for other bytes than the digest's, ``StorageFailure``, and what `body` throws.
    nonisolated func keep(
        _ digest: Digest, size: Int64, at place: BlobPlace,
        _ body: @escaping @Sendable (Change, BlobPlace) throws -> Void
    ) async throws {
        let bucket = bucket
        while true {
            switch (place, bucket.target) {
            case (.file(let path), let target?):
                guard let file = try await BlobFile.open(path) else { throw StoreFailure("\(path) is not there") }
                return try await send(file, as: digest, to: target) { change, object in
                    change.effects.remove(place)
                    try body(change, object)
                }
            case (.object(let key), nil):
                return try await receive(key, as: digest, size: size) { change, file in
                    change.effects.remove(place)
                    try body(change, file)
                }
            default:
                do {
                    return try await writer.change { change in
                        // Who has changed it relies on nothing coming after where it was before.
                        guard place.isFile == (bucket.target == nil) else { throw HasChanged() }
                        try body(change, place)
                    }
                } catch is HasChanged {}
            }
        }
    }

    /// Copies a file into the bucket as any upload comes there: in parts, few of them in memory at once. The bytes are checked
    /// against their digest before `body`, which has to make them a blob.
    ///
    /// - Parameter sent: is told of bytes that were read.
    /// - Throws: as ``keep(_:at:_:)``; nothing stays in the bucket then.
    nonisolated func send(
        _ file: BlobFile, as digest: Digest, to use: CurrentBucket.Use, sent: @Sendable (Int) -> Void = { _ in },
        _ body: @escaping @Sendable (Change, BlobPlace) throws -> Void
    ) async throws {
        let upload = try await use.uploads.beginCopy(digest.algorithm)
        do {
            var offset: Int64 = 0
            while case let bytes = try await file.read(at: offset), bytes.readableBytes > 0 {
                try Task.checkCancellation()
                try await upload.append(bytes)
                offset += Int64(bytes.readableBytes)
                sent(bytes.readableBytes)
            }
            let place = try await upload.complete(as: digest)
            try await writer.change { change in
                try use.uploads.claim(upload, change)
                try body(change, place)
            }
        } catch {
            await use.uploads.end(upload.id)
            throw error
        }
        await use.uploads.end(upload.id)
    }

    /// Copies an object into a file of the folder, checked against its digest before `body`, which has to take it over.
    ///
    /// - Parameter got: is told of bytes that were written.
    /// - Throws: as ``keep(_:size:at:_:)``; the file is gone then.
    nonisolated func receive(
        _ key: String, as digest: Digest, size: Int64, got: @Sendable (Int) -> Void = { _ in },
        _ body: @escaping @Sendable (Change, BlobPlace) throws -> Void
    ) async throws {
        guard let client = bucket.use?.storage.client else {
            throw StoreFailure("\(digest) is in a bucket, there is none")
        }
        // What a crash leaves of it is an upload of nobody, which the next start removes.
        let id = UploadID.fresh()
        let path = folder.upload(id)
        do {
            let name = try RepositoryName(BucketUploads.copies)
            let file = try await BlockingPool.shared.run { () throws(SystemError) in
                try UploadFile(id, name, path, (StreamHash(digest.algorithm), 0), algorithm: digest.algorithm)
            }
            for try await part in try await client.read(key, 0..<size, size: size) {
                try await file.append(part)
                got(part.readableBytes)
            }
            let place = try await file.complete(as: digest)
            try await writer.change { try body($0, place) }
        } catch {
            await BlockingPool.shared.run { _ = unlink(path) }
            if let error = error as? S3Error { throw StorageFailure(error) }
            throw error
        }
    }
}
