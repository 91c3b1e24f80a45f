import CLinux
import Glibc

/// Copies a part of one file into another that may be at another offset there.
package struct RangeCopy: ~Copyable {
    private let buffer: UnsafeMutableRawBufferPointer

    /// Parts up to this size go through memory: for them two calls are cheaper than copy_file_range(2).
    package static let smallBytesMax: Int64 = 256 << 10
    private static let stepBytes = 1 << 30

    package init() {
        buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(Self.smallBytesMax), alignment: 4096)
    }

    deinit { buffer.deallocate() }

    /// Copies `byteCount` bytes at `offset` of `source` to the start of the empty file `target`.
    ///
    /// - Parameter keepsHoles: leaves holes of the source as holes.
    /// - Throws: `SystemError`; ENODATA when the source ends earlier.
    package borrowing func copy(
        from source: borrowing OwnedFD, at offset: Int64, to target: borrowing OwnedFD, byteCount: Int64,
        keepsHoles: Bool
    ) throws(SystemError) {
        guard keepsHoles else {
            return try data(from: source, offset..<offset + byteCount, to: target, origin: offset)
        }
        let descriptor = target.raw
        try checked("ftruncate") { ftruncate(descriptor, off_t(byteCount)) }
        let from = source.raw
        var position = offset
        while position < offset + byteCount {
            let start = Int64(lseek(from, off_t(position), CInt(CL_SEEK_DATA)))
            if start < 0 && errno == ENXIO { return }
            let begin = start < 0 ? position : start  // a file system without SEEK_DATA: all of it is data
            guard begin < offset + byteCount else { return }
            let hole = start < 0 ? -1 : Int64(lseek(from, off_t(begin), CInt(CL_SEEK_HOLE)))
            let end = hole < 0 ? offset + byteCount : min(hole, offset + byteCount)
            try data(from: source, begin..<end, to: target, origin: offset)
            position = end
        }
    }

    /// Copies a range of `source` to the same place of `target`, counted from `origin`.
    private borrowing func data(
        from source: borrowing OwnedFD, _ range: Range<Int64>, to target: borrowing OwnedFD, origin: Int64
    ) throws(SystemError) {
        var position = range.lowerBound
        var inKernel = range.count > Self.smallBytesMax
        let (from, to) = (source.raw, target.raw)
        while position < range.upperBound {
            let rest = range.upperBound - position
            let count: Int
            if inKernel {
                count = Int(cl_copy_range(from, position, to, position - origin, Int(min(rest, Int64(Self.stepBytes)))))
                if count < 0 {
                    guard errno != EINTR else { continue }
                    inKernel = false  // other file systems, or one that cannot: through memory
                    continue
                }
            } else {
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(rest, Int64(buffer.count)))])
                count = try source.read(into: part, at: position)
                try target.writeAll(UnsafeRawBufferPointer(rebasing: part[..<count]), at: position - origin)
            }
            guard count > 0 else { throw SystemError("read", ENODATA) }
            position += Int64(count)
        }
    }
}
