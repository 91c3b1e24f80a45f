import NIOCore

/// A part of an open file as the body of an answer; closes the file when it goes.
package final class FileBody: Sendable {
    let handle: NIOFileHandle
    let offset: Int
    /// Bytes; the file has at least as many from `offset` on, and nobody shortens it.
    package let count: Int

    /// - Parameter descriptor: of a regular file, which belongs to this object from now on.
    package init(adopting descriptor: CInt, offset: Int, count: Int) {
        handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: descriptor)
        self.offset = offset
        self.count = max(0, count)
    }

    deinit {
        // A file that was read has nothing left to lose.
        try? handle.close()
    }

    /// The parts that are sent one after another; a large file has too many to list them.
    func parts(bytesMax: Int) -> some Sequence<FileRegion> {
        stride(from: offset, to: offset + count, by: bytesMax).lazy.map { [handle, offset, count] start in
            FileRegion(fileHandle: handle, readerIndex: start, endIndex: min(start + bytesMax, offset + count))
        }
    }
}
