import Glibc
import Kernel
import NIOCore
import OCI

/// A blob that is arriving in a file.
final class UploadFile: BlobUpload, @unchecked Sendable {  // ``FolderUploads/take`` gives it to one request at a time
    let id: String
    let repository: RepositoryName
    private let path: String
    private let file: OwnedFD
    private var hash: StreamHash
    private(set) var count: Int64
    private(set) var smallBytes: [UInt8]?
    /// What the disk was asked to write already.
    private var flushed: Int64

    /// Bytes after which the disk is told to begin: waiting for all of a large blob at its end would take as long again.
    private static let flushBytes: Int64 = 16 << 20
    /// Bytes of one read when a digest is taken of what is there.
    private static let blockBytes = 1 << 20

    /// Opens the file.
    ///
    /// - Parameter known: the digest of its first bytes, and how many those are; what comes after them is what a write has left
    ///   that failed. nil has all of it read.
    init(
        _ id: String, _ repository: RepositoryName, _ path: String, _ known: (hash: StreamHash, count: Int64)?,
        algorithm: Digest.Algorithm
    ) throws(SystemError) {
        self.id = id
        self.repository = repository
        self.path = path
        file = try OwnedFD.open(path, O_RDWR | O_CREAT, mode: 0o600)
        let count = try checked("lseek", path) { [raw = file.raw] in lseek(raw, 0, SEEK_END) }
        self.count = known?.count ?? Int64(count)
        flushed = self.count
        hash = known?.hash ?? StreamHash(algorithm)
        guard let known else {
            hash = try digestOfAll(algorithm)
            return
        }
        guard Int64(count) >= known.count else { throw SystemError("lseek", EIO, path) }
        if Int64(count) > known.count {
            try checked("ftruncate", path) { [raw = file.raw] in ftruncate(raw, off_t(known.count)) }
        }
    }

    var mark: UploadMark { UploadMark(count: count, hash: hash) }

    func append(_ bytes: ByteBuffer) async throws {
        try await BlockingPool.shared.run { () throws(SystemError) in
            try self.file.append(bytes, at: self.count, hashing: &self.hash)
            self.count += Int64(bytes.readableBytes)
            self.flush()
        }
    }

    private func flush() {
        guard count - flushed >= Self.flushBytes else { return }
        // The kernel begins to write what is dirty, and keeps it. Advice: what is not written early is written by the sync.
        _ = posix_fadvise(file.raw, off_t(flushed), off_t(count - flushed), POSIX_FADV_DONTNEED)
        flushed = count
    }

    func goBack(to mark: UploadMark) async throws {
        try await BlockingPool.shared.run { () throws(SystemError) in
            let raw = self.file.raw
            try checked("ftruncate", self.path) { ftruncate(raw, off_t(mark.count)) }
            self.count = mark.count
            self.flushed = min(self.flushed, mark.count)
            if let hash = mark.hash { self.hash = hash }
        }
    }

    func complete(as digest: Digest) async throws -> BlobPlace {
        let found = try await self.digest(digest.algorithm)
        guard found == digest else { throw Refusal.wrongDigest(digest, found: found) }
        try await BlockingPool.shared.run { () throws(SystemError) in
            try self.file.syncData()
            self.smallBytes = self.bytesIfFew()
        }
        return .file(path)
    }

    /// Out of the page cache, since they have just come.
    private func bytesIfFew() -> [UInt8]? {
        guard (1...RecentBlobs.blobBytesMax).contains(Int(count)) else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(count))
        // Without them they are read when somebody asks.
        let read = bytes.withUnsafeMutableBytes { try? file.read(into: $0, at: 0) }
        return read == bytes.count ? bytes : nil
    }

    /// The digest of all, by `algorithm`; what has arrived is read once more when it was not hashed by that one.
    private func digest(_ algorithm: Digest.Algorithm) async throws -> Digest {
        if hash.algorithm == algorithm { return hash.digest }
        return try await BlockingPool.shared.run { () throws(SystemError) in try self.digestOfAll(algorithm).digest }
    }

    private func digestOfAll(_ algorithm: Digest.Algorithm) throws(SystemError) -> StreamHash {
        var hash = StreamHash(algorithm)
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.blockBytes, alignment: 64)
        defer { block.deallocate() }
        var offset: Int64 = 0
        while offset < count {
            let read = try file.read(into: block, at: offset)
            guard read > 0 else { throw SystemError("pread", EIO, path) }
            hash.update(UnsafeRawBufferPointer(rebasing: block[..<read]))
            offset += Int64(read)
        }
        return hash
    }
}
