import Glibc
package import Kernel
import Ring
import Synchronization

/// Copies a directory tree exactly: content with its holes, owners, modes, times, attributes, hard links, symbolic links, fifos,
/// devices. Sockets are left out.
///
/// Threads copy files side by side, each after its directory; what belongs to directories, and the other names of files with
/// several, come last. Both sides go by descriptor and no link is followed.
package final class TreeCopy: Sendable {
    /// Objects that one thread takes at a time: about a directory, so that threads do not wait for the lock of the same one.
    private static let batch = 256

    private struct State {
        var objectCount = 0
        var failure: SystemError?
        /// Where the first name of each file with several is, and the other names.
        var links: [NodeStatus.Identity: [UInt8]] = [:]
        var names: [(path: [UInt8], identity: NodeStatus.Identity)] = []
        var directories: [(path: [UInt8], status: NodeStatus, attributes: [NodeAttribute])] = []
    }

    private let steps: Mutex<TreeSteps>
    private let state: Mutex<State>
    private let move: BulkMove
    private let isQuiet: Bool
    /// False once a file's blocks could not be shared, which takes a call to find out.
    private let sharesBlocks = Atomic(true)
    /// Who the copies belong to until they are given their owner.
    private let own = (uid: geteuid(), gid: getegid())

    private init(_ steps: sending TreeSteps, _ move: BulkMove, isQuiet: Bool) throws(SystemError) {
        var state = State()
        let root = steps.root
        state.directories = [([], root.status, try Self.attributes(of: root.handle))]
        self.state = Mutex(state)
        self.steps = Mutex(steps)
        self.move = move
        self.isQuiet = isQuiet
    }

    /// Makes the empty directory `target` like `source`.
    ///
    /// - Parameters:
    ///   - move: told of the bytes; stops it.
    ///   - isQuiet: no device can be opened in the source (``OwnedFD/quietTree(_:)``), which saves a look at each file.
    ///   - syncs: everything is durable before it returns.
    /// - Returns: how many objects were made, the root not counted.
    /// - Throws: `SystemError`; `target` is then part of a copy, for the caller to remove.
    @discardableResult
    package static func copy(
        from source: borrowing OwnedFD, to target: borrowing OwnedFD, move: BulkMove = BulkMove(),
        isQuiet: Bool = false,
        syncs: Bool = true
    ) throws(SystemError) -> Int {
        let steps = try TreeSteps(
            try source.open(".", O_RDONLY | O_DIRECTORY), to: try target.open(".", O_RDONLY | O_DIRECTORY)
        ) { (parent, name) throws(SystemError) in
            guard
                let directory = try parent.withCopy({ (copy) throws(SystemError) in
                    try copy.makeDirectory(name, mode: 0o700)
                    return try copy.open(node: name, NodeAccess.directory)
                })
            else { throw SystemError("mkdirat", EBADF, NodeName.text(name)) }
            return directory
        }
        let copy = try TreeCopy(steps, move, isQuiet: isQuiet)
        Workers.run("copy") { copy.work() }
        try copy.finish(target)
        if syncs { try FileCopy.syncFileSystem(of: target) }
        return copy.state.withLock { $0.objectCount }
    }

    // MARK: Threads

    private func work() {
        let copier = RangeCopy()
        do throws(SystemError) {
            while true {
                let taken: Result<[TreeSteps.Step], SystemError> = steps.withLock { steps in
                    do throws(SystemError) { return .success(try steps.take(Self.batch)) } catch {
                        return .failure(error)
                    }
                }
                let batch = try taken.get()
                if batch.isEmpty || state.withLock({ $0.failure != nil }) { return }
                for step in batch {
                    try move.check()
                    try make(step, copier)
                }
            }
        } catch { state.withLock { $0.failure = $0.failure ?? error } }
    }

    private func make(_ step: TreeSteps.Step, _ copier: borrowing RangeCopy) throws(SystemError) {
        switch step {
        case .directory(let directory):
            let attributes = try Self.attributes(of: directory.handle)
            state.withLock {
                $0.objectCount += 1
                $0.directories.append((directory.path, directory.status, attributes))
            }
        case .member(let directory, let name, let isFile):
            guard let node = try directory.handle.open(member: name, isFile: isFile && isQuiet) else { return }
            let status = node.status
            guard status.kind != .socket, status.kind != .directory else { return }
            if status.links > 1, isKnown(status.identity, NodeName.join(directory.path, name)) { return }
            try directory.withCopy { (copy) throws(SystemError) in
                try make(name, in: copy, like: node.descriptor, status, copier)
            }
            state.withLock { $0.objectCount += 1 }
        }
    }

    /// Notes a name of a file with several.
    ///
    /// - Returns: false for the first, which is copied.
    private func isKnown(_ identity: NodeStatus.Identity, _ path: [UInt8]) -> Bool {
        state.withLock { state in
            guard state.links[identity] != nil else {
                state.links[identity] = path
                return false
            }
            state.objectCount += 1
            state.names.append((path, identity))
            return true
        }
    }

    private func make(
        _ name: [UInt8], in directory: borrowing OwnedFD, like source: borrowing OwnedFD, _ status: NodeStatus,
        _ copier: borrowing RangeCopy
    ) throws(SystemError) {
        guard status.kind == .file else {
            if status.kind == .symlink {
                try directory.makeSymlink(name, to: try source.linkTarget())
            } else {
                try directory.makeNode(name, status.kind, major: status.deviceMajor, minor: status.deviceMinor)
            }
            let made = try directory.open(node: name, NodeAccess.path)
            try made.setOwner(uid: status.uid, gid: status.gid)
            try Self.setAttributes(try Self.attributes(of: source), of: made)
            if status.kind != .symlink { try made.setMode(status.mode) }
            return try made.setTimes(mtime: status.mtime, atime: status.atime)
        }
        let made = try directory.open(node: name, NodeAccess.create, mode: 0o600)
        try content(of: source, to: made, status, copier)
        // The owner first: changing it drops file capabilities and set-id bits.
        if (status.uid, status.gid) != own { try made.setOwner(uid: status.uid, gid: status.gid) }
        if source.hasAttributes { try Self.setAttributes(try Self.attributes(of: source), of: made) }
        let raw = made.raw
        try checked("fchmod") { fchmod(raw, mode_t(status.mode)) }
        try made.setTimes(mtime: status.mtime, atime: status.atime)
    }

    private func content(
        of source: borrowing OwnedFD, to target: borrowing OwnedFD, _ status: NodeStatus, _ copier: borrowing RangeCopy
    ) throws(SystemError) {
        let size = status.size
        let isSmall = size <= RangeCopy.smallBytesMax && status.storedBytes >= size
        guard isSmall, !sharesBlocks.load(ordering: .relaxed) else {
            let isShared = try FileCopy.content(from: source, to: target, size: size, move: move) {
                (source, target, range, move) throws(SystemError) in
                try MappedCopy.copy(from: source, to: target, range, move)
            }
            if size > 0, !isShared { sharesBlocks.store(false, ordering: .relaxed) }
            return
        }
        do throws(SystemError) {
            try copier.copy(from: source, at: 0, to: target, byteCount: size, keepsHoles: false)
        } catch {
            guard error.code == ENODATA else { throw error }
            // It has shrunk meanwhile: zeros stand for what it has lost.
            let raw = target.raw
            try checked("ftruncate") { ftruncate(raw, off_t(size)) }
        }
        move.add(Int(size))
    }

    // MARK: The end

    /// Makes other names of files, then sets what belongs to directories, and throws what any thread has met.
    private func finish(_ target: borrowing OwnedFD) throws(SystemError) {
        let result = state.withLock { $0 }
        if let failure = result.failure { throw failure }
        for (path, identity) in result.names {
            guard let first = result.links[identity] else { continue }
            let (origin, other) = (NodeName.split(first), NodeName.split(path))
            try Self.directory(other.directory, in: target).makeLink(
                other.name, to: origin.name, in: try Self.directory(origin.directory, in: target))
        }
        // Deepest first, so that no time is changed again.
        for (path, status, attributes) in result.directories.reversed() {
            let made = try Self.directory(path, in: target)
            try made.setOwner(uid: status.uid, gid: status.gid)
            try Self.setAttributes(attributes, of: made)
            try made.setMode(status.mode)
            try made.setTimes(mtime: status.mtime, atime: status.atime)
        }
    }

    private static func directory(_ path: [UInt8], in root: borrowing OwnedFD) throws(SystemError) -> OwnedFD {
        try root.resolve(bytes: path.isEmpty ? [UInt8(ascii: ".")] : path, O_RDONLY | O_DIRECTORY)
    }

    /// Gives a directory the owner, mode, times and attributes of another.
    static func attributes(from source: borrowing OwnedFD, to target: borrowing OwnedFD) throws(SystemError) {
        let status = try source.nodeStatus()
        try target.setOwner(uid: status.uid, gid: status.gid)
        try setAttributes(try attributes(of: source), of: target)
        try target.setMode(status.mode)
        try target.setTimes(mtime: status.mtime, atime: status.atime)
    }

    private static let overlayPrefixes = ["trusted.overlay.", "user.overlay."].map { Array($0.utf8) }

    /// The attributes of an object, without those that overlayfs obeys.
    private static func attributes(of source: borrowing OwnedFD) throws(SystemError) -> [NodeAttribute] {
        var result: [NodeAttribute] = []
        for name in try source.attributeNames() where !overlayPrefixes.contains(where: { name.starts(with: $0) }) {
            if let value = try source.attribute(name) { result.append(NodeAttribute(name: name, value: value)) }
        }
        return result
    }

    private static func setAttributes(
        _ attributes: [NodeAttribute], of target: borrowing OwnedFD
    ) throws(SystemError) {
        for attribute in attributes {
            do throws(SystemError) { try target.setAttribute(attribute) } catch {
                // The volume's file system has no such attributes: the data matters more.
                if error.code != ENOTSUP { throw error }
            }
        }
    }
}
