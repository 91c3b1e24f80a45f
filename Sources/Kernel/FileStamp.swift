import Glibc

/// Which file a name is, and whether it is as it was.
package struct FileStamp: Sendable, Hashable {
    /// The file itself, whatever is written to it.
    package struct Identity: Sendable, Hashable {
        let device: UInt64
        let inode: UInt64
    }

    package let identity: Identity
    private let bytes: Int64
    private let seconds: Int
    private let nanoseconds: Int

    /// nil for a name of nothing.
    package init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    /// - Throws: `SystemError` of fstat(2).
    package init(of file: borrowing OwnedFD) throws(SystemError) {
        var status = stat()
        let raw = file.raw
        try checked("fstat") { fstat(raw, &status) }
        self.init(status)
    }

    private init(_ status: stat) {
        identity = Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
        bytes = Int64(status.st_size)
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
    }
}
