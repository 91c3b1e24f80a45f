/// How a layer's tar is wrapped. Told by its first bytes, never by its media type: registries lie about that.
package enum Compression: String, Sendable, Hashable, CaseIterable {
    case identity, gzip, zstd, bzip2, xz

    /// Bytes ``detect(_:)`` wants to see.
    package static let magicBytes = 6

    /// What `bytes`, the beginning of a stream, says it is; ``identity`` when it says nothing.
    package static func detect(_ bytes: Span<UInt8>) -> Compression {
        func starts(_ magic: [UInt8], at offset: Int = 0) -> Bool {
            guard bytes.count >= offset + magic.count else { return false }
            for index in magic.indices where bytes[offset + index] != magic[index] { return false }
            return true
        }
        if starts([0x1F, 0x8B, 8]) { return .gzip }
        if starts([0x28, 0xB5, 0x2F, 0xFD]) { return .zstd }
        // A skippable frame may come first: 0x184D2A50 ... 5F, little endian (RFC 8878, 3.1.2).
        if starts([0x2A, 0x4D, 0x18], at: 1), bytes[0] & 0xF0 == 0x50 { return .zstd }
        if starts([0x42, 0x5A, 0x68]), bytes.count > 3, (0x31...0x39).contains(bytes[3]) { return .bzip2 }
        if starts([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0]) { return .xz }
        return .identity
    }
}
