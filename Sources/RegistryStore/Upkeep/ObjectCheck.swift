import OCI
import S3

extension BucketStorage {
    /// Reads an object against the blob's digest.
    ///
    /// - Parameter rate: bytes a second.
    /// - Throws: `CancellationError`, ``StorageFailure`` when the bucket does not tell.
    func condition(of blob: StoredBlob, _ key: String, rate: Int64) async throws -> BlobCondition {
        do {
            guard let size = try await client.size(key) else {
                // In a bucket that is away there is nothing, either: it has to answer for its objects first.
                _ = try await client.list(Self.keyFolder, token: nil)
                return .damaged(BlobDamage(reason: "the object is not there", file: nil))
            }
            guard size == blob.size else {
                return .damaged(BlobDamage(reason: "it has \(size) bytes, not \(blob.size)", file: nil))
            }
            let found = try await digest(of: key, size: size, blob.digest.algorithm, rate: rate)
            guard found == blob.digest else {
                return .damaged(BlobDamage(reason: "its bytes have the digest \(found)", file: nil))
            }
            return .sound
        } catch let error as S3Error {
            try Task.checkCancellation()
            throw StorageFailure(error)
        } catch let error as StorageFailure {
            try Task.checkCancellation()
            // Collected meanwhile.
            guard error.isNotFound else { throw error }
            return .skipped
        }
    }
}
