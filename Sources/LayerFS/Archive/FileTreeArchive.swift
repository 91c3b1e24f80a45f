import Glibc
package import Kernel

/// Archives of a container's file system: `docker cp` out of it and `docker export`.
///
/// Paths are resolved once, inside the root, by openat2(2); everything after that goes by descriptor. A container that swaps
/// its directories for links meanwhile can only change what of its own files is read.
package struct FileTreeArchive: ~Copyable {
    private let root: OwnedFD

    /// - Parameter root: the container's root directory, a handle (O_PATH) or opened for reading.
    package init(root: consuming OwnedFD) { self.root = root }

    /// What is at `path`, not following a last symbolic link unless the path ends in `/` or `/.`.
    ///
    /// - Throws: `LayerError` whose cause is ENOENT or ENOTDIR when there is nothing.
    package func status(of path: String) throws(LayerError) -> PathStatus {
        let location = ContainerPath(path)
        return try resolving(path) { () throws(SystemError) in
            let handle = try root.resolve(bytes: location.text, NodeAccess.path)
            let status = try handle.nodeStatus()
            let target = status.kind == .symlink ? try LinkTrace.end(of: location.text, in: root) : []
            return PathStatus(name: NodeName.text(location.base), status: status, linkTarget: NodeName.text(target))
        }
    }

    /// Streams `path` as a tar whose first member is named after the path's last component; for a path that ends in `/.` all
    /// names begin with `./`. A symbolic link is archived as itself.
    package func create(_ path: String, sink: @escaping TarWriter.Sink) throws(LayerError) {
        let location = ContainerPath(path)
        let handle = try resolving(path) { () throws(SystemError) in
            try root.resolve(bytes: location.text, NodeAccess.path)
        }
        let status = try resolving(path) { () throws(SystemError) in try handle.nodeStatus() }
        var writer = TarWriter(sink: sink)
        var archiver = NodeArchiver()
        try archiver.add(path: location.base, status: status, handle: handle, to: &writer)
        if status.kind == .directory {
            let prefix =
                location.base == [UInt8(ascii: "/")] ? [UInt8(ascii: "/")] : location.base + [UInt8(ascii: "/")]
            try addContents(of: handle, prefix: prefix, &archiver, &writer)
        }
        try writer.finish()
    }

    /// Streams everything below the root, names without a leading slash and without a member for the root itself.
    package func export(sink: @escaping TarWriter.Sink) throws(LayerError) {
        var writer = TarWriter(sink: sink)
        var archiver = NodeArchiver()
        try addContents(of: root, prefix: [], &archiver, &writer)
        try writer.finish()
    }

    private func addContents(
        of directory: borrowing OwnedFD, prefix: [UInt8], _ archiver: inout NodeArchiver, _ writer: inout TarWriter
    ) throws(LayerError) {
        var tree: TreeWalk
        do throws(SystemError) { tree = try TreeWalk(directory) } catch {
            throw LayerError(error, "reading \(NodeName.text(prefix))")
        }
        while true {
            let node: TreeWalk.Node
            do throws(SystemError) {
                guard let next = try tree.next() else { return }
                node = next
            } catch { throw LayerError(error, "reading below \(NodeName.text(prefix))") }
            try archiver.add(path: prefix + node.path, status: node.status, handle: node.handle, to: &writer)
        }
    }

    private func resolving<Value: ~Copyable>(
        _ path: String, _ body: () throws(SystemError) -> Value
    ) throws(LayerError) -> Value {
        do throws(SystemError) { return try body() } catch {
            throw LayerError(.system, "could not find the file \(path): \(error.reason)", cause: error)
        }
    }
}

/// Follows symbolic links by name, for the information of a client only: nothing is opened by the result.
enum LinkTrace {
    /// As the kernel's MAXSYMLINKS, with room to spare: Docker allows 255.
    private static let linksMax = 255

    /// The absolute path in `root` at which `path` ends when every link is followed; its last parts need not exist.
    static func end(of path: [UInt8], in root: borrowing OwnedFD) throws(SystemError) -> [UInt8] {
        let slash = UInt8(ascii: "/")
        var rest = Array(path.split(separator: slash).reversed())
        var done: [ArraySlice<UInt8>] = []
        var links = 0
        while let part = rest.popLast() {
            if part == [UInt8(ascii: ".")] { continue }
            if part == [UInt8(ascii: "."), UInt8(ascii: ".")] {
                _ = done.popLast()
                continue
            }
            done.append(part)
            let here = [slash] + done.joined(separator: [slash])
            guard let target = try target(here, root) else { continue }
            links += 1
            guard links <= linksMax else { throw SystemError("readlink", ELOOP, NodeName.text(path)) }
            if target.first == slash { done = [] } else { done.removeLast() }
            rest += target.split(separator: slash).reversed()
        }
        return [slash] + done.joined(separator: [slash])
    }

    /// The target when `path` is a symbolic link; nil when it is something else or nothing.
    private static func target(_ path: [UInt8], _ root: borrowing OwnedFD) throws(SystemError) -> [UInt8]? {
        do throws(SystemError) {
            let handle = try root.resolve(bytes: path, NodeAccess.path)
            guard try handle.nodeStatus().kind == .symlink else { return nil }
            return try handle.linkTarget()
        } catch {
            if error.code == ENOENT || error.code == ENOTDIR || error.code == EACCES { return nil }
            throw error
        }
    }
}
