// Putting names into the tree and taking them away; what whiteouts hide.

extension ImageTree {
    func isDirectory(_ node: NodeID) -> Bool {
        let inode = nodes[Int(node)].inode
        return inode != absent && inodes[Int(inode)].kind == .directory
    }

    /// Notes that this layer put `node` here.
    mutating func mark(_ node: NodeID) {
        nodes[Int(node)].layer = stamp
        nodes[Int(node)].touched = stamp
    }

    /// Notes that this layer has something in a directory. Above a touched directory all are touched.
    mutating func touch(_ directory: NodeID) {
        var node = Int(directory)
        while nodes[node].touched != stamp {
            nodes[node].touched = stamp
            node = Int(nodes[node].parent)
        }
    }

    mutating func setInode(_ node: NodeID, _ inode: TreeInode) throws(LayerError) {
        var inode = inode
        inode.links = 1
        if let free = freeInodes.popLast() {
            inodes[Int(free)] = inode
            nodes[Int(node)].inode = free
            return
        }
        guard inodes.count < Int(absent) else { throw LayerError(.limit, "the image has more than \(absent) inodes") }
        nodes[Int(node)].inode = InodeID(inodes.count)
        inodes.append(inode)
    }

    /// Takes a name away, with everything below it.
    mutating func remove(_ node: NodeID) {
        guard nodes[Int(node)].inode != absent else { return }
        let wasDirectory = isDirectory(node)
        if wasDirectory || isSymlink(node) { lastParent = nil }
        unlink(node)
        guard wasDirectory else { return }
        pending.append(node)
        while let directory = pending.popLast() {
            var child = nodes[Int(directory)].firstChild
            while child != absent {
                steps &+= 1
                if nodes[Int(child)].inode != absent {
                    if isDirectory(child) { pending.append(child) }
                    unlink(child)
                }
                child = nodes[Int(child)].nextSibling
            }
        }
    }

    private func isSymlink(_ node: NodeID) -> Bool { inodes[Int(nodes[Int(node)].inode)].kind == .symlink }

    private mutating func unlink(_ node: NodeID) {
        let inode = nodes[Int(node)].inode
        nodes[Int(node)].inode = absent
        nodes[Int(node)].swept = 0
        nodes[Int(node)].touched = 0
        inodes[Int(inode)].links -= 1
        if inodes[Int(inode)].links == 0 { freeInodes.append(inode) }
    }

    /// Takes away what lower layers put at `node` and below.
    mutating func sweep(_ node: NodeID) {
        if nodes[Int(node)].layer == stamp {
            if isDirectory(node) { sweepContents(node) }
        } else if isDirectory(node) && nodes[Int(node)].touched == stamp {
            sweepContents(node)
            makeImplicit(node)
        } else {
            remove(node)
        }
    }

    /// Takes away what lower layers put below a directory.
    mutating func sweepContents(_ top: NodeID) {
        var directories = [top]
        while let directory = directories.popLast() {
            if nodes[Int(directory)].swept == stamp { continue }
            nodes[Int(directory)].swept = stamp
            var child = nodes[Int(directory)].firstChild
            while child != absent {
                steps &+= 1
                let next = nodes[Int(child)].nextSibling
                if nodes[Int(child)].inode != absent {
                    if nodes[Int(child)].touched != stamp {
                        remove(child)
                    } else if isDirectory(child) {
                        if nodes[Int(child)].layer != stamp { makeImplicit(child) }
                        directories.append(child)
                    }
                }
                child = next
            }
        }
    }

    /// A lower layer's directory is hidden but this layer has content in it: only the bare directory stays.
    private mutating func makeImplicit(_ node: NodeID) {
        let inode = Int(nodes[Int(node)].inode)
        inodes[inode] = .implicitDirectory
        inodes[inode].links = 1
        nodes[Int(node)].layer = stamp
    }
}
