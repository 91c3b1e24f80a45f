/// The names of every directory of a tree, sorted, with the directories in the order in which they are met from the
/// root.
///
/// What the index and the extracted tree are written from; neither depends on the order of the layers' tars.
struct TreeOrder {
    /// A directory and its run of `children`.
    struct Directory {
        var node: NodeID
        var parent: Int32
        var children: Range<Int>
        var subdirectories: UInt32
    }

    private(set) var directories: [Directory] = []
    /// Nodes, a run for each directory, sorted by the bytes of their names.
    private(set) var children: [NodeID] = []
    /// The place of a directory in `directories`, by inode; `absent` for other kinds.
    private(set) var directoryOf: [UInt32]

    /// Sorts `tree`. Directories come breadth first, so that the inodes of one directory are neighbours in the index.
    init(_ tree: ImageTree) {
        children.reserveCapacity(tree.nodes.count)
        directoryOf = [UInt32](repeating: absent, count: tree.inodes.count)
        directories.append(Directory(node: 0, parent: 0, children: 0..<0, subdirectories: 0))
        var next = 0
        var batch: [(key: UInt64, node: NodeID)] = []
        while next < directories.count {
            directoryOf[Int(tree.nodes[Int(directories[next].node)].inode)] = UInt32(next)
            batch.removeAll(keepingCapacity: true)
            var child = tree.nodes[Int(directories[next].node)].firstChild
            while child != absent {
                let node = tree.nodes[Int(child)]
                if node.inode != absent { batch.append((tree.sortKey(node), child)) }
                child = node.nextSibling
            }
            batch.reverse()  // siblings are linked newest first, and tars are mostly sorted
            Self.sort(&batch, tree)
            let start = children.count
            for (_, node) in batch {
                children.append(node)
                guard tree.isDirectory(node) else { continue }
                directories[next].subdirectories += 1
                directories.append(Directory(node: node, parent: Int32(next), children: 0..<0, subdirectories: 0))
            }
            directories[next].children = start..<children.count
            next += 1
        }
    }

    private static func sort(_ batch: inout [(key: UInt64, node: NodeID)], _ tree: ImageTree) {
        func ascending(_ a: (key: UInt64, node: NodeID), _ b: (key: UInt64, node: NodeID)) -> Bool {
            a.key != b.key ? a.key < b.key : tree.name(a.node).lexicographicallyPrecedes(tree.name(b.node))
        }
        var sorted = true
        for index in batch.indices.dropFirst() where !ascending(batch[index - 1], batch[index]) {
            sorted = false
            break
        }
        if !sorted { batch.sort(by: ascending) }
    }
}

extension ImageTree {
    /// The bytes of a node's name.
    func name(_ node: NodeID) -> ArraySlice<UInt8> {
        let node = nodes[Int(node)]
        return names[Int(node.nameOffset)..<Int(node.nameOffset) + Int(node.nameLength)]
    }

    /// The inode of a node that is there.
    func inode(_ node: NodeID) -> TreeInode { inodes[Int(nodes[Int(node)].inode)] }

    /// The bytes of a symlink's target.
    func target(_ inode: TreeInode) -> ArraySlice<UInt8> {
        names[Int(inode.location)..<Int(inode.location) + Int(inode.size)]
    }

    /// The first eight bytes of a name as a number that sorts like them (a NUL never occurs in a name).
    fileprivate func sortKey(_ node: TreeNode) -> UInt64 {
        var key: UInt64 = 0
        let start = Int(node.nameOffset)
        for index in 0..<8 {
            key = key << 8 | (index < Int(node.nameLength) ? UInt64(names[start + index]) : 0)
        }
        return key
    }
}
