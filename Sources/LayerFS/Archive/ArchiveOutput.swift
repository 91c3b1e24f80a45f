import CLinux
import Glibc
package import Kernel

/// Where an archive goes: a file or a pipe, from where that stands. Content of large files does not pass through this process
/// unless it is compressed: copy_file_range(2) into a file, splice(2) into a pipe.
///
/// A pipe is never waited for longer than it takes to look whether the move was stopped.
package struct ArchiveOutput: ~Copyable {
    private enum Target { case file, pipe }

    /// Bytes moved by one call: between two of them the move can be stopped.
    private static let stepBytes = 8 << 20
    private static let bufferBytes = 256 << 10

    private let descriptor: OwnedFD
    private let target: Target
    private let skip: UInt64
    private let move: BulkMove
    private var encoder: Encoder?
    /// False once the kernel has refused to move content by itself.
    private var movesInKernel: Bool
    private let buffer: UnsafeMutableRawBufferPointer
    /// Bytes of the plain archive, those that were skipped included.
    private var position: UInt64 = 0

    /// - Parameters:
    ///   - descriptor: a file or a pipe, open for writing.
    ///   - skip: bytes of the archive's beginning that are not written, because they are there already.
    /// - Throws: `LayerError` for a compression that is only read.
    package init(
        to descriptor: consuming OwnedFD, compression: Compression = .identity, skip: UInt64 = 0, move: BulkMove
    ) throws(LayerError) {
        var encoder: Encoder?
        if compression != .identity { encoder = try Encoder(compression) }
        let isFile: Bool
        let ready: OwnedFD
        do throws(SystemError) {
            isFile = try descriptor.nodeStatus().kind == .file
            ready = try Self.ready(descriptor, isFile: isFile)
        } catch { throw LayerError(error, "writing the archive") }
        self.descriptor = ready
        target = isFile ? .file : .pipe
        self.encoder = encoder
        self.skip = skip
        self.move = move
        movesInKernel = compression == .identity
        buffer = .allocate(byteCount: Self.bufferBytes, alignment: 4096)
    }

    deinit { buffer.deallocate() }

    /// A pipe is opened once more, since whether it waits is a matter of everybody who has it from the same opening.
    private static func ready(_ descriptor: consuming OwnedFD, isFile: Bool) throws(SystemError) -> OwnedFD {
        if isFile { return descriptor }
        Pipe.widen(descriptor)
        return try descriptor.reopen(O_WRONLY | O_NONBLOCK)
    }

    /// Writes bytes of the archive.
    mutating func write(_ bytes: UnsafeRawBufferPointer) throws(LayerError) {
        let skipped = Int(min(UInt64(bytes.count), skip > position ? skip - position : 0))
        position += UInt64(bytes.count)
        let rest = UnsafeRawBufferPointer(rebasing: bytes[skipped...])
        guard var encoder = encoder.take() else { return try send(rest) }
        do throws(LayerError) {
            try encoder.write(rest) { (part) throws(LayerError) in try send(part) }
            self.encoder = consume encoder
        } catch {
            self.encoder = consume encoder
            throw error
        }
    }

    mutating func write(_ bytes: [UInt8]) throws(LayerError) {
        let result: Result<Void, LayerError> = bytes.withUnsafeBytes { part in
            do throws(LayerError) { return .success(try write(part)) } catch { return .failure(error) }
        }
        try result.get()
    }

    mutating func zeros(_ count: UInt64) throws(LayerError) {
        guard count > 0 else { return }
        UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(count, UInt64(buffer.count)))]).initializeMemory(
            as: UInt8.self, repeating: 0)
        var rest = count
        while rest > 0 {
            let part = UnsafeRawBufferPointer(rebasing: buffer[..<Int(min(rest, UInt64(buffer.count)))])
            try write(part)
            rest -= UInt64(part.count)
        }
    }

    /// Writes a range of a file; one that has shrunk meanwhile is filled with zeros.
    mutating func content(of file: borrowing OwnedFD, _ range: Range<UInt64>, _ name: [UInt8]) throws(LayerError) {
        var offset = range.lowerBound
        if skip > position {
            let skipped = min(skip - position, UInt64(range.count))
            offset += skipped
            position += skipped
            move.add(Int(skipped))
        }
        while offset < range.upperBound {
            try check()
            let room = Int(min(range.upperBound - offset, UInt64(Self.stepBytes)))
            guard movesInKernel else {
                let count = try readPart(of: file, at: offset, room, name)
                guard count > 0 else { break }
                move.add(count)
                offset += UInt64(count)
                continue
            }
            let count =
                target == .file
                ? cl_append_range(file.raw, Int64(offset), descriptor.raw, room)
                : cl_splice_file(file.raw, Int64(offset), descriptor.raw, room)
            if count == 0 { break }
            guard count > 0 else {
                try handle(errno)
                continue
            }
            position += UInt64(count)
            offset += UInt64(count)
            move.add(count)
        }
        try zeros(range.upperBound - offset)
    }

    /// After a refusal of the kernel to move content: waits for the pipe, or gives the kernel up.
    private mutating func handle(_ code: CInt) throws(LayerError) {
        switch code {
        case EINTR: return
        case EAGAIN where target == .pipe: try waitForRoom()
        case EINVAL, EXDEV, EOPNOTSUPP, ENOSYS, EBADF, EPERM, ETXTBSY: movesInKernel = false
        default:
            throw LayerError(SystemError(target == .file ? "copy_file_range" : "splice", code), "writing the archive")
        }
    }

    private mutating func readPart(
        of file: borrowing OwnedFD, at offset: UInt64, _ room: Int, _ name: [UInt8]
    ) throws(LayerError) -> Int {
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(room, buffer.count)])
        let count: Int
        do throws(SystemError) { count = try file.read(into: part, at: Int64(offset)) } catch {
            throw LayerError(error, "reading \(NodeName.text(name))")
        }
        try write(UnsafeRawBufferPointer(rebasing: part[..<count]))
        return count
    }

    /// Ends the archive: two empty blocks, and the end of the compressed stream.
    mutating func finish() throws(LayerError) {
        try zeros(2 * UInt64(PAXHeader.blockBytes))
        guard var encoder = encoder.take() else { return }
        try encoder.finish { (part) throws(LayerError) in try send(part) }
    }

    private func check() throws(LayerError) {
        do throws(SystemError) { try move.check() } catch { throw Self.told(error) }
    }

    private func send(_ bytes: UnsafeRawBufferPointer) throws(LayerError) {
        do throws(SystemError) { try move.write(bytes, to: descriptor) } catch { throw Self.told(error) }
    }

    private func waitForRoom() throws(LayerError) {
        do throws(SystemError) { try move.waitForRoom(in: descriptor) } catch { throw Self.told(error) }
    }

    private static func told(_ error: SystemError) -> LayerError {
        error.code == ECANCELED
            ? LayerError(.cancelled, "the archive was cancelled", cause: error)
            : LayerError(error, "writing the archive")
    }
}
