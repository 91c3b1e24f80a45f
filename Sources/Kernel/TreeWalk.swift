import Glibc

/// Walks a directory tree by descriptors: parents before children, siblings sorted by bytes, no link followed, no recursion.
///
/// Every object is opened once as a handle (O_PATH) by name relative to its directory's descriptor, and everything about it is
/// asked of that handle: a tree whose owner swaps directories for links while we walk cannot lead us out of it. What vanishes
/// between listing and opening is left out.
package struct TreeWalk: ~Copyable {
    /// Directories below each other that are walked; PATH_MAX bounds the ones a program can name to 2048. Each holds a descriptor.
    package static let depthMax = 2100

    /// One object of the tree. The root itself is not one.
    package struct Node: ~Copyable {
        /// Relative to the root, without leading slash.
        package let path: [UInt8]
        /// Last component of `path`.
        package let name: [UInt8]
        /// 1 for what is directly in the root.
        package let depth: Int
        package let status: NodeStatus
        /// O_PATH handle of the object.
        package let handle: OwnedFD
    }

    private final class Frame {
        let directory: OwnedFD
        let path: [UInt8]
        let names: [[UInt8]]
        var next = 0
        init(_ directory: consuming OwnedFD, path: [UInt8], names: [[UInt8]]) {
            self.directory = directory
            self.path = path
            self.names = names
        }
    }

    private var frames: [Frame]
    /// The directory given last, entered at the next step unless its contents are skipped.
    private var entering: (parent: Frame, name: [UInt8], path: [UInt8], identity: NodeStatus.Identity)?

    /// - Parameter root: a directory; it is opened again, so a handle (O_PATH) does.
    package init(_ root: borrowing OwnedFD) throws(SystemError) {
        let directory = try root.open(".", O_RDONLY | O_DIRECTORY)
        let names = try directory.names()
        frames = [Frame(directory, path: [], names: names)]
    }

    /// Leaves out what is inside the directory that ``next()`` has just given.
    package mutating func skipContents() { entering = nil }

    /// The next object; nil at the end.
    ///
    /// - Throws: `SystemError`; ELOOP when the tree is deeper than ``depthMax``.
    package mutating func next() throws(SystemError) -> Node? {
        try enter()
        while let frame = frames.last {
            guard frame.next < frame.names.count else {
                frames.removeLast()
                continue
            }
            let name = frame.names[frame.next]
            frame.next += 1
            let handle: OwnedFD
            do throws(SystemError) {
                handle = try frame.directory.open(node: name, NodeAccess.path)
            } catch {
                if error.code == ENOENT { continue }
                throw error
            }
            let status = try handle.nodeStatus()
            let path = NodeName.join(frame.path, name)
            let depth = frames.count
            if status.kind == .directory { entering = (frame, name, path, status.identity) }
            return Node(path: path, name: name, depth: depth, status: status, handle: handle)
        }
        return nil
    }

    private mutating func enter() throws(SystemError) {
        guard let target = entering else { return }
        entering = nil
        guard frames.count < Self.depthMax else {
            throw SystemError("openat", ELOOP, NodeName.text(Array(target.path.prefix(200))))
        }
        do throws(SystemError) {
            let directory = try target.parent.directory.open(node: target.name, NodeAccess.directory)
            // Swapped for another directory since it was given: what is inside does not belong to what was given.
            guard try directory.nodeStatus().identity == target.identity else { return }
            let names = try directory.names()
            frames.append(Frame(directory, path: target.path, names: names))
        } catch {
            let vanished = error.code == ENOENT || error.code == ELOOP || error.code == ENOTDIR
            guard vanished else { throw error }
        }
    }
}
