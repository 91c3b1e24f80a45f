import CLinux
import Glibc

/// pipe2(2) with room for a megabyte.
package struct Pipe: ~Copyable, Sendable {
    /// Both are close-on-exec.
    package let reader: OwnedFD
    package let writer: OwnedFD

    /// Bytes a pipe holds, as F_SETPIPE_SZ allows without privilege.
    private static let capacity: CInt = 1 << 20
    private static let setPipeSize: CInt = 1031

    package init() throws(SystemError) {
        var ends: [CInt] = [-1, -1]
        try checked("pipe2") { cl_pipe(&ends) }
        // A smaller pipe (fs.pipe-user-pages-soft) only means more wake-ups.
        _ = DescriptorControl.set(ends[1], Self.setPipeSize, Self.capacity)
        reader = OwnedFD(adopting: ends[0])
        writer = OwnedFD(adopting: ends[1])
    }

    /// The reading end alone; the writing end is closed.
    package consuming func takeReader() -> OwnedFD { reader }
}
