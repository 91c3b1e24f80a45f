import Glibc
import Kernel

/// How an archive is put into a container (`docker cp`, `PUT /containers/{id}/archive`).
package struct ExtractOptions: Sendable, Hashable {
    package struct Owner: Sendable, Hashable {
        package var uid: UInt32
        package var gid: UInt32
        package init(uid: UInt32, gid: UInt32) {
            self.uid = uid
            self.gid = gid
        }
    }

    /// Refuses to replace a directory by something else or something else by a directory.
    package var noOverwriteDirNonDir: Bool
    /// Everything gets this owner instead of the archive's (copyUIDGID: the container's user).
    package var owner: Owner?
    /// The archive is all that will be there: it may say what the destination itself is like, what directories hand down to
    /// what is made in them does not count, no member leads through a link, and an archive without its end is refused.
    package var isWhole: Bool

    package init(noOverwriteDirNonDir: Bool = false, owner: Owner? = nil, isWhole: Bool = false) {
        self.noOverwriteDirNonDir = noOverwriteDirNonDir
        self.owner = owner
        self.isWhole = isWhole
    }
}

/// Puts archive members below a directory of a container's root, each by descriptor.
///
/// Links inside are followed as the container would follow them, from its root, and never out of it; names that a member makes
/// or replaces are never followed. A container that swaps directories for links meanwhile only moves what lands in itself.
struct TreeExtractor: ~Copyable {
    private let root: OwnedFD
    private let destination: OwnedFD
    /// Absolute path of the destination in the root, for members that go through links.
    private let destinationPath: [UInt8]
    private let options: ExtractOptions
    private var parent: (path: [UInt8], directory: SharedDirectory)?
    /// Directories whose time, and whose attributes in a whole tree, are set when nothing more is put into them.
    private var directories: [[UInt8]: LayerEntry] = [:]
    /// How often a name that keeps coming back is removed again before the member fails.
    private static let attemptsMax = 8

    final class SharedDirectory {
        let descriptor: OwnedFD
        init(_ descriptor: consuming OwnedFD) { self.descriptor = consume descriptor }
    }

    init(root: consuming OwnedFD, destination path: [UInt8], options: ExtractOptions) throws(SystemError) {
        destination = try root.resolve(bytes: path, O_RDONLY | O_DIRECTORY)
        destinationPath = path
        self.root = root
        self.options = options
    }

    /// Makes what `entry` says, except a file's content.
    ///
    /// - Returns: for a file with content, the open file to be filled and then given to ``complete(_:_:)``.
    mutating func make(_ entry: LayerEntry) throws(LayerError) -> OwnedFD? {
        do throws(SystemError) {
            if entry.path.isEmpty {
                guard entry.kind == .directory else { throw SystemError("openat", ENOTDIR, "the destination") }
                if options.isWhole { directories[entry.path] = entry }
                return nil
            }
            let (directory, name) = NodeName.split(entry.path)
            let parent = try self.directory(directory, creating: true)
            return try make(entry, name, in: parent.descriptor)
        } catch {
            if error.code == EEXIST && error.call == "overwrite" {
                throw LayerError(.unsupported, error.object, cause: error)
            }
            throw LayerError(error, "extracting \(NodeName.text(entry.path))")
        }
    }

    /// Sets a file's owner, mode, attributes and time, after its content.
    func complete(_ entry: LayerEntry, _ file: borrowing OwnedFD) throws(LayerError) {
        do throws(SystemError) { try setMetadata(entry, file) } catch {
            throw LayerError(error, "extracting \(NodeName.text(entry.path))")
        }
    }

    /// Sets the times of the directories made.
    mutating func finish() throws(LayerError) {
        for (path, entry) in directories {
            if options.isWhole {
                do throws(SystemError) {
                    try setMetadata(entry, try directory(path, creating: false).descriptor)
                } catch { throw LayerError(error, "extracting \(NodeName.text(path))") }
                continue
            }
            // A directory that the container has moved away meanwhile keeps the time it has.
            guard let found = try? directory(path, creating: false) else { continue }
            try? found.descriptor.setTimes(mtime: Self.time(entry), atime: nil)
        }
    }

    private static func time(_ entry: LayerEntry) -> NodeStatus.Moment {
        NodeStatus.Moment(seconds: entry.mtimeSeconds, nanoseconds: entry.mtimeNanoseconds)
    }

    private mutating func make(
        _ entry: LayerEntry, _ name: [UInt8], in parent: borrowing OwnedFD
    ) throws(SystemError) -> OwnedFD? {
        if entry.kind == .character && entry.deviceMajor == 0 && entry.deviceMinor == 0 {
            throw SystemError("mknodat", EPERM, "device 0:0 means a deletion to overlay file systems")
        }
        let existing = try clear(entry, name, in: parent)
        switch entry.kind {
        case .file:
            let file = try parent.open(node: name, NodeAccess.create, mode: 0o600)
            if entry.size > 0 { return file }
            try setMetadata(entry, file)
        case .directory:
            if !existing { try parent.makeDirectory(name, mode: 0o700) }
            let made = try parent.open(node: name, NodeAccess.directory)
            if !options.isWhole { try setMetadata(entry, made) }
            directories[entry.path] = entry
            self.parent = nil
        case .symlink:
            try parent.makeSymlink(name, to: entry.linkTarget)
            try setMetadata(entry, try madeNode(name, .symlink, in: parent))
        case .hardlink:
            let (directory, original) = NodeName.split(entry.linkTarget)
            let source = try self.directory(directory, creating: false)
            try parent.makeLink(name, to: original, in: source.descriptor)
        case .character, .block, .fifo:
            let kind: NodeStatus.Kind = entry.kind == .fifo ? .fifo : entry.kind == .block ? .block : .character
            try parent.makeNode(name, kind, major: entry.deviceMajor, minor: entry.deviceMinor)
            try setMetadata(entry, try madeNode(name, kind, in: parent))
        }
        return nil
    }

    /// A handle of what was just made: of another kind when somebody replaced it, and then it is left alone.
    private func madeNode(
        _ name: [UInt8], _ kind: NodeStatus.Kind, in parent: borrowing OwnedFD
    ) throws(SystemError) -> OwnedFD {
        let handle = try parent.open(node: name, NodeAccess.path)
        guard try handle.nodeStatus().kind == kind else { throw SystemError("openat", ESTALE, NodeName.text(name)) }
        return handle
    }

    /// Removes what is in the way of `entry`.
    ///
    /// - Returns: true when it is a directory that stays, to be merged.
    private mutating func clear(
        _ entry: LayerEntry, _ name: [UInt8], in parent: borrowing OwnedFD
    ) throws(SystemError) -> Bool {
        for _ in 0..<Self.attemptsMax {
            let existing: NodeStatus
            do throws(SystemError) { existing = try parent.nodeStatus(of: name) } catch {
                if error.code == ENOENT { return false }
                throw error
            }
            let isDirectory = existing.kind == .directory
            if isDirectory && entry.kind == .directory { return true }
            if options.noOverwriteDirNonDir && isDirectory != (entry.kind == .directory) {
                let (old, new) = isDirectory ? ("directory", "non-directory") : ("non-directory", "directory")
                let path = NodeName.text(destinationPath) + "/" + NodeName.text(entry.path)
                throw SystemError(
                    "overwrite", EEXIST,
                    "cannot overwrite \(old) \"\(path)\" with \(new) \"\(NodeName.text(entry.path))\"")
            }
            try parent.removeTree(name)
            self.parent = nil
        }
        throw SystemError("unlinkat", EBUSY, NodeName.text(name))
    }

    private func setMetadata(_ entry: LayerEntry, _ object: borrowing OwnedFD) throws(SystemError) {
        let owner = options.owner ?? ExtractOptions.Owner(uid: entry.uid, gid: entry.gid)
        try object.setOwner(uid: owner.uid, gid: owner.gid)
        if entry.kind != .symlink { try object.setMode(entry.mode) }
        for attribute in entry.attributes where ArchivedAttributes.include(attribute.name) {
            do throws(SystemError) {
                try object.setAttribute(NodeAttribute(name: attribute.name, value: attribute.value))
            } catch {
                // As Docker: a file system or object that takes no such attribute is no reason to lose the file.
                guard error.code == ENOTSUP || error.code == EPERM else { throw error }
            }
        }
        try object.setTimes(mtime: Self.time(entry), atime: nil)
    }

    /// The directory `path` below the destination; links on the way are followed as from the container's root.
    private mutating func directory(_ path: [UInt8], creating: Bool) throws(SystemError) -> SharedDirectory {
        if let parent, parent.path == path { return parent.directory }
        var current = SharedDirectory(try destination.open(".", O_RDONLY | O_DIRECTORY))
        var text = destinationPath
        for component in path.split(separator: UInt8(ascii: "/")) {
            let name = Array(component)
            text += [UInt8(ascii: "/")] + name
            current = try step(from: current, name, text, creating: creating)
        }
        parent = (path, current)
        return current
    }

    private func step(
        from current: SharedDirectory, _ name: [UInt8], _ text: [UInt8], creating: Bool
    ) throws(SystemError) -> SharedDirectory {
        do throws(SystemError) {
            return SharedDirectory(try current.descriptor.open(node: name, NodeAccess.directory))
        } catch {
            switch error.code {
            case ENOENT where creating:
                do throws(SystemError) { try current.descriptor.makeDirectory(name) } catch {
                    if error.code != EEXIST { throw error }
                }
                return SharedDirectory(try current.descriptor.open(node: name, NodeAccess.directory))
            case ELOOP where options.isWhole, ENOTDIR where options.isWhole: throw error
            case ELOOP, ENOTDIR:
                return SharedDirectory(try root.resolve(bytes: text, O_RDONLY | O_DIRECTORY))
            default: throw error
            }
        }
    }
}
