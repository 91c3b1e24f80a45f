/// Encodes one member's header in the PAX interchange format (POSIX.1-2008, pax): a ustar block, preceded by an extended header
/// for whatever does not fit into it.
struct PAXHeader {
    static let blockBytes = 512
    /// Largest values of the ustar fields: seven and eleven octal digits.
    private static let smallMax: UInt64 = 0o7777777
    private static let largeMax: UInt64 = 0o77777777777
    private static let nameBytes = 100

    private let entry: LayerEntry
    private let name: [UInt8]
    private let size: UInt64
    /// Of the extended header; empty when there is none.
    private let records: [UInt8]

    /// The header of `entry`.
    ///
    /// - Parameters:
    ///   - size: bytes of content that follow.
    ///   - expandedSize: of a sparse file, whose content that follows is a ``SparseMap`` and the data it tells of.
    init(_ entry: LayerEntry, size: UInt64, expandedSize: UInt64? = nil) {
        var name = expandedSize == nil ? entry.path : SparseMap.memberName(entry.path)
        if entry.kind == .directory, name.last != Self.slash { name.append(Self.slash) }
        records = Self.extendedRecords(entry, name: name, size: size, expandedSize: expandedSize)
        (self.entry, self.name, self.size) = (entry, name, size)
    }

    /// Bytes of the blocks that stand before the content of `entry`.
    static func encode(_ entry: LayerEntry, size: UInt64, expandedSize: UInt64? = nil) -> [UInt8] {
        let header = PAXHeader(entry, size: size, expandedSize: expandedSize)
        return [UInt8](unsafeUninitializedCapacity: header.byteCount) { buffer, count in
            header.write(to: UnsafeMutableRawBufferPointer(buffer))
            count = header.byteCount
        }
    }

    /// Bytes of the header's blocks.
    var byteCount: Int { extraBytes + Self.blockBytes }

    private var extraBytes: Int {
        records.isEmpty ? 0 : Self.blockBytes + records.count + Self.padding(after: UInt64(records.count))
    }

    /// Writes the blocks to the first ``byteCount`` bytes of `target`.
    func write(to target: UnsafeMutableRawBufferPointer) {
        let bytes = UnsafeMutableRawBufferPointer(rebasing: target[..<byteCount])
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
        if !records.isEmpty {
            let header = HeaderBlock(bytes, at: 0)
            header.put("PaxHeaders.0/", at: 0)
            header.put(Self.baseName(entry.path), at: 13, room: Self.nameBytes - 13)
            header.finish(type: UInt8(ascii: "x"), size: UInt64(records.count))
            UnsafeMutableRawBufferPointer(rebasing: bytes[Self.blockBytes...]).copyBytes(from: records)
        }
        let block = HeaderBlock(bytes, at: extraBytes)
        block.put(name[...], at: 0, room: Self.nameBytes)
        block.put(entry.linkTarget[...], at: 157, room: Self.nameBytes)
        if entry.kind == .character || entry.kind == .block {
            block.number(UInt64(entry.deviceMajor), at: 329, digits: 7)
            block.number(UInt64(entry.deviceMinor), at: 337, digits: 7)
        }
        block.finish(
            type: Self.type(of: entry.kind), size: size, mode: UInt64(entry.mode), uid: UInt64(entry.uid),
            gid: UInt64(entry.gid), mtime: UInt64(max(0, entry.mtimeSeconds)))
    }

    /// Zero bytes that fill the last block of `size` bytes.
    static func padding(after size: UInt64) -> Int {
        Int((UInt64(blockBytes) - size % UInt64(blockBytes)) % UInt64(blockBytes))
    }

    private static func type(of kind: LayerEntry.Kind) -> UInt8 {
        switch kind {
        case .file: UInt8(ascii: "0")
        case .hardlink: UInt8(ascii: "1")
        case .symlink: UInt8(ascii: "2")
        case .character: UInt8(ascii: "3")
        case .block: UInt8(ascii: "4")
        case .directory: UInt8(ascii: "5")
        case .fifo: UInt8(ascii: "6")
        }
    }

    private static let slash = UInt8(ascii: "/")

    private static func baseName(_ path: [UInt8]) -> ArraySlice<UInt8> {
        let path = path.last == slash ? path.dropLast() : path[...]
        return path.lastIndex(of: slash).map { path[($0 + 1)...] } ?? path
    }

    /// The records of the extended header, sorted by their keywords; empty for what the ustar block can hold alone.
    private static func extendedRecords(
        _ entry: LayerEntry, name: [UInt8], size: UInt64, expandedSize: UInt64?
    ) -> [UInt8] {
        let seconds = entry.mtimeSeconds
        let hasTime = seconds < 0 || entry.mtimeNanoseconds != 0 || seconds > Int64(largeMax)
        var result: [UInt8] = []
        func add(_ key: StaticString, _ value: [UInt8]) { append(key, [], value, to: &result) }
        func add(_ key: StaticString, _ value: UInt64) { add(key, Array(String(value).utf8)) }
        if let expandedSize {
            add("GNU.sparse.major", [UInt8(ascii: "1")])
            add("GNU.sparse.minor", [UInt8(ascii: "0")])
            add("GNU.sparse.name", entry.path)
            add("GNU.sparse.realsize", expandedSize)
        }
        let attributes = entry.attributes.map { (key: keyword($0.name), value: $0.value) }
        for attribute in attributes.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            append("SCHILY.xattr.", attribute.key, attribute.value, to: &result)
        }
        if entry.gid > smallMax { add("gid", UInt64(entry.gid)) }
        if needsRecord(entry.linkTarget) { add("linkpath", entry.linkTarget) }
        if hasTime { add("mtime", decimal(seconds: seconds, nanoseconds: entry.mtimeNanoseconds)) }
        if needsRecord(name) { add("path", name) }
        if size > largeMax { add("size", size) }
        if entry.uid > smallMax { add("uid", UInt64(entry.uid)) }
        return result
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
        var text = Array(((seconds < 0 ? "-" : "") + String(whole)).utf8)
        guard fraction != 0 else { return text }
        text.append(UInt8(ascii: "."))
        var unit: UInt32 = 100_000_000
        while fraction != 0 {
            text.append(UInt8(ascii: "0") + UInt8(fraction / unit))
            (fraction, unit) = (fraction % unit, unit / 10)
        }
        return text
    }

    /// Appends `LENGTH KEY=VALUE\n`, where LENGTH counts itself.
    private static func append(_ key: StaticString, _ rest: [UInt8], _ value: [UInt8], to result: inout [UInt8]) {
        let unnumbered = key.utf8CodeUnitCount + rest.count + value.count + 3
        var length = unnumbered + 1
        while length != unnumbered + digitCount(length) { length = unnumbered + digitCount(length) }
        result.append(contentsOf: String(length).utf8)
        result.append(UInt8(ascii: " "))
        key.withUTF8Buffer { result.append(contentsOf: $0) }
        result.append(contentsOf: rest)
        result.append(UInt8(ascii: "="))
        result.append(contentsOf: value)
        result.append(UInt8(ascii: "\n"))
    }

    private static func digitCount(_ number: Int) -> Int {
        var (count, rest) = (1, number)
        while rest >= 10 { (count, rest) = (count + 1, rest / 10) }
        return count
    }

    /// A ustar block that is being filled; it is zeros at first.
    private struct HeaderBlock {
        private let bytes: UnsafeMutableRawBufferPointer

        init(_ bytes: UnsafeMutableRawBufferPointer, at offset: Int) {
            self.bytes = UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<offset + blockBytes])
        }

        func put(_ text: ArraySlice<UInt8>, at offset: Int, room: Int) {
            UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<offset + room]).copyBytes(from: text.prefix(room))
        }

        func put(_ text: StaticString, at offset: Int) {
            text.withUTF8Buffer { UnsafeMutableRawBufferPointer(rebasing: bytes[offset...]).copyBytes(from: $0) }
        }

        /// Octal. What exceeds a field is in a record of the extended header, which wins; here stands the nearest that fits.
        func number(_ value: UInt64, at offset: Int, digits: Int) {
            var rest = min(value, digits == 7 ? smallMax : largeMax)
            for index in (offset..<offset + digits).reversed() {
                bytes[index] = UInt8(ascii: "0") + UInt8(rest & 7)
                rest >>= 3
            }
        }

        /// The sum of all bytes: of eight at a time, in lanes of 16 bits that 512 bytes cannot fill.
        private var sum: UInt64 {
            var lanes: UInt64 = 0
            for offset in stride(from: 0, to: blockBytes, by: 8) {
                let word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                lanes += (word & 0x00ff_00ff_00ff_00ff) + (word >> 8 & 0x00ff_00ff_00ff_00ff)
            }
            return (0..<4).reduce(0) { $0 + (lanes >> (16 * $1) & 0xffff) }
        }

        /// Fills the fields that every block has, the checksum last.
        func finish(
            type: UInt8, size: UInt64, mode: UInt64 = 0o644, uid: UInt64 = 0, gid: UInt64 = 0, mtime: UInt64 = 0
        ) {
            number(mode, at: 100, digits: 7)
            number(uid, at: 108, digits: 7)
            number(gid, at: 116, digits: 7)
            number(size, at: 124, digits: 11)
            number(mtime, at: 136, digits: 11)
            put("        ", at: 148)
            bytes[156] = type
            put("ustar\u{0}00", at: 257)
            number(sum, at: 148, digits: 6)
            bytes[154] = 0
        }
    }
}
