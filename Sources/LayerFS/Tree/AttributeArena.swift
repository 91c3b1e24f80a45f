/// The extended attributes of all inodes of a tree in one array of bytes, each distinct neighbour stored once.
///
/// A set is stored as its count (2 bytes), then for each attribute the length of its name (1 byte), of its value (2
/// bytes), the name and the value.
struct AttributeArena {
    private var bytes: [UInt8] = []
    private var last: (attributes: [LayerEntry.Attribute], kind: TreeInode.Kind, offset: UInt32)?

    /// Longest name that Linux takes, with its prefix (XATTR_NAME_MAX).
    static let nameBytesMax = 255
    /// Longest value; Linux takes one byte more, the index format does not.
    static let valueBytesMax = 65535
    /// Names and values of one inode together, each rounded up to 4 bytes, as the index counts them.
    static let setBytesMax = 4 * 65534

    /// Stores a set; `absent` when nothing of it is storable on a Linux file system.
    ///
    /// Kept are `user.*`, `trusted.*`, `security.*` and the POSIX access lists, as every engine keeps them. Of one name
    /// given twice the later value counts.
    mutating func store(
        _ attributes: [LayerEntry.Attribute], of path: [UInt8], _ kind: TreeInode.Kind
    ) throws(LayerError) -> UInt32 {
        if attributes.isEmpty { return absent }
        if let last, last.attributes == attributes, last.kind == kind { return last.offset }
        var positions: [[UInt8]: Int] = [:]
        var kept: [LayerEntry.Attribute] = []
        for attribute in attributes where Self.isStorable(attribute.name, kind) {
            if let position = positions[attribute.name] {
                kept[position] = attribute
            } else {
                positions[attribute.name] = kept.count
                kept.append(attribute)
            }
        }
        let offset = try append(kept, of: path)
        last = (attributes, kind, offset)
        return offset
    }

    private mutating func append(_ set: [LayerEntry.Attribute], of path: [UInt8]) throws(LayerError) -> UInt32 {
        if set.isEmpty { return absent }
        var total = 0
        for attribute in set {
            total += (4 + attribute.name.count + attribute.value.count + 3) & ~3
            guard attribute.name.count <= Self.nameBytesMax, attribute.value.count <= Self.valueBytesMax,
                total <= Self.setBytesMax, !attribute.name.contains(0)
            else {
                throw LayerError(
                    .limit, "extended attributes of \(printable(path)) are larger than a Linux file system can hold")
            }
        }
        guard bytes.count + total + 2 < Int(absent) else {
            throw LayerError(.limit, "extended attributes of the image exceed 4 GiB")
        }
        let offset = UInt32(bytes.count)
        bytes.append(UInt8(truncatingIfNeeded: set.count))
        bytes.append(UInt8(truncatingIfNeeded: set.count >> 8))
        for attribute in set {
            bytes.append(UInt8(attribute.name.count))
            bytes.append(UInt8(truncatingIfNeeded: attribute.value.count))
            bytes.append(UInt8(truncatingIfNeeded: attribute.value.count >> 8))
            bytes.append(contentsOf: attribute.name)
            bytes.append(contentsOf: attribute.value)
        }
        return offset
    }

    /// Calls `body` with the name and value of each attribute of a set.
    func forEach<Failure>(
        _ offset: UInt32, _ body: (ArraySlice<UInt8>, ArraySlice<UInt8>) throws(Failure) -> Void
    ) throws(Failure) {
        if offset == absent { return }
        var position = Int(offset)
        let count = Int(bytes[position]) | Int(bytes[position + 1]) << 8
        position += 2
        for _ in 0..<count {
            let name = position + 3
            let value = name + Int(bytes[position])
            let end = value + (Int(bytes[position + 1]) | Int(bytes[position + 2]) << 8)
            try body(bytes[name..<value], bytes[value..<end])
            position = end
        }
    }

    private static let prefixes = ["user.", "trusted.", "security."].map { Array($0.utf8) }
    private static let obeyedByOverlay = ["user.overlay.", "trusted.overlay."].map { Array($0.utf8) }
    private static let accessLists = ["system.posix_acl_access", "system.posix_acl_default"].map { Array($0.utf8) }

    /// Linux has `user.*` on files and directories only, and no access lists of links.
    private static func isStorable(_ name: [UInt8], _ kind: TreeInode.Kind) -> Bool {
        if accessLists.contains(name) { return kind != .symlink }
        if kind != .file && kind != .directory && name.starts(with: prefixes[0]) { return false }
        if obeyedByOverlay.contains(where: { name.starts(with: $0) }) { return false }
        return prefixes.contains { name.count > $0.count && name.starts(with: $0) }
    }
}

/// A path of an outsider for a message: shortened, with bytes that are not printable replaced.
func printable(_ path: some Collection<UInt8>) -> String {
    let text = path.prefix(200).map { $0 >= 0x20 && $0 != 0x7F ? $0 : UInt8(ascii: "?") }
    return "\"" + String(decoding: text, as: UTF8.self) + (path.count > 200 ? "…\"" : "\"")
}
