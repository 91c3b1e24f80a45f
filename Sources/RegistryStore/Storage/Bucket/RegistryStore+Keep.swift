import Kernel
import NIOCore
import OCI

extension RegistryStore {
    /// There has come to be a bucket since it was looked for.
    private struct HasBucket: Error {}

    /// Makes bytes that are whole and durable a blob, by `body`, in the storage that new ones go to: a file that has come
    /// otherwise than through the bucket is copied there first. Durable when this returns.
    ///
    /// - Parameter body: gets the place that the bytes have then; the file is removed once it is durable.
    /// - Throws: ``Refusal`` DIGEST_INVALID for other bytes than the digest's, ``StorageFailure``, and what `body` throws.
    nonisolated func keep(
        _ digest: Digest, at place: BlobPlace, _ body: @escaping @Sendable (Change, BlobPlace) throws -> Void
    ) async throws {
        let bucket = bucket
        while true {
            if case .file(let path) = place, let use = bucket.use {
                guard let file = try await BlobFile.open(path) else { throw StoreFailure("\(path) is not there") }
                return try await send(file, as: digest, to: use) { change, object in
                    change.effects.remove(place)
                    try body(change, object)
                }
            }
            do {
                return try await writer.change { change in
                    // Who has begun with the bucket relies on no file coming after.
                    if case .file = place, bucket.use != nil { throw HasBucket() }
                    try body(change, place)
                }
            } catch is HasBucket {}
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
}
