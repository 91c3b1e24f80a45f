import Glibc
import Isolation
import Kernel

/// How records are laid out in a file.
enum LogFormat {
    /// Longest record in bytes: a piece of a line, every byte escaped, and its frame.
    static let recordBytesMax = 6 * LogSpec.pieceBytesMax + LogSpec.attributesBytesMax + 256

    /// Gives `sink` the whole records at the front of `bytes`, until it is full; those that make no sense are skipped.
    ///
    /// - Returns: bytes used; the rest is the beginning of a record, or has not been looked at.
    static func parse(_ bytes: UnsafeRawBufferPointer, _ kind: LogDriver.Kind, into sink: inout LogSink) -> Int {
        kind == .local ? parseFrames(bytes, into: &sink) : parseLines(bytes, into: &sink)
    }

    private static func parseLines(_ bytes: UnsafeRawBufferPointer, into sink: inout LogSink) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        var start = 0
        var times = LogTime.Parser()
        while !sink.isOver, let feed = memchr(base + start, 0x0a, bytes.count - start) {
            let end = UnsafeRawPointer(feed) - base
            guard sink.begin(bytesMax: end - start) else { break }
            var line = JSONLine(UnsafeRawBufferPointer(start: base + start, count: end - start))
            guard line.read(into: &sink, &times) else { break }
            start = end + 1
        }
        return start
    }

    // MARK: Frames of `local`

    private static let blockBytes = 256 << 10

    /// Calls `body` with each whole frame at the front of `bytes` while it returns true. What a full disk or a power cut has
    /// torn is passed over byte by byte, to the next frame.
    ///
    /// - Parameter body: takes where the frame's content starts, and its head.
    /// - Returns: bytes used.
    private static func eachFrame(_ bytes: UnsafeRawBufferPointer, _ body: (Int, LogFrame) -> Bool) -> Int {
        var start = 0
        while bytes.count - start >= LogFrame.headerBytes {
            guard let frame = LogFrame(UnsafeRawBufferPointer(rebasing: bytes[start...])) else {
                start += 1
                continue
            }
            let content = start + LogFrame.headerBytes
            guard frame.length <= bytes.count - content, body(content, frame) else { break }
            start = content + frame.length
        }
        return start
    }

    private static func parseFrames(_ bytes: UnsafeRawBufferPointer, into sink: inout LogSink) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        return eachFrame(bytes) { start, frame in
            guard !sink.isOver, sink.begin(bytesMax: frame.length + 1) else { return false }
            sink.append(base + start, frame.length)
            if frame.endsLine { sink.append(0x0a) }
            return sink.finish(frame.isStderr ? .stderr : .stdout, time: frame.time, attributes: none)
        }
    }

    /// Where each frame of a file starts. Blocking.
    static func frameOffsets(_ file: borrowing OwnedFD, _ size: Int64) throws(SystemError) -> [Int64] {
        var offsets: [Int64] = []
        var offset: Int64 = 0
        var block = [UInt8](repeating: 0, count: blockBytes)
        while offset < size {
            let (raw, position) = (file.raw, offset)
            let count = try checked("pread") { pread(raw, &block, blockBytes, off_t(position)) }
            let used = block.withUnsafeBytes { bytes in
                eachFrame(UnsafeRawBufferPointer(rebasing: bytes[..<count])) { start, _ in
                    offsets.append(position + Int64(start - LogFrame.headerBytes))
                    return true
                }
            }
            guard used > 0 else { break }
            offset += Int64(used)
        }
        return offsets
    }
}
