import CCodecs
import Glibc
import Kernel

/// The on-disk form of a layer's parsed members, shared by ``EntryWriter`` and ``EntryReader``.
///
/// Little endian. A header of ``headerBytes``: magic (8 bytes), version (4), CRC-32 of the records (4), record count (8),
/// bytes of all records (8). Each record: its length (4), then the fields of ``LayerEntry``, numbers as LEB128.
/// The header is written last, so a file that was cut short has none or a wrong length.
enum EntryFormat {
    static let magic: UInt64 = 0x5345_5254_4E45_534C
    static let version: UInt32 = 1
    static let headerBytes = 32
    /// Bytes gathered before a write, and read at a time.
    static let blockBytes = 256 << 10
    /// A record's bytes at most: a path, a target and one extended header of attributes, with room to spare.
    static let recordBytesMax = 4 << 20

    static let hasMtimeNanoseconds: UInt8 = 1
    static let hasDevice: UInt8 = 2
    static let hasLink: UInt8 = 4
    static let hasAttributes: UInt8 = 8
    static let hasContent: UInt8 = 16
    static let isInSparse: UInt8 = 32

    static func checksum(_ seed: UInt32, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
        guard let base = bytes.baseAddress else { return seed }
        return crc32_gzip_refl(seed, base.assumingMemoryBound(to: UInt8.self), UInt64(bytes.count))
    }
}

/// Writes a layer's `entries` file. For one thread; the file is worthless until ``finish()``.
package struct EntryWriter: ~Copyable {
    private let file: OwnedFD
    private var block: [UInt8] = []
    private var count: UInt64 = 0
    private var bytes: UInt64 = 0
    private var checksum: UInt32 = 0

    /// - Throws: ``LayerError`` when `path` cannot be made.
    package init(_ path: String) throws(LayerError) {
        do throws(SystemError) {
            file = try OwnedFD.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
        } catch {
            throw LayerError(error, "storing a layer's members")
        }
        block.reserveCapacity(EntryFormat.blockBytes + 8192)
        block.append(contentsOf: repeatElement(0, count: EntryFormat.headerBytes))
    }

    /// Appends one member.
    package mutating func write(_ entry: LayerEntry) throws(LayerError) {
        let start = block.count
        block.append(contentsOf: repeatElement(0, count: 4))
        encode(entry)
        let length = UInt32(block.count - start - 4)
        for index in 0..<4 { block[start + index] = UInt8(truncatingIfNeeded: length >> UInt32(8 * index)) }
        count += 1
        if block.count >= EntryFormat.blockBytes { try flush() }
    }

    /// Writes the header and makes the file durable.
    package mutating func finish() throws(LayerError) {
        try flush()
        var header: [UInt8] = []
        func put(_ value: UInt64, _ bytes: Int) {
            for index in 0..<bytes { header.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
        }
        put(EntryFormat.magic, 8)
        put(UInt64(EntryFormat.version), 4)
        put(UInt64(checksum), 4)
        put(count, 8)
        put(bytes, 8)
        try store(header, at: 0)
        do throws(SystemError) { try file.syncData() } catch { throw LayerError(error, "storing a layer's members") }
    }

    private mutating func flush() throws(LayerError) {
        // The first block begins with room for the header, which no checksum covers.
        let skipped = bytes == 0 ? EntryFormat.headerBytes : 0
        try store(block, at: bytes == 0 ? 0 : Int64(EntryFormat.headerBytes) + Int64(bytes))
        checksum = block.withUnsafeBytes {
            EntryFormat.checksum(checksum, UnsafeRawBufferPointer(rebasing: $0[min(skipped, $0.count)...]))
        }
        bytes += UInt64(max(0, block.count - skipped))
        block.removeAll(keepingCapacity: true)
    }

    private func store(_ data: [UInt8], at offset: Int64) throws(LayerError) {
        let result: Result<Void, SystemError> = data.withUnsafeBytes { raw in
            do throws(SystemError) { return .success(try file.writeAll(raw, at: offset)) } catch {
                return .failure(error)
            }
        }
        if case .failure(let error) = result { throw LayerError(error, "storing a layer's members") }
    }

    private mutating func encode(_ entry: LayerEntry) {
        var flags: UInt8 = 0
        if entry.mtimeNanoseconds != 0 { flags |= EntryFormat.hasMtimeNanoseconds }
        if entry.deviceMajor != 0 || entry.deviceMinor != 0 { flags |= EntryFormat.hasDevice }
        if !entry.linkTarget.isEmpty { flags |= EntryFormat.hasLink }
        if !entry.attributes.isEmpty { flags |= EntryFormat.hasAttributes }
        if let content = entry.content {
            flags |= EntryFormat.hasContent | (content.source == .sparse ? EntryFormat.isInSparse : 0)
        }
        block.append(entry.kind.rawValue)
        block.append(flags)
        put(UInt64(entry.mode))
        put(UInt64(entry.uid))
        put(UInt64(entry.gid))
        put(UInt64(bitPattern: (entry.mtimeSeconds << 1) ^ (entry.mtimeSeconds >> 63)))
        put(entry.size)
        put(entry.path)
        if entry.mtimeNanoseconds != 0 { put(UInt64(entry.mtimeNanoseconds)) }
        if flags & EntryFormat.hasDevice != 0 {
            put(UInt64(entry.deviceMajor))
            put(UInt64(entry.deviceMinor))
        }
        if flags & EntryFormat.hasLink != 0 { put(entry.linkTarget) }
        if flags & EntryFormat.hasAttributes != 0 {
            put(UInt64(entry.attributes.count))
            for attribute in entry.attributes {
                put(attribute.name)
                put(attribute.value)
            }
        }
        if let content = entry.content { put(content.offset) }
    }

    private mutating func put(_ bytes: [UInt8]) {
        put(UInt64(bytes.count))
        block.append(contentsOf: bytes)
    }

    private mutating func put(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            block.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        block.append(UInt8(rest))
    }
}
