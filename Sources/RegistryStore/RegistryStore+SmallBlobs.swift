import Kernel
package import OCI

extension RegistryStore {
    /// All bytes of a blob, such as a configuration, that somebody is to look into.
    ///
    /// - Returns: nil for one that is larger than `bytesMax`.
    /// - Throws: ``Refusal`` BLOB_UNKNOWN, ``StoreFailure`` for a damaged file.
    package nonisolated func smallBlob(
        _ digest: Digest, in name: RepositoryName, bytesMax: Int64
    ) async throws -> [UInt8]? {
        let blob = try await blob(digest, in: name)
        guard blob.size <= bytesMax else { return nil }
        let raw = try await openBlob(blob).release()
        return try await BlockingPool.shared.run { () throws(SystemError) in
            let file = OwnedFD(adopting: raw)
            return try file.readAll(bytesMax: Int(bytesMax))
        }
    }
}
