import Glibc
package import Kernel

/// The volumes of the local driver on disk: `DIRECTORY/NAME/_data`. Creation and removal are one durable step each.
package struct LocalVolumes: Sendable {
    /// What is being made or removed has such a name, which no volume can have.
    private static let stagingPrefix = ".staging-"

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
    package func create(_ name: VolumeName) throws(VolumeError) {
        if exists(name) { return }
        try VolumeError.wrapping("creating volume \(name)") { () throws(SystemError) in
            try Files.makeDirectories(directory, mode: 0o711)
            let parent = try OwnedFD.open(directory, O_RDONLY | O_DIRECTORY)
            let staging = Self.stagingName()
            do throws(SystemError) {
                try parent.makeDirectory(staging, mode: 0o711)
                let volume = try parent.open(node: staging, NodeAccess.directory)
                try volume.makeDirectory(Array("_data".utf8), mode: 0o755)
                let data = try volume.open(node: Array("_data".utf8), NodeAccess.directory)
                // Whatever the umask is.
                try data.setMode(0o755)
                try volume.sync()
                try parent.rename(staging, to: Array(name.text.utf8), in: parent, replaces: false)
            } catch {
                // Best effort: `sweep` removes it at the next start.
                try? parent.removeTree(staging)
                if error.code == EEXIST { return }
                throw error
            }
            try parent.sync()
        }
    }

    /// Removes a volume and its content. It is gone for good when this returns, even if removing the content takes longer.
    package func remove(_ name: VolumeName) throws(VolumeError) {
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
            try parent.removeTree(staging)
        }
    }

    /// Removes what a crash left of unfinished creations, removals and copies. For start-up, before anything else is called.
    package func sweep() throws(VolumeError) {
        try VolumeError.wrapping("sweeping \(directory)") { () throws(SystemError) in
            guard Files.exists(directory) else { return }
            let parent = try OwnedFD.open(directory, O_RDONLY | O_DIRECTORY)
            for name in try parent.names() where name.starts(with: Array(Self.stagingPrefix.utf8)) {
                try parent.removeTree(name)
            }
        }
    }

    /// Bytes of a volume's files, each hard link once, as `docker system df` counts.
    package func usage(of name: VolumeName) throws(VolumeError) -> Int64 {
        try VolumeError.wrapping("measuring volume \(name)") { () throws(SystemError) in
            let data = try OwnedFD.open(dataPath(of: name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
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
    /// The copy is made in a staging directory, synced, and renamed over the volume's directory, which the kernel does only
    /// while that is empty. So the volume must not be mounted in a running container: it would keep the old, empty directory.
    /// - Parameters:
    ///   - image: root of the image or container; `path` is resolved once inside it, links and all.
    ///   - path: the mount point in the container.
    package func copyUp(
        _ name: VolumeName, from image: borrowing OwnedFD, path: String
    ) throws(VolumeError) -> CopyUp {
        do throws(SystemError) {
            let source: OwnedFD
            do throws(SystemError) { source = try image.resolve(path, O_RDONLY | O_DIRECTORY) } catch {
                if error.code == ENOENT || error.code == ENOTDIR { return .nothing }
                throw error
            }
            let parent = try OwnedFD.open(directory, O_RDONLY | O_DIRECTORY)
            let volume = try parent.open(node: Array(name.text.utf8), NodeAccess.directory)
            let dataName = Array("_data".utf8)
            guard try volume.open(node: dataName, NodeAccess.directory).names().isEmpty else { return .notEmpty }
            let staging = Self.stagingName()
            do throws(SystemError) {
                try parent.makeDirectory(staging, mode: 0o700)
                try TreeCopy.copy(from: source, to: try parent.open(node: staging, NodeAccess.directory))
                try parent.rename(staging, to: dataName, in: volume, replaces: true)
            } catch {
                // Best effort: `sweep` removes it at the next start.
                try? parent.removeTree(staging)
                if error.code == ENOTEMPTY || error.code == EEXIST { return .notEmpty }
                throw error
            }
            try volume.sync()
            return .copied
        } catch { throw VolumeError(error, "copying \(path) of the image into volume \(name)") }
    }

    private static func stagingName() -> [UInt8] {
        Array((stagingPrefix + String(UInt64.random(in: .min ... .max), radix: 36)).utf8)
    }
}
