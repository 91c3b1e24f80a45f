// How a path in a layer finds its directory, as path_resolution(7) after chroot(2).

extension ImageTree {
    /// The directory `path` leads to, through symbolic links as after chroot(2).
    ///
    /// - Parameter create: makes missing directories, also in place of a lower layer's file, and notes that this layer
    ///   has something in the result; without it the answer is nil where there is no directory.
    mutating func directory(_ path: ArraySlice<UInt8>, create: Bool) throws(LayerError) -> NodeID? {
        if let lastParent, lastParent.path.elementsEqual(path) { return lastParent.node }
        var rest = path
        var current: NodeID = 0
        var hops = 0
        while let start = rest.firstIndex(where: { $0 != UInt8(ascii: "/") }) {
            let end = rest[start...].firstIndex(of: UInt8(ascii: "/")) ?? rest.endIndex
            let name = rest[start..<end]
            rest = rest[end...]
            steps &+= 1
            if name == [46] { continue }
            if name == [46, 46] {
                current = nodes[Int(current)].parent
                continue
            }
            guard let next = try step(current, name, path: path, create: create) else { return nil }
            let inode = inodes[Int(nodes[Int(next)].inode)]
            guard inode.kind == .symlink else {
                current = next
                continue
            }
            hops += 1
            guard hops <= Self.symlinkHopsMax else {
                throw LayerError(
                    .malformed, "the way to \(printable(path)) has more than \(Self.symlinkHopsMax) symbolic links")
            }
            let target = names[Int(inode.location)..<Int(inode.location) + Int(inode.size)]
            if target.first == UInt8(ascii: "/") { current = 0 }
            rest = (Array(target) + rest)[...]
        }
        if create {
            touch(current)
            lastParent = (Array(path), current)
        }
        return current
    }

    /// The directory or symbolic link `name` in `parent`.
    private mutating func step(
        _ parent: NodeID, _ name: ArraySlice<UInt8>, path: ArraySlice<UInt8>, create: Bool
    ) throws(LayerError) -> NodeID? {
        if let node = lookup(parent, name) {
            switch inodes[Int(nodes[Int(node)].inode)].kind {
            case .symlink, .directory: return node
            default: break
            }
            guard create else { return nil }
            guard nodes[Int(node)].layer != stamp else {
                throw LayerError(.malformed, "the way to \(printable(path)) goes through a file of the same layer")
            }
            remove(node)
        }
        guard create else { return nil }
        touch(parent)
        let node = try self.node(parent, name, path: path)
        try setInode(node, .implicitDirectory)
        mark(node)
        return node
    }

    /// The node of a name that is there.
    func lookup(_ parent: NodeID, _ name: ArraySlice<UInt8>) -> NodeID? {
        guard let node = find(parent, name, table.hash(parent, name)), nodes[Int(node)].inode != absent else {
            return nil
        }
        return node
    }

    private func find(_ parent: NodeID, _ name: ArraySlice<UInt8>, _ hash: UInt32) -> NodeID? {
        table.find(hash) { node in
            let other = nodes[Int(node)]
            return other.hash == hash && other.parent == parent && Int(other.nameLength) == name.count
                && names[Int(other.nameOffset)..<Int(other.nameOffset) + name.count].elementsEqual(name)
        }
    }

    /// The node for `name`, whether it is there or not.
    mutating func node(
        _ parent: NodeID, _ name: ArraySlice<UInt8>, path: some Collection<UInt8>
    ) throws(LayerError) -> NodeID {
        let hash = table.hash(parent, name)
        if let node = find(parent, name, hash) { return node }
        guard name.count <= Self.nameBytesMax else {
            throw LayerError(.limit, "a name in \(printable(path)) is longer than \(Self.nameBytesMax) bytes")
        }
        guard nodes.count < Self.namesMax else {
            throw LayerError(.limit, "the image has more than \(Self.namesMax) names")
        }
        let node = NodeID(nodes.count)
        let offset = try store(bytes: name)
        nodes.append(
            TreeNode(
                parent: parent, inode: absent, nameOffset: offset, nextSibling: nodes[Int(parent)].firstChild,
                hash: hash,
                nameLength: UInt8(name.count), layer: stamp))
        nodes[Int(parent)].firstChild = node
        table.insert(node, hash: hash) { nodes[Int($0)].hash }
        return node
    }

    mutating func store(bytes: ArraySlice<UInt8>) throws(LayerError) -> UInt32 {
        guard names.count + bytes.count < Int(absent) else {
            throw LayerError(.limit, "the names of the image exceed 4 GiB")
        }
        let offset = UInt32(names.count)
        names.append(contentsOf: bytes)
        return offset
    }
}
