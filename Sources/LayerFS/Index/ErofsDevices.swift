/// The device table of an index: which file of which layer is device 1, 2, ….
///
/// Each slot's tag says it in words ("tar 3": the tar of the fourth layer), so that an index on disk can be mounted
/// without anything else; layers without content have no slot.
struct ErofsDevices: Equatable {
    struct Device: Equatable {
        var layer: Int
        var content: TreeInode.Content
        /// 512-byte blocks that the index may refer to.
        var blocks: UInt32
    }

    private(set) var devices: [Device] = []

    /// Devices of one index: numbers have 16 bits.
    static let devicesMax = 65535

    var count: Int { devices.count }

    /// The devices that the files of a tree need, as small as their last content allows.
    ///
    /// - Throws: `LayerError` `.limit` for content beyond the 2 TiB a device can have, and for too many devices.
    init(_ tree: ImageTree) throws(LayerError) {
        var ends: [UInt32: UInt64] = [:]
        for inode in tree.inodes where inode.kind == .file && inode.links > 0 && inode.content != .none {
            let end = (inode.location + inode.size + 511) / 512
            let key = UInt32(inode.layer) << 8 | UInt32(inode.content.rawValue)
            guard end <= Erofs.deviceBlocksMax else {
                throw LayerError(
                    .limit, "layer \(inode.layer) has content beyond 2 TiB, which an EROFS index cannot refer to")
            }
            ends[key] = max(ends[key] ?? 0, end)
        }
        guard ends.count <= Self.devicesMax else {
            throw LayerError(.limit, "the image has more than \(Self.devicesMax) files of layers")
        }
        for (key, end) in ends.sorted(by: { $0.key < $1.key }) {
            devices.append(
                Device(
                    layer: Int(key >> 8),
                    content: key & 0xFF == UInt32(TreeInode.Content.tar.rawValue) ? .tar : .sparse,
                    blocks: UInt32(end)))
        }
    }

    /// Device numbers by layer and kind of content, from 1.
    func numbers() -> [UInt32: UInt16] {
        var result: [UInt32: UInt16] = [:]
        for (index, device) in devices.enumerated() {
            result[UInt32(device.layer) << 8 | UInt32(device.content.rawValue)] = UInt16(index + 1)
        }
        return result
    }

    /// The table's bytes.
    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        for device in devices {
            let end = bytes.count + Erofs.deviceSlotBytes
            let tagEnd = bytes.count + Erofs.deviceTagBytes
            bytes += Array("\(device.content == .tar ? "tar" : "sparse") \(device.layer)".utf8)
            bytes.pad(to: tagEnd)
            bytes.appendLittle(device.blocks)
            bytes.pad(to: end)
        }
        return bytes
    }

    /// Reads the table back from the first bytes of an index.
    ///
    /// - Throws: `LayerError` `.malformed` when this is no index of ours.
    init(index head: [UInt8]) throws(LayerError) {
        let base = Erofs.superblockOffset
        guard head.count >= base + Erofs.superblockBytes, head.little(base, as: UInt32.self) == Erofs.magic,
            head[base + 12] == UInt8(Erofs.blockBits)
        else { throw LayerError(.malformed, "not an EROFS index of this engine") }
        let count = Int(head.little(base + 86, as: UInt16.self))
        let start = Int(head.little(base + 88, as: UInt16.self)) * Erofs.deviceSlotBytes
        guard head.count >= start + count * Erofs.deviceSlotBytes else {
            throw LayerError(.malformed, "the device table of the EROFS index is cut short")
        }
        for slot in 0..<count {
            let offset = start + slot * Erofs.deviceSlotBytes
            let tag = String(decoding: head[offset..<offset + Erofs.deviceTagBytes].prefix { $0 != 0 }, as: UTF8.self)
            let words = tag.split(separator: " ")
            guard words.count == 2, words[0] == "tar" || words[0] == "sparse", let layer = Int(words[1]), layer >= 0
            else {
                throw LayerError(.malformed, "device \(slot + 1) of the EROFS index has no layer")
            }
            devices.append(
                Device(
                    layer: layer, content: words[0] == "tar" ? .tar : .sparse,
                    blocks: head.little(offset + Erofs.deviceTagBytes, as: UInt32.self)))
        }
    }

    /// Bytes from the start of an index to the end of its superblock.
    static let superblockEnd = Erofs.superblockOffset + Erofs.superblockBytes

    /// Bytes from the start of an index to the end of its device table; `superblock` is the start of it.
    static func headBytes(_ superblock: [UInt8]) -> Int {
        guard superblock.count >= superblockEnd else { return superblockEnd }
        return superblockEnd + Int(superblock.little(Erofs.superblockOffset + 86, as: UInt16.self))
            * Erofs.deviceSlotBytes
    }

    /// The path of each device's file.
    ///
    /// - Throws: `LayerError` `.malformed` when the index names a layer that `layers` has not.
    func paths(_ layers: [LayerFiles]) throws(LayerError) -> [String] {
        var paths: [String] = []
        for device in devices {
            guard device.layer < layers.count else {
                throw LayerError(.malformed, "the EROFS index refers to layer \(device.layer) of \(layers.count)")
            }
            paths.append(device.content == .tar ? layers[device.layer].tar : layers[device.layer].sparse)
        }
        return paths
    }
}
