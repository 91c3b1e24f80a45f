@preconcurrency import Glibc

/// One member of a tar archive: POSIX ustar with PAX records where ustar has no room.
struct TarMember: Equatable {
    /// Bytes of a header and of the unit contents are padded to.
    static let block = 512
    /// Most bytes of a PAX or GNU long-name record taken into memory; real ones stay below PATH_MAX.
    static let recordBytesMax = 1 << 20

    /// What the member makes; the raw values are ustar's type flags.
    enum Kind: UInt8 {
        case file = 0x30, hardLink = 0x31, symbolicLink = 0x32, characterDevice = 0x33, blockDevice = 0x34
        case folder = 0x35, fifo = 0x36
    }

    var name: String
    var kind: Kind
    /// Permission bits with set-uid, set-gid and sticky.
    var mode: mode_t
    var owner: UInt32 = 0
    var group: UInt32 = 0
    /// Bytes of content behind the header; only files have any.
    var size: Int64 = 0
    /// Seconds since 1970.
    var modified: Int64 = 0
    /// Target of a hard or symbolic link.
    var link = ""
    var deviceMajor: UInt32 = 0
    var deviceMinor: UInt32 = 0

    /// Bytes behind a content of `size` bytes up to the next block.
    static func padding(_ size: Int64) -> Int { Int((512 - size % 512) % 512) }

    /// The header, with a PAX header before it when a field does not fit ustar.
    func encoded() -> [UInt8] {
        var records: [UInt8] = []
        if name.utf8.count > 100 || !name.utf8.allSatisfy({ $0 < 0x80 }) { records += Self.record("path", name) }
        if link.utf8.count > 100 || !link.utf8.allSatisfy({ $0 < 0x80 }) { records += Self.record("linkpath", link) }
        if size > 0o77_777_777_777 { records += Self.record("size", String(size)) }
        if owner > 0o7_777_777 { records += Self.record("uid", String(owner)) }
        if group > 0o7_777_777 { records += Self.record("gid", String(group)) }
        if modified < 0 || modified > 0o77_777_777_777 { records += Self.record("mtime", String(modified)) }
        guard !records.isEmpty else { return header() }
        var extra = TarMember(
            name: "PaxHeaders.0/" + (name.split(separator: "/").last.map(String.init) ?? ""), kind: .file, mode: 0)
        extra.size = Int64(records.count)
        return extra.header(type: UInt8(ascii: "x")) + records
            + [UInt8](repeating: 0, count: Self.padding(extra.size)) + header()
    }

    /// One PAX record: its own length in decimal, a space, `key=value`, a newline.
    private static func record(_ key: String, _ value: String) -> [UInt8] {
        let rest = " \(key)=\(value)\n"
        var length = rest.utf8.count
        while String(length).utf8.count + rest.utf8.count != length {
            length = String(length).utf8.count + rest.utf8.count
        }
        return Array("\(length)\(rest)".utf8)
    }

    private func header(type: UInt8? = nil) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Self.block)
        func put(_ text: some Collection<UInt8>, _ offset: Int, _ width: Int) {
            for (index, byte) in text.prefix(width).enumerated() { bytes[offset + index] = byte }
        }
        func octal(_ value: UInt64, _ offset: Int, _ width: Int) {
            let digits = String(value, radix: 8).utf8
            let fitting = digits.count < width ? Array(digits) : Array("0".utf8)
            put(Array(repeating: 0x30, count: width - 1 - fitting.count) + fitting, offset, width)
        }
        put(name.utf8, 0, 100)
        octal(UInt64(mode & 0o7777), 100, 8)
        octal(UInt64(owner), 108, 8)
        octal(UInt64(group), 116, 8)
        octal(UInt64(max(size, 0)), 124, 12)
        octal(UInt64(max(modified, 0)), 136, 12)
        bytes[156] = type ?? kind.rawValue
        put(link.utf8, 157, 100)
        put("ustar\u{0}00".utf8, 257, 8)
        octal(UInt64(deviceMajor), 329, 8)
        octal(UInt64(deviceMinor), 337, 8)
        put([UInt8](repeating: 0x20, count: 8), 148, 8)
        let sum = bytes.reduce(UInt64(0)) { $0 + UInt64($1) }
        octal(sum, 148, 7)
        return bytes
    }
}

/// Reads a tar stream member by member: ustar, PAX records, GNU long names and base-256 numbers.
struct TarReader {
    private let source: () throws(CLIError) -> [UInt8]
    private var buffer: [UInt8] = []
    private var start = 0
    private var left: Int64 = 0
    private var padding = 0

    /// - Parameter source: gives the next piece of the stream, empty at its end.
    init(_ source: @escaping () throws(CLIError) -> [UInt8]) { self.source = source }

    /// The next member, past what is left of the last one's content; `nil` at the end of the archive.
    mutating func next() throws(CLIError) -> TarMember? {
        while left > 0 { _ = try content() }
        try skip(padding)
        padding = 0
        var records: [String: String] = [:]
        while let header = try block() {
            let size = try Self.number(header[124..<136])
            guard size >= 0 else { throw CLIError("archive/tar: invalid tar header") }
            switch header[156] {
            case UInt8(ascii: "x"): records.merge(try Self.pax(try record(size))) { $1 }
            case UInt8(ascii: "g"): _ = try record(size)
            case UInt8(ascii: "L"): records["path"] = Self.text(try record(size)[...])
            case UInt8(ascii: "K"): records["linkpath"] = Self.text(try record(size)[...])
            default:
                let member = try Self.member(header, size, records)
                left = member.kind == .file ? member.size : 0
                padding = member.kind == .file ? TarMember.padding(member.size) : 0
                return member
            }
        }
        return nil
    }

    /// The next piece of the current member's content; empty at its end.
    mutating func content() throws(CLIError) -> ArraySlice<UInt8> {
        guard left > 0 else { return [] }
        if start == buffer.count { try fill() }
        let count = Int(min(left, Int64(buffer.count - start)))
        defer {
            start += count
            left -= Int64(count)
        }
        return buffer[start..<(start + count)]
    }

    /// Reads on to the end of the stream, so that its connection can be used again.
    mutating func drain() throws(CLIError) { while try !source().isEmpty {} }

    private mutating func fill() throws(CLIError) {
        buffer = try source()
        start = 0
        guard !buffer.isEmpty else { throw CLIError("unexpected EOF") }
    }

    /// The next header; `nil` at the zero block or the end of the stream.
    private mutating func block() throws(CLIError) -> [UInt8]? {
        if start == buffer.count {
            buffer = try source()
            start = 0
            guard !buffer.isEmpty else { return nil }
        }
        let header = try take(TarMember.block)
        guard header.contains(where: { $0 != 0 }) else { return nil }
        let stated = try Self.number(header[148..<156])
        let sum = header.enumerated().reduce(Int64(0)) {
            $0 + Int64((148..<156).contains($1.offset) ? 0x20 : $1.element)
        }
        guard sum == stated else { throw CLIError("archive/tar: invalid tar header") }
        return header
    }

    private mutating func take(_ count: Int) throws(CLIError) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(count)
        while out.count < count {
            if start == buffer.count { try fill() }
            let end = min(buffer.count, start + count - out.count)
            out += buffer[start..<end]
            start = end
        }
        return out
    }

    private mutating func skip(_ count: Int) throws(CLIError) { _ = try take(count) }

    private mutating func record(_ size: Int64) throws(CLIError) -> [UInt8] {
        guard size <= Int64(TarMember.recordBytesMax) else { throw CLIError("archive/tar: header field too long") }
        let bytes = try take(Int(size))
        try skip(TarMember.padding(size))
        return bytes
    }

    private static func text(_ field: ArraySlice<UInt8>) -> String {
        String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
    }

    /// An octal field, or GNU's base 256 when the highest bit is set.
    private static func number(_ field: ArraySlice<UInt8>) throws(CLIError) -> Int64 {
        if let first = field.first, first & 0x80 != 0 {
            guard first & 0x40 == 0, field.dropFirst().dropLast(8).allSatisfy({ $0 == 0 }) else { return -1 }
            let value = field.suffix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return Int64(exactly: field.count <= 8 ? value & 0x7f_ffff_ffff_ffff : value) ?? -1
        }
        let digits = text(field).trimmed
        guard let value = digits.isEmpty ? 0 : Int64(digits, radix: 8) else {
            throw CLIError("archive/tar: invalid tar header")
        }
        return value
    }

    private static func pax(_ bytes: [UInt8]) throws(CLIError) -> [String: String] {
        var records: [String: String] = [:]
        var rest = bytes[...]
        while let space = rest.firstIndex(of: 0x20) {
            guard let length = Int(String(decoding: rest[..<space], as: UTF8.self)), length <= rest.count,
                rest.startIndex + length > space + 1
            else { throw CLIError("archive/tar: invalid tar header") }
            let line = String(decoding: rest[(space + 1)..<(rest.startIndex + length - 1)], as: UTF8.self)
            let (key, value) = line.cut("=")
            records[key] = value ?? ""
            rest = rest.dropFirst(length)
        }
        return records
    }

    private static func member(
        _ header: [UInt8], _ size: Int64, _ records: [String: String]
    ) throws(CLIError) -> TarMember {
        var name = text(header[0..<100])
        let isUstar = Array(header[257..<263]) == Array("ustar\u{0}".utf8)
        let prefix = isUstar ? text(header[345..<500]) : ""
        if !prefix.isEmpty { name = "\(prefix)/\(name)" }
        name = records["path"] ?? name
        let flag = header[156]
        var kind = TarMember.Kind(rawValue: flag) ?? .file
        if flag == 0, name.hasSuffix("/") { kind = .folder }
        func whole(_ key: String, _ fallback: Int64) -> Int64 {
            records[key].flatMap { Int64($0.cut(".").0) } ?? fallback
        }
        let length = whole("size", size)
        guard length >= 0 else { throw CLIError("archive/tar: invalid tar header") }
        return TarMember(
            name: name, kind: kind, mode: mode_t(truncatingIfNeeded: try number(header[100..<108])) & 0o7777,
            owner: UInt32(truncatingIfNeeded: whole("uid", try number(header[108..<116]))),
            group: UInt32(truncatingIfNeeded: whole("gid", try number(header[116..<124]))), size: length,
            modified: whole("mtime", try number(header[136..<148])),
            link: records["linkpath"] ?? text(header[157..<257]),
            deviceMajor: UInt32(truncatingIfNeeded: try number(header[329..<337])),
            deviceMinor: UInt32(truncatingIfNeeded: try number(header[337..<345])))
    }
}
