import Glibc
package import Kernel

/// Page-aligned blocks of one size, mapped once and reused for as long as this object lives.
///
/// Fresh memory is dear under virtualisation, and direct I/O wants alignment, so a pipeline maps its blocks at the start
/// and passes their numbers around. The mapping never moves.
package final class BlockMemory: @unchecked Sendable {  // a block's bytes belong to whoever holds its number
    /// How many blocks there are.
    package let count: Int
    /// Bytes of one block; a multiple of ``alignment``.
    package let blockBytes: Int
    let base: UnsafeMutableRawPointer

    /// What direct I/O asks of addresses, offsets and lengths, in bytes: no Linux block device needs more.
    package static let alignment = 4096

    /// - Parameters:
    ///   - count: how many blocks; at least 1.
    ///   - blockBytes: bytes of each, rounded up to ``alignment``.
    /// - Throws: `SystemError` when the system has no memory.
    package init(count: Int, blockBytes: Int) throws(SystemError) {
        let blockBytes = (max(blockBytes, 1) + Self.alignment - 1) / Self.alignment * Self.alignment
        let count = max(count, 1)
        guard
            let base = mmap(
                nil, count * blockBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            base != MAP_FAILED
        else { throw SystemError("mmap") }
        self.count = count
        self.blockBytes = blockBytes
        self.base = base
    }

    deinit { munmap(base, count * blockBytes) }

    /// The bytes of block `index`, which the caller owns at this moment.
    package subscript(index: Int) -> UnsafeMutableRawBufferPointer {
        precondition(index >= 0 && index < count)
        return UnsafeMutableRawBufferPointer(start: base + index * blockBytes, count: blockBytes)
    }
}
