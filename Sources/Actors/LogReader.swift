import Glibc
import Kernel

/// Which part of a container's log is wanted.
package struct LogOptions: Sendable {
    package var stdout = true
    package var stderr = true
    package var follow = false
    /// Lines from the end; nil for all.
    package var tail: Int?
    package var since: Timestamp?
    package var until: Timestamp?

    package init() {}
}

/// One written piece: a line with its newline, or a part of a long one.
package struct LogRecord: Sendable, Hashable {
    package enum Stream: UInt8, Sendable { case stdout = 1, stderr = 2 }
    package let stream: Stream
    package let time: Timestamp
    package let bytes: [UInt8]
}

/// Reads a `json-file` log across its rotated files, oldest first, and goes on while the container writes.
package struct LogReader: Sendable {
    /// Bytes read from the file at once.
    private static let blockBytes = 256 << 10
    /// Longest line, in bytes: a 16 KiB piece, every byte escaped, and its frame.
    private static let lineBytesMax = 256 << 10
    /// How often a followed log is looked at.
    private static let pollInterval = Duration.milliseconds(40)

    private let path: String
    private let options: LogOptions
    private let isRunning: @Sendable () async -> Bool
    /// Rotated files still to read before the live one.
    private var older: [String]
    private var file: DescriptorBoxed?
    private var identity: NodeStatus.Identity?
    private var offset: Int64 = 0
    private var rest: [UInt8] = []
    private var isOver = false

    /// - Parameter isRunning: whether more may still be written.
    init(path: String, options: LogOptions, isRunning: @escaping @Sendable () async -> Bool) async throws {
        self.path = path
        self.options = options
        self.isRunning = isRunning
        older = []
        var number = 1
        while Files.exists("\(path).\(number)") {
            older.insert("\(path).\(number)", at: 0)
            number += 1
        }
        guard let tail = options.tail else { return }
        try await skip(tail: tail)
    }

    /// Positions the reader `tail` lines before the end.
    private mutating func skip(tail: Int) async throws {
        let files = older + [path]
        let found = try await BlockingPool.shared.run { () throws(SystemError) -> (index: Int, offset: Int64) in
            var missing = tail
            for index in files.indices.reversed() where Files.exists(files[index]) {
                let position = try LogTail.position(in: files[index], lines: &missing)
                if missing == 0 { return (index, position) }
            }
            return (0, 0)
        }
        guard found.index < older.count else {
            older = []
            try open(path)
            offset = found.offset
            return
        }
        try open(older[found.index])
        offset = found.offset
        older.removeFirst(found.index + 1)
        isReadingOlder = true
    }

    private var isReadingOlder = false

    private mutating func open(_ path: String) throws {
        guard Files.exists(path) else { return }
        let opened = try OwnedFD.open(path, O_RDONLY)
        identity = try opened.nodeStatus().identity
        file = DescriptorBoxed(opened)
        offset = 0
        rest = []
    }

    /// The next records, at least one; nil at the end of the log.
    package mutating func next() async throws -> [LogRecord]? {
        while !isOver {
            try Task.checkCancellation()
            let wasRunning = await isRunning()
            if file == nil { try advance() }
            let records = try await readBlock()
            if !records.isEmpty { return records }
            if isOver { return nil }
            if file == nil || isAtEnd {
                if try advance() { continue }
                guard options.follow, wasRunning else { return nil }
                try await Task.sleep(for: Self.pollInterval)
            }
        }
        return nil
    }

    private var isAtEnd = false

    /// Opens the next file, if there is one: an older one, or the live one after a rotation.
    @discardableResult
    private mutating func advance() throws -> Bool {
        if !older.isEmpty {
            try open(older.removeFirst())
            isReadingOlder = true
            return true
        }
        guard Files.exists(path) else { return false }
        let current = try OwnedFD.open(path, O_RDONLY).nodeStatus().identity
        if file == nil || isReadingOlder || current != identity {
            isReadingOlder = false
            try open(path)
            return file != nil
        }
        return false
    }

    private mutating func readBlock() async throws -> [LogRecord] {
        isAtEnd = true
        guard let file else { return [] }
        let position = offset
        let block = try await BlockingPool.shared.run { () throws(SystemError) -> [UInt8] in
            var buffer = [UInt8](repeating: 0, count: Self.blockBytes)
            var failure: SystemError?
            let count = buffer.withUnsafeMutableBytes { bytes in
                do throws(SystemError) { return try file.descriptor.read(into: bytes, at: position) } catch {
                    failure = error
                    return 0
                }
            }
            if let failure { throw failure }
            return Array(buffer[..<count])
        }
        guard !block.isEmpty else { return [] }
        isAtEnd = false
        offset += Int64(block.count)
        return lines(in: block)
    }

    private mutating func lines(in block: [UInt8]) -> [LogRecord] {
        var records: [LogRecord] = []
        rest += block
        var start = 0
        while let newline = rest[start...].firstIndex(of: 0x0a) {
            if let record = LogLine.parse(rest[start..<newline]), let wanted = filtered(record) {
                records.append(wanted)
            }
            start = newline + 1
            if isOver { break }
        }
        rest.removeFirst(start)
        if rest.count > Self.lineBytesMax { rest = [] }
        return records
    }

    private mutating func filtered(_ record: LogRecord) -> LogRecord? {
        if let until = options.until, record.time > until {
            isOver = true
            return nil
        }
        if let since = options.since, record.time < since { return nil }
        return (record.stream == .stdout ? options.stdout : options.stderr) ? record : nil
    }
}

/// A descriptor shared by a reader's copies.
final class DescriptorBoxed: Sendable {
    let descriptor: OwnedFD
    init(_ descriptor: consuming OwnedFD) { self.descriptor = descriptor }
}

/// Finds the last lines of a file from its end.
enum LogTail {
    private static let blockBytes = 64 << 10

    /// The offset at which the last `lines` lines of `path` start. Lines found are subtracted from `lines`.
    static func position(in path: String, lines: inout Int) throws(SystemError) -> Int64 {
        let file = try OwnedFD.open(path, O_RDONLY)
        let size = try file.nodeStatus().size
        guard lines > 0 else { return size }
        var end = size
        var buffer = [UInt8](repeating: 0, count: blockBytes)
        while end > 0 {
            let start = max(0, end - Int64(blockBytes))
            let wanted = Int(end - start)
            var failure: SystemError?
            buffer.withUnsafeMutableBytes { bytes in
                do throws(SystemError) {
                    _ = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<wanted]), at: start)
                } catch { failure = error }
            }
            if let failure { throw failure }
            for index in (0..<wanted).reversed() where buffer[index] == 0x0a && start + Int64(index) != size - 1 {
                lines -= 1
                if lines == 0 { return start + Int64(index) + 1 }
            }
            end = start
        }
        if size > 0 { lines -= 1 }
        return 0
    }
}

/// One line of a `json-file` log: `{"log":"…","stream":"stdout","time":"…"}`.
enum LogLine {
    /// The record, or nil for a line that is not well formed (a torn last line after a power cut).
    static func parse(_ line: ArraySlice<UInt8>) -> LogRecord? {
        var scanner = Scanner(bytes: line)
        guard scanner.take(0x7b) else { return nil }
        var log: [UInt8]?
        var stream: LogRecord.Stream?
        var time: Timestamp?
        while let key = scanner.string() {
            guard scanner.take(0x3a), let value = scanner.string() else { return nil }
            switch String(decoding: key, as: UTF8.self) {
            case "log": log = value
            case "stream": stream = value == Array("stderr".utf8) ? .stderr : .stdout
            case "time": time = Timestamp(String(decoding: value, as: UTF8.self))
            default: break
            }
            if !scanner.take(0x2c) { break }
        }
        guard let log, let stream, let time else { return nil }
        return LogRecord(stream: stream, time: time, bytes: log)
    }

    /// Strings and punctuation of one JSON object.
    private struct Scanner {
        var bytes: ArraySlice<UInt8>

        mutating func take(_ byte: UInt8) -> Bool {
            guard bytes.first == byte else { return false }
            bytes.removeFirst()
            return true
        }

        mutating func string() -> [UInt8]? {
            guard take(0x22) else { return nil }
            var result: [UInt8] = []
            while let byte = bytes.popFirst() {
                if byte == 0x22 { return result }
                guard byte == 0x5c else {
                    result.append(byte)
                    continue
                }
                guard let escape = bytes.popFirst(), appendEscape(escape, to: &result) else { return nil }
            }
            return nil
        }

        private mutating func appendEscape(_ escape: UInt8, to result: inout [UInt8]) -> Bool {
            switch escape {
            case 0x6e: result.append(0x0a)
            case 0x72: result.append(0x0d)
            case 0x74: result.append(0x09)
            case 0x62: result.append(0x08)
            case 0x66: result.append(0x0c)
            case 0x75: return appendUnicode(to: &result)
            default: result.append(escape)
            }
            return true
        }

        private mutating func appendUnicode(to result: inout [UInt8]) -> Bool {
            guard var value = hexadecimal() else { return false }
            if (0xd800..<0xdc00).contains(value) {
                guard take(0x5c), take(0x75), let low = hexadecimal(), (0xdc00..<0xe000).contains(low) else {
                    return false
                }
                value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(value) else { return false }
            result.append(contentsOf: Array(String(Character(scalar)).utf8))
            return true
        }

        private mutating func hexadecimal() -> UInt32? {
            guard bytes.count >= 4 else { return nil }
            defer { bytes.removeFirst(4) }
            return UInt32(String(decoding: bytes.prefix(4), as: UTF8.self), radix: 16)
        }
    }
}
