import Glibc
import Isolation
import Kernel

/// Written pieces, one after the other: lines with their line feeds, or parts of long ones.
package struct LogBatch: Sendable {
    package enum Stream: UInt8, Sendable { case stdout = 1, stderr = 2 }

    package struct Record: Sendable {
        package let stream: Stream
        /// Nanoseconds since 1970.
        package let time: Int64
        /// Of ``LogBatch/bytes``.
        package let range: Range<Int>
        /// A JSON object of what was to be written beside it.
        package var attributes: String?
    }

    package internal(set) var bytes: [UInt8] = []
    package internal(set) var records: [Record] = []
}

/// How records are laid out in a file.
enum LogFormat {
    /// Longest record in bytes: a piece of a line, every byte escaped, and its frame.
    static let recordBytesMax = 6 * LogSpec.pieceBytesMax + LogSpec.attributesBytesMax + 256

    /// Takes the whole records at the front of `bytes`; those that make no sense are skipped.
    ///
    /// - Returns: bytes used; the rest is the beginning of a record.
    static func parse(
        _ bytes: UnsafeRawBufferPointer, _ kind: LogDriver.Kind, withAttributes: Bool, into batch: inout LogBatch
    ) -> Int {
        kind == .local
            ? parseFrames(bytes, into: &batch) : parseLines(bytes, withAttributes: withAttributes, into: &batch)
    }

    private static func parseLines(
        _ bytes: UnsafeRawBufferPointer, withAttributes: Bool, into batch: inout LogBatch
    ) -> Int {
        var start = 0
        while start < bytes.count, let base = bytes.baseAddress,
            let feed = memchr(base + start, 0x0a, bytes.count - start)
        {
            let end = UnsafeRawPointer(feed) - base
            let line = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            let before = batch.bytes.count
            if let record = JSONLine(line).record(withAttributes: withAttributes, into: &batch.bytes) {
                batch.records.append(record)
            } else {
                // A torn line after a power cut.
                batch.bytes.removeSubrange(before...)
            }
            start = end + 1
        }
        return start
    }

    // MARK: Frames of `local`

    private static let blockBytes = 256 << 10

    /// Calls `body` with each whole frame at the front of `bytes`. What a full disk or a power cut has torn is passed over byte
    /// by byte, to the next frame.
    ///
    /// - Parameter body: takes where the frame's content starts, and its head.
    /// - Returns: bytes used.
    private static func eachFrame(_ bytes: UnsafeRawBufferPointer, _ body: (Int, LogFrame) -> Void) -> Int {
        var start = 0
        while bytes.count - start >= LogFrame.headerBytes {
            guard let frame = LogFrame(UnsafeRawBufferPointer(rebasing: bytes[start...])) else {
                start += 1
                continue
            }
            guard start + LogFrame.headerBytes + frame.length <= bytes.count else { break }
            start += LogFrame.headerBytes
            body(start, frame)
            start += frame.length
        }
        return start
    }

    private static func parseFrames(_ bytes: UnsafeRawBufferPointer, into batch: inout LogBatch) -> Int {
        eachFrame(bytes) { start, frame in
            let first = batch.bytes.count
            batch.bytes.append(contentsOf: bytes[start..<(start + frame.length)])
            if frame.endsLine { batch.bytes.append(0x0a) }
            batch.records.append(
                LogBatch.Record(
                    stream: frame.isStderr ? .stderr : .stdout, time: frame.time, range: first..<batch.bytes.count))
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
                }
            }
            guard used > 0 else { break }
            offset += Int64(used)
        }
        return offsets
    }
}

/// One line of a `json-file` log: `{"log":"…","stream":"stdout","attrs":{…},"time":"…"}`.
struct JSONLine {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Appends the text to `text`; nil when the line is not well formed.
    consuming func record(withAttributes: Bool, into text: inout [UInt8]) -> LogBatch.Record? {
        guard take("{") else { return nil }
        var stream: LogBatch.Stream?
        var time: Int64?
        var attributes: String?
        let start = text.count
        var end: Int?
        repeat {
            guard let key = rawString(), take(":") else { return nil }
            switch key.first {
            case UInt8(ascii: "l"):
                guard appendString(to: &text) else { return nil }
                end = text.count
            case UInt8(ascii: "s"):
                guard let value = rawString() else { return nil }
                stream = value.elementsEqual("stderr".utf8) ? .stderr : .stdout
            case UInt8(ascii: "t"):
                guard let value = rawString() else { return nil }
                time = LogTime.parse(value)
            default:
                let first = position
                guard skipValue() else { return nil }
                if withAttributes { attributes = String(decoding: bytes[first..<position], as: UTF8.self) }
            }
        } while take(",")
        guard let stream, let time, let end, take("}") else { return nil }
        return LogBatch.Record(stream: stream, time: time, range: start..<end, attributes: attributes)
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    /// A string as it is written, without its quotes; escapes are left as they are.
    private mutating func rawString() -> UnsafeRawBufferPointer? {
        guard take("\"") else { return nil }
        let start = position
        while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
            position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        guard position < bytes.count else { return nil }
        defer { position += 1 }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<position])
    }

    /// A string, or an object of strings.
    private mutating func skipValue() -> Bool {
        guard take("{") else { return rawString() != nil }
        if take("}") { return true }
        repeat {
            guard rawString() != nil, take(":"), rawString() != nil else { return false }
        } while take(",")
        return take("}")
    }

    private mutating func appendString(to text: inout [UInt8]) -> Bool {
        guard take("\"") else { return false }
        while true {
            let start = position
            while position < bytes.count, bytes[position] != UInt8(ascii: "\""), bytes[position] != UInt8(ascii: "\\") {
                position += 1
            }
            text.append(contentsOf: bytes[start..<position])
            guard position < bytes.count else { return false }
            position += 1
            if bytes[position - 1] == UInt8(ascii: "\"") { return true }
            guard position < bytes.count, appendEscape(to: &text) else { return false }
        }
    }

    private mutating func appendEscape(to text: inout [UInt8]) -> Bool {
        position += 1
        switch bytes[position - 1] {
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "u"): return appendUnicode(to: &text)
        case let other: text.append(other)
        }
        return true
    }

    private mutating func appendUnicode(to text: inout [UInt8]) -> Bool {
        guard var value = hexadecimal() else { return false }
        if (0xd800..<0xdc00).contains(value) {
            guard take("\\"), take("u"), let low = hexadecimal(), (0xdc00..<0xe000).contains(low) else { return false }
            value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(value) else { return false }
        text.append(contentsOf: Unicode.UTF8.encode(scalar).map { Array($0) } ?? [])
        return true
    }

    private mutating func hexadecimal() -> UInt32? {
        guard bytes.count - position >= 4 else { return nil }
        var value: UInt32 = 0
        for byte in bytes[position..<(position + 4)] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { return nil }
            value = value << 4 | UInt32(digit)
        }
        position += 4
        return value
    }
}

/// Times of log records, which there are millions of.
package enum LogTime {
    private static let nanoseconds: Int64 = 1_000_000_000
    private static let daySeconds: Int64 = 86_400

    /// `2026-11-23T19:04:05.123456789Z` with any number of digits after the point; other forms as ``Timestamp`` reads them.
    static func parse(_ text: UnsafeRawBufferPointer) -> Int64? {
        func number(_ start: Int, _ count: Int) -> Int64? {
            var value: Int64 = 0
            for byte in text[start..<(start + count)] {
                guard byte >= 0x30, byte <= 0x39 else { return nil }
                value = value * 10 + Int64(byte - 0x30)
            }
            return value
        }
        guard text.count >= 20, text.count <= 30, text[text.count - 1] == UInt8(ascii: "Z"),
            let year = number(0, 4), let month = number(5, 2), let day = number(8, 2), let hour = number(11, 2),
            let minute = number(14, 2), let second = number(17, 2), (1...12).contains(month), (1...31).contains(day),
            (1700...2200).contains(year), hour < 24, minute < 60, second < 61
        else { return Timestamp(String(decoding: text, as: UTF8.self))?.nanosecondsSince1970 }
        var fraction: Int64 = 0
        if text.count > 21 {
            guard let digits = number(20, text.count - 21) else { return nil }
            fraction = (0..<(30 - text.count)).reduce(digits) { value, _ in value * 10 }
        }
        let seconds = days(year, month, day) * daySeconds + hour * 3600 + minute * 60 + second
        return seconds * nanoseconds + fraction
    }

    /// Days since 1970 of a date of the Gregorian calendar, in years that begin with March.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let years = month > 2 ? year : year - 1
        let ofYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        return years * 365 + years / 4 - years / 100 + years / 400 + ofYear - 719_468
    }

    /// Always nine digits of fraction, so that columns line up.
    package static func text(_ time: Int64) -> String {
        var text = Timestamp(nanosecondsSince1970: time).text
        guard text.hasSuffix("Z") else { return text }
        text.removeLast()
        let fraction = text.firstIndex(of: ".").map { text.distance(from: $0, to: text.endIndex) - 1 }
        if fraction == nil { text += "." }
        return text + String(repeating: "0", count: max(0, 9 - (fraction ?? 0))) + "Z"
    }
}
