import Glibc
import Kernel

/// Turns objects of a file tree into archive members: hard links found again, attributes chosen, content read.
struct NodeArchiver {
    private var links = HardLinks()

    /// Adds one object under `path`.
    ///
    /// Sockets are left out: an archive cannot hold them.
    /// - Parameter handle: O_PATH handle of the object, whose status is `status`.
    mutating func add(
        path: [UInt8], status: NodeStatus, handle: borrowing OwnedFD, to writer: inout TarWriter
    ) throws(LayerError) {
        guard var entry = Self.entry(path, status) else { return }
        if entry.kind != .directory && status.links > 1 {
            if let first = links.first(status.identity, path) {
                entry.kind = .hardlink
                entry.linkTarget = first
                return try writer.append(entry)
            }
        }
        try Self.describe(&entry, handle)
        guard entry.kind == .file, status.size > 0 else { return try writer.append(entry) }
        entry.size = UInt64(status.size)
        let file: OwnedFD
        do throws(SystemError) { file = try handle.reopen(O_RDONLY) } catch {
            throw LayerError(error, "reading \(NodeName.text(path))")
        }
        try writer.append(entry, content: file)
    }

    /// A member for an object with `status`; nil for a socket, which an archive cannot hold.
    static func entry(_ path: [UInt8], _ status: NodeStatus) -> LayerEntry? {
        guard let kind = kind(status.kind) else { return nil }
        var entry = LayerEntry(
            path: path, kind: kind, mode: status.mode, uid: status.uid, gid: status.gid,
            mtimeSeconds: status.mtime.seconds, mtimeNanoseconds: status.mtime.nanoseconds)
        if kind == .character || kind == .block {
            entry.deviceMajor = status.deviceMajor
            entry.deviceMinor = status.deviceMinor
        }
        return entry
    }

    /// Adds what only the object itself tells: attributes, and a symbolic link's target.
    static func describe(_ entry: inout LayerEntry, _ handle: borrowing OwnedFD) throws(LayerError) {
        do throws(SystemError) {
            entry.attributes = try attributes(of: handle)
            if entry.kind == .symlink { entry.linkTarget = try handle.linkTarget() }
        } catch { throw LayerError(error, "archiving \(NodeName.text(entry.path))") }
    }

    private static func kind(_ kind: NodeStatus.Kind) -> LayerEntry.Kind? {
        switch kind {
        case .file: .file
        case .directory: .directory
        case .symlink: .symlink
        case .character: .character
        case .block: .block
        case .fifo: .fifo
        case .socket: nil
        }
    }

    /// The attributes that belong to the content, sorted by name.
    private static func attributes(of handle: borrowing OwnedFD) throws(SystemError) -> [LayerEntry.Attribute] {
        var result: [LayerEntry.Attribute] = []
        for name in try handle.attributeNames() where ArchivedAttributes.include(name) {
            guard let value = try handle.attribute(name) else { continue }
            result.append(.init(name: name, value: value))
        }
        return result.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    }
}

/// Which extended attributes travel with a file.
enum ArchivedAttributes {
    private static let excluded = ["trusted.overlay.", "user.overlay."].map { Array($0.utf8) }
    private static let capability = Array("security.capability".utf8)
    private static let security = Array("security.".utf8)

    /// Not those that overlayfs obeys, nor the labels that this host's security modules gave (SELinux, IMA): only file
    /// capabilities among `security.*` are the file's own.
    static func include(_ name: [UInt8]) -> Bool {
        if name == capability { return true }
        return !name.starts(with: security) && !excluded.contains { name.starts(with: $0) }
    }
}
