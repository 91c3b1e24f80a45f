package import Kernel

/// What `HEAD /containers/{id}/archive` tells of a path (header X-Docker-Container-Path-Stat).
package struct PathStatus: Sendable, Hashable {
    /// Last component of the path that was asked for.
    package var name: String
    package var size: Int64
    /// Type and permissions as Go's `os.FileMode` has them.
    package var mode: UInt32
    package var mtime: NodeStatus.Moment
    /// Absolute path in the container at which a symbolic link ends, all links resolved; empty for other kinds.
    package var linkTarget: String

    package init(name: String, status: NodeStatus, linkTarget: String) {
        self.name = name
        size = status.size
        mode = Self.goMode(status)
        mtime = status.mtime
        self.linkTarget = linkTarget
    }

    /// os.FileMode: permissions in the low nine bits, everything else from the highest bit downwards.
    private static func goMode(_ status: NodeStatus) -> UInt32 {
        var mode = UInt32(status.mode & 0o777)
        switch status.kind {
        case .file: break
        case .directory: mode |= 1 << 31
        case .symlink: mode |= 1 << 27
        case .block: mode |= 1 << 26
        case .character: mode |= 1 << 26 | 1 << 21
        case .fifo: mode |= 1 << 25
        case .socket: mode |= 1 << 24
        }
        if status.mode & 0o4000 != 0 { mode |= 1 << 23 }
        if status.mode & 0o2000 != 0 { mode |= 1 << 22 }
        if status.mode & 0o1000 != 0 { mode |= 1 << 20 }
        return mode
    }
}

/// A path in a container, as a client wrote it.
struct ContainerPath {
    /// Absolute; `.` and empty components gone and `..` applied as Go's filepath.Join does; a trailing `/` or `/.` of the
    /// original is kept, since it asks for what a link points to.
    let text: [UInt8]

    init(_ path: String) {
        let slash = UInt8(ascii: "/")
        let dot = UInt8(ascii: ".")
        let bytes = Array(path.utf8)
        var parts: [ArraySlice<UInt8>] = []
        for part in bytes.split(separator: slash) where part != [dot] {
            if part == [dot, dot] { _ = parts.popLast() } else { parts.append(part) }
        }
        var text: [UInt8] = [slash] + parts.joined(separator: [slash])
        if bytes == [dot] || bytes.suffix(2) == [slash, dot] {
            if text.last != slash { text.append(slash) }
            text.append(dot)
        } else if bytes.last == slash && text.last != slash {
            text.append(slash)
        }
        self.text = text
    }

    /// As Go's filepath.Base: last component without trailing slashes; "/" for the root.
    var base: [UInt8] {
        let trimmed = text.reversed().drop { $0 == UInt8(ascii: "/") }.reversed()
        if trimmed.isEmpty { return [UInt8(ascii: "/")] }
        return NodeName.split(Array(trimmed)).name
    }
}
