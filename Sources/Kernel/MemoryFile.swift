import CLinux
import Glibc

/// memfd_create(2): bytes as an open file without a name.
package enum MemoryFile {
    /// - Returns: a descriptor at the start of `bytes`.
    package static func make(_ bytes: [UInt8]) throws(SystemError) -> OwnedFD {
        let file = OwnedFD(adopting: try checked("memfd_create") { cl_memfd("bytes", 0) })
        var failure: SystemError?
        bytes.withUnsafeBytes { data in
            do throws(SystemError) { try file.writeAll(data, at: 0) } catch { failure = error }
        }
        if let failure { throw failure }
        return file
    }
}
