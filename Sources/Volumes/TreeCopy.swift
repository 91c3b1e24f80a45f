import Glibc
package import Kernel

/// Copies a directory tree exactly: content with its holes, owners, modes, times, attributes, hard links, symbolic links, fifos.
///
/// Both sides go by descriptor and no link is followed. Sockets and devices are left out: a volume is data.
package struct TreeCopy: Sendable {
    private final class Level {
        let directory: OwnedFD
        let status: NodeStatus
        init(_ directory: consuming OwnedFD, _ status: NodeStatus) {
            self.directory = consume directory
            self.status = status
        }
    }

    /// Objects made, without the root.
    package private(set) var objectCount = 0
    private var links: [NodeStatus.Identity: [UInt8]] = [:]

    private init() {}

    /// Makes the empty directory `target` like `source`, and everything in it durable before it returns.
    ///
    /// - Returns: how many objects were made.
    /// - Throws: `SystemError`; `target` is then part of a copy, for the caller to remove.
    @discardableResult
    package static func copy(
        from source: borrowing OwnedFD, to target: borrowing OwnedFD
    ) throws(SystemError) -> Int {
        var copy = TreeCopy()
        try copy.run(from: source, to: target)
        return copy.objectCount
    }

    private mutating func run(from source: borrowing OwnedFD, to target: borrowing OwnedFD) throws(SystemError) {
        let rootStatus = try source.nodeStatus()
        var levels = [Level(try target.open(".", O_RDONLY | O_DIRECTORY), rootStatus)]
        try Self.copyAttributes(from: source, to: target)
        var tree = try TreeWalk(source)
        while let node = try tree.next() {
            while levels.count > node.depth { try Self.leave(&levels) }
            guard let level = levels.last else { break }
            if let made = try make(node, in: level.directory, root: target) { levels.append(Level(made, node.status)) }
        }
        while !levels.isEmpty { try Self.leave(&levels) }
        try FileCopy.syncFileSystem(of: target)
    }

    /// Sets what belongs to a directory after its contents.
    private static func leave(_ levels: inout [Level]) throws(SystemError) {
        guard let level = levels.popLast() else { return }
        try setMetadata(level.directory, level.status)
    }

    /// - Returns: the new directory, when it is one.
    private mutating func make(
        _ node: borrowing TreeWalk.Node, in directory: borrowing OwnedFD, root: borrowing OwnedFD
    ) throws(SystemError) -> OwnedFD? {
        let status = node.status
        switch status.kind {
        case .socket, .character, .block: return nil
        case .directory:
            try directory.makeDirectory(node.name, mode: 0o700)
            let made = try directory.open(node: node.name, NodeAccess.directory)
            try Self.copyAttributes(from: node.handle, to: made)
            objectCount += 1
            return made
        case .file, .symlink, .fifo: break
        }
        objectCount += 1
        if status.links > 1 {
            if let first = links[status.identity] {
                let (parent, name) = NodeName.split(first)
                let origin = try root.resolve(
                    bytes: parent.isEmpty ? [UInt8(ascii: ".")] : parent, O_RDONLY | O_DIRECTORY)
                try directory.makeLink(node.name, to: name, in: origin)
                return nil
            }
            links[status.identity] = node.path
        }
        switch status.kind {
        case .file:
            let content = try node.handle.reopen(O_RDONLY)
            let made = try directory.open(node: node.name, NodeAccess.create, mode: 0o600)
            try FileCopy.content(from: content, to: made, size: status.size)
            try Self.finish(made, like: node)
        case .symlink:
            try directory.makeSymlink(node.name, to: try node.handle.linkTarget())
            try Self.finish(try directory.open(node: node.name, NodeAccess.path), like: node)
        default:
            try directory.makeNode(node.name, .fifo)
            try Self.finish(try directory.open(node: node.name, NodeAccess.path), like: node)
        }
        return nil
    }

    /// Gives a directory the owner, mode, times and attributes of another.
    static func attributes(from source: borrowing OwnedFD, to target: borrowing OwnedFD) throws(SystemError) {
        try copyAttributes(from: source, to: target)
        try setMetadata(target, try source.nodeStatus())
    }

    private static func finish(_ made: borrowing OwnedFD, like node: borrowing TreeWalk.Node) throws(SystemError) {
        // The owner first: changing it drops file capabilities and set-id bits.
        try made.setOwner(uid: node.status.uid, gid: node.status.gid)
        try copyAttributes(from: node.handle, to: made)
        try setMetadata(made, node.status)
    }

    private static func setMetadata(_ made: borrowing OwnedFD, _ status: NodeStatus) throws(SystemError) {
        if status.kind == .directory { try made.setOwner(uid: status.uid, gid: status.gid) }
        if status.kind != .symlink { try made.setMode(status.mode) }
        try made.setTimes(mtime: status.mtime, atime: status.atime)
    }

    private static let overlayPrefixes = ["trusted.overlay.", "user.overlay."].map { Array($0.utf8) }

    private static func copyAttributes(from source: borrowing OwnedFD, to target: borrowing OwnedFD) throws(SystemError)
    {
        for name in try source.attributeNames() where !overlayPrefixes.contains(where: { name.starts(with: $0) }) {
            guard let value = try source.attribute(name) else { continue }
            do throws(SystemError) {
                try target.setAttribute(NodeAttribute(name: name, value: value))
            } catch {
                // The volume's file system has no such attributes: the data matters more.
                if error.code != ENOTSUP { throw error }
            }
        }
    }
}
