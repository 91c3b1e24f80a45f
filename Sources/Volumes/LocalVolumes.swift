import Glibc
package import Kernel

/// The volumes of the local driver on disk: `DIRECTORY/NAME/_data`. Creation and removal are one durable step each.
package struct LocalVolumes: Sendable {
    /// What is being made or removed has such a name, which no volume can have.
    private static let stagingPrefix = ".staging-"
    /// Content that is to be moved into the volume named behind it.
    private static let fillingPrefix = ".filling-"

    /// Absolute path of the directory that holds the volumes.
    package let directory: String

    package init(directory: String) { self.directory = directory }

    /// The directory with a volume's content.
    package func dataPath(of name: VolumeName) -> String { "\(directory)/\(name)/_data" }

    /// Whether the volume is on disk.
    package func exists(_ name: VolumeName) -> Bool { Files.exists(dataPath(of: name)) }

    /// The volumes on disk, in no order that matters.
    package func names() throws(VolumeError) -> [VolumeName] {
        try VolumeError.wrapping("reading \(directory)") { () throws(SystemError) in
            guard Files.exists(directory) else { return [] }
            return try Files.list(directory).compactMap { text in
                // What has no name of a volume is not one.
                guard let name = try? VolumeName(text), exists(name) else { return nil }
                return name
            }
        }
    }

    /// Makes an empty volume; when this returns it survives a power cut. One that exists is left as it is.
    package func create(_ name: VolumeName, _ options: LocalOptions? = nil) throws(VolumeError) {
        if exists(name) { return }
        do throws(VolumeError) {
            try make(name) { (path) throws(VolumeError) in try fill(staging: path, options) }
        } catch {
            if error.cause?.code == EEXIST, exists(name) { return }
            throw error
        }
    }

    /// A volume that is whole but for its name.
    package struct Staged: Sendable {
        let name: VolumeName
        let staging: [UInt8]
    }

    /// Copies what `source` holds for the new volume `target`. Nobody needs to stand still after this.
    ///
    /// - Throws: `VolumeError`; nothing is left of the copy then.
    package func stageClone(
        _ source: VolumeName, to target: VolumeName, _ move: BulkMove
    ) throws(VolumeError) -> Staged {
        let staging = try stage(target)
        do throws(VolumeError) {
            let path = "\(directory)/\(NodeName.text(staging))"
            try fill(staging: path, nil)
            try VolumeError.wrapping("copying volume \(source)") { () throws(SystemError) in
                let from = try OwnedFD.quietTree(dataPath(of: source))
                let to = try OwnedFD.open(path + "/_data", O_RDONLY | O_DIRECTORY)
                try TreeCopy.copy(from: from, to: to, move: move, isQuiet: true, syncs: false)
            }
        } catch {
            discard(staging)
            throw error
        }
        return Staged(name: target, staging: staging)
    }

    /// Gives a staged volume its name; when this returns it survives a power cut.
    ///
    /// - Throws: `VolumeError`; nothing is left of it then.
    package func publish(_ staged: Staged) throws(VolumeError) {
        do throws(VolumeError) {
            try VolumeError.wrapping("syncing volume \(staged.name)") { () throws(SystemError) in
                try FileCopy.syncFileSystem(of: try OwnedFD.open(directory, O_RDONLY | O_DIRECTORY))
            }
            try publish(staged.staging, as: staged.name)
        } catch {
            discard(staged.staging)
            throw error
        }
    }

    /// Removes a staged volume.
    package func discard(_ staged: Staged) { discard(staged.staging) }

    /// Fills a new volume, or one that is there and empty, by `body`, which gets the directory that becomes its content, and a
    /// path for a file of its own beside that. When this returns everything survives a power cut.
    ///
    /// - Throws: what `body` does, or `VolumeError`, `.conflict` for a volume with content; nothing is left of it then.
    package func fill(
        _ name: VolumeName, isNew: Bool, _ body: (_ content: borrowing OwnedFD, _ scratch: String) throws -> Void
    ) throws {
        let staging = try stage(name)
        defer { discard(staging) }
        let path = "\(directory)/\(NodeName.text(staging))"
        try fill(staging: path, nil)
        let content = try OwnedFD.open(path + "/_data", O_RDONLY | O_DIRECTORY)
        try body(content, path + "/scratch")
        try VolumeError.wrapping("syncing volume \(name)") { () throws(SystemError) in
            try FileCopy.syncFileSystem(of: content)
        }
        if isNew { try publish(staging, as: name) } else { try replaceContent(of: name, by: path) }
    }

    /// - Throws: `VolumeError` `.conflict` for a volume that has content.
    package func checkEmpty(_ name: VolumeName) throws(VolumeError) {
        let isEmpty = try VolumeError.wrapping("reading volume \(name)") { () throws(SystemError) in
            try OwnedFD.open(dataPath(of: name), O_RDONLY | O_DIRECTORY).names().isEmpty
        }
        guard isEmpty else {
            throw VolumeError(.conflict, "the volume is not empty: choose another name, or remove it first")
        }
    }

    /// Puts what was staged in the place of a volume's empty directory.
    private func replaceContent(of name: VolumeName, by staging: String) throws(VolumeError) {
        try VolumeError.wrapping("filling volume \(name)") { () throws(SystemError) in
            let volume = try OwnedFD.open("\(directory)/\(name)", O_RDONLY | O_DIRECTORY)
            let source = try OwnedFD.open(staging, O_RDONLY | O_DIRECTORY)
            // The kernel replaces a directory only while it is empty.
            try source.rename(Self.dataName, to: Self.dataName, in: volume, replaces: true)
            try volume.sync()
        }
    }

    /// Gives a volume another name; one that has it already is left as it is.
    package func rename(_ name: VolumeName, to target: VolumeName) throws(VolumeError) {
        if !exists(name), exists(target) { return }
        try VolumeError.wrapping("renaming volume \(name)") { () throws(SystemError) in
            let parent = try OwnedFD.open(directory, O_RDONLY | O_DIRECTORY)
            try parent.rename(Array(name.text.utf8), to: Array(target.text.utf8), in: parent, replaces: false)
            try parent.sync()
        }
    }

    /// Makes a volume's directory by `body` under a name that no volume has, and then gives it its own.
    private func make(
        _ name: VolumeName, _ body: (String) throws(VolumeError) -> Void
    ) throws(VolumeError) {
        let staging = try stage(name)
        do throws(VolumeError) {
            try body("\(directory)/\(NodeName.text(staging))")
            try publish(staging, as: name)
        } catch {
            discard(staging)
            throw error
        }
    }

    /// A new directory, under a name that no volume has.
    private func stage(_ name: VolumeName) throws(VolumeError) -> [UInt8] {
        let staging = Self.stagingName()
        try VolumeError.wrapping("creating volume \(name)") { () throws(SystemError) in
            try Files.makeDirectories(directory, mode: 0o711)
            let parent = try OwnedFD.open(directory, O_RDONLY | O_DIRECTORY)
            try parent.makeDirectory(staging, mode: 0o711)
        }
        return staging
    }

    private func publish(_ staging: [UInt8], as name: VolumeName) throws(VolumeError) {
        try VolumeError.wrapping("creating volume \(name)") { () throws(SystemError) in
            let parent = try OwnedFD.open(directory, O_RDONLY | O_DIRECTORY)
            try parent.rename(staging, to: Array(name.text.utf8), in: parent, replaces: false)
            try parent.sync()
        }
    }

    private func discard(_ staging: [UInt8]) {
        // Best effort: `sweep` removes it at the next start.
        guard let parent = try? OwnedFD.open(directory, O_RDONLY | O_DIRECTORY) else { return }
        try? Self.removeVolume(staging, in: parent)
    }

    /// Makes what is in an empty volume's directory.
    private func fill(staging path: String, _ options: LocalOptions?) throws(VolumeError) {
        try VolumeError.wrapping("creating a volume in \(directory)") { () throws(SystemError) in
            let volume = try OwnedFD.open(path, O_RDONLY | O_DIRECTORY)
            try volume.makeDirectory(Self.dataName, mode: 0o755)
            let data = try volume.open(node: Self.dataName, NodeAccess.directory)
            // Whatever the umask is.
            if let options { try Self.setOwner(data, options) } else { try data.setMode(0o755) }
        }
        if let options { try limitSize(in: path, options) }
        try VolumeError.wrapping("syncing \(path)") { () throws(SystemError) in
            try OwnedFD.open(path, O_RDONLY | O_DIRECTORY).sync()
        }
    }

    static let dataName = Array("_data".utf8)

    /// Removes a volume and its content. It is gone for good when this returns, even if removing the content takes longer.
    ///
    /// - Throws: `VolumeError` `.conflict` while something is mounted there: its content is not the volume's to remove.
    package func remove(_ name: VolumeName) throws(VolumeError) {
        guard !(try isMounted(name)) else {
            throw VolumeError(
                .conflict, "remove \(name): something is mounted at \(dataPath(of: name)): unmount it first")
        }
        try VolumeError.wrapping("removing volume \(name)") { () throws(SystemError) in
            let parent = try OwnedFD.open(directory, O_RDONLY | O_DIRECTORY)
            let staging = Self.stagingName()
            do throws(SystemError) {
                try parent.rename(Array(name.text.utf8), to: staging, in: parent, replaces: false)
            } catch {
                if error.code == ENOENT { return }
                throw error
            }
            try parent.sync()
            try Self.removeVolume(staging, in: parent)
        }
    }

    /// Removes what a crash left of unfinished creations, removals and copies, and ends copies that were whole. For start-up, before anything else is called.
    package func sweep() throws(VolumeError) {
        try VolumeError.wrapping("sweeping \(directory)") { () throws(SystemError) in
            guard Files.exists(directory) else { return }
            let parent = try OwnedFD.open(directory, O_RDONLY | O_DIRECTORY)
            for name in try parent.names() {
                if name.starts(with: Array(Self.stagingPrefix.utf8)) {
                    try Mounts.detach("\(directory)/\(NodeName.text(name))/_data")
                    try Self.removeVolume(name, in: parent)
                } else if name.starts(with: Array(Self.fillingPrefix.utf8)) {
                    let volume = NodeName.text(Array(name.dropFirst(Self.fillingPrefix.utf8.count)))
                    if Files.exists("\(directory)/\(volume)/_data") {
                        try Self.moveContent(
                            of: name, in: parent, to: try parent.resolve("\(volume)/_data", NodeAccess.directory))
                    } else {
                        try parent.removeTree(name)
                    }
                }
            }
        }
    }

    /// Bytes of a volume's files, each hard link once, as `docker system df` counts.
    package func usage(of name: VolumeName) throws(VolumeError) -> Int64 {
        if let bytes = imageUsage(of: name) { return bytes }
        return try VolumeError.wrapping("measuring volume \(name)") { () throws(SystemError) in
            let data = try OwnedFD.open(dataPath(of: name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            if let bytes = projectUsage(of: data) { return bytes }
            var tree = try TreeWalk(data)
            var seen: Set<NodeStatus.Identity> = []
            var total: Int64 = 0
            while let node = try tree.next() {
                if node.status.kind == .directory { continue }
                if node.status.links > 1 && !seen.insert(node.status.identity).inserted { continue }
                total += node.status.size
            }
            return total
        }
    }

    /// What a first use did to a volume.
    package enum CopyUp: Sendable, Hashable {
        /// The image's content and the directory's owner, mode and times are in the volume.
        case copied
        /// The volume has content of its own.
        case notEmpty
        /// The image has no directory there.
        case nothing
    }

    /// Fills an empty volume with what an image has at a mount point: all of it or, after any failure or crash, nothing.
    ///
    /// The copy is made in a staging directory and synced. It is renamed over the volume's directory, which the kernel does only
    /// while that is empty; or, when a container may have that directory mounted, moved into it name by name, which ``sweep()``
    /// ends after a crash. A file system that is mounted there is filled in place.
    /// - Parameters:
    ///   - image: root of the image or container; `path` is resolved once inside it, links and all.
    ///   - path: the mount point in the container.
    ///   - inUse: others may have the volume mounted.
    package func copyUp(
        _ name: VolumeName, from image: borrowing OwnedFD, path: String, inUse: Bool = false
    ) throws(VolumeError) -> CopyUp {
        let isMounted = try isMounted(name)
        do throws(SystemError) {
            let source: OwnedFD
            do throws(SystemError) { source = try image.resolve(path, O_RDONLY | O_DIRECTORY) } catch {
                if error.code == ENOENT || error.code == ENOTDIR { return .nothing }
                throw error
            }
            let parent = try OwnedFD.open(directory, O_RDONLY | O_DIRECTORY)
            let volume = try parent.open(node: Array(name.text.utf8), NodeAccess.directory)
            let data = try volume.open(node: Self.dataName, NodeAccess.directory)
            guard try data.names().isEmpty else { return .notEmpty }
            if isMounted {
                try Self.fillInPlace(data, from: source)
                return .copied
            }
            let staging = Self.stagingName()
            do throws(SystemError) {
                try parent.makeDirectory(staging, mode: 0o700)
                let copy = try parent.open(node: staging, NodeAccess.directory)
                // What takes the place of a limited directory is as limited.
                let project = ProjectQuota.project(of: data)
                if project != 0 { try ProjectQuota.set(project, of: copy) }
                try TreeCopy.copy(from: source, to: copy)
                try Self.checkRoom(in: copy)
                if !inUse { try parent.rename(staging, to: Self.dataName, in: volume, replaces: true) }
            } catch {
                // Best effort: `sweep` removes it at the next start.
                try? parent.removeTree(staging)
                if error.code == ENOTEMPTY || error.code == EEXIST { return .notEmpty }
                throw error
            }
            if inUse {
                let filling = Array((Self.fillingPrefix + name.text).utf8)
                try parent.rename(staging, to: filling, in: parent, replaces: false)
                try parent.sync()
                try Self.moveContent(of: filling, in: parent, to: data)
            }
            try volume.sync()
            return .copied
        } catch { throw VolumeError(error, "copying \(path) of the image into volume \(name)") }
    }

    private static func fillInPlace(_ data: borrowing OwnedFD, from source: borrowing OwnedFD) throws(SystemError) {
        do throws(SystemError) { try TreeCopy.copy(from: source, to: data) } catch {
            // Best effort: nothing rather than a part.
            try? data.removeContents()
            throw error
        }
    }

    /// Fills a directory that another driver has mounted, in place, while it is empty.
    ///
    /// - Parameter path: the mount point in the container, resolved once inside `image`.
    package static func copyUp(
        into directory: String, from image: borrowing OwnedFD, path: String
    ) throws(VolumeError) -> CopyUp {
        do throws(SystemError) {
            let source: OwnedFD
            do throws(SystemError) { source = try image.resolve(path, O_RDONLY | O_DIRECTORY) } catch {
                if error.code == ENOENT || error.code == ENOTDIR { return .nothing }
                throw error
            }
            let data = try OwnedFD.open(directory, O_RDONLY | O_DIRECTORY)
            guard try data.names().isEmpty else { return .notEmpty }
            try fillInPlace(data, from: source)
            return .copied
        } catch { throw VolumeError(error, "copying \(path) of the image into \(directory)") }
    }

    /// Moves everything in the directory `name` to `target`, whose own files win, and removes the directory.
    private static func moveContent(
        of name: [UInt8], in parent: borrowing OwnedFD, to target: borrowing OwnedFD
    ) throws(SystemError) {
        let source = try parent.open(node: name, NodeAccess.directory)
        for entry in try source.names() {
            do throws(SystemError) { try source.rename(entry, to: entry, in: target, replaces: false) } catch {
                if error.code != EEXIST { throw error }
            }
        }
        try TreeCopy.attributes(from: source, to: target)
        try target.sync()
        try parent.removeTree(name)
    }

    private static func stagingName() -> [UInt8] {
        Array((stagingPrefix + String(UInt64.random(in: .min ... .max), radix: 36)).utf8)
    }
}
