/// The file tree of an image: the entries of its layers merged in order, as a container will see them.
///
/// Apply layers from the lowest to the highest; a layer may be applied while later ones are still on their way. Rules,
/// where the specification leaves room (https://github.com/opencontainers/image-spec/blob/main/layer.md):
/// - Whiteouts hide what lower layers put there, never what the same layer puts there, whatever the order of the
///   entries.
/// - A symbolic link on the way to an entry is followed, inside the root; an entry at the place of a link replaces it,
///   also when the entry is a directory and the link leads to one.
/// - A directory over a directory keeps the content and takes the later entry's metadata.
/// - A hard link shares the inode it names, of whichever layer; the metadata of its own entry does not count.
/// - A directory that no entry describes is 0755, root's, at the epoch.
///
/// Names, nodes and inodes are in flat arrays (about 130 bytes an entry); nothing recurses.
package struct ImageTree: Sendable {
    var nodes: [TreeNode] = []
    var inodes: [TreeInode] = []
    /// Names and symlink targets.
    var names: [UInt8] = []
    var attributes = AttributeArena()
    var table = NodeTable()
    /// Inodes without a name, for reuse.
    var freeInodes: [InodeID] = []
    /// Stamp of the layer being applied.
    var stamp: UInt16 = 1
    /// The parent path of the last entry and the directory it led to; empty when unknown.
    var lastParent: (path: [UInt8], node: NodeID)?
    /// Scratch of walks over subtrees.
    var pending: [NodeID] = []
    /// Names looked at so far: on the way to entries, and while subtrees were taken away.
    var steps = 0
    private let stepsMax: Int

    /// Layers in one chain; their stamps are 16 bits.
    package static let layersMax = 65000
    /// Bytes of a path in a layer; Linux takes no longer one in a system call (PATH_MAX with its NUL).
    package static let pathBytesMax = 4095
    /// Names in one image, removed ones included: what one small entry with a deep path makes must be bounded (2 GiB of
    /// memory); honest images have a hundredth of it.
    package static let namesMax = 1 << 24
    /// Bytes of one name (NAME_MAX).
    package static let nameBytesMax = 255
    /// Symbolic links followed on the way to one entry, as the kernel does (path_resolution(7)).
    package static let symlinkHopsMax = 40
    /// Names looked at while one image is merged: a member of 512 bytes may take the way through 40 links of 4095 bytes, or
    /// take away a directory of a million names that come back. Some ten seconds; honest images have a hundredth of it.
    package static let stepsMaxDefault = 1 << 28

    package init(stepsMax: Int = ImageTree.stepsMaxDefault) {
        self.stepsMax = stepsMax
        inodes.append(.implicitDirectory)
        inodes[0].links = 1
        nodes.append(
            TreeNode(parent: 0, inode: 0, nameOffset: 0, nextSibling: absent, hash: 0, nameLength: 0, layer: 0))
    }

    /// Layers finished so far: the index of the layer that `apply` takes next.
    package var layerCount: Int { Int(stamp) - 1 }

    /// Applies a whole layer and finishes it.
    ///
    /// - Throws: `LayerError`; the tree is then of no use.
    package mutating func apply(layer index: Int, entries: some Sequence<LayerEntry>) throws(LayerError) {
        for entry in entries { try apply(layer: index, entry) }
        try finishLayer(index)
    }

    /// Ends layer `index`: what it brought is "lower" from here on.
    package mutating func finishLayer(_ index: Int) throws(LayerError) {
        try expect(layer: index)
        lastParent = nil
        stamp += 1
    }

    private func expect(layer index: Int) throws(LayerError) {
        guard index == layerCount else {
            throw LayerError(.malformed, "layer \(index) applied where layer \(layerCount) was due")
        }
        guard index < Self.layersMax else {
            throw LayerError(.limit, "the image has more than \(Self.layersMax) layers")
        }
    }

    /// Applies one entry of layer `index`, in tar order.
    ///
    /// - Throws: `LayerError` `.malformed` for an entry that has no place in a tree (parent is a file of the same
    ///   layer, missing hard link target, a name that Linux refuses), `.limit` where a limit of this type is passed.
    package mutating func apply(layer index: Int, _ entry: LayerEntry) throws(LayerError) {
        try expect(layer: index)
        guard steps <= stepsMax else {
            throw LayerError(
                .limit,
                "the layers reach for names more than \(stepsMax) times; the image is hostile or very badly made")
        }
        guard entry.path.count <= Self.pathBytesMax else {
            throw LayerError(.limit, "path \(printable(entry.path)) is longer than \(Self.pathBytesMax) bytes")
        }
        guard !entry.path.contains(0) else { throw LayerError(.malformed, "path \(printable(entry.path)) holds a NUL") }
        guard let (parentPath, name) = Self.split(entry.path) else {
            guard entry.kind == .directory else {
                throw LayerError(.malformed, "the root of a layer is not a directory")
            }
            try describe(directory: 0, entry)
            return
        }
        switch try Marker(name: name, below: parentPath, path: entry.path) {
        case .whiteout(let hidden):
            guard let parent = try directory(parentPath, create: false) else { return }
            if let node = lookup(parent, hidden) { sweep(node) }
        case .opaque:
            guard let parent = try directory(parentPath, create: false) else { return }
            sweepContents(parent)
        case .ignored:
            return
        case nil:
            guard let parent = try directory(parentPath, create: true) else { return }
            try place(entry, parent, name)
        }
    }

    /// Parent path and last name; nil for the root.
    private static func split(_ path: [UInt8]) -> (ArraySlice<UInt8>, ArraySlice<UInt8>)? {
        if path.isEmpty { return nil }
        guard let slash = path.lastIndex(of: UInt8(ascii: "/")) else { return (path[..<0], path[...]) }
        return (path[..<slash], path[(slash + 1)...])
    }
}

// MARK: - Entries

extension ImageTree {
    private mutating func place(_ entry: LayerEntry, _ parent: NodeID, _ name: ArraySlice<UInt8>) throws(LayerError) {
        guard name != [], name != [46], name != [46, 46] else {
            throw LayerError(.malformed, "path \(printable(entry.path)) does not end in a name")
        }
        switch entry.kind {
        case .directory:
            let node = try self.node(parent, name, path: entry.path)
            if !isDirectory(node) {
                remove(node)
                try setInode(node, TreeInode.implicitDirectory)
            }
            try describe(directory: node, entry)
        case .hardlink:
            let inode = try linkTarget(entry)
            inodes[Int(inode)].links += 1
            let node = try self.node(parent, name, path: entry.path)
            remove(node)
            nodes[Int(node)].inode = inode
            mark(node)
        case .character where entry.deviceMajor == 0 && entry.deviceMinor == 0:
            // An overlay lower shows such a device as "nothing is here", so nothing is here.
            if let node = lookup(parent, name) { remove(node) }
        case .file, .symlink, .character, .block, .fifo:
            let inode = try inode(entry)
            let node = try self.node(parent, name, path: entry.path)
            remove(node)
            try setInode(node, inode)
            mark(node)
        }
    }

    /// Gives a directory the metadata of its entry.
    private mutating func describe(directory node: NodeID, _ entry: LayerEntry) throws(LayerError) {
        let index = Int(nodes[Int(node)].inode)
        let links = inodes[index].links
        var inode = try Self.inode(entry, .directory)
        inode.attributes = try attributes.store(entry.attributes, of: entry.path, inode.kind)
        inode.links = links
        inodes[index] = inode
        mark(node)
    }

    private static func inode(_ entry: LayerEntry, _ kind: TreeInode.Kind) throws(LayerError) -> TreeInode {
        guard entry.mtimeNanoseconds < 1_000_000_000 else {
            throw LayerError(.malformed, "the time of \(printable(entry.path)) has more than a second of nanoseconds")
        }
        // chown(2) takes -1 for "as it is", so engines that extract leave such a file to root; nobody can own it.
        return TreeInode(
            kind: kind, mode: entry.mode & 0o7777, uid: entry.uid == .max ? 0 : entry.uid,
            gid: entry.gid == .max ? 0 : entry.gid,
            mtimeNanoseconds: entry.mtimeNanoseconds, mtimeSeconds: entry.mtimeSeconds)
    }

    /// The inode of an entry that is neither a directory nor a hard link.
    private mutating func inode(_ entry: LayerEntry) throws(LayerError) -> TreeInode {
        var inode: TreeInode
        switch entry.kind {
        case .symlink:
            inode = try Self.inode(entry, .symlink)
            inode.mode = 0o777  // Linux has no other
            guard !entry.linkTarget.isEmpty, !entry.linkTarget.contains(0), entry.linkTarget.count <= Self.pathBytesMax
            else {
                throw LayerError(
                    .malformed,
                    "the target of symbolic link \(printable(entry.path)) is empty, holds a NUL or is too long")
            }
            inode.size = UInt64(entry.linkTarget.count)
            inode.location = UInt64(try store(bytes: entry.linkTarget[...]))
        case .character, .block:
            inode = try Self.inode(entry, entry.kind == .block ? .block : .character)
            // What Linux's device numbers hold (MINORBITS).
            guard entry.deviceMajor < 1 << 12, entry.deviceMinor < 1 << 20 else {
                throw LayerError(.limit, "device numbers of \(printable(entry.path)) are larger than Linux has")
            }
            inode.location = UInt64(entry.deviceMajor) << 32 | UInt64(entry.deviceMinor)
        case .fifo:
            inode = try Self.inode(entry, .fifo)
        case .file, .directory, .hardlink:
            inode = try Self.inode(entry, .file)
            try setContent(of: &inode, entry)
        }
        inode.attributes = try attributes.store(entry.attributes, of: entry.path, inode.kind)
        return inode
    }

    private func setContent(of inode: inout TreeInode, _ entry: LayerEntry) throws(LayerError) {
        if entry.size == 0 { return }
        guard let extent = entry.content else {
            throw LayerError(.malformed, "file \(printable(entry.path)) has a size but no content")
        }
        guard extent.offset % 512 == 0, entry.size <= UInt64(Int64.max), extent.offset <= UInt64(Int64.max) - entry.size
        else {
            throw LayerError(.malformed, "the content of \(printable(entry.path)) is not at a block of its layer")
        }
        inode.content = extent.source == .tar ? .tar : .sparse
        inode.layer = stamp - 1
        inode.size = entry.size
        inode.location = extent.offset
    }

    private mutating func linkTarget(_ entry: LayerEntry) throws(LayerError) -> InodeID {
        guard let (parentPath, name) = Self.split(entry.linkTarget), entry.linkTarget.count <= Self.pathBytesMax,
            let parent = try directory(parentPath, create: false), let node = lookup(parent, name)
        else {
            throw LayerError(
                .malformed,
                "hard link \(printable(entry.path)) names \(printable(entry.linkTarget)), which is not there")
        }
        guard !isDirectory(node) else {
            throw LayerError(
                .malformed,
                "hard link \(printable(entry.path)) names \(printable(entry.linkTarget)), which is a directory")
        }
        return nodes[Int(node)].inode
    }
}
