package import Kernel
package import NIOCore

extension OwnedFD {
    /// Writes `bytes` at `offset`, where those end that `hash` is of. Blocks its thread.
    ///
    /// - Throws: `SystemError`; the file then may have a part of them, and `hash` has none.
    package borrowing func append(
        _ bytes: ByteBuffer, at offset: Int64, hashing hash: inout StreamHash
    ) throws(SystemError) {
        var failure: SystemError?
        bytes.withUnsafeReadableBytes { data in
            do throws(SystemError) {
                try writeAll(data, at: offset)
                hash.update(data)
            } catch { failure = error }
        }
        if let failure { throw failure }
    }
}
