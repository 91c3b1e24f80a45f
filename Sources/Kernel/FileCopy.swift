import CLinux
import Glibc

/// Copies a file's content the cheapest way the file systems offer: shared blocks, then in the kernel, then through memory.
package enum FileCopy {
    /// Bytes moved by one call.
    private static let stepBytes = 8 << 20
    private static let bufferBytes = 256 << 10

    /// Copies a range to the same place of another file as far as it can, and returns up to where that is.
    package typealias Mover = (
        _ source: borrowing OwnedFD, _ target: borrowing OwnedFD, Range<Int64>, BulkMove
    ) throws(SystemError) -> Int64

    /// Makes the empty file `target` hold the `size` bytes of `source` from `origin` on, holes as holes.
    ///
    /// A source that shrinks meanwhile leaves zeros, one that grows is cut.
    /// - Parameters:
    ///   - move: told of every part; stops it.
    ///   - mover: tried first for every range of data, when `origin` is 0.
    /// - Returns: whether the two share their blocks.
    @discardableResult
    package static func content(
        from source: borrowing OwnedFD, at origin: Int64 = 0, to target: borrowing OwnedFD, size: Int64,
        move: BulkMove = BulkMove(), mover: Mover? = nil
    ) throws(SystemError) -> Bool {
        guard size > 0 else { return false }
        let from = source.raw
        let to = target.raw
        let shared = origin == 0 && cl_clone_file(from, to) == 0
        try checked("ftruncate") { ftruncate(to, off_t(size)) }
        if shared {
            move.add(Int(size))
            return true
        }
        try ranges(from: source, at: origin, to: target, size: size, move, mover)
        // What was moved in whole blocks may go beyond the end.
        if mover != nil { try checked("ftruncate") { ftruncate(to, off_t(size)) } }
        return false
    }

    private static func ranges(
        from source: borrowing OwnedFD, at origin: Int64, to target: borrowing OwnedFD, size: Int64, _ move: BulkMove,
        _ mover: Mover?
    ) throws(SystemError) {
        let from = source.raw
        let limit = origin + size
        var offset = origin
        while offset < limit {
            let start = lseek(from, off_t(offset), CInt(CL_SEEK_DATA))
            if start < 0 && errno == ENXIO { return }
            // A file system without SEEK_DATA: all of it is data.
            let begin = start < 0 ? offset : Int64(start)
            let hole = start < 0 ? -1 : lseek(from, off_t(begin), CInt(CL_SEEK_HOLE))
            let end = min(limit, hole < 0 ? limit : Int64(hole))
            guard begin < end else { return }
            let moved = origin == 0 ? try mover?(source, target, begin..<end, move) ?? begin : begin
            try copy(from: source, to: target, moved..<end, shift: origin, move)
            offset = end
        }
    }

    /// Copies a range of `source`; it goes to the same place less `shift`.
    private static func copy(
        from source: borrowing OwnedFD, to target: borrowing OwnedFD, _ range: Range<Int64>, shift: Int64,
        _ move: BulkMove
    ) throws(SystemError) {
        var offset = range.lowerBound
        let from = source.raw
        let to = target.raw
        while offset < range.upperBound {
            try move.check()
            let length = Int(min(Int64(stepBytes), range.upperBound - offset))
            let count = cl_copy_range(from, offset, to, offset - shift, length)
            if count == 0 { return }
            if count < 0 {
                let code = errno
                if code == EINTR { continue }
                let unable = [EXDEV, EINVAL, EOPNOTSUPP, ENOSYS, EBADF, ETXTBSY, EPERM].contains(code)
                guard unable else { throw SystemError("copy_file_range", code) }
                return try throughMemory(from: source, to: target, offset..<range.upperBound, shift: shift, move)
            }
            offset += Int64(count)
            move.add(count)
        }
    }

    private static func throughMemory(
        from source: borrowing OwnedFD, to target: borrowing OwnedFD, _ range: Range<Int64>, shift: Int64,
        _ move: BulkMove
    ) throws(SystemError) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bufferBytes, alignment: 4096)
        defer { buffer.deallocate() }
        var offset = range.lowerBound
        while offset < range.upperBound {
            try move.check()
            let room = min(Int64(buffer.count), range.upperBound - offset)
            let count = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(room)]), at: offset)
            if count == 0 { return }
            try target.writeAll(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset - shift)
            offset += Int64(count)
            move.add(count)
        }
    }

    /// syncfs(2): everything written to the file system of `descriptor` is durable.
    package static func syncFileSystem(of descriptor: borrowing OwnedFD) throws(SystemError) {
        let raw = descriptor.raw
        try checked("syncfs") { cl_syncfs(raw) }
    }
}
