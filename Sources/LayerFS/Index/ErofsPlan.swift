/// Where everything of an index will be: found before the first byte is written, so that the index can be streamed.
///
/// The image is the superblock with the device table, then the inodes (root first; its number has 16 bits), then the
/// blocks of directories and of symlink targets that do not fit beside their inode.
struct ErofsPlan {
    /// The contents of one directory: blocks of entries, each sorted, the last one cut to its use.
    struct DirectoryPlan {
        /// Bytes of all blocks.
        var size = 0
        /// The position in the directory's sequence of entries at which the last block starts.
        var lastBlockStart = 0
        /// The entries `.` and `..` sort here, as positions among the children.
        var dotPosition = 0
        var dotDotPosition = 0
        /// The first block that is not beside the inode.
        var firstBlock: UInt32 = 0
        var isInline = false
    }

    let tree: ImageTree
    let order: TreeOrder
    let devices: ErofsDevices
    /// The device of each file's content, by layer << 8 | content.
    let deviceNumbers: [UInt32: UInt16]
    /// The commonest modification time: inodes that have it can be compact.
    let epoch: (seconds: Int64, nanoseconds: UInt32)

    private(set) var directories: [DirectoryPlan] = []
    /// Inodes in the order of their places, and the place of each: slots of 32 bytes from the start of the inode area.
    private(set) var sequence: [InodeID] = []
    private(set) var slots: [UInt32]
    /// The block of a symlink's target that is not beside its inode.
    private(set) var targetBlocks: [InodeID: UInt32] = [:]
    private(set) var inodeAreaStart = 0
    private(set) var blockAreaStart = 0
    /// Bytes of the whole index.
    private(set) var size = 0

    /// Plans the index of `tree`.
    ///
    /// - Throws: `LayerError` `.limit` when the index would pass the format's limits.
    init(_ tree: ImageTree) throws(LayerError) {
        self.tree = tree
        order = TreeOrder(tree)
        devices = try ErofsDevices(tree)
        deviceNumbers = devices.numbers()
        epoch = Self.commonestTime(tree)
        slots = [UInt32](repeating: absent, count: tree.inodes.count)
        sequence.reserveCapacity(tree.inodes.count)
        directories.reserveCapacity(order.directories.count)
        for index in order.directories.indices { directories.append(planDirectory(index)) }
        try placeInodes()
        try placeBlocks()
    }

    /// A majority vote (Boyer and Moore) over the times: the time of more than half the inodes if there is one, else
    /// any.
    private static func commonestTime(_ tree: ImageTree) -> (Int64, UInt32) {
        var votes = 0
        var winner: (Int64, UInt32) = (0, 0)
        for inode in tree.inodes where inode.links > 0 {
            let time = (inode.mtimeSeconds, inode.mtimeNanoseconds)
            if votes == 0 { winner = time }
            votes += time == winner ? 1 : -1
        }
        return winner
    }

    // MARK: Directories

    private func planDirectory(_ index: Int) -> DirectoryPlan {
        let children = order.children[order.directories[index].children]
        var plan = DirectoryPlan()
        plan.dotPosition = children.count
        plan.dotDotPosition = children.count
        for (position, child) in children.enumerated() {
            let name = tree.name(child)
            if plan.dotPosition == children.count && !name.lexicographicallyPrecedes([46]) {
                plan.dotPosition = position
            }
            if !name.lexicographicallyPrecedes([46, 46]) {
                plan.dotDotPosition = position
                break
            }
        }
        var used = 0
        var position = 0
        forEachEntry(index, plan) { entry in
            let bytes = Erofs.direntBytes + nameLength(entry)
            if used + bytes > Erofs.blockBytes {
                plan.size += Erofs.blockBytes
                plan.lastBlockStart = position
                used = 0
            }
            used += bytes
            position += 1
        }
        plan.size += used
        return plan
    }

    /// An entry of a directory: a child, the directory itself, or its parent.
    enum Entry {
        case child(NodeID), dot, dotDot
    }

    /// The entries of a directory in their order.
    func forEachEntry(_ index: Int, _ plan: DirectoryPlan, _ body: (Entry) -> Void) {
        let children = order.children[order.directories[index].children]
        var position = 0
        for child in children {
            if position == plan.dotPosition { body(.dot) }
            if position == plan.dotDotPosition { body(.dotDot) }
            body(.child(child))
            position += 1
        }
        if position == plan.dotPosition { body(.dot) }
        if position == plan.dotDotPosition { body(.dotDot) }
    }

    func nameLength(_ entry: Entry) -> Int {
        switch entry {
        case .child(let node): Int(tree.nodes[Int(node)].nameLength)
        case .dot: 1
        case .dotDot: 2
        }
    }

    // MARK: Inodes

    /// The place of a directory in `directories`, by inode; `absent` for other kinds.
    var directoryOf: [UInt32] { order.directoryOf }

    /// True when the small form can hold the inode.
    func isCompact(_ id: InodeID, _ inode: TreeInode) -> Bool {
        inode.mtimeSeconds == epoch.seconds && inode.mtimeNanoseconds == epoch.nanoseconds && inode.uid < 1 << 16
            && inode.gid < 1 << 16 && dataSize(id, inode) < 1 << 32 && linkCount(id, inode) < 1 << 16
    }

    /// Bytes of an inode's data: a file's, a target's, or a directory's blocks.
    func dataSize(_ id: InodeID, _ inode: TreeInode) -> UInt64 {
        let directory = directoryOf[Int(id)]
        return directory == absent ? inode.size : UInt64(directories[Int(directory)].size)
    }

    func linkCount(_ id: InodeID, _ inode: TreeInode) -> UInt32 {
        let directory = directoryOf[Int(id)]
        return directory == absent ? inode.links : 2 + order.directories[Int(directory)].subdirectories
    }

    /// Bytes of an inode's attributes as they follow it.
    func attributeBytes(_ inode: TreeInode) -> Int {
        if inode.attributes == absent { return 0 }
        var bytes = Erofs.attributeHeaderBytes
        tree.attributes.forEach(inode.attributes) { name, value in
            bytes += Erofs.round(4 + name.count - Self.prefix(name).length + value.count, to: 4)
        }
        return bytes
    }

    /// The prefix's index and length in an attribute's name.
    static func prefix(_ name: ArraySlice<UInt8>) -> (index: UInt8, length: Int) {
        for (index, prefix) in Erofs.attributePrefixes where name.starts(with: prefix) { return (index, prefix.count) }
        return (0, 0)
    }

    /// Bits of the chunks of a file: one chunk, unless the file is beyond 1 TiB.
    static func chunkBits(_ size: UInt64) -> Int {
        min(max(UInt64.bitWidth - (size - 1).leadingZeroBitCount, Erofs.blockBits), Erofs.chunkBitsMax)
    }

    private mutating func placeInodes() throws(LayerError) {
        inodeAreaStart = Erofs.round(
            Erofs.superblockOffset + Erofs.superblockBytes + devices.count * Erofs.deviceSlotBytes, to: Erofs.blockBytes
        )
        var position = Erofs.slotBytes  // nothing at 0: a file number of 0 means "deleted" to readers of directories
        try placeInode(tree.nodes[0].inode, &position)
        for directory in order.directories {
            for child in order.children[directory.children] {
                let inode = tree.nodes[Int(child)].inode
                if slots[Int(inode)] == absent { try placeInode(inode, &position) }
            }
        }
        blockAreaStart = Erofs.round(inodeAreaStart + position, to: Erofs.blockBytes)
    }

    private mutating func placeInode(_ id: InodeID, _ position: inout Int) throws(LayerError) {
        let inode = tree.inodes[Int(id)]
        var bytes = isCompact(id, inode) ? Erofs.compactInodeBytes : Erofs.extendedInodeBytes
        bytes += attributeBytes(inode)
        switch inode.kind {
        case .file where inode.size > 0:
            let bits = Self.chunkBits(inode.size)
            bytes = Erofs.round(bytes, to: 8) + Int((inode.size - 1) >> UInt64(bits) + 1) * Erofs.chunkIndexBytes
        case .directory:
            let directory = Int(directoryOf[Int(id)])
            let size = directories[directory].size
            // The last block beside the inode, when both fit into one block of the index.
            let tail = size - (size - 1) / Erofs.blockBytes * Erofs.blockBytes
            directories[directory].isInline = place(&position, &bytes, tail)
        case .symlink:
            if !place(&position, &bytes, Int(inode.size)) { targetBlocks[id] = 0 }
        default: break
        }
        let slot = position / Erofs.slotBytes
        guard slot < Int(absent) else { throw LayerError(.limit, "the index of the image exceeds 128 GiB") }
        slots[Int(id)] = UInt32(slot)
        sequence.append(id)
        position = Erofs.round(position + bytes, to: Erofs.slotBytes)
    }

    /// Adds a tail of data to an inode where one block can hold both, moving to the next block if need be.
    private func place(_ position: inout Int, _ bytes: inout Int, _ tail: Int) -> Bool {
        guard bytes + tail <= Erofs.blockBytes else { return false }
        bytes += tail
        if position % Erofs.blockBytes + bytes > Erofs.blockBytes {
            position = Erofs.round(position, to: Erofs.blockBytes)
        }
        return true
    }

    private mutating func placeBlocks() throws(LayerError) {
        var block = blockAreaStart / Erofs.blockBytes
        for id in sequence {
            let inode = tree.inodes[Int(id)]
            if inode.kind == .directory {
                let directory = Int(directoryOf[Int(id)])
                let blocks =
                    (directories[directory].size - 1) / Erofs.blockBytes + (directories[directory].isInline ? 0 : 1)
                directories[directory].firstBlock = UInt32(truncatingIfNeeded: block)
                block += blocks
            } else if targetBlocks[id] != nil {
                targetBlocks[id] = UInt32(truncatingIfNeeded: block)
                block += (Int(inode.size) - 1) / Erofs.blockBytes + 1
            }
        }
        guard UInt64(block) <= Erofs.deviceBlocksMax else {
            throw LayerError(.limit, "the index of the image exceeds 2 TiB")
        }
        size = block * Erofs.blockBytes
    }
}
