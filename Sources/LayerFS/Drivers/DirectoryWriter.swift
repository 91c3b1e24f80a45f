import Glibc
import Kernel

/// Writes a tree into an empty directory: one directory open at a time, whatever the depth, and only the calls each
/// file needs.
struct DirectoryWriter: ~Copyable {
    /// A layer's file that contents are copied from.
    private final class Source {
        let file: OwnedFD
        init(_ path: String) throws(SystemError) { file = try OwnedFD.open(path, O_RDONLY) }
    }

    private let tree: ImageTree
    private let order: TreeOrder
    private let layers: [LayerFiles]
    /// The directory being filled.
    private var current: OwnedFD
    /// Holds one name, the inode's number, of each inode with several names: links are made from there, so that no path
    /// to another name of the file is needed.
    private let links: OwnedFD
    private var linked: Set<InodeID> = []
    private var sources: [UInt32: Source] = [:]
    private let copier = RangeCopy()
    /// Bits that the process's umask takes from new files.
    private let umask: UInt16

    /// - Parameter links: an empty directory of the same file system, for the writer's own use.
    init(
        _ tree: ImageTree, layers: [LayerFiles], into directory: consuming OwnedFD, links: consuming OwnedFD,
        umask: UInt16
    ) {
        self.tree = tree
        order = TreeOrder(tree)
        self.layers = layers
        current = directory
        self.links = links
        self.umask = umask
    }

    /// The umask, read without changing it for the other threads.
    static func processUmask() throws(SystemError) -> UInt16 {
        let status = String(decoding: try Files.read("/proc/self/status"), as: UTF8.self)
        for line in status.split(separator: "\n") where line.hasPrefix("Umask:") {
            if let value = UInt16(line.dropFirst(6).drop { $0 == "\t" || $0 == " " }, radix: 8) { return value }
        }
        return 0o777  // unknown: every mode is set explicitly
    }

    /// Writes everything, directories' own metadata after their contents.
    mutating func write() throws(SystemError) {
        var path: [(directory: Int, next: Int)] = [(0, order.directories[0].children.lowerBound)]
        while let (directory, next) = path.last {
            let (node, children) = (order.directories[directory].node, order.directories[directory].children)
            guard next < children.upperBound else {
                try describe(current, tree.inode(node), createdMode: 0o700 & ~umask)
                path.removeLast()
                if !path.isEmpty { current = try current.open("..", O_RDONLY | O_DIRECTORY) }
                continue
            }
            path[path.count - 1].next += 1
            let child = order.children[next]
            let inode = tree.nodes[Int(child)].inode
            let name = Array(tree.name(child))
            if tree.inodes[Int(inode)].kind == .directory {
                try current.makeDirectory(name, mode: 0o700)
                current = try current.open(node: name, NodeAccess.directory)
                let index = Int(order.directoryOf[Int(inode)])
                path.append((index, order.directories[index].children.lowerBound))
            } else {
                try write(inode, as: name)
            }
        }
    }

    private mutating func write(_ id: InodeID, as name: [UInt8]) throws(SystemError) {
        let inode = tree.inodes[Int(id)]
        let linkName = Array(String(id).utf8)
        if inode.links > 1 && !linked.insert(id).inserted {
            return try current.makeLink(name, to: linkName, in: links)
        }
        switch inode.kind {
        case .file:
            let file = try current.open(node: name, NodeAccess.create, mode: UInt32(inode.mode & 0o777))
            try copyContent(inode, to: file)
            try describe(file, inode, createdMode: inode.mode & 0o777 & ~umask)
        case .symlink:
            try current.makeSymlink(name, to: Array(tree.target(inode)))
            try describe(try current.open(node: name, NodeAccess.path), inode, createdMode: inode.mode)
        case .character, .block, .fifo, .directory:
            let kind: NodeStatus.Kind = inode.kind == .fifo ? .fifo : inode.kind == .block ? .block : .character
            let (major, minor) = (UInt32(inode.location >> 32), UInt32(truncatingIfNeeded: inode.location))
            try current.makeNode(name, kind, major: major, minor: minor)
            try describe(try current.open(node: name, NodeAccess.path), inode, createdMode: 0o600 & ~umask)
        }
        if inode.links > 1 { try links.makeLink(linkName, to: name, in: current) }
    }

    private mutating func copyContent(_ inode: TreeInode, to file: borrowing OwnedFD) throws(SystemError) {
        if inode.size == 0 { return }
        let key = UInt32(inode.layer) << 8 | UInt32(inode.content.rawValue)
        let source: Source
        if let open = sources[key] {
            source = open
        } else {
            guard Int(inode.layer) < layers.count else { throw SystemError("read", ENODATA) }
            let layer = layers[Int(inode.layer)]
            source = try Source(inode.content == .tar ? layer.tar : layer.sparse)
            sources[key] = source
        }
        try copier.copy(
            from: source.file, at: Int64(inode.location), to: file, byteCount: Int64(inode.size),
            keepsHoles: inode.content == .sparse)
    }

    /// Owner first: changing it takes set-id bits and capabilities away.
    private func describe(_ node: borrowing OwnedFD, _ inode: TreeInode, createdMode: UInt16) throws(SystemError) {
        let changesOwner = inode.uid != 0 || inode.gid != 0
        if changesOwner { try node.setOwner(uid: inode.uid, gid: inode.gid) }
        if inode.kind != .symlink && inode.mode != createdMode { try node.setMode(inode.mode) }
        try tree.attributes.forEach(inode.attributes) { name, value throws(SystemError) in
            try node.setAttribute(NodeAttribute(name: Array(name), value: Array(value)))
        }
        let time = NodeStatus.Moment(seconds: inode.mtimeSeconds, nanoseconds: inode.mtimeNanoseconds)
        try node.setTimes(mtime: time, atime: time)
    }
}
