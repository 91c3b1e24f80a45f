import CLinux
import Glibc
import Kernel
import OCI
import Synchronization

/// What has become of a blob's bytes.
package enum BlobCondition: Sendable, Hashable {
    case sound
    /// They are not what their digest says, or not there.
    case damaged(BlobDamage)
    /// The blob was removed, or is one that cannot be read here.
    case skipped
}

package struct BlobDamage: Sendable, Hashable {
    package let reason: String
    /// nil when there is none, or an object.
    let file: FileIdentity?
}

/// Which file is at a path, and in which state.
struct FileIdentity: Sendable, Hashable {
    let inode: UInt64
    let size: Int64
    let seconds: Int
    let nanoseconds: Int

    private init(_ status: stat) {
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
    }

    /// nil when there is no such file.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    init(_ file: borrowing OwnedFD) throws(SystemError) {
        var status = stat()
        let raw = file.raw
        try checked("fstat") { fstat(raw, &status) }
        self.init(status)
    }
}

/// Reads a file against its digest: on a thread of its own that everybody else goes before (nice(2) lowers the priority of its
/// reads, too: ioprio_set(2)), past the page cache, so that the disk is asked and what others use stays in memory.
final class BlobReader: Sendable {
    private static let niceness: CInt = 19
    /// Bytes of one read.
    private static let blockBytes = 1 << 20
    private static let alignment = 4096
    /// Microseconds until a cancellation is seen.
    private static let waitMax = 100_000.0

    /// Of read(2), when the bytes cannot be had any more: of the disk, and of file systems with checksums.
    private static let damages: Set<CInt> = [EIO, ENODATA, EBADMSG, EUCLEAN]

    private let isCancelled = Atomic<Bool>(false)

    /// - Parameter rate: bytes a second.
    /// - Throws: `CancellationError`, `SystemError` when there is no thread to be had.
    func condition(of path: String, _ blob: StoredBlob, rate: Int64) async throws -> BlobCondition {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<BlobCondition, any Error>) in
                do throws(SystemError) {
                    try Threads.start("scrub", niceness: Self.niceness) {
                        continuation.resume(with: Result { try self.read(path, blob, rate) })
                    }
                } catch { continuation.resume(throwing: error) }
            }
        } onCancel: {
            isCancelled.store(true, ordering: .relaxed)
        }
    }

    private func read(_ path: String, _ blob: StoredBlob, _ rate: Int64) throws -> BlobCondition {
        let descriptor = Self.open(path)
        if descriptor < 0, errno == ENOENT {
            return .damaged(BlobDamage(reason: "the file is not there", file: nil))
        }
        guard descriptor >= 0 else { throw SystemError("open", path) }
        let file = OwnedFD(adopting: descriptor)
        let identity = try FileIdentity(file)
        guard identity.size == blob.size else {
            return .damaged(
                BlobDamage(reason: "it has \(identity.size) bytes, not \(blob.size)", file: identity))
        }
        return try hash(file.raw, identity, blob, rate)
    }

    private func hash(_ file: CInt, _ identity: FileIdentity, _ blob: StoredBlob, _ rate: Int64) throws -> BlobCondition
    {
        var hash = StreamHash(blob.digest.algorithm)
        let block = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.blockBytes, alignment: Self.alignment)
        defer { block.deallocate() }
        let began = ContinuousClock.now
        var offset: Int64 = 0
        while offset < blob.size {
            if isCancelled.load(ordering: .relaxed) { throw CancellationError() }
            let count = pread(file, block.baseAddress, block.count, off_t(offset))
            if count < 0, errno == EINTR { continue }
            // Want of memory, or of a server, says nothing of the bytes.
            if count < 0, !Self.damages.contains(errno) { throw SystemError("pread", errno, "\(blob.digest)") }
            guard count > 0 else {
                let reason = count < 0 ? "the disk cannot read it at byte \(offset)" : "it ends at byte \(offset)"
                return .damaged(BlobDamage(reason: reason, file: identity))
            }
            hash.update(UnsafeRawBufferPointer(rebasing: block[..<count]))
            offset += Int64(count)
            let seconds: Double = Double(offset) / Double(max(1, rate))
            wait(until: began + .seconds(seconds))
        }
        guard hash.digest == blob.digest else {
            return .damaged(BlobDamage(reason: "its bytes have the digest \(hash.digest)", file: identity))
        }
        return .sound
    }

    /// Not every file system reads past the page cache.
    private static func open(_ path: String) -> CInt {
        let direct = Glibc.open(path, O_RDONLY | O_CLOEXEC | cl_o_direct())
        guard direct < 0, errno == EINVAL else { return direct }
        return Glibc.open(path, O_RDONLY | O_CLOEXEC)
    }

    private func wait(until time: ContinuousClock.Instant) {
        while !isCancelled.load(ordering: .relaxed) {
            let rest: Double = (time - .now) / .microseconds(1)
            guard rest > 0 else { return }
            usleep(useconds_t(min(rest, Self.waitMax)))
        }
    }
}
