import CLinux
import Glibc

/// pipe2(2) with room for a megabyte. Both ends are close-on-exec; each is taken once, or closed with this.
package struct Pipe: Sendable {
    /// Bytes a pipe holds, as F_SETPIPE_SZ allows without privilege.
    private static let capacity: CInt = 1 << 20
    private static let setPipeSize: CInt = 1031

    package let reader: DescriptorBox
    package let writer: DescriptorBox

    package init() throws(SystemError) {
        var ends: [CInt] = [-1, -1]
        try checked("pipe2") { cl_pipe(&ends) }
        Self.widen(ends[1])
        reader = DescriptorBox(OwnedFD(adopting: ends[0]))
        writer = DescriptorBox(OwnedFD(adopting: ends[1]))
    }

    /// Gives a pipe of somebody else as much room.
    package static func widen(_ end: borrowing OwnedFD) { widen(end.raw) }

    /// A smaller pipe (fs.pipe-user-pages-soft) only means more wake-ups.
    private static func widen(_ end: CInt) { _ = cl_fcntl_int(end, setPipeSize, capacity) }
}

/// Carries an `OwnedFD` to where it is taken, once: into an escaping closure, out of a pair.
package final class DescriptorBox: Sendable {
    private let state: Guarded<CInt>

    package init(_ descriptor: consuming OwnedFD) { state = Guarded(descriptor.release()) }

    deinit {
        let raw = state.withLock { $0 }
        if raw >= 0 { _ = close(raw) }
    }

    /// The descriptor.
    ///
    /// - Throws: `SystemError` with EBADF when it was taken before.
    package func take() throws(SystemError) -> OwnedFD {
        let raw = state.withLock { value in
            defer { value = -1 }
            return value
        }
        guard raw >= 0 else { throw SystemError("take", EBADF) }
        return OwnedFD(adopting: raw)
    }
}
