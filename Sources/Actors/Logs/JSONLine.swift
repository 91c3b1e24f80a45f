import Glibc

/// One line of a `json-file` log: `{"log":"…","stream":"stdout","attrs":{…},"time":"…"}`.
struct JSONLine {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Gives `sink` the record, which it has begun; one that is not well formed is left out.
    ///
    /// - Returns: false where the sink had no room.
    mutating func read(into sink: inout LogSink, _ times: inout LogTime.Parser) -> Bool {
        if let (stream, time) = usual(into: &sink, &times) {
            return sink.finish(stream, time: time, attributes: UnsafeRawBufferPointer(start: nil, count: 0))
        }
        position = 0
        sink.restart()
        return any(into: &sink, &times)
    }

    // MARK: As nearly every line is

    private static let opening = Array(#"{"log":""#.utf8)
    private static let outEnding = Array(#","stream":"stdout","time":""#.utf8)
    private static let errEnding = Array(#","stream":"stderr","time":""#.utf8)

    private mutating func usual(
        into sink: inout LogSink, _ times: inout LogTime.Parser
    ) -> (LogSink.Stream, Int64)? {
        guard take(Self.opening), appendRest(to: &sink) else { return nil }
        let stream: LogSink.Stream
        if take(Self.outEnding) {
            stream = .stdout
        } else {
            guard take(Self.errEnding) else { return nil }
            stream = .stderr
        }
        let end = bytes.count - 2
        guard end > position, bytes[end] == UInt8(ascii: "\""), bytes[end + 1] == UInt8(ascii: "}"),
            let time = times.parse(UnsafeRawBufferPointer(rebasing: bytes[position..<end]))
        else { return nil }
        return (stream, time)
    }

    private mutating func take(_ text: [UInt8]) -> Bool {
        guard let base = bytes.baseAddress, bytes.count - position >= text.count,
            text.withUnsafeBytes({ $0.baseAddress.map { memcmp(base + position, $0, text.count) == 0 } ?? true })
        else { return false }
        position += text.count
        return true
    }

    // MARK: In any form

    private mutating func any(into sink: inout LogSink, _ times: inout LogTime.Parser) -> Bool {
        var stream: LogSink.Stream?
        var time: Int64?
        var attributes = UnsafeRawBufferPointer(start: nil, count: 0)
        var hasText = false
        guard take("{") else { return true }
        repeat {
            guard let key = rawString(), take(":") else { return true }
            switch key.first {
            case UInt8(ascii: "l"):
                sink.restart()
                guard take("\""), appendRest(to: &sink) else { return true }
                hasText = true
            case UInt8(ascii: "s"):
                guard let value = rawString() else { return true }
                stream = value.elementsEqual("stderr".utf8) ? .stderr : .stdout
            case UInt8(ascii: "t"):
                guard let value = rawString() else { return true }
                time = times.parse(value)
            default:
                let first = position
                guard skipValue() else { return true }
                attributes = UnsafeRawBufferPointer(rebasing: bytes[first..<position])
            }
        } while take(",")
        guard let stream, let time, hasText, take("}") else { return true }
        return sink.finish(stream, time: time, attributes: attributes)
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

    // MARK: Text

    /// The string from behind its first quote to behind its last, which comes soon, since most text has few quotes.
    private mutating func appendRest(to sink: inout LogSink) -> Bool {
        guard let base = bytes.baseAddress else { return false }
        while let found = memchr(base + position, Int32(UInt8(ascii: "\"")), bytes.count - position) {
            let quote = UnsafeRawPointer(found) - base
            while position <= quote {
                guard let escape = memchr(base + position, Int32(UInt8(ascii: "\\")), quote - position) else {
                    sink.append(base + position, quote - position)
                    position = quote + 1
                    return true
                }
                let length = UnsafeRawPointer(escape) - (base + position)
                sink.append(base + position, length)
                position += length + 1
                guard position < bytes.count, appendEscape(to: &sink) else { return false }
            }
        }
        return false
    }

    private mutating func appendEscape(to sink: inout LogSink) -> Bool {
        position += 1
        switch bytes[position - 1] {
        case UInt8(ascii: "n"): sink.append(0x0a)
        case UInt8(ascii: "r"): sink.append(0x0d)
        case UInt8(ascii: "t"): sink.append(0x09)
        case UInt8(ascii: "b"): sink.append(0x08)
        case UInt8(ascii: "f"): sink.append(0x0c)
        case UInt8(ascii: "u"): return appendUnicode(to: &sink)
        case let other: sink.append(other)
        }
        return true
    }

    private mutating func appendUnicode(to sink: inout LogSink) -> Bool {
        guard var value = hexadecimal() else { return false }
        if (0xd800..<0xdc00).contains(value) {
            guard take("\\"), take("u"), let low = hexadecimal(), (0xdc00..<0xe000).contains(low) else { return false }
            value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(value) else { return false }
        for byte in String(scalar).utf8 { sink.append(byte) }
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
