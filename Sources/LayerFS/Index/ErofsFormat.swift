/// The EROFS on-disk format, as far as an index of layers needs it: no compression, data on other devices.
///
/// https://docs.kernel.org/filesystems/erofs.html; fs/erofs/erofs_fs.h in Linux. All numbers are little-endian.
enum Erofs {
    static let magic: UInt32 = 0xE0F5_E1E2
    static let superblockOffset = 1024
    static let superblockBytes = 128
    /// Blocks are as large as those of a tar, so that any member's data can be pointed at.
    static let blockBits = 9
    static let blockBytes = 1 << blockBits
    /// Inodes start at multiples of this; a node number counts them.
    static let slotBytes = 32
    static let compactInodeBytes = 32
    static let extendedInodeBytes = 64
    static let deviceSlotBytes = 128
    static let deviceTagBytes = 64
    static let direntBytes = 12
    static let chunkIndexBytes = 8
    static let attributeHeaderBytes = 12

    /// A checksum of the superblock; times are modification times.
    static let compatibleFeatures: UInt32 = 0x1 | 0x2
    /// Chunked files; a device table.
    static let incompatibleFeatures: UInt32 = 0x4 | 0x8

    /// Blocks of one device: addresses have 32 bits, of which the highest means a hole. 2 TiB.
    static let deviceBlocksMax = UInt64(UInt32.max) - 1
    /// Largest chunk: 31 bits more than a block, 1 TiB.
    static let chunkBitsMax = blockBits + 31
    /// The chunk format's flag for 8-byte indexes with a device number.
    static let chunkIndexes: UInt16 = 0x20

    enum Layout: UInt16 {
        case plain = 0
        case inline = 2
        case chunks = 4
    }

    /// File type bits of the mode, and the type in a directory entry (the kernel's FT_ numbers).
    static func type(_ kind: TreeInode.Kind) -> (mode: UInt16, entry: UInt8) {
        switch kind {
        case .file: (0o100000, 1)
        case .directory: (0o040000, 2)
        case .character: (0o020000, 3)
        case .block: (0o060000, 4)
        case .fifo: (0o010000, 5)
        case .symlink: (0o120000, 7)
        }
    }

    /// The number of a device as the kernel's new_encode_dev packs it.
    static func encode(major: UInt32, minor: UInt32) -> UInt32 { minor & 0xFF | major << 8 | (minor & ~0xFF) << 12 }

    /// Prefixes of attribute names and their indexes; a name is stored without its prefix.
    static let attributePrefixes: [(index: UInt8, prefix: [UInt8])] = [
        (1, Array("user.".utf8)), (2, Array("system.posix_acl_access".utf8)),
        (3, Array("system.posix_acl_default".utf8)),
        (4, Array("trusted.".utf8)), (6, Array("security.".utf8)),
    ]

    /// Sizes rounded up to a multiple of `unit`, a power of two.
    static func round(_ value: Int, to unit: Int) -> Int { (value + unit - 1) & ~(unit - 1) }

    /// CRC-32C (Castagnoli) without the final complement, as the kernel's crc32c.
    static func crc32c(_ bytes: some Sequence<UInt8>) -> UInt32 {
        var crc = UInt32.max
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 1 ? 0x82F6_3B78 : 0) }
        }
        return crc
    }
}

/// Little-endian numbers appended to bytes.
extension [UInt8] {
    mutating func appendLittle<Number: FixedWidthInteger>(_ number: Number) {
        Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
    }

    /// Zeros up to `count` bytes.
    mutating func pad(to count: Int) {
        if self.count < count { append(contentsOf: repeatElement(0, count: count - self.count)) }
    }

    func little<Number: FixedWidthInteger>(_ offset: Int, as type: Number.Type = Number.self) -> Number {
        var number: Number = 0
        for index in 0..<MemoryLayout<Number>.size {
            number |= Number(truncatingIfNeeded: self[offset + index]) << (8 * index)
        }
        return number
    }
}
