import Glibc
import Kernel
import OCI

/// Uploads whose bytes are files of the folder. They outlive a crash: their files are their state.
actor FolderUploads: UploadSessions {
    /// What is known of an upload between two requests.
    private struct Session {
        let repository: RepositoryName
        var count: Int64
        /// nil for one of before the last start, whose bytes have to be read again.
        var hash: StreamHash?
        var touched: ContinuousClock.Instant
        var isBusy = false
    }

    private let folder: StoreFolder
    private let countMax: Int
    private var sessions: [String: Session]

    /// Finds the uploads that were under way when the registry ended; what belongs to none goes.
    ///
    /// - Parameter countMax: uploads at once; each costs two files.
    /// - Throws: `SystemError`.
    init(_ folder: StoreFolder, countMax: Int) throws {
        self.folder = folder
        self.countMax = countMax
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
        self.sessions = sessions
    }

    func begin(_ repository: RepositoryName, _ algorithm: Digest.Algorithm) async throws -> String {
        guard sessions.count < countMax else { throw Refusal.tooManyUploads }
        let id = UploadID.fresh()
        sessions[id] = Session(repository: repository, count: 0, hash: StreamHash(algorithm), touched: .now)
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

    func has(_ id: String) -> Bool { sessions[id] != nil }

    private func session(_ id: String, _ repository: RepositoryName) throws -> Session {
        guard let session = sessions[id], session.repository == repository else { throw Refusal.uploadUnknown }
        return session
    }

    func count(_ id: String, _ repository: RepositoryName) throws -> Int64 { try session(id, repository).count }

    func take(_ id: String, _ repository: RepositoryName) async throws -> any BlobUpload {
        let session = try session(id, repository)
        guard !session.isBusy else { throw Refusal.uploadIsBusy }
        sessions[id]?.isBusy = true
        let path = folder.upload(id)
        do {
            return try await BlockingPool.shared.run { () throws(SystemError) in
                try UploadFile(id, repository, path, session.hash.map { ($0, session.count) }, algorithm: .sha256)
            }
        } catch {
            sessions[id]?.isBusy = false
            throw error
        }
    }

    func putBack(_ upload: any BlobUpload) async {
        let mark = await upload.mark
        sessions[upload.id]?.count = mark.count
        sessions[upload.id]?.hash = mark.hash
        sessions[upload.id]?.touched = .now
        sessions[upload.id]?.isBusy = false
    }

    /// Its files have become the blob's, and ``end(_:)`` follows.
    nonisolated func claim(_ upload: any BlobUpload, _ change: Change) {}

    func end(_ id: String) async {
        sessions[id] = nil
        let paths = [folder.upload(id), folder.uploadRepository(id)]
        // Gone already when they have become a blob; what cannot be removed is found by the next start.
        await BlockingPool.shared.run { for path in paths { unlink(path) } }
    }

    func expire(after duration: Duration) async -> Int {
        let oldest = ContinuousClock.now - duration
        let expired = sessions.filter { !$0.value.isBusy && $0.value.touched < oldest }.map(\.key)
        for id in expired { await end(id) }
        return expired.count
    }
}
