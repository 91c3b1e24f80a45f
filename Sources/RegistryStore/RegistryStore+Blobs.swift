import Glibc
package import Kernel
package import OCI

extension RegistryStore {
    /// A blob of a repository. A client that asks may be about to rely on it: one that no manifest names is kept for another
    /// ``Settings/grace``.
    ///
    /// - Throws: ``Refusal`` BLOB_UNKNOWN.
    package nonisolated func blob(_ digest: Digest, in name: RepositoryName) async throws -> StoredBlob {
        let folder = folder
        let found = try await index.read { connection in
            try connection.row(Self.selectBlob, [.text(digest.description), .text(name.description)]).map {
                try FoundBlob($0, digest, folder)
            }
        }
        guard let found else { throw Refusal.blobUnknown(digest) }
        // Not at each request: this one costs a sync.
        if found.uses == 0, Self.now - found.touched > settings.grace.components.seconds / 2 {
            try await refresh(digest, in: name)
        }
        return found.blob
    }

    private static let selectBlob = """
        SELECT blobs.size, blobs.object, links.uses, links.touched FROM repositories
        JOIN links ON links.repository = repositories.id AND links.digest = ? JOIN blobs USING (digest)
        WHERE repositories.name = ? AND blobs.damaged = 0
        """

    private struct FoundBlob: Sendable {
        let blob: StoredBlob
        let uses: Int64
        let touched: Int64

        init(_ row: SQLRow, _ digest: Digest, _ folder: StoreFolder) throws {
            blob = StoredBlob(
                digest: digest, size: try row.integer("size"),
                place: BlobPlace(try row.optionalText("object"), digest, folder))
            uses = try row.integer("uses")
            touched = try row.integer("touched")
        }
    }

    private nonisolated func refresh(_ digest: Digest, in name: RepositoryName) async throws {
        let now = Self.now
        try await writer.change { change in
            let repository = try change.repository(name)
            // It may have been collected since it was found.
            guard try change.uses(digest, in: repository) != nil else { throw Refusal.blobUnknown(digest) }
            try change.link(digest, to: repository, now: now)
        }
    }

    /// Bytes of a blob, as its place has them.
    package enum Content: ~Copyable, Sendable {
        /// The whole file, open for reading; what is open stays readable when the blob is removed.
        case file(OwnedFD)
        /// The range that was asked for.
        case stream(StoredBlobStream)
    }

    /// - Throws: ``Refusal`` BLOB_UNKNOWN, ``StoreFailure`` for a damaged file, ``StorageFailure``.
    package nonisolated func content(of blob: StoredBlob, _ range: Range<Int64>) async throws -> Content {
        do { return try await content(of: blob, at: blob.place, range) } catch let error as Refusal {
            // Moved since it was found, or collected.
            guard error.code == .blobUnknown, let place = try await place(of: blob.digest), place != blob.place else {
                throw error
            }
            return try await content(of: blob, at: place, range)
        }
    }

    /// Whether blobs are sent as files; else they come from a bucket, and are hashed on their way.
    package nonisolated var sendsFiles: Bool { bucket.use == nil }

    private nonisolated func place(of digest: Digest) async throws -> BlobPlace? {
        let folder = folder
        return try await index.read { connection in
            try connection.row("SELECT object FROM blobs WHERE digest = ? AND damaged = 0", [.text(digest.description)])
                .map { BlobPlace(try $0.optionalText("object"), digest, folder) }
        }
    }

    private nonisolated func content(
        of blob: StoredBlob, at place: BlobPlace, _ range: Range<Int64>
    ) async throws -> Content {
        switch place {
        case .file(let path): return .file(try await openFile(path, of: blob))
        case .object(let key):
            guard let bucket = bucket.use?.storage else {
                throw StoreFailure("\(blob.digest) is in a bucket, there is none")
            }
            return .stream(try await bucket.read(blob, key, range))
        }
    }

    private nonisolated func openFile(_ path: String, of blob: StoredBlob) async throws -> OwnedFD {
        let opened = await BlockingPool.shared.run { Self.open(path) }
        switch opened {
        case .success(let file) where file.size == blob.size: return OwnedFD(adopting: file.descriptor)
        case .success(let file):
            _ = close(file.descriptor)
            throw StoreFailure("\(path) has \(file.size) bytes, the index says \(blob.size): it is damaged")
        // Collected since it was found.
        case .failure(let error) where error.code == ENOENT: throw Refusal.blobUnknown(blob.digest)
        case .failure(let error): throw error
        }
    }

    /// An open file that belongs to whoever got it.
    private struct OpenFile: Sendable {
        let descriptor: CInt
        let size: Int64
    }

    private static func open(_ path: String) -> Result<OpenFile, SystemError> {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return .failure(SystemError("open", path)) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let failure = SystemError("fstat", path)
            _ = close(descriptor)
            return .failure(failure)
        }
        return .success(OpenFile(descriptor: descriptor, size: Int64(status.st_size)))
    }

    /// Repositories among which a blob is looked for: links are found by their repository, not by their digest.
    private static let repositoriesSearchedMax: Int64 = 1000

    /// One of the repositories that have a blob, of the youngest ones that `visibility` has; nil where none of them has it.
    package nonisolated func repository(having digest: Digest, _ visibility: Visibility) async throws -> RepositoryName?
    {
        let seen = visibility.condition("name")
        return try await index.read { connection in
            guard try Change.knows(digest.description, connection) else { return nil }
            return try connection.row(
                """
                SELECT name FROM (SELECT id, name FROM repositories WHERE \(seen.sql) ORDER BY id DESC LIMIT ?) AS young
                WHERE EXISTS (SELECT 1 FROM links WHERE repository = young.id AND digest = ?) LIMIT 1
                """, seen.arguments + [.integer(Self.repositoriesSearchedMax), .text(digest.description)]
            ).map { try RepositoryName(try $0.text("name")) }
        }
    }

    /// Makes a blob of one repository a blob of another.
    ///
    /// - Returns: false when the first does not have it.
    /// - Throws: ``Refusal`` DENIED when a quota has no room for it.
    package nonisolated func mount(
        _ digest: Digest, from source: RepositoryName, to target: RepositoryName, by origin: Origin = Origin()
    ) async throws -> Bool {
        let (now, settings) = (Self.now, settings)
        return try await writer.change { change in
            guard let from = try Change.find(source, change.connection),
                try change.uses(digest, in: from) != nil, try change.isSound(digest)
            else { return false }
            let size = try change.blobSize(digest.description)
            try change.requireRoom(for: digest, size: size, in: target, settings.quotas)
            try change.link(digest, to: try change.repository(target), now: now)
            var notice = Notice(.mount, target, digest: digest, origin)
            notice.from = source
            try change.tell(notice, settings, now: now)
            return true
        }
    }

    /// Takes a blob from a repository. Its bytes go when it is in no other.
    ///
    /// - Throws: ``Refusal`` BLOB_UNKNOWN, or UNSUPPORTED while a manifest of the repository names it.
    package nonisolated func deleteBlob(_ digest: Digest, in name: RepositoryName) async throws {
        try await writer.change { change in
            guard let repository = try Change.find(name, change.connection),
                let uses = try change.uses(digest, in: repository)
            else { throw Refusal.blobUnknown(digest) }
            guard uses == 0 else {
                throw Refusal(
                    .unsupported, 405, "\(digest) is part of \(uses) manifests of \(name): delete those first")
            }
            try change.unlinkBlob(digest.description, from: repository)
        }
    }

    // MARK: Garbage

    /// What a collection has removed.
    package struct Collected: Sendable, Hashable {
        /// Blobs that were taken from a repository, since none of its manifests names them.
        package var links = 0
        /// Blobs that were in no repository any more.
        package var blobs = 0
        /// Of those, in bytes.
        package var bytes: Int64 = 0
    }

    /// Of one transaction: pushes go on in between.
    private static let collectedAtOnce = 500

    /// Removes what nothing names for longer than ``Settings/grace``. Runs beside everything else: what is garbage is decided
    /// in the transaction that removes it.
    @discardableResult
    package nonisolated func collectGarbage() async throws -> Collected {
        let oldest = Self.now - settings.grace.components.seconds
        var total = Collected()
        while true {
            let step = try await writer.change { try $0.collect(before: oldest, countMax: Self.collectedAtOnce) }
            total.links += step.links
            total.blobs += step.blobs
            total.bytes += step.bytes
            garbage.add(step)
            if step.links < Self.collectedAtOnce, step.blobs < Self.collectedAtOnce { return total }
        }
    }

    /// Removes files that no blob of the index has: what a crash has left between a file and its commit.
    ///
    /// - Returns: how many.
    @discardableResult
    package nonisolated func sweep() async throws -> Int {
        var count = 0
        for algorithm in Digest.Algorithm.allCases {
            let path = folder.blobs(algorithm)
            let names = try await BlockingPool.shared.run { () throws(SystemError) in try Files.list(path) }
            for start in stride(from: 0, to: names.count, by: Self.collectedAtOnce) {
                let digests = names[start..<min(start + Self.collectedAtOnce, names.count)].map {
                    "\(algorithm.rawValue):\($0)"
                }
                let unknown = try await index.read { connection in
                    try digests.filter { try !Change.hasFile($0, connection) }
                }
                guard !unknown.isEmpty else { continue }
                // A push may have brought them meanwhile: the writer looks again.
                count += try await writer.change { try $0.forgetFiles(unknown) }
            }
        }
        return count
    }
}

extension Change {
    static func knows(_ digest: String, _ connection: any SQLConnection) throws -> Bool {
        try connection.isAny("SELECT 1 AS found FROM blobs WHERE digest = ?", [.text(digest)])
    }

    /// Whether a blob's bytes are the file of its digest.
    static func hasFile(_ digest: String, _ connection: any SQLConnection) throws -> Bool {
        try connection.isAny("SELECT 1 AS found FROM blobs WHERE digest = ? AND object IS NULL", [.text(digest)])
    }

    /// Marks the files of no blob for removal; what is not named by a digest is left alone.
    func forgetFiles(_ digests: [String]) throws -> Int {
        var count = 0
        for text in digests {
            guard let digest = try? Digest(text), try !Self.hasFile(text, connection) else { continue }
            effects.remove(.file(folder.blob(digest)))
            count += 1
        }
        return count
    }

    /// One step of a collection.
    func collect(before oldest: Int64, countMax: Int) throws -> RegistryStore.Collected {
        var result = RegistryStore.Collected()
        let limit = SQLValue.integer(Int64(countMax))
        let links = try connection.rows(
            "SELECT repository, digest FROM links WHERE uses = 0 AND touched < ? LIMIT ?", [.integer(oldest), limit])
        for link in links { try unlinkBlob(try link.text("digest"), from: try link.integer("repository")) }
        result.links = links.count
        let blobs = try connection.rows("SELECT digest, size, object FROM blobs WHERE links = 0 LIMIT ?", [limit])
        for blob in blobs {
            let text = try blob.text("digest")
            try connection.execute("DELETE FROM blobs WHERE digest = ?", [.text(text)])
            effects.remove(BlobPlace(try blob.optionalText("object"), try Digest(text), folder))
            result.bytes += try blob.integer("size")
        }
        result.blobs = blobs.count
        return result
    }
}
