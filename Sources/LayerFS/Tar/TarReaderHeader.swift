/// The fields of one 512-byte header (POSIX.1-2017 pax, "ustar Header Block"; GNU tar manual, "Basic Tar Format").
struct TarHeader {
    enum Dialect {
        case v7, ustar, gnu
    }

    let type: UInt8
    let dialect: Dialect

    static let name = 0..<100
    static let mode = 100..<108
    static let uid = 108..<116
    static let gid = 116..<124
    static let size = 124..<136
    static let mtime = 136..<148
    static let checksum = 148..<156
    static let link = 157..<257
    static let deviceMajor = 329..<337
    static let deviceMinor = 337..<345
    static let prefix = 345..<500
    /// The prefix of Schilling's star, which keeps times behind it.
    static let starPrefix = 345..<476

    init(_ block: Span<UInt8>) {
        type = block[156]
        dialect =
            switch (block[257], block[258], block[259], block[260], block[261], block[262]) {
            case (0x75, 0x73, 0x74, 0x61, 0x72, 0): .ustar
            case (0x75, 0x73, 0x74, 0x61, 0x72, 0x20): .gnu
            default: .v7
            }
    }

    /// True when the block is all zeros: half of the end mark.
    static func isZero(_ block: Span<UInt8>) -> Bool {
        for index in 0..<block.count where block[index] != 0 { return false }
        return true
    }

    /// True when the stored checksum is the sum of the bytes, as unsigned or, as some old programs did it, signed numbers.
    static func hasValidChecksum(_ block: Span<UInt8>) -> Bool {
        var unsigned: UInt32 = 0
        for index in 0..<block.count { unsigned &+= UInt32(block[index]) }
        for index in checksum { unsigned = unsigned &- UInt32(block[index]) &+ 0x20 }
        guard let stored = number(block, checksum) else { return false }
        if stored == Int64(unsigned) { return true }
        var signed: Int64 = 0
        for index in 0..<block.count {
            signed += checksum.contains(index) ? 0x20 : Int64(Int8(bitPattern: block[index]))
        }
        return stored == signed
    }

    /// The bytes of a text field up to its first NUL.
    static func text(_ block: Span<UInt8>, _ field: Range<Int>) -> [UInt8] {
        var end = field.lowerBound
        while end < field.upperBound, block[end] != 0 { end += 1 }
        let count = end - field.lowerBound
        return [UInt8](unsafeUninitializedCapacity: count) { bytes, initialized in
            for index in 0..<count { bytes.initializeElement(at: index, to: block[field.lowerBound + index]) }
            initialized = count
        }
    }

    /// A number in octal digits, or in GNU's base 256 with two's complement; nil when it is neither or too large.
    static func number(_ block: Span<UInt8>, _ field: Range<Int>) -> Int64? {
        let first = block[field.lowerBound]
        if first & 0x80 != 0 {
            var value = first & 0x40 != 0 ? Int64(Int8(bitPattern: first)) : Int64(first & 0x3F)
            for index in (field.lowerBound + 1)..<field.upperBound {
                guard value >= Int64.min >> 8, value <= Int64.max >> 8 else { return nil }
                value = value << 8 | Int64(block[index])
            }
            return value
        }
        var index = field.lowerBound
        while index < field.upperBound, block[index] == 0x20 || block[index] == 0 { index += 1 }
        var value: Int64 = 0
        while index < field.upperBound, block[index] != 0x20, block[index] != 0 {
            // Twelve digits at most: 36 bits.
            guard (0x30...0x37).contains(block[index]) else { return nil }
            value = value << 3 | Int64(block[index] & 7)
            index += 1
        }
        return value
    }

    /// The member's name with the prefix its dialect gives it.
    func fullName(_ block: Span<UInt8>) -> [UInt8] {
        let name = Self.text(block, Self.name)
        guard dialect == .ustar, block[345] != 0 else { return name }
        let isStar = block[508] == 0x74 && block[509] == 0x61 && block[510] == 0x72 && block[511] == 0
        return Self.text(block, isStar ? Self.starPrefix : Self.prefix) + [0x2F] + name
    }
}

extension TarReader {
    /// Acts on one header: a member, or something about the next.
    mutating func takeHeader(_ block: Span<UInt8>, at start: UInt64, _ emit: Emit) throws(LayerError) {
        guard TarHeader.hasValidChecksum(block) else { throw malformed("header checksum is wrong", at: start) }
        let header = TarHeader(block)
        switch header.type {
        case UInt8(ascii: "x"), UInt8(ascii: "X"): try beginMetadata(block, .local, at: start)
        case UInt8(ascii: "g"): try beginMetadata(block, .global, at: start)
        case UInt8(ascii: "L"): try beginMetadata(block, .longName, at: start)
        case UInt8(ascii: "K"): try beginMetadata(block, .longLink, at: start)
        case UInt8(ascii: "V"), UInt8(ascii: "N"):
            // A volume label, or the oldest form of long names: nothing that becomes a file.
            let size = try self.size(block, at: start)
            resetLocal()
            try beginBody(size, .skipped)
        default:
            try takeMember(header, block, at: start, emit)
        }
    }

    private mutating func beginMetadata(
        _ block: Span<UInt8>, _ kind: Metadata, at start: UInt64
    ) throws(LayerError) {
        guard let size = TarHeader.number(block, TarHeader.size), size >= 0 else {
            throw malformed("size field is not a number", at: start)
        }
        guard size <= TarLimits.metadataBytesMax else {
            throw LayerError(
                .limit,
                "tar archive at byte \(start): extended header of \(size) bytes; at most \(TarLimits.metadataBytesMax) are taken"
            )
        }
        metadata.removeAll(keepingCapacity: true)
        if kind != .global { hasPrefixHeader = true }
        try beginBody(UInt64(size), .metadata(kind))
    }

    private mutating func takeMember(
        _ header: TarHeader, _ block: Span<UInt8>, at start: UInt64, _ emit: Emit
    ) throws(LayerError) {
        entryCount += 1
        guard entryCount <= limits.entriesMax else {
            throw LayerError(.limit, "the layer has more than \(limits.entriesMax) members")
        }
        var rawName = local.path ?? header.fullName(block)
        if let name = local.sparse?.name { rawName = name }
        let kind = try self.kind(header, rawName, at: start)
        var entry = LayerEntry(path: try TarPath.clean(rawName, at: start), kind: kind)
        guard !entry.path.isEmpty || kind == .directory else {
            throw malformed("the root of the layer is not a directory", at: start)
        }
        try fillCommon(&entry, header, block, at: start)
        switch kind {
        case .file: return try beginFile(entry, header, block, at: start, emit)
        case .symlink:
            entry.linkTarget = try TarPath.symlinkTarget(local.link ?? TarHeader.text(block, TarHeader.link), at: start)
        case .hardlink:
            entry.linkTarget = try TarPath.clean(local.link ?? TarHeader.text(block, TarHeader.link), at: start)
            guard !entry.linkTarget.isEmpty else { throw malformed("a hard link to the root", at: start) }
        case .character, .block:
            entry.deviceMajor = try device(local.deviceMajor, block, TarHeader.deviceMajor, at: start)
            entry.deviceMinor = try device(local.deviceMinor, block, TarHeader.deviceMinor, at: start)
        case .directory, .fifo: break
        }
        // Only a GNU directory listing and a v7 directory have a body; elsewhere a size says nothing, as in Go's archive/tar.
        let hasBody = header.type == UInt8(ascii: "D") || header.type == 0
        let size = hasBody ? try self.size(block, at: start) : 0
        resetLocal()
        try emit(entry)
        try beginBody(size, .skipped)
    }

    private mutating func beginFile(
        _ entry: LayerEntry, _ header: TarHeader, _ block: Span<UInt8>, at start: UInt64, _ emit: Emit
    ) throws(LayerError) {
        var entry = entry
        let size = try self.size(block, at: start)
        if header.type == UInt8(ascii: "S") { return try beginOldSparse(entry, block, stored: size, at: start, emit) }
        if let records = local.sparse {
            resetLocal()
            return try beginPAXSparse(entry, records, stored: size, at: start, emit)
        }
        resetLocal()
        entry.size = size
        if size > 0 { entry.content = LayerEntry.Extent(source: .tar, offset: offset) }
        try beginBody(size, .skipped)
        try emit(entry)
    }

    mutating func resetLocal() {
        guard hasPrefixHeader else { return }
        local = PAXRecords()
        hasPrefixHeader = false
    }

    private func kind(_ header: TarHeader, _ name: [UInt8], at start: UInt64) throws(LayerError) -> LayerEntry.Kind {
        switch header.type {
        case 0: return name.last == 0x2F ? .directory : .file
        case UInt8(ascii: "0"), UInt8(ascii: "7"), UInt8(ascii: "S"): return .file
        case UInt8(ascii: "1"): return .hardlink
        case UInt8(ascii: "2"): return .symlink
        case UInt8(ascii: "3"): return .character
        case UInt8(ascii: "4"): return .block
        case UInt8(ascii: "5"), UInt8(ascii: "D"): return .directory
        case UInt8(ascii: "6"): return .fifo
        default:
            throw LayerError(
                .unsupported,
                "tar archive at byte \(start): member \(TarPath.quoted(name)) has type \(header.type), which this engine does not take"
            )
        }
    }

    private func fillCommon(
        _ entry: inout LayerEntry, _ header: TarHeader, _ block: Span<UInt8>, at start: UInt64
    ) throws(LayerError) {
        guard let mode = TarHeader.number(block, TarHeader.mode) else {
            throw malformed("mode field is not a number", at: start)
        }
        entry.mode = UInt16(mode & 0o7777)
        entry.uid = try identity(local.uid ?? global.uid, block, TarHeader.uid, "owner", at: start)
        entry.gid = try identity(local.gid ?? global.gid, block, TarHeader.gid, "group", at: start)
        if let time = local.mtime ?? global.mtime {
            entry.mtimeSeconds = time.seconds
            entry.mtimeNanoseconds = time.nanoseconds
        } else if let seconds = TarHeader.number(block, TarHeader.mtime) {
            entry.mtimeSeconds = seconds
        } else {
            throw malformed("time field is not a number", at: start)
        }
        entry.attributes = local.attributes
    }

    private func identity(
        _ override: UInt32?, _ block: Span<UInt8>, _ field: Range<Int>, _ what: String, at start: UInt64
    ) throws(LayerError) -> UInt32 {
        if let override { return override }
        guard let value = TarHeader.number(block, field), let identity = UInt32(exactly: value) else {
            throw malformed("\(what) field is not a number of 32 bits", at: start)
        }
        return identity
    }

    private func device(
        _ override: UInt32?, _ block: Span<UInt8>, _ field: Range<Int>, at start: UInt64
    ) throws(LayerError) -> UInt32 {
        try identity(override, block, field, "device number", at: start)
    }

    private func size(_ block: Span<UInt8>, at start: UInt64) throws(LayerError) -> UInt64 {
        if let size = local.size { return size }
        guard let size = TarHeader.number(block, TarHeader.size), size >= 0 else {
            throw malformed("size field is not a number", at: start)
        }
        return UInt64(size)
    }
}
