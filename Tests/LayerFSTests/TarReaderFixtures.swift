import LayerFS

/// A tar header of 512 bytes with a right checksum, and its padded body.
func tarMember(_ name: String, type: Character = "0", body: [UInt8] = [], link: String = "", size: Int? = nil) -> [UInt8] {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ text: [UInt8], _ offset: Int) { for (index, byte) in text.enumerated() { block[offset + index] = byte } }
    func octal(_ value: Int, _ digits: Int) -> [UInt8] {
        let text = String(value, radix: 8)
        return Array((String(repeating: "0", count: max(0, digits - text.count)) + text).utf8)
    }
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
    put(octal(block.reduce(0) { $0 + Int($1) }, 6) + [0, 0x20], 148)
    return block + body + [UInt8](repeating: 0, count: (512 - body.count % 512) % 512)
}

/// A PAX header with `records` for the next member.
func paxHeader(_ records: [(String, String)]) -> [UInt8] {
    var body: [UInt8] = []
    for (key, value) in records {
        let rest = " \(key)=\(value)\n"
        var length = rest.utf8.count + 1
        while String(length).utf8.count + rest.utf8.count != length { length += 1 }
        body += Array("\(length)\(rest)".utf8)
    }
    return tarMember("PaxHeaders/x", type: "x", body: body)
}

let tarEnd = [UInt8](repeating: 0, count: 1024)

/// Parses `archive` in pieces of `step` bytes.
func members(_ archive: [UInt8], step: Int = .max) throws(LayerError) -> [LayerEntry] {
    var reader = TarReader()
    var entries: [LayerEntry] = []
    var index = 0
    while index < archive.count {
        let end = index + min(step, archive.count - index)
        try reader.consume(Array(archive[index..<end]).span) { (entry: LayerEntry) throws(LayerError) in entries.append(entry) }
        index = end
    }
    try reader.finish()
    return entries
}
