@preconcurrency import Glibc

/// Unpacks a tar stream below one folder, never outside of it.
///
/// Every parent is opened from the folder's descriptor name by name without following symbolic links, so that neither `..`
/// nor a link (made by the archive or there before) leads out. Owners are not taken over: files belong to the caller.
struct Extraction {
    private let root: Descriptor
    private let path: String
    private let rename: (String) -> String
    private var folders: [(name: String, mode: mode_t, modified: Int64)] = []
    private var parent: (name: String, descriptor: Descriptor)?

    /// - Parameter rename: changes a member's name (and a hard link's target) before it is used.
    init(into path: String, rename: @escaping (String) -> String) throws(CLIError) {
        let raw = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard raw >= 0 else { throw CLIError("open \(path): \(systemMessage(errno).lowercasedFirst)") }
        root = Descriptor(adopting: raw)
        self.path = path
        self.rename = rename
    }

    /// Unpacks all members; folders get their modes and times at the end.
    mutating func unpack(_ reader: inout TarReader) throws(CLIError) {
        while let member = try reader.next() { try place(member, &reader) }
        for folder in folders.reversed() {
            let (parent, name) = try locate(folder.name)
            try finish(parent.raw, name, folder.mode, folder.modified, folder.name)
        }
        try reader.drain()
    }

    private func components(_ name: String) throws(CLIError) -> [String] {
        let parts = name.split(separator: "/").filter { $0 != "." }.map(String.init)
        guard !parts.contains("..") else { throw CLIError("invalid path in archive: \"\(name)\" leads out of \(path)") }
        return parts
    }

    /// The folder a name lies in and its last part; missing parents are made. `.` is the folder itself.
    private mutating func locate(_ name: String) throws(CLIError) -> (Descriptor, String) {
        let parts = try components(name)
        guard let last = parts.last else { return (root, ".") }
        let key = parts.dropLast().joined(separator: "/")
        if let parent, parent.name == key { return (parent.descriptor, last) }
        var current = root
        for part in parts.dropLast() {
            var raw = openat(current.raw, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            if raw < 0, errno == ENOENT {
                _ = mkdirat(current.raw, part, 0o755)
                raw = openat(current.raw, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            }
            guard raw >= 0 else { throw failure("open", name) }
            current = Descriptor(adopting: raw)
        }
        parent = (key, current)
        return (current, last)
    }

    private func failure(_ verb: String, _ name: String) -> CLIError {
        CLIError("\(verb) \(path)/\(name): \(systemMessage(errno).lowercasedFirst)")
    }

    private mutating func place(_ member: TarMember, _ reader: inout TarReader) throws(CLIError) {
        let full = rename(member.name)
        let (folder, name) = try locate(full)
        try clear(folder.raw, name, member.kind == .folder, full)
        switch member.kind {
        case .folder:
            guard name == "." || mkdirat(folder.raw, name, 0o700 | member.mode) == 0 || errno == EEXIST else {
                throw failure("mkdir", full)
            }
            folders.append((full, member.mode, member.modified))
            return
        case .file: return try write(folder.raw, name, member, full, &reader)
        case .hardLink:
            let (source, old) = try locate(rename(member.link))
            guard linkat(source.raw, old, folder.raw, name, 0) == 0 else { throw failure("link", full) }
            return
        case .symbolicLink: guard symlinkat(member.link, folder.raw, name) == 0 else { throw failure("symlink", full) }
        case .characterDevice, .blockDevice, .fifo:
            let kind = member.kind == .fifo ? S_IFIFO : member.kind == .blockDevice ? S_IFBLK : S_IFCHR
            let device = DeviceNumber.make(member.deviceMajor, member.deviceMinor)
            guard mknodat(folder.raw, name, kind | member.mode, device) == 0 else { throw failure("mknod", full) }
        }
        let isLink = member.kind == .symbolicLink
        try finish(folder.raw, name, isLink ? nil : member.mode, member.modified, full)
    }

    /// Makes room: files and empty folders give way to files, and nothing else gives way to a folder.
    private func clear(_ folder: CInt, _ name: String, _ isFolder: Bool, _ full: String) throws(CLIError) {
        var status = stat()
        guard name != ".", fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return }
        let wasFolder = status.st_mode & S_IFMT == S_IFDIR
        if isFolder, !wasFolder {
            throw CLIError("cannot overwrite non-directory \"\(path)/\(full)\" with directory \"\(path)\"")
        }
        if !isFolder, wasFolder {
            throw CLIError("cannot overwrite directory \"\(path)/\(full)\" with non-directory \"\(path)\"")
        }
        if !isFolder, unlinkat(folder, name, 0) != 0 { throw failure("remove", full) }
    }

    private func write(
        _ folder: CInt, _ name: String, _ member: TarMember, _ full: String, _ reader: inout TarReader
    ) throws(CLIError) {
        let raw = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard raw >= 0 else { throw failure("open", full) }
        let file = Descriptor(adopting: raw)
        while true {
            let part = try reader.content()
            if part.isEmpty { break }
            try writeAll(file.raw, part)
        }
        guard fchmod(file.raw, member.mode) == 0 else { throw failure("chmod", full) }
        try finish(folder, name, nil, member.modified, full)
    }

    /// UTIME_NOW of utimensat(2), a macro that does not import.
    private static let timeNow = (1 << 30) - 1

    private func finish(
        _ folder: CInt, _ name: String, _ mode: mode_t?, _ modified: Int64, _ full: String
    ) throws(CLIError) {
        if let mode, fchmodat(folder, name, mode, 0) != 0 { throw failure("chmod", full) }
        let times = [timespec(tv_sec: 0, tv_nsec: Self.timeNow), timespec(tv_sec: time_t(modified), tv_nsec: 0)]
        guard utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW) == 0 else { throw failure("chtimes", full) }
    }
}
