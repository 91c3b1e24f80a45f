import CLinux
import Glibc

/// Copies a file's content the cheapest way the file systems offer: shared blocks, then in the kernel, then through memory.
package enum FileCopy {
    /// Bytes moved by one call.
    private static let stepBytes = 8 << 20
    private static let bufferBytes = 256 << 10

    /// Makes the empty file `target` hold the first `size` bytes of `source`, holes as holes.
    ///
    /// A source that shrinks meanwhile leaves zeros, one that grows is cut.
    package static func content(
        from source: borrowing OwnedFD, to target: borrowing OwnedFD, size: Int64
    ) throws(SystemError) {
        guard size > 0 else { return }
        let from = source.raw
        let to = target.raw
        if cl_clone_file(from, to) == 0 {
            try checked("ftruncate") { ftruncate(to, off_t(size)) }
            return
        }
        try checked("ftruncate") { ftruncate(to, off_t(size)) }
        var offset: Int64 = 0
        while offset < size {
            let start = lseek(from, off_t(offset), CInt(CL_SEEK_DATA))
            if start < 0 && errno == ENXIO { return }
            // A file system without SEEK_DATA: all of it is data.
            let begin = start < 0 ? offset : Int64(start)
            let hole = start < 0 ? -1 : lseek(from, off_t(begin), CInt(CL_SEEK_HOLE))
            let end = min(size, hole < 0 ? size : Int64(hole))
            guard begin < end else { return }
            try range(from: source, to: target, begin..<end)
            offset = end
        }
    }

    private static func range(
        from source: borrowing OwnedFD, to target: borrowing OwnedFD, _ range: Range<Int64>
    ) throws(SystemError) {
        var offset = range.lowerBound
        let from = source.raw
        let to = target.raw
        while offset < range.upperBound {
            let count = cl_copy_range(from, offset, to, offset, Int(min(Int64(stepBytes), range.upperBound - offset)))
            if count == 0 { return }
            if count < 0 {
                let code = errno
                if code == EINTR { continue }
                let unable = [EXDEV, EINVAL, EOPNOTSUPP, ENOSYS, EBADF, ETXTBSY, EPERM].contains(code)
                guard unable else { throw SystemError("copy_file_range", code) }
                return try throughMemory(from: source, to: target, offset..<range.upperBound)
            }
            offset += Int64(count)
        }
    }

    private static func throughMemory(
        from source: borrowing OwnedFD, to target: borrowing OwnedFD, _ range: Range<Int64>
    ) throws(SystemError) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bufferBytes, alignment: 4096)
        defer { buffer.deallocate() }
        var offset = range.lowerBound
        while offset < range.upperBound {
            let room = min(Int64(buffer.count), range.upperBound - offset)
            let count = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(room)]), at: offset)
            if count == 0 { return }
            try target.writeAll(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset)
            offset += Int64(count)
        }
    }

    /// syncfs(2): everything written to the file system of `descriptor` is durable.
    package static func syncFileSystem(of descriptor: borrowing OwnedFD) throws(SystemError) {
        let raw = descriptor.raw
        try checked("syncfs") { cl_syncfs(raw) }
    }
}
