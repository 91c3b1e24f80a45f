import CLinux
import Glibc
package import Kernel

/// Appends blocks to one file by direct I/O through an io_uring of its own (io_uring(7), open(2) "O_DIRECT").
///
/// One thread creates the value's ring (at the first full block) and makes every call. A block given to ``write(block:count:)``
/// belongs to the writer until ``takeCompleted()`` names it. Where the kernel refuses io_uring the same blocks go through
/// pwrite(2); where the file system refuses direct I/O they go through the page cache, which is emptied at the end.
/// The end of life waits for what is in flight, then closes ring and file.
package struct RingWriter: ~Copyable {
    /// How the file grows.
    package enum Growth: Sendable {
        /// Space is reserved ahead of the data and cut at the end: the fastest, for files that are worthless until finished.
        case ahead
        /// The file is never longer than what was written, so that it can be resumed after a crash.
        case exact
    }

    /// How bytes reach the file at the moment.
    package enum Path: Sendable, Hashable {
        case ring, direct, buffered
    }

    private struct Flight {
        var offset: Int64
        /// Bytes handed to the kernel: the data, padded to the alignment.
        var length: Int
    }

    /// Bytes reserved at a time by ``Growth/ahead``.
    private static let reserveBytes: Int64 = 64 << 20
    /// Times what is reserved must be free: several writers reserve at once.
    private static let spareFactor: Int64 = 8

    private let file: OwnedFD
    private let name: String
    private let memory: BlockMemory
    private let depth: Int
    private let growth: Growth
    private var ring: OpaquePointer?
    private var isRegistered = false
    private var path: Path
    private var flights: [Flight?]
    private var completed: [Int] = []
    private var failedOffset: Int64?
    /// Up to here space is reserved; `Int64.max` once reserving was refused.
    private var reserved: Int64 = 0

    /// Writes under way.
    package private(set) var inFlight = 0
    /// Bytes appended so far; where the next block goes.
    package private(set) var position: Int64

    /// How bytes reach the file now, for reports and tests.
    package var currentPath: Path { path }

    /// Creates or opens `name` for appending at `start`; what was beyond is cut by ``finish(durable:)``.
    ///
    /// - Parameters:
    ///   - memory: the blocks that will be written.
    ///   - start: where to begin, in bytes; off the alignment the page cache is used.
    ///   - depth: writes in flight at most; 1 keeps the file free of holes at every moment.
    ///   - sizeHint: the size the file is expected to get, reserved at once with ``Growth/ahead``.
    ///   - direct: false goes through the page cache from the start, for content that is read again soon.
    package init(
        _ name: String, memory: BlockMemory, start: Int64 = 0, depth: Int = 4, growth: Growth = .ahead,
        sizeHint: Int64? = nil, direct: Bool = true
    ) throws(SystemError) {
        let flags = O_WRONLY | O_CREAT | (start == 0 ? O_TRUNC : 0)
        let opened = try Self.open(name, flags, direct: direct)
        file = OwnedFD(adopting: opened.descriptor)
        path = opened.isDirect ? .ring : .buffered
        self.name = name
        self.memory = memory
        self.depth = max(1, min(depth, memory.count))
        self.growth = growth
        position = start
        reserved = start
        flights = Array(repeating: nil, count: memory.count)
        if growth == .ahead, let sizeHint, sizeHint > start { reserve(sizeHint - start) }
    }

    deinit {
        guard let ring else { return }
        // Nothing can be reported here; memory stays pinned by the kernel for whatever this loop could not wait for.
        var left = inFlight
        while left > 0, cl_ring_submit(ring, 1) >= 0 {
            var tag: UInt64 = 0
            var result: Int32 = 0
            while cl_ring_completion(ring, &tag, &result) == 1 { left -= 1 }
        }
        cl_ring_destroy(ring)
    }

    /// Appends the first `count` bytes of `block`, and takes the block until ``takeCompleted()`` names it.
    ///
    /// Sleeps while `depth` writes are in flight. A partial block is padded for the device; ``finish(durable:)`` cuts the padding.
    ///
    /// - Throws: `SystemError` of this or an earlier write; ENOSPC and EIO mean what they say, and the writer is then of
    ///   no use but for ``abandon()``.
    package mutating func write(block: Int, count: Int) throws(SystemError) {
        let bytes = memory[block]
        let offset = position
        let alignment = BlockMemory.alignment
        if path != .buffered, offset % Int64(alignment) != 0 {
            // Padding that is still on its way must not land on top of what follows.
            while inFlight > 0 { try reap(waitFor: inFlight) }
            try leaveDirect()
        }
        position += Int64(count)
        guard path != .buffered else {
            try settle(block, Flight(offset: offset, length: count), written: 0)
            return
        }
        let length = min((count + alignment - 1) / alignment * alignment, bytes.count)
        if length > count {
            UnsafeMutableRawBufferPointer(rebasing: bytes[count..<length]).initializeMemory(
                as: UInt8.self, repeating: 0)
        }
        let flight = Flight(offset: offset, length: length)
        // A file that ends in its first block is not worth a ring.
        if ring == nil, path == .ring, count == bytes.count { startRing() }
        guard let ring else {
            try settle(block, flight, written: 0)
            return
        }
        if growth == .ahead, offset + Int64(length) > reserved { reserve(Self.reserveBytes) }
        while inFlight >= depth { try reap(waitFor: 1) }
        guard
            cl_ring_write(
                ring, file.raw, bytes.baseAddress, UInt32(length), UInt64(offset), isRegistered ? Int32(block) : -1,
                UInt64(block)) == 0
        else { return try settle(block, flight, written: 0) }
        flights[block] = flight
        inFlight += 1
        try submit(waitFor: 0)
        try collect()
    }

    /// Takes the completions that are there, after sleeping for at least `waitFor` of them.
    package mutating func reap(waitFor: Int) throws(SystemError) {
        guard ring != nil, inFlight > 0 else { return }
        try submit(waitFor: min(waitFor, inFlight))
        try collect()
    }

    /// The blocks whose bytes are in the file; they belong to the caller again.
    package mutating func takeCompleted() -> [Int] {
        defer { completed.removeAll(keepingCapacity: true) }
        return completed
    }

    /// Waits for every write and cuts the file to the exact size.
    ///
    /// - Parameter durable: also fdatasync(2): after it the content survives a power failure.
    package mutating func finish(durable: Bool) throws(SystemError) {
        while inFlight > 0 { try reap(waitFor: inFlight) }
        let descriptor = file.raw
        let size = off_t(position)
        try checked("ftruncate", name) { ftruncate(descriptor, size) }
        if durable { try checked("fdatasync", name) { fdatasync(descriptor) } }
        if path == .buffered { posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) }
    }

    /// Waits for what is in flight and cuts the file to the bytes that are there without a hole.
    ///
    /// - Returns: the size the file has now.
    package mutating func abandon() throws(SystemError) -> Int64 {
        while inFlight > 0 {
            // A failed write shortens the result; the others still have to come back.
            do { try reap(waitFor: inFlight) } catch  where failedOffset != nil { continue }
        }
        let size = min(position, failedOffset ?? position)
        let descriptor = file.raw
        try checked("ftruncate", name) { ftruncate(descriptor, off_t(size)) }
        return size
    }
}

extension RingWriter {
    private static func open(
        _ name: String, _ flags: CInt, direct: Bool
    ) throws(SystemError) -> (descriptor: CInt, isDirect: Bool) {
        if direct {
            do throws(SystemError) {
                return (try OwnedFD.open(name, flags | cl_o_direct(), mode: 0o600).release(), true)
            } catch  where error.code == EINVAL {
                // The file system has no direct I/O.
            }
        }
        return (try OwnedFD.open(name, flags, mode: 0o600).release(), false)
    }

    private mutating func startRing() {
        guard let made = cl_ring_create(UInt32(max(2, depth))) else {
            path = .direct
            return
        }
        ring = made
        // RLIMIT_MEMLOCK may refuse; the ring then pins the pages of each write by itself.
        isRegistered = cl_ring_register_buffers(made, memory.base, memory.blockBytes, UInt32(memory.count)) == 0
    }

    /// Reserves `bytes` more; a file system that cannot is not asked again.
    private mutating func reserve(_ bytes: Int64) {
        guard reserved < Int64.max - bytes else { return }
        let descriptor = file.raw
        let start = off_t(reserved)
        var space = statvfs()
        // A reserve that does not fit takes all there is until it is given back, and another's write fails meanwhile.
        guard fstatvfs(descriptor, &space) == 0, space.f_frsize > 0,
            Int64(clamping: space.f_bavail) / Self.spareFactor > bytes / Int64(space.f_frsize)
        else {
            reserved = Int64.max
            return
        }
        // Too little space for the reserve may still be enough for the data, so a refusal only ends the reserving.
        guard posix_fallocate(descriptor, start, off_t(bytes)) == 0 else {
            // What there was is reserved now, and others need it: this layer's members, the next layer. Nothing of ours
            // is behind `start`.
            _ = ftruncate(descriptor, start)
            reserved = Int64.max
            return
        }
        reserved += bytes
    }

    private mutating func submit(waitFor: Int) throws(SystemError) {
        guard let ring else { return }
        while true {
            let result = cl_ring_submit(ring, UInt32(waitFor))
            if result >= 0 { return }
            guard result == -EAGAIN || result == -EBUSY else { throw SystemError("io_uring_enter", -result, name) }
            try collect()
        }
    }

    private mutating func collect() throws(SystemError) {
        guard let ring else { return }
        var failure: SystemError?
        var tag: UInt64 = 0
        var result: Int32 = 0
        while cl_ring_completion(ring, &tag, &result) == 1 {
            guard let block = Int(exactly: tag), flights.indices.contains(block), let flight = flights[block] else {
                continue
            }
            flights[block] = nil
            inFlight -= 1
            do throws(SystemError) { try land(block, flight, result) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    private mutating func land(_ block: Int, _ flight: Flight, _ result: Int32) throws(SystemError) {
        switch result {
        case Int32(flight.length):
            completed.append(block)
        case 0..., -EAGAIN, -EINTR, -EINVAL, -EOPNOTSUPP:
            try settle(block, flight, written: max(0, Int(result)))
        default:
            noteFailure(flight.offset)
            throw SystemError("write", -result, name)
        }
    }

    /// Writes the rest of a block by pwrite(2), without direct I/O where that is refused.
    private mutating func settle(_ block: Int, _ flight: Flight, written: Int) throws(SystemError) {
        var done = written
        let bytes = memory[block]
        let descriptor = file.raw
        while done < flight.length {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done..<flight.length])
            let offset = off_t(flight.offset) + off_t(done)
            let count = pwrite(descriptor, rest.baseAddress, rest.count, offset)
            if count > 0 {
                done += count
            } else if count < 0, errno == EINTR {
                continue
            } else if count < 0, errno == EINVAL, path != .buffered {
                try leaveDirect()
            } else {
                noteFailure(flight.offset)
                throw SystemError("write", count == 0 ? EIO : errno, name)
            }
        }
        completed.append(block)
    }

    private mutating func noteFailure(_ offset: Int64) { failedOffset = min(failedOffset ?? offset, offset) }

    private mutating func leaveDirect() throws(SystemError) {
        let descriptor = file.raw
        let flags = try checked("fcntl", name) { cl_fcntl_int(descriptor, F_GETFL, 0) }
        try checked("fcntl", name) { cl_fcntl_int(descriptor, F_SETFL, flags & ~cl_o_direct()) }
        path = .buffered
    }
}
