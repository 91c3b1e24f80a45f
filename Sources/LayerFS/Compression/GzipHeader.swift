import CCodecs

/// The header of a gzip member (RFC 1952, 2.3), read in whatever parts it comes. Its fields say nothing about a layer, so they
/// are checked and dropped.
struct GzipHeader {
    /// Bytes a header may have. Names have no length of their own, and no budget of the layer counts them.
    static let bytesMax = 4 << 20

    private enum Flags {
        static let checksum: UInt8 = 1 << 1
        static let extra: UInt8 = 1 << 2
        static let name: UInt8 = 1 << 3
        static let comment: UInt8 = 1 << 4
        static let reserved: UInt8 = 0xE0
    }

    /// In the order in which they come; what the flags do not announce is left out.
    private enum Part: Int { case fixed, extraLength, extra, name, comment, checksum, end }

    private static let fixedBytes = 10
    private static let magic: [UInt8] = [0x1F, 0x8B, 8]

    private var part = Part.fixed
    private var flags: UInt8 = 0
    /// Bytes read of this part, and of all.
    private var partCount = 0
    private var count = 0
    /// The number of two bytes that was read last.
    private var number: UInt16 = 0
    private var crc: UInt32 = 0

    var isWhole: Bool { part == .end }

    /// Reads on.
    ///
    /// - Returns: how many bytes of `input` belong to the header.
    /// - Throws: ``LayerError``: `.malformed` when it is no header, `.limit` when it is too long.
    mutating func read(_ input: UnsafeRawBufferPointer) throws(LayerError) -> Int {
        var index = 0
        while !isWhole, index < input.count {
            let rest = UnsafeRawBufferPointer(rebasing: input[index...])
            let current = part
            let taken = try readPart(rest)
            if current != .checksum {
                crc = crc32_gzip_refl(crc, rest.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(taken))
            }
            index += taken
            count += taken
            guard count <= Self.bytesMax else {
                throw LayerError(
                    .limit, "the gzip header has more than \(Self.bytesMax >> 20) MiB; compress the layer with -n")
            }
        }
        return index
    }

    /// Reads on in this part, and goes to the next one when it ends.
    private mutating func readPart(_ input: UnsafeRawBufferPointer) throws(LayerError) -> Int {
        switch part {
        case .fixed:
            try readFixed(input[0])
            return 1
        case .extraLength, .checksum:
            number = number >> 8 | UInt16(input[0]) << 8
            partCount += 1
            if partCount == 2 { try endNumber() }
            return 1
        case .extra:
            let taken = min(input.count, Int(number) - partCount)
            partCount += taken
            if partCount == Int(number) { next() }
            return taken
        case .name, .comment:
            guard let end = input.firstIndex(of: 0) else { return input.count }
            next()
            return end + 1
        case .end: return 0
        }
    }

    private mutating func readFixed(_ byte: UInt8) throws(LayerError) {
        if partCount == Self.magic.count { flags = byte }
        let isRight = partCount < Self.magic.count ? byte == Self.magic[partCount] : flags & Flags.reserved == 0
        guard isRight else { throw Self.invalid }
        partCount += 1
        if partCount == Self.fixedBytes { next() }
    }

    private mutating func endNumber() throws(LayerError) {
        if part == .checksum, number != UInt16(truncatingIfNeeded: crc) { throw Self.invalid }
        let isEmpty = part == .extraLength && number == 0
        next()
        if isEmpty { next() }
    }

    private mutating func next() {
        partCount = 0
        repeat { part = Part(rawValue: part.rawValue + 1) ?? .end } while !isAnnounced
    }

    private var isAnnounced: Bool {
        switch part {
        case .fixed, .end: true
        case .extraLength, .extra: flags & Flags.extra != 0
        case .name: flags & Flags.name != 0
        case .comment: flags & Flags.comment != 0
        case .checksum: flags & Flags.checksum != 0
        }
    }

    private static var invalid: LayerError {
        LayerError(.malformed, "broken gzip stream: header is not valid; pull the layer again")
    }
}
