import Glibc
import Kernel
package import OCI
package import S3
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
        package var quotas = Quotas()

        /// Where blobs go; nil for files of the folder.
        package var bucket: S3Configuration?
        /// Who is told of changes.
        package var watches = Watches()
        /// That clients reach the registry by, for addresses in what others are told.
        package var scheme = "http"
        /// Takes what the operator should know.
        package var note: @Sendable (String) -> Void = { _ in }
        /// Tells this registry from others that share its index, and one run of it from another.
        package let instance = UploadID.fresh()

        package init(root: String) { self.root = root }
    }

    nonisolated let settings: Settings
    nonisolated let folder: StoreFolder
    nonisolated let index: MovableIndex
    /// To a database, or it is there.
    nonisolated let isMoving: Mutex<Bool>
    /// To a bucket.
    nonisolated let areBlobsMoving = Mutex(false)
    nonisolated let cache: ManifestCache
    nonisolated let recentBlobs = RecentBlobs()
    nonisolated let accounts = AccountCache()
    nonisolated let writer: IndexWriter
    nonisolated let bucket = CurrentBucket()
    private nonisolated let folderUploads: FolderUploads
    nonisolated let pulls = PullCounts()
    nonisolated let legacy = LegacyPlaces()
    package nonisolated let pullNotices: PullNotices
    package nonisolated let garbage = GarbageCount()
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
        writer = IndexWriter(index, folder, cache, bucket)
        folderUploads = try FolderUploads(folder, countMax: settings.uploadsMax)
        pullNotices = PullNotices(settings.watches)
        if let configuration = settings.bucket { try begin(configuration) }
    }

    /// Seconds since 1970.
    package static var now: Int64 { Int64(time(nil)) }

    // MARK: Uploads

    /// Those that were begun before there was a bucket end where they began.
    private nonisolated func uploads(with id: String) async -> any UploadSessions {
        guard let use = bucket.use, await !folderUploads.has(id) else { return folderUploads }
        return use.uploads
    }

    /// Begins an upload.
    ///
    /// - Returns: its id.
    /// - Throws: ``Refusal`` DENIED when a quota of the repository has no room at all.
    package nonisolated func beginUpload(
        to repository: RepositoryName, algorithm: Digest.Algorithm = .sha256
    ) async throws -> String {
        try await requireAnyRoom(in: repository)
        if let use = bucket.target { return try await use.uploads.begin(repository, algorithm) }
        return try await folderUploads.begin(repository, algorithm)
    }

    /// Bytes of an upload that have arrived.
    package nonisolated func uploadedBytes(_ id: String, in repository: RepositoryName) async throws -> Int64 {
        try await uploads(with: id).count(id, repository)
    }

    /// Hands an upload to one request.
    ///
    /// - Throws: ``Refusal`` for an upload that is not of the repository, or that another request has.
    package nonisolated func upload<Value: Sendable>(
        _ id: String, in repository: RepositoryName,
        _ body: @concurrent @Sendable (any BlobUpload) async throws -> Value
    ) async throws -> Value {
        let uploads = await uploads(with: id)
        let upload = try await uploads.take(id, repository)
        let result: Value
        do { result = try await body(upload) } catch {
            // What went wrong first is what the client is told.
            try? await uploads.putBack(upload)
            throw error
        }
        try await uploads.putBack(upload)
        return result
    }

    /// Makes an upload a blob of its repository; durable when this returns. Whatever comes of it, the upload has ended.
    ///
    /// - Throws: ``Refusal`` DIGEST_INVALID for other bytes than the digest's.
    package nonisolated func finish(_ upload: any BlobUpload, as digest: Digest) async throws {
        let uploads = await uploads(with: upload.id)
        do {
            let place = try await upload.complete(as: digest)
            // Given up meanwhile by another request.
            guard try await uploads.has(upload.id) else { throw Refusal.uploadUnknown }
            let (size, name, now) = (await upload.count, upload.repository, Self.now)
            let quotas = settings.quotas
            try await keep(digest, size: size, at: place) { change, place in
                try change.requireRoom(for: digest, size: size, in: name, quotas)
                let repository = try change.repository(name)
                try change.addBlob(digest, size: size, from: place, to: [repository], now: now)
                try uploads.claim(upload, change)
            }
            if let bytes = await upload.smallBytes { recentBlobs.keep(bytes, of: digest, in: name) }
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
        let uploads = await uploads(with: id)
        _ = try await uploads.count(id, repository)
        await uploads.end(id)
    }

    /// Ends uploads that nobody has gone on with.
    ///
    /// - Returns: how many.
    @discardableResult
    package nonisolated func expireUploads() async throws -> Int {
        let count = await folderUploads.expire(after: settings.uploadExpiry)
        return count + (try await bucket.use?.uploads.expire(after: settings.uploadExpiry) ?? 0)
    }
}
