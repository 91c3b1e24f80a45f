package import Kernel

/// Writes a tar archive (PAX interchange format) through one reused buffer to a sink.
///
/// The same entries and bytes give the same archive. After ``finish()`` nothing may be added; a writer that is dropped without
/// it leaves an archive without its end, which every reader reports as cut.
package struct TarWriter: ~Copyable {
    /// Takes each full buffer; the bytes are valid during the call only.
    package typealias Sink = (UnsafeRawBufferPointer) throws(LayerError) -> Void

    /// Bytes handed to the sink at once: a thread or pipe hand-over costs as much as copying this much.
    package static let bufferBytes = 256 << 10
    /// Zero bytes that end an archive: two blocks.
    private static let trailerBytes = 1024

    private let sink: Sink
    private let buffer: UnsafeMutableRawBufferPointer
    private var used = 0

    package init(sink: @escaping Sink) {
        self.sink = sink
        buffer = .allocate(byteCount: Self.bufferBytes, alignment: 4096)
    }

    deinit { buffer.deallocate() }

    /// Writes the header of a member without content.
    package mutating func append(_ entry: LayerEntry) throws(LayerError) {
        try write(PAXHeader.encode(entry, size: 0))
    }

    /// Writes a file of `entry.size` bytes from `file`, sparse parts as zeros.
    ///
    /// The header has promised the size: a file that shrinks meanwhile is filled with zeros, one that grows is cut.
    package mutating func append(_ entry: LayerEntry, content file: borrowing OwnedFD) throws(LayerError) {
        try write(PAXHeader.encode(entry, size: entry.size))
        var offset: UInt64 = 0
        while offset < entry.size {
            if used == buffer.count { try flush() }
            let room = Int(min(UInt64(buffer.count - used), entry.size - offset))
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[used..<(used + room)])
            let count: Int
            do throws(SystemError) {
                count = try file.read(into: target, at: Int64(offset))
            } catch { throw LayerError(error, "reading \(NodeName.text(entry.path))") }
            if count == 0 { break }
            used += count
            offset += UInt64(count)
        }
        try zeros(entry.size - offset)
        try zeros(UInt64(PAXHeader.padding(after: entry.size)))
    }

    /// Ends the archive and hands over the last bytes.
    package mutating func finish() throws(LayerError) {
        try zeros(UInt64(Self.trailerBytes))
        try flush()
    }

    private mutating func write(_ bytes: [UInt8]) throws(LayerError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            if used == buffer.count { try flush() }
            let part = rest.prefix(buffer.count - used)
            UnsafeMutableRawBufferPointer(rebasing: buffer[used...]).copyBytes(from: part)
            used += part.count
            rest = rest.dropFirst(part.count)
        }
    }

    private mutating func zeros(_ count: UInt64) throws(LayerError) {
        var rest = count
        while rest > 0 {
            if used == buffer.count { try flush() }
            let part = Int(min(UInt64(buffer.count - used), rest))
            UnsafeMutableRawBufferPointer(rebasing: buffer[used..<(used + part)]).initializeMemory(
                as: UInt8.self, repeating: 0)
            used += part
            rest -= UInt64(part)
        }
    }

    private mutating func flush() throws(LayerError) {
        guard used > 0 else { return }
        try sink(UnsafeRawBufferPointer(rebasing: buffer[..<used]))
        used = 0
    }
}
