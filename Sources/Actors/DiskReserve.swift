import Glibc
import Kernel
import Synchronization

/// Space on the disk that is kept for the moment when there is none: without it a full disk could not even be told what to
/// forget. A file of that many bytes, released by removing it.
final class DiskReserve: Sendable {
    private let path: String
    private let bytes: Int64
    private let isHeld: Mutex<Bool>

    /// Takes the space when there is enough.
    init(_ path: String, bytes: Int64) {
        self.path = path
        self.bytes = bytes
        isHeld = Mutex(false)
        refill()
    }

    /// Gives the space back to the disk.
    ///
    /// - Returns: false when there was none to give.
    func release() -> Bool {
        isHeld.withLock { isHeld in
            guard isHeld else { return false }
            isHeld = false
            return unlink(path) == 0
        }
    }

    /// Takes the space again when it was given back. A disk that is still full is asked again the next time.
    func refill() {
        isHeld.withLock { isHeld in
            guard !isHeld else { return }
            isHeld = Self.reserve(path, bytes)
        }
    }

    private static func reserve(_ path: String, _ bytes: Int64) -> Bool {
        do throws(SystemError) {
            let file = try OwnedFD.open(path, O_WRONLY | O_CREAT, mode: 0o600)
            if posix_fallocate(file.raw, 0, off_t(bytes)) == 0 { return true }
            unlink(path)
            return false
        } catch { return false }
    }
}
