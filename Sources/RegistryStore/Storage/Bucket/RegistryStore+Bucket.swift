import Glibc
import OCI
package import S3

/// What `"storage"` of the configuration says.
package struct StorageConfiguration: Codable, Sendable {
    package var s3: S3Configuration?

    package init(from decoder: any Decoder) throws {
        let members = try decoder.members(["s3"])
        s3 = try members.decodeIfPresent(S3Configuration.self, forKey: "s3")
    }
}

extension RegistryStore {
    /// Objects that are looked for at the start.
    private static let lookedForMax = 5

    /// From now on blobs go to a bucket; those that are files stay files.
    ///
    /// - Throws: `S3Error` for a configuration that cannot work.
    nonisolated func begin(_ configuration: S3Configuration) throws { bucket.begin(try makeUse(configuration)) }

    nonisolated func makeUse(_ configuration: S3Configuration) throws -> CurrentBucket.Use {
        let storage = try BucketStorage(configuration)
        let uploads = BucketUploads(storage, index, writer, countMax: settings.uploadsMax)
        return CurrentBucket.Use(storage: storage, uploads: uploads)
    }

    /// Looks whether the bucket answers, and takes up the uploads of before. To be called once, before anything is served.
    ///
    /// - Throws: ``StoreFailure`` when there are objects but no bucket, or they are in another one; `S3Error` when the bucket
    ///   refuses.
    package nonisolated func openBucket() async throws {
        let keys = try await index.read { connection in
            try connection.rows(
                "SELECT object FROM blobs WHERE object IS NOT NULL AND damaged = 0 LIMIT \(Self.lookedForMax)", []
            ).map { try $0.text("object") }
        }
        guard let use = bucket.use else {
            guard !keys.isEmpty else { return }
            throw StoreFailure(
                "blobs are in a bucket: say in which one, by \"storage\" of --config")
        }
        _ = try await use.storage.client.list(BucketStorage.keyFolder, token: nil)
        // One may be lost; where all are, none ever was.
        var isThere = keys.isEmpty
        for key in keys where !isThere { isThere = try await use.storage.client.size(key) != nil }
        guard isThere else {
            throw StoreFailure(
                "the bucket \(use.storage.client.configuration.bucket) has none of the blobs that are looked for: "
                    + "it, or its prefix, is another one than they were put into")
        }
        // Whoever shares a database shares its uploads: theirs go on.
        let isAlone = try await index.read { $0.dialect == .sqlite }
        if isAlone { try await use.uploads.clearLeases() }
    }

    /// Where a client can fetch a blob itself; nil where it is served from here.
    package nonisolated func redirect(for blob: StoredBlob) -> String? {
        guard case .object(let key) = blob.place, let storage = bucket.use?.storage, storage.redirects else {
            return nil
        }
        return storage.client.presigned(
            key, validFor: BucketStorage.redirectValidity, type: "application/octet-stream")
    }

    /// Removes objects, and parts of objects, that no row names: what a crash has left. What is younger than `age` may be about
    /// to be named.
    ///
    /// - Returns: how many.
    @discardableResult
    package nonisolated func sweepBucket(olderThan age: Duration = .seconds(86400)) async throws -> Int {
        guard let storage = bucket.use?.storage else { return 0 }
        let oldest = Self.now - age.components.seconds
        var (count, token) = (0, String?.none)
        repeat {
            let page = try await storage.client.list(BucketStorage.keyFolder, token: token)
            let old = page.objects.filter { $0.modified <= oldest }.map(\.key)
            // A key that no row has will never be in one: rows have it before it comes to be, or soon after.
            let unknown = try await index.read { connection in try old.filter { try !Self.isNamed($0, connection) } }
            try await storage.client.remove(unknown)
            count += unknown.count
            token = page.next
        } while token != nil
        for upload in try await storage.client.unfinished(BucketStorage.keyFolder) where upload.begun <= oldest {
            guard try await !index.read({ try Self.isNamed(upload.key, $0) }) else { continue }
            try await storage.client.abandonParts(upload.key, upload: upload.upload)
            count += 1
        }
        return count
    }

    private static func isNamed(_ key: String, _ connection: any SQLConnection) throws -> Bool {
        let key = SQLValue.text(key)
        return try connection.isAny("SELECT 1 AS found FROM blobs WHERE object = ?", [key])
            || connection.isAny("SELECT 1 AS found FROM uploads WHERE object = ? OR tail = ?", [key, key])
    }
}
