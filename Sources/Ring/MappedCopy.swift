import CLinux
import Glibc
package import Kernel

/// Copies large ranges between files by direct I/O through an io_uring: the device reads the pages of the source's mapping, so
/// that no processor copies a byte and the copy is on the device, not in the page cache.
package enum MappedCopy {
    /// Ranges below this go another way: what is in the page cache is sooner there, and a sync is due anyway.
    package static let bytesMin: Int64 = 32 << 20
    /// Writes in flight; more bring nothing more from the devices there are.
    private static let depth = 8
    /// Bytes of one write.
    private static let stepBytes = 4 << 20
    /// What direct I/O asks of offsets and lengths; file systems of larger blocks refuse, and the caller goes on.
    private static let alignment = Int64(BlockMemory.alignment)

    /// Copies `range` of `source` to the same place of `target`, as far as it can.
    ///
    /// - Parameters:
    ///   - target: open for writing; its size may be more than the range's end when this returns.
    ///   - move: told of every part; stops it.
    /// - Returns: up to where the range is copied: its start when the kernel or the file system has no such thing.
    /// - Throws: `SystemError` of a write, such as ENOSPC, or ECANCELED.
    package static func copy(
        from source: borrowing OwnedFD, to target: borrowing OwnedFD, _ range: Range<Int64>, _ move: BulkMove
    ) throws(SystemError) -> Int64 {
        let start = range.lowerBound
        guard range.count >= bytesMin, start % alignment == 0 else { return start }
        let (from, to) = (source.raw, target.raw)
        let flags = try checked("fcntl") { cl_fcntl_int(to, F_GETFL, 0) }
        // No direct I/O there.
        guard cl_fcntl_int(to, F_SETFL, flags | cl_o_direct()) == 0 else { return start }
        defer { _ = cl_fcntl_int(to, F_SETFL, flags) }
        // Its last page is whole in memory, too, zeros behind the end.
        let length = (Int64(range.count) + alignment - 1) / alignment * alignment
        guard let ring = cl_ring_create(UInt32(depth)) else { return start }
        defer { cl_ring_destroy(ring) }
        guard let base = mmap(nil, Int(length), PROT_READ, MAP_SHARED, from, off_t(start)), base != MAP_FAILED else {
            return start
        }
        defer { munmap(base, Int(length)) }
        // Pages are read ahead of the writes when they are not in memory.
        madvise(base, Int(length), MADV_SEQUENTIAL)
        let code = posix_fallocate(to, off_t(start), off_t(range.count))
        if code == ENOSPC || code == EDQUOT { throw SystemError("fallocate", code) }
        var flight = Flight(ring: ring, base: base, target: to, start: start, length: Int(length))
        return min(try flight.run(move), range.upperBound)
    }

    /// The writes of one range.
    private struct Flight {
        let ring: OpaquePointer
        let base: UnsafeMutableRawPointer
        let target: CInt
        let start: Int64
        let length: Int
        private var next = 0
        private var inFlight = 0
        /// The first place that was not written; nothing behind it counts.
        private var failedAt: Int
        private var failure: SystemError?

        init(ring: OpaquePointer, base: UnsafeMutableRawPointer, target: CInt, start: Int64, length: Int) {
            (self.ring, self.base, self.target, self.start, self.length) = (ring, base, target, start, length)
            failedAt = length
        }

        mutating func run(_ move: BulkMove) throws(SystemError) -> Int64 {
            while next < failedAt || inFlight > 0 {
                do throws(SystemError) { try move.check() } catch {
                    failure = failure ?? error
                    failedAt = min(failedAt, next)
                }
                while inFlight < depth, next < failedAt { begin() }
                guard inFlight > 0 else { break }
                let result = cl_ring_submit(ring, 1)
                // The ring's end waits for what is in flight.
                if result < 0, result != -EAGAIN, result != -EBUSY { throw SystemError("io_uring_enter", -result) }
                collect(move)
            }
            if let failure { throw failure }
            return start + Int64(failedAt)
        }

        private mutating func begin() {
            let count = min(stepBytes, length - next)
            guard
                cl_ring_write(
                    ring, target, base + next, UInt32(count), UInt64(start) + UInt64(next), -1, UInt64(next)) == 0
            else { return failedAt = next }
            next += count
            inFlight += 1
        }

        private mutating func collect(_ move: BulkMove) {
            var tag: UInt64 = 0
            var result: Int32 = 0
            while cl_ring_completion(ring, &tag, &result) == 1 {
                inFlight -= 1
                let (place, wanted) = (Int(tag), min(stepBytes, length - Int(tag)))
                if result == Int32(wanted) {
                    move.add(wanted)
                    continue
                }
                // Cut short or not possible: the caller goes on from here. EFAULT is a source that has shrunk.
                failedAt = min(failedAt, place)
                if ![-EFAULT, -EINVAL, -EOPNOTSUPP, -EAGAIN, -EINTR].contains(result), result < 0 {
                    failure = failure ?? SystemError("write", -result)
                }
            }
        }
    }
}
