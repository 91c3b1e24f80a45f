import CLinux
import Glibc

/// A directory of a tree that is being read, open as long as somebody holds this.
package final class TreeDirectory: Sendable {
    /// Opened for reading.
    package let handle: OwnedFD
    /// Relative to the root; empty for the root itself.
    package let path: [UInt8]
    package let status: NodeStatus
    private let copy: OwnedFD?

    init(_ handle: consuming OwnedFD, path: [UInt8], status: NodeStatus, copy: consuming OwnedFD?) {
        self.handle = handle
        self.path = path
        self.status = status
        self.copy = copy
    }

    /// Runs `body` with the directory that this one is copied to; nil where there is none.
    @discardableResult
    package func withCopy<Value: ~Copyable>(
        _ body: (borrowing OwnedFD) throws(SystemError) -> Value
    ) throws(SystemError) -> Value? {
        switch copy {
        case .some(let copy): try body(copy)
        case .none: nil
        }
    }
}

/// Walks a tree for several threads: parents before children, siblings sorted by bytes, as ``TreeWalk``, but opens directories
/// alone. Their other members are handed out by name, many at a time, to be opened by whoever takes them.
///
/// No link is followed, and what vanishes meanwhile is left out. For one thread at a time.
package struct TreeSteps {
    package enum Step: Sendable {
        /// A directory, before everything in it.
        case directory(TreeDirectory)
        /// What is no directory; `isFile` as the listing says, which may be out of date.
        case member(TreeDirectory, name: [UInt8], isFile: Bool)
    }

    /// Makes the copy of the directory `name` that is in `parent`.
    package typealias Copying = (_ parent: TreeDirectory, _ name: [UInt8]) throws(SystemError) -> OwnedFD

    private final class Frame {
        let directory: TreeDirectory
        let members: [OwnedFD.Member]
        var next = 0
        init(_ directory: TreeDirectory) throws(SystemError) {
            self.directory = directory
            members = try directory.handle.members()
        }
    }

    private var frames: [Frame] = []
    private let copying: Copying?
    /// The root of the tree.
    package let root: TreeDirectory

    /// - Parameters:
    ///   - root: a directory, opened for reading.
    ///   - copy: the directory that stands for the root on the other side.
    ///   - copying: makes those below it.
    package init(
        _ root: consuming OwnedFD, to copy: consuming OwnedFD? = nil, copying: Copying? = nil
    ) throws(SystemError) {
        let status = try root.nodeStatus()
        self.root = TreeDirectory(root, path: [], status: status, copy: copy)
        self.copying = copying
        frames = [try Frame(self.root)]
    }

    /// The next steps, at most `countMax` of them; none at the end.
    ///
    /// - Throws: `SystemError`; ELOOP when the tree is deeper than ``TreeWalk/depthMax``.
    package mutating func take(_ countMax: Int) throws(SystemError) -> [Step] {
        var steps: [Step] = []
        steps.reserveCapacity(countMax)
        while steps.count < countMax, let frame = frames.last {
            guard frame.next < frame.members.count else {
                frames.removeLast()
                continue
            }
            let member = frame.members[frame.next]
            frame.next += 1
            guard try isDirectory(member, in: frame.directory) else {
                steps.append(
                    .member(
                        frame.directory, name: member.name, isFile: member.type == UInt8(truncatingIfNeeded: DT_REG)))
                continue
            }
            if let directory = try enter(member.name, in: frame.directory) { steps.append(.directory(directory)) }
        }
        return steps
    }

    private func isDirectory(_ member: OwnedFD.Member, in directory: TreeDirectory) throws(SystemError) -> Bool {
        guard member.type == UInt8(truncatingIfNeeded: DT_UNKNOWN) else {
            return member.type == UInt8(truncatingIfNeeded: DT_DIR)
        }
        do throws(SystemError) { return try directory.handle.nodeStatus(of: member.name).kind == .directory } catch {
            if error.code == ENOENT { return false }
            throw error
        }
    }

    private mutating func enter(_ name: [UInt8], in parent: TreeDirectory) throws(SystemError) -> TreeDirectory? {
        let path = NodeName.join(parent.path, name)
        guard frames.count < TreeWalk.depthMax else {
            throw SystemError("openat", ELOOP, NodeName.text(Array(path.prefix(200))))
        }
        let handle: OwnedFD
        do throws(SystemError) { handle = try parent.handle.open(node: name, NodeAccess.directory) } catch {
            if error.code == ENOENT || error.code == ELOOP || error.code == ENOTDIR { return nil }
            throw error
        }
        let status = try handle.nodeStatus()
        let copy: OwnedFD?
        if let copying { copy = try copying(parent, name) } else { copy = nil }
        let directory = TreeDirectory(handle, path: path, status: status, copy: copy)
        frames.append(try Frame(directory))
        return directory
    }
}

extension TreeSteps {
    /// What ``measure(_:_:)`` found.
    package struct Measure: Sendable {
        /// Bytes of the files' content.
        package var bytes: Int64 = 0
        /// The latest change of any object, its status included.
        package var changed = NodeStatus.Moment(seconds: .min, nanoseconds: 0)
    }

    /// Looks at every object below `root`, and at the root.
    ///
    /// - Throws: `SystemError`; ECANCELED when the move was stopped.
    package static func measure(_ root: consuming OwnedFD, _ move: BulkMove) throws(SystemError) -> Measure {
        var steps = try TreeSteps(root)
        var result = Measure()
        result.note(steps.root.status)
        while true {
            try move.check()
            let taken = try steps.take(1024)
            if taken.isEmpty { return result }
            for step in taken {
                switch step {
                case .directory(let directory): result.note(directory.status)
                case .member(let directory, let name, _):
                    do throws(SystemError) { result.note(try directory.handle.nodeStatus(of: name)) } catch {
                        if error.code != ENOENT { throw error }
                    }
                }
            }
        }
    }
}

extension TreeSteps.Measure {
    fileprivate mutating func note(_ status: NodeStatus) {
        if status.kind == .file { bytes += status.size }
        changed = max(changed, status.ctime)
    }
}

/// An object that was opened, and what it was like then.
package struct OpenedNode: ~Copyable, Sendable {
    package let descriptor: OwnedFD
    package let status: NodeStatus

    init(_ descriptor: consuming OwnedFD, _ status: NodeStatus) {
        self.descriptor = descriptor
        self.status = status
    }

    /// The descriptor alone.
    package consuming func take() -> OwnedFD { descriptor }
}

extension OwnedFD {
    /// A name in a directory, and the kind (DT_) that the directory's listing has of it.
    struct Member: Sendable {
        let name: [UInt8]
        let type: UInt8

        func precedes(_ other: Member) -> Bool {
            name.withUnsafeBytes { own in
                other.name.withUnsafeBytes { others in
                    guard let left = own.baseAddress, let right = others.baseAddress else {
                        return own.count < others.count
                    }
                    let order = memcmp(left, right, min(own.count, others.count))
                    return order == 0 ? own.count < others.count : order < 0
                }
            }
        }
    }

    /// The members of this directory, sorted by the bytes of their names, without `.` and `..`.
    borrowing func members() throws(SystemError) -> [Member] {
        let copy = try open(".", O_RDONLY | O_DIRECTORY)
        guard let stream = fdopendir(copy.release()) else { throw SystemError("fdopendir") }
        defer { closedir(stream) }
        var members: [Member] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw SystemError("readdir") }
                break
            }
            guard let text = cl_entry_name(entry) else { continue }
            let name = [UInt8](UnsafeRawBufferPointer(start: text, count: strlen(text)))
            if name != [46] && name != [46, 46] { members.append(Member(name: name, type: entry.pointee.d_type)) }
        }
        members.sort { $0.precedes($1) }
        return members
    }

    /// The directory at `path`, of our own making, through a mount that nobody else sees: nothing can be written through it,
    /// no device opens, and reading leaves times as they are. What is mounted below it is not there.
    package static func quietTree(_ path: String) throws(SystemError) -> OwnedFD {
        let tree = OwnedFD(
            adopting: try checked("open_tree", path) {
                cl_open_tree(AT_FDCWD, path, UInt32(CL_OPEN_TREE_CLONE) | UInt32(O_CLOEXEC))
            })
        let raw = tree.raw
        let set = UInt64(CL_MOUNT_ATTR_RDONLY | CL_MOUNT_ATTR_NODEV | CL_MOUNT_ATTR_NOATIME)
        try checked("mount_setattr", path) {
            cl_mount_setattr(raw, "", UInt32(CL_AT_EMPTY_PATH), set, UInt64(CL_MOUNT_ATTR_ATIME), 0)
        }
        return try tree.open(".", O_RDONLY | O_DIRECTORY)
    }

    /// Opens a member of a tree for reading when it is a file, else as a handle (O_PATH); nil when it has vanished.
    ///
    /// - Parameter isFile: what a listing said; nothing is opened for reading that was not a file then or is a device now, for
    ///   which this directory must be of ``quietTree(_:)``.
    package borrowing func open(
        member name: [UInt8], isFile: Bool
    ) throws(SystemError) -> OpenedNode? {
        if isFile {
            do throws(SystemError) {
                let file = try open(node: name, O_RDONLY | O_NONBLOCK | O_NOCTTY)
                let status = try file.nodeStatus()
                if status.kind == .file { return OpenedNode(file, status) }
            } catch {
                // Something else by now: a link, a device, a socket.
                guard [ENOENT, ELOOP, EACCES, ENXIO].contains(error.code) else { throw error }
            }
        }
        do throws(SystemError) {
            let handle = try open(node: name, NodeAccess.path)
            let status = try handle.nodeStatus()
            guard status.kind == .file else { return OpenedNode(handle, status) }
            return OpenedNode(try handle.reopen(O_RDONLY), status)
        } catch {
            if error.code == ENOENT { return nil }
            throw error
        }
    }

    /// Whether a file or directory that is open for reading has extended attributes.
    package var hasAttributes: Bool { cl_flistxattr(raw, nil, 0) > 0 }
}
