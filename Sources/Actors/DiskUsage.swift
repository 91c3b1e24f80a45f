import Kernel

/// Space a directory takes.
enum DiskUsage {
    /// Bytes of the files below `path`, each hard link once; what cannot be read counts nothing.
    static func bytes(below path: String) -> Int64 {
        guard let directory = try? OwnedFD.open(path, NodeAccess.directory), var tree = try? TreeWalk(directory) else {
            return 0
        }
        var seen: Set<NodeStatus.Identity> = []
        var total: Int64 = 0
        while let node = try? tree.next() {
            if node.status.kind == .directory { continue }
            if node.status.links > 1 && !seen.insert(node.status.identity).inserted { continue }
            total += node.status.size
        }
        return total
    }
}
