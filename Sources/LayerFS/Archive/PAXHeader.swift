/// Encodes one member's header in the PAX interchange format (POSIX.1-2008, pax): a ustar block, preceded by an extended header
/// for whatever does not fit into it.
enum PAXHeader {
    static let blockBytes = 512
    /// Largest values of the ustar fields: seven and eleven octal digits.
    private static let smallMax: UInt64 = 0o7777777
    private static let largeMax: UInt64 = 0o77777777777
    private static let nameBytes = 100

    /// The blocks that stand before the content of `entry`.
    ///
    /// - Parameters:
    ///   - size: bytes of content that follow.
    ///   - expandedSize: of a sparse file, whose content that follows is a ``SparseMap`` and the data it tells of.
    static func encode(_ entry: LayerEntry, size: UInt64, expandedSize: UInt64? = nil) -> [UInt8] {
        var name = expandedSize == nil ? entry.path : SparseMap.memberName(entry.path)
        if entry.kind == .directory, name.last != UInt8(ascii: "/") { name.append(UInt8(ascii: "/")) }
        var records = extendedRecords(entry, name: name, size: size)
        if let expandedSize {
            for (key, value) in [
                ("major", [UInt8(ascii: "1")]), ("minor", [UInt8(ascii: "0")]), ("name", entry.path),
                ("realsize", Array(String(expandedSize).utf8)),
            ] { records.append((Array("GNU.sparse.\(key)".utf8), value)) }
        }
        var result: [UInt8] = []
        if !records.isEmpty {
            var body: [UInt8] = []
            for (key, value) in records.sorted(by: { $0.0.lexicographicallyPrecedes($1.0) }) {
                body += record(key: key, value: value)
            }
            let header = Fields(
                name: Array(Array("PaxHeaders.0/".utf8) + baseName(entry.path)), type: "x", size: UInt64(body.count))
            result += block(header)
            result += body
            result += [UInt8](repeating: 0, count: padding(after: UInt64(body.count)))
        }
        var fields = Fields(name: name, type: type(of: entry.kind), size: size)
        fields.mode = UInt64(entry.mode)
        fields.uid = UInt64(entry.uid)
        fields.gid = UInt64(entry.gid)
        fields.mtime = entry.mtimeSeconds < 0 ? 0 : UInt64(entry.mtimeSeconds)
        fields.link = entry.linkTarget
        if entry.kind == .character || entry.kind == .block {
            fields.device = (UInt64(entry.deviceMajor), UInt64(entry.deviceMinor))
        }
        return result + block(fields)
    }

    /// Zero bytes that fill the last block of `size` bytes.
    static func padding(after size: UInt64) -> Int {
        Int((UInt64(blockBytes) - size % UInt64(blockBytes)) % UInt64(blockBytes))
    }

    private static func type(of kind: LayerEntry.Kind) -> Character {
        switch kind {
        case .file: "0"
        case .hardlink: "1"
        case .symlink: "2"
        case .character: "3"
        case .block: "4"
        case .directory: "5"
        case .fifo: "6"
        }
    }

    private static func baseName(_ path: [UInt8]) -> [UInt8] {
        Array(
            (path.last == UInt8(ascii: "/") ? path.dropLast() : path[...]).reversed().prefix { $0 != UInt8(ascii: "/") }
                .reversed())
    }

    private static func extendedRecords(_ entry: LayerEntry, name: [UInt8], size: UInt64) -> [([UInt8], [UInt8])] {
        var records: [([UInt8], [UInt8])] = []
        func add(_ key: String, _ value: [UInt8]) { records.append((Array(key.utf8), value)) }
        func add(_ key: String, _ value: UInt64) { add(key, Array(String(value).utf8)) }
        if needsRecord(name) { add("path", name) }
        if needsRecord(entry.linkTarget) { add("linkpath", entry.linkTarget) }
        if size > largeMax { add("size", size) }
        if entry.uid > smallMax { add("uid", UInt64(entry.uid)) }
        if entry.gid > smallMax { add("gid", UInt64(entry.gid)) }
        let seconds = entry.mtimeSeconds
        if seconds < 0 || entry.mtimeNanoseconds != 0 || seconds > Int64(largeMax) {
            add("mtime", decimal(seconds: seconds, nanoseconds: entry.mtimeNanoseconds))
        }
        for attribute in entry.attributes {
            records.append((Array("SCHILY.xattr.".utf8) + keyword(attribute.name), attribute.value))
        }
        return records
    }

    private static func needsRecord(_ text: [UInt8]) -> Bool { text.count > nameBytes || text.contains { $0 >= 0x80 } }

    /// An attribute's name as a keyword: `=` would end it, so it is written `%3D` and `%` as `%25`, as GNU tar does.
    private static func keyword(_ name: [UInt8]) -> [UInt8] {
        name.flatMap { byte -> [UInt8] in
            switch byte {
            case UInt8(ascii: "="): Array("%3D".utf8)
            case UInt8(ascii: "%"): Array("%25".utf8)
            default: [byte]
            }
        }
    }

    /// A time as a signed decimal: half a second before 1970 is -0.5, while its parts are -1 and 500,000,000.
    static func decimal(seconds: Int64, nanoseconds: UInt32) -> [UInt8] {
        var whole = seconds.magnitude
        var fraction = nanoseconds
        if seconds < 0 && fraction != 0 {
            whole -= 1
            fraction = 1_000_000_000 - fraction
        }
        var text = (seconds < 0 ? "-" : "") + String(whole)
        if fraction != 0 {
            let digits = String(fraction)
            var padded = String(repeating: "0", count: max(0, 9 - digits.count)) + digits
            while padded.last == "0" { padded.removeLast() }
            text += "." + padded
        }
        return Array(text.utf8)
    }

    /// `LENGTH KEY=VALUE\n`, where LENGTH counts itself.
    private static func record(key: [UInt8], value: [UInt8]) -> [UInt8] {
        let rest = key.count + value.count + 3
        var length = rest + 1
        while length != rest + String(length).utf8.count { length = rest + String(length).utf8.count }
        return Array(String(length).utf8) + [UInt8(ascii: " ")] + key + [UInt8(ascii: "=")] + value + [
            UInt8(ascii: "\n")
        ]
    }

    private struct Fields {
        var name: [UInt8]
        var type: Character
        var size: UInt64
        var mode: UInt64 = 0o644
        var uid: UInt64 = 0
        var gid: UInt64 = 0
        var mtime: UInt64 = 0
        var link: [UInt8] = []
        var device: (major: UInt64, minor: UInt64)?
    }

    private static func block(_ fields: Fields) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: blockBytes)
        func put(_ bytes: some Sequence<UInt8>, at offset: Int, room: Int) {
            for (index, byte) in bytes.prefix(room).enumerated() { block[offset + index] = byte }
        }
        // What exceeds a field is in a record of the extended header, which wins; here stands the nearest value that fits.
        func number(_ value: UInt64, at offset: Int, digits: Int) {
            let limit = digits == 7 ? smallMax : largeMax
            let text = String(min(value, limit), radix: 8)
            put((String(repeating: "0", count: max(0, digits - text.utf8.count)) + text).utf8, at: offset, room: digits)
        }
        put(fields.name, at: 0, room: nameBytes)
        number(fields.mode, at: 100, digits: 7)
        number(fields.uid, at: 108, digits: 7)
        number(fields.gid, at: 116, digits: 7)
        number(fields.size, at: 124, digits: 11)
        number(fields.mtime, at: 136, digits: 11)
        put(String(fields.type).utf8, at: 156, room: 1)
        put(fields.link, at: 157, room: nameBytes)
        put("ustar\0".utf8, at: 257, room: 6)
        put("00".utf8, at: 263, room: 2)
        if let device = fields.device {
            number(device.major, at: 329, digits: 7)
            number(device.minor, at: 337, digits: 7)
        }
        put("        ".utf8, at: 148, room: 8)
        let sum = block.reduce(UInt64(0)) { $0 + UInt64($1) }
        let digits = String(sum, radix: 8)
        put((String(repeating: "0", count: max(0, 6 - digits.utf8.count)) + digits + "\0 ").utf8, at: 148, room: 8)
        return block
    }
}
