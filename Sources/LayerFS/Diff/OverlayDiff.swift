import Glibc
package import Kernel

/// What a container changed, read from the upper directory of its overlay mount (Documentation/filesystems/overlayfs).
///
/// The upper directory holds whole copies of what changed, a character device 0/0 or a file with `trusted.overlay.whiteout` for
/// what was deleted, and `trusted.overlay.opaque` on directories that hide the lower one. Both readings of it are here:
/// the list for `docker diff` and the layer for `docker commit`.
package struct OverlayDiff: ~Copyable {
    private let upper: OwnedFD
    private let lower: LowerDirectory
    private let exclusions: DiffExclusions

    /// - Parameters:
    ///   - upper: the overlay's upper directory.
    ///   - lower: the mounted image below it; nil where there is none: everything is then added.
    package init(upper: consuming OwnedFD, lower: consuming OwnedFD?, exclusions: DiffExclusions = DiffExclusions()) {
        self.upper = upper
        self.lower = LowerDirectory(adopting: lower)
        self.exclusions = exclusions
    }

    /// The changes in the order of a walk, siblings sorted by bytes, a directory before what is in it.
    ///
    /// As Docker: every directory above a change is itself reported as modified; a deleted directory is one line.
    package func changes() throws(LayerError) -> [Change] {
        var result: [Change] = []
        try walk { (found, node) throws(LayerError) in
            let path = [UInt8(ascii: "/")] + node.path
            switch found {
            case .present(let existed): result.append(Change(existed ? .modified : .added, path))
            case .deleted: result.append(Change(.deleted, path))
            case .hides(let names):
                for name in names { result.append(Change(.deleted, NodeName.join(path, name))) }
            }
        }
        return result
    }

    /// Streams the changes as an image layer (OCI image specification, layer.md): whiteouts as `.wh.NAME`, directories that hide
    /// the ones below by `.wh..wh..opq`.
    package func layerTar(sink: @escaping TarWriter.Sink) throws(LayerError) {
        var writer = TarWriter(sink: sink)
        var archiver = NodeArchiver()
        try walk { (found, item) throws(LayerError) in
            switch found {
            case .present:
                guard !item.name.starts(with: Self.whiteoutPrefix) else {
                    throw LayerError(
                        .unsupported,
                        "\(NodeName.text(item.path)): a name that begins with .wh. means a deletion in a layer; rename the file"
                    )
                }
                try archiver.add(path: item.path, status: item.status, handle: item.handle, to: &writer)
            case .deleted:
                let (directory, name) = NodeName.split(item.path)
                try writer.append(
                    LayerEntry(path: NodeName.join(directory, Self.whiteoutPrefix + name), kind: .file, mode: 0o600))
            case .hides:
                try writer.append(
                    LayerEntry(path: NodeName.join(item.path, Self.opaqueName), kind: .file, mode: 0o600))
            }
        }
        try writer.finish()
    }

    private static let whiteoutPrefix = Array(".wh.".utf8)
    private static let opaqueName = Array(".wh..wh..opq".utf8)

    /// What the walk found at a node of the upper directory.
    private enum Found {
        /// It is new, or replaces what was there.
        case present(existed: Bool)
        /// A whiteout.
        case deleted
        /// The directory, already given as present, hides the lower one; these lower names are gone.
        case hides([[UInt8]])
    }

    /// A copied-up directory that differs in nothing from the lower one: given only when something in it is.
    private final class Pending {
        let node: TreeWalk.Node
        init(_ node: consuming TreeWalk.Node) { self.node = node }
    }

    /// Walks the upper directory beside the lower one; `visit` takes each find, directories before their contents.
    private func walk(
        _ visit: (Found, borrowing TreeWalk.Node) throws(LayerError) -> Void
    ) throws(LayerError) {
        var tree = try reading([]) { () throws(SystemError) in try TreeWalk(upper) }
        var lowers = [lower]
        var pending: [Pending] = []
        func give(_ found: Found, _ node: borrowing TreeWalk.Node) throws(LayerError) {
            for parent in pending { try visit(.present(existed: true), parent.node) }
            pending = []
            try visit(found, node)
        }
        while let node = try reading([], { () throws(SystemError) in try tree.next() }) {
            let path = node.path
            if exclusions.omitted.contains(path) || node.status.kind == .socket {
                tree.skipContents()
                continue
            }
            lowers.removeLast(max(0, lowers.count - node.depth))
            pending.removeAll { $0.node.depth >= node.depth }
            guard let beside = lowers.last else { continue }
            let existing = try reading(path) { () throws(SystemError) in try beside.status(of: node.name) }
            let mark = try reading(path) { () throws(SystemError) in try OverlayMark(node.handle, node.status) }
            if case .foreign(let feature) = mark {
                throw LayerError(
                    .unsupported,
                    "\(NodeName.text(path)): overlay's \(feature) is in use, which this engine never turns on; remove the container"
                )
            }
            if mark == .whiteout {
                if existing != nil { try give(.deleted, node) }
                continue
            }
            guard node.status.kind == .directory else {
                try give(.present(existed: existing != nil), node)
                continue
            }
            if exclusions.hollow.contains(path) { tree.skipContents() }
            let merges = existing?.kind == .directory
            let below = try reading(path) { () throws(SystemError) in
                merges ? try beside.child(node.name) : LowerDirectory()
            }
            // What an opaque directory hides is not there for its children, but it is for the report of what is gone.
            lowers.append(below)
            if let existing, merges, mark == .none, isSame(node.status, existing, path),
                try reading(path, { () throws(SystemError) in try below.hasAttributes(of: node.handle) })
            {
                pending.append(Pending(node))
                continue
            }
            try give(.present(existed: existing != nil), node)
            if mark == .opaque && merges {
                let gone = try reading(path) { () throws(SystemError) in try below.names(without: node.handle) }
                try visit(.hides(gone), node)
            }
        }
    }

    /// Whether a copied-up directory is as the lower one. Sizes of directories say nothing across file systems.
    private func isSame(_ upper: NodeStatus, _ lower: NodeStatus, _ path: [UInt8]) -> Bool {
        upper.mode == lower.mode && upper.uid == lower.uid && upper.gid == lower.gid
            && (upper.mtime == lower.mtime || exclusions.disturbed.contains(path))
    }

    private func reading<Value: ~Copyable>(
        _ path: [UInt8], _ body: () throws(SystemError) -> Value
    ) throws(LayerError) -> Value {
        do throws(SystemError) { return try body() } catch {
            throw LayerError(error, "reading the changes at /\(NodeName.text(path))")
        }
    }
}
