import Glibc
import Kernel
import NIOCore
import OCI
import RegistryStore

/// The folder of blobs that are on their way: one file each, called by its digest. It is on the store's file system.
struct Spool: Sendable {
    let folder: String

    /// What nobody has gone on with for so long is not kept, in seconds.
    private static let keptSeconds = 24 * 3600

    init(_ folder: String) throws(SystemError) {
        self.folder = folder
        try Files.makeDirectories(folder)
    }

    func path(_ digest: Digest) -> String { "\(folder)/\(digest.algorithm.rawValue)-\(digest.hex)" }

    /// Removes what has been left for long.
    func expire(except underWay: Set<Digest>) throws(SystemError) {
        let kept = Set(underWay.map(path))
        for name in try Files.list(folder) {
            let path = "\(folder)/\(name)"
            var status = stat()
            guard !kept.contains(path), stat(path, &status) == 0,
                time(nil) - status.st_mtim.tv_sec > Self.keptSeconds
            else { continue }
            // One that stays is found again.
            unlink(path)
        }
    }
}

/// A blob that is arriving: a file that grows at its end, and the digest of what is in it. Whoever has a reader of it can read it
/// after it has been renamed or removed.
final class SpoolFile: @unchecked Sendable {  // one download appends; readers pread(2) what it has counted before
    let path: String
    private let file: OwnedFD
    private let algorithm: Digest.Algorithm
    private var hash: StreamHash
    private(set) var count: Int64 = 0
    /// Whether there is something in it, or was told of it, that is not of this download.
    private(set) var hasOthersBytes = false

    private static let blockBytes = 1 << 20

    /// Opens the file of a download that was cut, but for its last byte, or begins one. Reads what is there.
    init(_ path: String, _ algorithm: Digest.Algorithm) throws(SystemError) {
        self.path = path
        self.algorithm = algorithm
        hash = StreamHash(algorithm)
        file = try OwnedFD.open(path, O_RDWR | O_CREAT, mode: 0o600)
        let size = Int64(try checked("lseek", path) { [raw = file.raw] in lseek(raw, 0, SEEK_END) })
        // The registry can be asked for one byte more, whether all of it was here or not.
        try cut(to: max(0, size - 1))
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.blockBytes, alignment: 64)
        defer { block.deallocate() }
        while count < size - 1 {
            let read = try file.read(into: block, at: count)
            guard read > 0 else { throw SystemError("pread", EIO, path) }
            hash.update(UnsafeRawBufferPointer(rebasing: block[..<read]))
            count += Int64(read)
        }
        hasOthersBytes = count > 0
    }

    var digest: Digest { hash.digest }

    /// Another download goes on with it.
    func passOn() { hasOthersBytes = true }

    private func cut(to size: Int64) throws(SystemError) {
        try checked("ftruncate", path) { [raw = file.raw] in ftruncate(raw, off_t(size)) }
    }

    /// - Throws: `SystemError`.
    func append(_ bytes: ByteBuffer) async throws {
        try await BlockingPool.shared.run { () throws(SystemError) in
            try self.file.append(bytes, at: self.count, hashing: &self.hash)
            self.count += Int64(bytes.readableBytes)
        }
    }

    /// Between 1 and `countMax` bytes at `offset`.
    func read(at offset: Int64, countMax: Int) async throws -> ByteBuffer {
        try await BlockingPool.shared.run { () throws(SystemError) in
            var result = ByteBuffer()
            var failure: SystemError?
            result.writeWithUnsafeMutableBytes(minimumWritableBytes: countMax) { space in
                do throws(SystemError) {
                    return try self.file.read(
                        into: UnsafeMutableRawBufferPointer(rebasing: space[..<countMax]), at: offset)
                } catch {
                    failure = error
                    return 0
                }
            }
            if let failure { throw failure }
            guard result.readableBytes > 0 else { throw SystemError("pread", EIO, self.path) }
            return result
        }
    }

    func remove() { unlink(path) }
}
