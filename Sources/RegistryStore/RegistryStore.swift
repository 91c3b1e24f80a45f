import Glibc
import Kernel
package import OCI
import Synchronization

/// A registry's data: blobs by digest in files, everything else in an index. One of these has a folder at a time, and nobody
/// else changes it.
///
/// **Order of durability**: data → fdatasync → rename → fsync of the folder → commit of the index → answer. A blob of the
/// index is a whole file; a file that the index does not know is what a crash has left, and goes.
package actor RegistryStore {
    package struct Settings: Sendable {
        package var root: String
        /// How long a blob that no manifest names is kept: what a push may take between its first blob and its manifest.
        package var grace: Duration = .seconds(24 * 3600)
        /// How long an upload may lie without a request.
        package var uploadExpiry: Duration = .seconds(24 * 3600)
        /// Uploads at once, those that lie included; each costs two files.
        package var uploadsMax = 10_000
        /// Where the index is; nil for a file of the folder.
        package var database: PostgresSettings?

        package init(root: String) { self.root = root }
    }

    nonisolated let settings: Settings
    nonisolated let folder: StoreFolder
    nonisolated let index: MovableIndex
    /// To a database, or it is there.
    nonisolated let isMoving: Mutex<Bool>
    nonisolated let cache: ManifestCache
    nonisolated let accounts = AccountCache()
    nonisolated let writer: IndexWriter
    private let uploads: FolderUploads
    nonisolated let pulls = PullCounts()
    private let lock: OwnedFD

    /// Opens the store, and makes it when there is none. Blocks its thread.
    ///
    /// - Throws: ``StoreFailure``, or `SystemError` of the folder.
    package init(_ settings: Settings) throws {
        self.settings = settings
        folder = StoreFolder(root: settings.root)
        try folder.make()
        lock = try folder.takeLock()
        index = MovableIndex(try Self.openIndex(settings, folder))
        isMoving = Mutex(settings.database != nil)
        // What another registry changes, this one is not told of.
        cache = ManifestCache(isUsed: settings.database == nil)
        writer = IndexWriter(index, folder, cache)
        uploads = try FolderUploads(folder, countMax: settings.uploadsMax)
    }

    /// Seconds since 1970.
    static var now: Int64 { Int64(time(nil)) }

    // MARK: Uploads

    /// Begins an upload.
    ///
    /// - Returns: its id.
    package nonisolated func beginUpload(
        to repository: RepositoryName, algorithm: Digest.Algorithm = .sha256
    ) async throws -> String {
        try await uploads.begin(repository, algorithm)
    }

    /// Bytes of an upload that have arrived.
    package nonisolated func uploadedBytes(_ id: String, in repository: RepositoryName) async throws -> Int64 {
        try await uploads.count(id, repository)
    }

    /// Hands an upload to one request.
    ///
    /// - Throws: ``Refusal`` for an upload that is not of the repository, or that another request has.
    package nonisolated func upload<Value: Sendable>(
        _ id: String, in repository: RepositoryName,
        _ body: @concurrent @Sendable (any BlobUpload) async throws -> Value
    ) async throws -> Value {
        let upload = try await uploads.take(id, repository)
        let result: Value
        do { result = try await body(upload) } catch {
            await uploads.putBack(upload)
            throw error
        }
        await uploads.putBack(upload)
        return result
    }

    /// Makes an upload a blob of its repository; durable when this returns. Whatever comes of it, the upload has ended.
    ///
    /// - Throws: ``Refusal`` DIGEST_INVALID for other bytes than the digest's.
    package nonisolated func finish(_ upload: any BlobUpload, as digest: Digest) async throws {
        do {
            let place = try await upload.complete(as: digest)
            // Given up meanwhile by another request.
            guard await uploads.has(upload.id) else { throw Refusal.uploadUnknown }
            let (size, name, now) = (await upload.count, upload.repository, Self.now)
            try await writer.change { change in
                let repository = try change.repository(name)
                try change.addBlob(digest, size: size, from: place)
                try change.link(digest, to: repository, now: now)
            }
        } catch {
            await uploads.end(upload.id)
            throw error
        }
        await uploads.end(upload.id)
    }

    /// Gives up an upload.
    ///
    /// - Throws: ``Refusal`` when it is not of the repository.
    package nonisolated func cancelUpload(_ id: String, in repository: RepositoryName) async throws {
        _ = try await uploads.count(id, repository)
        await uploads.end(id)
    }

    /// Ends uploads that nobody has gone on with.
    ///
    /// - Returns: how many.
    @discardableResult
    package nonisolated func expireUploads() async throws -> Int {
        await uploads.expire(after: settings.uploadExpiry)
    }
}
