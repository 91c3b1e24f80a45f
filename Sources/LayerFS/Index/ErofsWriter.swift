import Glibc
import Kernel

/// Writes the EROFS index of a tree: everything of the file system but the contents of files, which stay in the layers'
/// tars.
///
/// The bytes depend on the tree alone.
struct ErofsWriter: ~Copyable {
    private let plan: ErofsPlan
    private let file: OwnedFD
    private var buffer: [UInt8] = []
    /// Bytes of the file that are written already; `buffer` starts here.
    private var written = 0

    /// Bytes gathered for one write(2).
    private static let bufferBytes = 1 << 20

    /// Writes the index of `tree` to a new file at `path` and makes its content durable (fdatasync(2)).
    ///
    /// - Returns: the device table, which says what the index needs of the layers' files.
    /// - Throws: `LayerError` `.limit` or `.system`; what was written is then of no use.
    static func write(_ tree: borrowing ImageTree, to path: String) throws(LayerError) -> ErofsDevices {
        let plan = try ErofsPlan(copy tree)
        do throws(SystemError) {
            let file = try OwnedFD.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
            var writer = ErofsWriter(plan: plan, file: file)
            try writer.writeAll()
            return plan.devices
        } catch {
            throw LayerError(error, "writing the index of an image")
        }
    }

    private init(plan: ErofsPlan, file: consuming OwnedFD) {
        self.plan = plan
        self.file = file
        buffer.reserveCapacity(Self.bufferBytes + Self.bufferBytes / 4)
    }

    private mutating func writeAll() throws(SystemError) {
        writeSuperblock()
        padFile(to: plan.inodeAreaStart)
        for id in plan.sequence {
            padFile(to: plan.inodeAreaStart + Int(plan.slots[Int(id)]) * Erofs.slotBytes)
            writeInode(id)
            try flush(above: Self.bufferBytes)
        }
        padFile(to: plan.blockAreaStart)
        for id in plan.sequence {
            writeBlocks(id)
            try flush(above: Self.bufferBytes)
        }
        padFile(to: plan.size)
        try flush(above: 0)
        try file.syncData()
    }

    private mutating func flush(above limit: Int) throws(SystemError) {
        guard buffer.count > limit else { return }
        var failure: SystemError?
        buffer.withUnsafeBytes { bytes in
            do throws(SystemError) { try file.writeAll(bytes) } catch { failure = error }
        }
        if let failure { throw failure }
        written += buffer.count
        buffer.removeAll(keepingCapacity: true)
    }

    private mutating func padFile(to position: Int) { buffer.pad(to: position - written) }

    // MARK: Superblock

    private mutating func writeSuperblock() {
        buffer.pad(to: Erofs.superblockOffset)
        var block: [UInt8] = []
        block.appendLittle(Erofs.magic)
        block.appendLittle(UInt32(0))  // checksum, below
        block.appendLittle(Erofs.compatibleFeatures)
        block.append(UInt8(Erofs.blockBits))
        block.append(0)  // no extension slots
        block.appendLittle(UInt16(truncatingIfNeeded: plan.slots[0]))  // the root is the first inode
        block.appendLittle(UInt64(plan.sequence.count))
        block.appendLittle(plan.epoch.seconds)
        block.appendLittle(plan.epoch.nanoseconds)
        block.appendLittle(UInt32(plan.size / Erofs.blockBytes))
        block.appendLittle(UInt32(plan.inodeAreaStart / Erofs.blockBytes))
        block.appendLittle(UInt32(0))  // no shared attributes
        block.pad(to: 80)  // no UUID, no name
        block.appendLittle(Erofs.incompatibleFeatures)
        block.appendLittle(UInt16(0))  // no compression
        block.appendLittle(UInt16(plan.devices.count))
        block.appendLittle(UInt16((Erofs.superblockOffset + Erofs.superblockBytes) / Erofs.deviceSlotBytes))
        block.pad(to: Erofs.superblockBytes)
        block += plan.devices.encoded()
        block.pad(to: plan.inodeAreaStart - Erofs.superblockOffset)
        let checksum = Erofs.crc32c(block[..<Erofs.blockBytes])
        for index in 0..<4 { block[4 + index] = UInt8(truncatingIfNeeded: checksum >> (8 * UInt32(index))) }
        buffer += block
    }

    // MARK: Inodes

    private mutating func writeInode(_ id: InodeID) {
        let inode = plan.tree.inodes[Int(id)]
        let (layout, union, size) = data(id, inode)
        let type = Erofs.type(inode.kind).mode
        let attributeBytes = plan.attributeBytes(inode)
        let attributeCount = attributeBytes == 0 ? 0 : (attributeBytes - Erofs.attributeHeaderBytes) / 4 + 1
        let links = plan.linkCount(id, inode)
        let isCompact = plan.isCompact(id, inode)
        buffer.appendLittle(layout.rawValue << 1 | (isCompact ? 0 : 1))
        buffer.appendLittle(UInt16(attributeCount))
        buffer.appendLittle(type | inode.mode)
        if isCompact {
            buffer.appendLittle(UInt16(links))
            buffer.appendLittle(UInt32(size))
            buffer.appendLittle(UInt32(0))  // time since the superblock's
            buffer.appendLittle(union)
            buffer.appendLittle(id &+ 1)
            buffer.appendLittle(UInt16(inode.uid))
            buffer.appendLittle(UInt16(inode.gid))
            buffer.appendLittle(UInt32(0))
        } else {
            buffer.appendLittle(UInt16(0))
            buffer.appendLittle(size)
            buffer.appendLittle(union)
            buffer.appendLittle(id &+ 1)
            buffer.appendLittle(inode.uid)
            buffer.appendLittle(inode.gid)
            buffer.appendLittle(inode.mtimeSeconds)
            buffer.appendLittle(inode.mtimeNanoseconds)
            buffer.appendLittle(links)
            buffer.append(contentsOf: repeatElement(0, count: 16))
        }
        writeAttributes(inode)
        writeInlineData(id, inode, layout)
    }

    /// The layout of an inode's data, its word in the inode that depends on the kind, and its size.
    private func data(_ id: InodeID, _ inode: TreeInode) -> (Erofs.Layout, UInt32, UInt64) {
        switch inode.kind {
        case .file:
            if inode.size == 0 { return (.plain, 0, 0) }
            let format = UInt16(ErofsPlan.chunkBits(inode.size) - Erofs.blockBits) | Erofs.chunkIndexes
            return (.chunks, UInt32(format), inode.size)
        case .directory:
            let directory = plan.directories[Int(plan.directoryOf[Int(id)])]
            return (directory.isInline ? .inline : .plain, directory.firstBlock, UInt64(directory.size))
        case .symlink:
            let block = plan.targetBlocks[id]
            return (block == nil ? .inline : .plain, block ?? 0, inode.size)
        case .character, .block:
            let device = Erofs.encode(
                major: UInt32(inode.location >> 32), minor: UInt32(truncatingIfNeeded: inode.location))
            return (.plain, device, 0)
        case .fifo:
            return (.plain, 0, 0)
        }
    }

    private mutating func writeAttributes(_ inode: TreeInode) {
        if inode.attributes == absent { return }
        buffer.append(contentsOf: repeatElement(0, count: Erofs.attributeHeaderBytes))
        plan.tree.attributes.forEach(inode.attributes) { name, value in
            let prefix = ErofsPlan.prefix(name)
            let end = buffer.count + Erofs.round(4 + name.count - prefix.length + value.count, to: 4)
            buffer.append(UInt8(name.count - prefix.length))
            buffer.append(prefix.index)
            buffer.appendLittle(UInt16(value.count))
            buffer += name.dropFirst(prefix.length)
            buffer += value
            buffer.pad(to: end)
        }
    }

    private mutating func writeInlineData(_ id: InodeID, _ inode: TreeInode, _ layout: Erofs.Layout) {
        switch (inode.kind, layout) {
        case (.file, .chunks):
            buffer.pad(to: Erofs.round(written + buffer.count, to: 8) - written)
            let bits = UInt64(ErofsPlan.chunkBits(inode.size))
            let device = plan.deviceNumbers[UInt32(inode.layer) << 8 | UInt32(inode.content.rawValue)] ?? 0
            for chunk in 0...((inode.size - 1) >> bits) {
                buffer.appendLittle(UInt16(0))
                buffer.appendLittle(device)
                buffer.appendLittle(
                    UInt32(truncatingIfNeeded: (inode.location + chunk << bits) >> UInt64(Erofs.blockBits)))
            }
        case (.directory, .inline):
            let index = Int(plan.directoryOf[Int(id)])
            writeEntries(index, from: plan.directories[index].lastBlockStart)
        case (.symlink, .inline):
            buffer += plan.tree.target(inode)
        default: break
        }
    }

    // MARK: Blocks

    private mutating func writeBlocks(_ id: InodeID) {
        let inode = plan.tree.inodes[Int(id)]
        if inode.kind == .directory {
            let index = Int(plan.directoryOf[Int(id)])
            let directory = plan.directories[index]
            writeEntries(index, from: 0, to: directory.isInline ? directory.lastBlockStart : .max)
        } else if plan.targetBlocks[id] != nil {
            buffer += plan.tree.target(inode)
        }
        padFile(to: Erofs.round(written + buffer.count, to: Erofs.blockBytes))
    }

    /// Writes the entries at some positions of a directory, in blocks; the last one is not padded.
    private mutating func writeEntries(_ index: Int, from start: Int, to end: Int = .max) {
        var position = 0
        var block: [ErofsPlan.Entry] = []
        var used = 0
        plan.forEachEntry(index, plan.directories[index]) { entry in
            defer { position += 1 }
            guard position >= start, position < end else { return }
            let bytes = Erofs.direntBytes + plan.nameLength(entry)
            if used + bytes > Erofs.blockBytes {
                let next = buffer.count + Erofs.blockBytes
                writeBlock(block, index)
                buffer.pad(to: next)
                block.removeAll(keepingCapacity: true)
                used = 0
            }
            block.append(entry)
            used += bytes
        }
        writeBlock(block, index)
    }

    private mutating func writeBlock(_ entries: [ErofsPlan.Entry], _ directory: Int) {
        var nameOffset = entries.count * Erofs.direntBytes
        for entry in entries {
            let node = node(entry, directory)
            let inode = plan.tree.nodes[Int(node)].inode
            buffer.appendLittle(UInt64(plan.slots[Int(inode)]))
            buffer.appendLittle(UInt16(nameOffset))
            buffer.append(Erofs.type(plan.tree.inodes[Int(inode)].kind).entry)
            buffer.append(0)
            nameOffset += plan.nameLength(entry)
        }
        for entry in entries {
            switch entry {
            case .child(let node): buffer += plan.tree.name(node)
            case .dot: buffer += [46]
            case .dotDot: buffer += [46, 46]
            }
        }
    }

    private func node(_ entry: ErofsPlan.Entry, _ directory: Int) -> NodeID {
        switch entry {
        case .child(let node): node
        case .dot: plan.order.directories[directory].node
        case .dotDot: plan.order.directories[Int(plan.order.directories[directory].parent)].node
        }
    }
}
