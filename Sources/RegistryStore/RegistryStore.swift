import Glibc
import Kernel
package import OCI

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

        package init(root: String) { self.root = root }
    }

    /// What is known of an upload between two requests.
    private struct Session {
        let repository: RepositoryName
        var count: Int64
        /// nil for one of before the last start, whose bytes have to be read again.
        var hash: StreamHash?
        var touched: ContinuousClock.Instant
        var isBusy = false
    }

    nonisolated let settings: Settings
    nonisolated let folder: StoreFolder
    nonisolated let index: any IndexDatabase
    nonisolated let cache = ManifestCache()
    nonisolated let writer: IndexWriter
    private let lock: OwnedFD
    private var sessions: [String: Session] = [:]

    /// Opens the store, and makes it when there is none.
    ///
    /// - Throws: ``StoreFailure``, or `SystemError` of the folder.
    package init(_ settings: Settings) throws {
        self.settings = settings
        folder = StoreFolder(root: settings.root)
        try folder.make()
        lock = try folder.takeLock()
        index = try SQLiteIndex(folder.index)
        writer = IndexWriter(index, folder, cache)
        sessions = try Self.leftUploads(folder)
    }

    /// Seconds since 1970.
    static var now: Int64 { Int64(time(nil)) }

    // MARK: Uploads

    /// Uploads that were under way when the registry ended; what belongs to none goes.
    private static func leftUploads(_ folder: StoreFolder) throws -> [String: Session] {
        var sessions: [String: Session] = [:]
        for file in try Files.list(folder.uploads) {
            let isName = file.hasSuffix(StoreFolder.repositorySuffix)
            let id = isName ? String(file.dropLast(StoreFolder.repositorySuffix.count)) : file
            guard sessions[id] == nil else { continue }
            // A damaged upload is begun anew by its client.
            let name = (try? Files.read(folder.uploadRepository(id), bytesMax: 4096)).map {
                String(decoding: $0, as: UTF8.self)
            }
            guard let repository = name.flatMap({ try? RepositoryName($0) }),
                let count = StoreFolder.size(folder.upload(id))
            else {
                unlink("\(folder.uploads)/\(file)")
                continue
            }
            sessions[id] = Session(repository: repository, count: count, hash: nil, touched: .now)
        }
        return sessions
    }

    /// Begins an upload.
    ///
    /// - Returns: its id.
    package func beginUpload(to repository: RepositoryName, algorithm: Digest.Algorithm = .sha256) async throws
        -> String
    {
        guard sessions.count < settings.uploadsMax else {
            throw Refusal(.tooManyRequests, 429, "too many uploads are under way: end some, or try again later")
        }
        let id = Self.freshID()
        sessions[id] = Session(
            repository: repository, count: 0, hash: StreamHash(algorithm), touched: .now)
        let (data, name) = (folder.upload(id), folder.uploadRepository(id))
        do {
            try await BlockingPool.shared.run { () throws(SystemError) in
                _ = try OwnedFD.open(data, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
                let file = try OwnedFD.open(name, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
                let text = Array(repository.description.utf8)
                var failure: SystemError?
                text.withUnsafeBytes { bytes in
                    do throws(SystemError) { try file.writeAll(bytes) } catch { failure = error }
                }
                if let failure { throw failure }
            }
        } catch {
            await end(id)
            throw error
        }
        return id
    }

    /// 128 random bits, in the form of a UUID.
    private static func freshID() -> String {
        let random: [UInt8] = (0..<16).map { _ in UInt8.random(in: 0...255) }
        var rest = Substring(Digest.hex(random))
        var parts: [String] = []
        for count in [8, 4, 4, 4, 12] {
            parts.append(String(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return parts.joined(separator: "-")
    }

    /// Bytes of an upload that have arrived.
    package func uploadedBytes(_ id: String, in repository: RepositoryName) throws -> Int64 {
        guard let session = sessions[id], session.repository == repository else { throw Refusal.uploadUnknown }
        return session.count
    }

    /// Hands an upload to one request.
    ///
    /// - Throws: ``Refusal`` for an upload that is not of the repository, or that another request has.
    package func upload<Value: Sendable>(
        _ id: String, in repository: RepositoryName, _ body: @concurrent @Sendable (UploadFile) async throws -> Value
    ) async throws -> Value {
        let upload = try await take(id, repository)
        defer { putBack(upload) }
        return try await body(upload)
    }

    private func take(_ id: String, _ repository: RepositoryName) async throws -> UploadFile {
        guard let session = sessions[id], session.repository == repository else { throw Refusal.uploadUnknown }
        guard !session.isBusy else {
            throw Refusal(.uploadInvalid, 409, "another request writes to this upload: wait for its end")
        }
        sessions[id]?.isBusy = true
        let path = folder.upload(id)
        do {
            return try await BlockingPool.shared.run { () throws(SystemError) in
                try UploadFile(id, repository, path, hash: session.hash, algorithm: .sha256)
            }
        } catch {
            sessions[id]?.isBusy = false
            throw error
        }
    }

    private func putBack(_ upload: UploadFile) {
        sessions[upload.id]?.count = upload.count
        sessions[upload.id]?.hash = upload.currentHash
        sessions[upload.id]?.touched = .now
        sessions[upload.id]?.isBusy = false
    }

    /// Makes an upload a blob of its repository; durable when this returns. Whatever comes of it, the upload has ended.
    ///
    /// - Throws: ``Refusal`` DIGEST_INVALID for other bytes than the digest's.
    package func finish(_ upload: UploadFile, as digest: Digest) async throws {
        do {
            let found = try await upload.digest(digest.algorithm)
            guard found == digest else {
                throw Refusal(
                    .digestInvalid, 400, "provided digest \(digest) did not match uploaded content, which has \(found)")
            }
            try await upload.sync()
            // Given up meanwhile by another request.
            guard sessions[upload.id] != nil else { throw Refusal.uploadUnknown }
            let (path, size, name, now) = (upload.path, upload.count, upload.repository, Self.now)
            try await writer.change { change in
                let repository = try change.repository(name)
                try change.addBlob(digest, size: size, from: path)
                try change.link(digest, to: repository, now: now)
            }
        } catch {
            await end(upload.id)
            throw error
        }
        await end(upload.id)
    }

    /// Gives up an upload.
    ///
    /// - Throws: ``Refusal`` when it is not of the repository.
    package func cancelUpload(_ id: String, in repository: RepositoryName) async throws {
        guard let session = sessions[id], session.repository == repository else { throw Refusal.uploadUnknown }
        await end(id)
    }

    private func end(_ id: String) async {
        sessions[id] = nil
        let paths = [folder.upload(id), folder.uploadRepository(id)]
        // Gone already when they have become a blob; what cannot be removed is found by the next start.
        await BlockingPool.shared.run { for path in paths { unlink(path) } }
    }

    /// Ends uploads that nobody has gone on with.
    ///
    /// - Returns: how many.
    @discardableResult
    package func expireUploads() async -> Int {
        let oldest = ContinuousClock.now - settings.uploadExpiry
        let expired = sessions.filter { !$0.value.isBusy && $0.value.touched < oldest }.map(\.key)
        for id in expired { await end(id) }
        return expired.count
    }
}
