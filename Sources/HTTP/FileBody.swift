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

    /// - Parameter start: in bytes from the part's first.
    func part(from start: Int, bytesMax: Int) -> FileRegion {
        FileRegion(
            fileHandle: handle, readerIndex: offset + start, endIndex: offset + min(start + bytesMax, count))
    }
}
