import Glibc

/// File operations on paths of our own making, with the durability rule of the stores in one place.
package enum Files {
    /// mkdir(2) of `path` and of every missing parent, with `mode`.
    package static func makeDirectories(_ path: String, mode: UInt32 = 0o700) throws(SystemError) {
        if mkdir(path, mode) == 0 || errno == EEXIST { return }
        let code = errno
        guard code == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            throw SystemError("mkdir", code, path)
        }
        try makeDirectories(String(path[..<slash]), mode: mode)
        if mkdir(path, mode) != 0 && errno != EEXIST { throw SystemError("mkdir", path) }
    }

    /// Replaces `path` by `bytes` so that after a crash it holds either the old or the new content: write beside,
    /// fsync, rename, fsync of the directory.
    package static func replace(_ path: String, with bytes: [UInt8], mode: UInt32 = 0o600) throws(SystemError) {
        let temporary = path + ".new"
        let file = try OwnedFD.open(temporary, O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
        var failure: SystemError?
        bytes.withUnsafeBytes { data in
            do throws(SystemError) {
                try file.writeAll(data)
                try file.sync()
            } catch { failure = error }
        }
        if let failure {
            unlink(temporary)
            throw failure
        }
        try checked("rename", path) { rename(temporary, path) }
        try syncDirectory(of: path)
    }

    /// The content of a file of ours, at most `bytesMax` bytes.
    package static func read(_ path: String, bytesMax: Int = 64 << 20) throws(SystemError) -> [UInt8] {
        let file = try OwnedFD.open(path, O_RDONLY)
        return try file.readAll(bytesMax: bytesMax)
    }

    /// fsync(2) of the directory that holds `path`.
    package static func syncDirectory(of path: String) throws(SystemError) {
        guard let slash = path.lastIndex(of: "/") else { return }
        let directory = try OwnedFD.open(
            slash == path.startIndex ? "/" : String(path[..<slash]), O_RDONLY | O_DIRECTORY)
        try directory.sync()
    }

    /// True when `path` exists (without following a last symbolic link).
    package static func exists(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    /// The names in a directory, without `.` and `..`.
    package static func list(_ path: String) throws(SystemError) -> [String] {
        guard let stream = opendir(path) else { throw SystemError("opendir", path) }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// Removes `path` and everything below it, without following links and without leaving the file system by a mount.
    /// A path that does not exist is no error.
    package static func removeTree(_ path: String) throws(SystemError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw SystemError("lstat", path)
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            try checked("unlink", path) { unlink(path) }
            return
        }
        let directory = try OwnedFD.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
        try removeContents(directory, depth: 0)
        try checked("rmdir", path) { rmdir(path) }
    }

    /// Deeper trees than this are refused (ELOOP) rather than overflowing the stack; PATH_MAX bounds honest ones to 2048.
    private static let depthMax = 4096

    private static func removeContents(_ directory: borrowing OwnedFD, depth: Int) throws(SystemError) {
        guard depth < depthMax else { throw SystemError("unlinkat", ELOOP) }
        let copy = try directory.duplicate()
        guard let stream = fdopendir(copy.release()) else { throw SystemError("fdopendir") }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let type = entry.pointee.d_type
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) {
                    [CChar](UnsafeBufferPointer(start: $0, count: strlen($0) + 1))
                }
            }
            if name == [46, 0] || name == [46, 46, 0] { continue }
            if type != UInt8(DT_DIR) {
                if unlinkat(directory.raw, name, 0) == 0 || errno == ENOENT { continue }
                if errno != EISDIR { throw SystemError("unlinkat") }
            }
            let child = openat(directory.raw, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard child >= 0 else { throw SystemError("openat") }
            try removeContents(OwnedFD(adopting: child), depth: depth + 1)
            if unlinkat(directory.raw, name, AT_REMOVEDIR) != 0 && errno != ENOENT { throw SystemError("unlinkat") }
        }
    }
}
