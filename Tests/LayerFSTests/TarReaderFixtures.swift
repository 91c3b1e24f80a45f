import LayerFS

/// The bytes that say in a header where they are.
typealias TarPatch = (offset: Int, bytes: [UInt8])

/// A tar header of 512 bytes with a right checksum, and its padded body.
///
/// - Parameter patches: raw bytes put into the header before the checksum is made.
func tarMember(
    _ name: String, type: Character = "0", body: [UInt8] = [], link: String = "", size: Int? = nil,
    patches: [TarPatch] = []
) -> [UInt8] {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ text: [UInt8], _ offset: Int) { for (index, byte) in text.enumerated() { block[offset + index] = byte } }
    put(Array(name.utf8.prefix(100)), 0)
    put(octal(0o644, 7), 100)
    put(octal(0, 7), 108)
    put(octal(0, 7), 116)
    put(octal(size ?? body.count, 11), 124)
    put(octal(1_700_000_000, 11), 136)
    put(Array(repeating: 0x20, count: 8), 148)
    block[156] = type.asciiValue ?? 0
    put(Array(link.utf8.prefix(100)), 157)
    put(Array("ustar\u{0}00".utf8), 257)
    for (offset, bytes) in patches { put(bytes, offset) }
    put(octal(block.reduce(0) { $0 + Int($1) }, 6) + [0, 0x20], 148)
    return block + body + [UInt8](repeating: 0, count: (512 - body.count % 512) % 512)
}

/// At least `digits` octal digits.
func octal(_ value: Int, _ digits: Int) -> [UInt8] {
    let text = String(value, radix: 8)
    return Array((String(repeating: "0", count: max(0, digits - text.count)) + text).utf8)
}

/// GNU's base 256 in a field of `width` bytes.
func base256(_ value: Int64, _ width: Int) -> [UInt8] {
    var bytes = (0..<width).map { UInt8(truncatingIfNeeded: value >> Int64(min(63, 8 * (width - 1 - $0)))) }
    bytes[0] |= 0x80
    return bytes
}

/// The magic of GNU's dialect, as a patch.
let gnuMagic: TarPatch = (257, Array("ustar  \u{0}".utf8))

/// A PAX header with `records` for the next member, or of type `g` for all that follow.
func paxHeader(_ records: [(String, String)], type: Character = "x") -> [UInt8] {
    tarMember("PaxHeaders/x", type: type, body: records.flatMap { paxRecord($0.0, Array($0.1.utf8)) })
}

/// One `length key=value` line of a PAX header.
func paxRecord(_ key: String, _ value: [UInt8]) -> [UInt8] {
    let rest = Array(" \(key)=".utf8) + value + [0x0A]
    var length = rest.count + 1
    while String(length).utf8.count + rest.count != length { length += 1 }
    return Array(String(length).utf8) + rest
}

let tarEnd = [UInt8](repeating: 0, count: 1024)

/// The four ways in which a tar says where the data of a sparse file goes.
enum SparseFormat: CaseIterable {
    case gnu, pax00, pax01, pax10

    /// A sparse member with this map and this stored data, whether they agree or not.
    func member(_ name: String, _ map: [(offset: Int, count: Int)], realSize: Int, body: [UInt8]) -> [UInt8] {
        switch self {
        case .gnu: return gnuMember(name, map, realSize: realSize, body: body)
        case .pax00:
            let parts = map.flatMap { [("GNU.sparse.offset", "\($0.offset)"), ("GNU.sparse.numbytes", "\($0.count)")] }
            return paxHeader([("GNU.sparse.size", "\(realSize)"), ("GNU.sparse.numblocks", "\(map.count)")] + parts)
                + tarMember(name, body: body)
        case .pax01:
            let numbers = map.map { "\($0.offset),\($0.count)" }.joined(separator: ",")
            return paxHeader([
                ("GNU.sparse.size", "\(realSize)"), ("GNU.sparse.numblocks", "\(map.count)"),
                ("GNU.sparse.name", name), ("GNU.sparse.map", numbers),
            ]) + tarMember("GNUSparseFile.0/x", body: body)
        case .pax10:
            var text = Array(("\(map.count)\n" + map.map { "\($0.offset)\n\($0.count)\n" }.joined()).utf8)
            text += [UInt8](repeating: 0, count: (512 - text.count % 512) % 512)
            return paxHeader([
                ("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", name),
                ("GNU.sparse.realsize", "\(realSize)"),
            ]) + tarMember("GNUSparseFile.0/x", body: text + body)
        }
    }

    /// Type `S`: four segments in the header, the others in blocks behind it.
    private func gnuMember(_ name: String, _ map: [(offset: Int, count: Int)], realSize: Int, body: [UInt8]) -> [UInt8]
    {
        func field(_ value: Int) -> [UInt8] { value < 1 << 33 ? octal(value, 11) + [0] : base256(Int64(value), 12) }
        func slots(_ part: some Collection<(offset: Int, count: Int)>) -> [UInt8] {
            part.flatMap { field($0.offset) + field($0.count) }
        }
        var patches = [gnuMagic, (386, slots(map.prefix(4))), (483, field(realSize))]
        if map.count > 4 { patches.append((482, [1])) }
        var blocks: [UInt8] = []
        var rest = map.dropFirst(4)
        while !rest.isEmpty {
            var block = slots(rest.prefix(21))
            rest = rest.dropFirst(21)
            block += [UInt8](repeating: 0, count: 512 - block.count)
            if !rest.isEmpty { block[504] = 1 }
            blocks += block
        }
        let header = tarMember(name, type: "S", size: body.count, patches: patches)
        return header + blocks + body + [UInt8](repeating: 0, count: (512 - body.count % 512) % 512)
    }
}

/// Parses `archive` in pieces of `step` bytes.
func members(_ archive: [UInt8], step: Int = .max) throws(LayerError) -> [LayerEntry] {
    var reader = TarReader()
    var entries: [LayerEntry] = []
    var index = 0
    while index < archive.count {
        let end = index + min(step, archive.count - index)
        try reader.consume(Array(archive[index..<end]).span) { (entry: LayerEntry) throws(LayerError) in
            entries.append(entry)
        }
        index = end
    }
    try reader.finish()
    return entries
}
