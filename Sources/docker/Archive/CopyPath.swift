@preconcurrency import Glibc

/// Docker's rules for the paths of a copy: what a trailing `/` or `/.` says, and which name a copy gets.
struct CopyPath: Equatable {
    /// As given, its final `/` or `/.` kept.
    var path: String
    var exists = false
    var isFolder = false
    /// The name the copy had under the path as typed, when following a link has changed it.
    var rebase: String?

    /// Go's `filepath.Clean`.
    static func clean(_ path: String) -> String {
        let rooted = path.hasPrefix("/")
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == "..", let last = parts.last, last != ".." {
                parts.removeLast()
            } else if part != ".." || !rooted {
                parts.append(part)
            }
        }
        let text = parts.joined(separator: "/")
        return rooted ? "/" + text : text.isEmpty ? "." : text
    }

    /// The last part: `.` of `a/.`, `/` of the root.
    static func base(_ path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? (path.isEmpty ? "." : "/")
    }

    /// Folder and name; a path that ends in `/.` names the contents of its folder.
    static func split(_ path: String) -> (folder: String, name: String) {
        let cleaned = clean(path)
        if base(path) == "." { return (cleaned, ".") }
        guard let slash = cleaned.lastIndex(of: "/") else { return (".", cleaned) }
        let folder = String(cleaned[..<slash])
        return (folder.isEmpty ? "/" : folder, base(cleaned))
    }

    /// `target` as a link at `path` means it.
    static func resolve(_ target: String, from path: String) -> String {
        target.hasPrefix("/") ? target : clean(split(path).folder + "/" + target)
    }

    /// Whether a path says by its end that it must be a folder.
    static func assertsFolder(_ path: String) -> Bool { path.hasSuffix("/") || base(path) == "." }

    /// A path on this machine from the root, its final `/` or `/.` kept.
    static func local(_ path: String) -> String {
        let full = MountSpec.absolute(path)
        if base(path) == ".", full != "/" { return full + "/." }
        return path.hasSuffix("/") && full != "/" ? full + "/" : full
    }

    /// What a link evaluated to, with the end and the name of the path as typed.
    static func renamed(_ path: String, resolved: String) -> (path: String, rebase: String?) {
        var resolved = resolved
        if base(path) == ".", base(resolved) != "." { resolved += "/." }
        if path.hasSuffix("/"), !resolved.hasSuffix("/") { resolved += "/" }
        return (resolved, base(path) == base(resolved) ? nil : base(path))
    }

    /// Where a copy goes and the name it gets there in place of `source`'s; no name keeps the archive's.
    static func plan(from source: CopyPath, to target: CopyPath) throws(CLIError) -> (folder: String, name: String?) {
        if target.exists, target.isFolder { return (target.path, nil) }
        let (folder, name) = split(target.path)
        if target.exists, source.isFolder { throw CLIError("cannot copy directory") }
        if !target.exists, !source.isFolder, assertsFolder(target.path) { throw CLIError("no such directory") }
        return (folder, name)
    }

    /// A local source; with `followsLink` the file a final link leads to.
    static func source(_ path: String, followsLink: Bool) throws(CLIError) -> CopyPath {
        var result = CopyPath(path: path)
        if followsLink {
            (result.path, result.rebase) = renamed(path, resolved: try real(path))
        } else if let slash = path.lastIndex(of: "/") {
            let folder = try real(String(path[...slash]))
            let name = path[path.index(after: slash)...]
            result.path = (folder == "/" ? "" : folder) + "/" + name
            if path.hasSuffix("/"), base(path) != base(result.path) { result.rebase = base(path) }
        }
        var status = stat()
        guard lstat(result.path, &status) == 0 else { throw failure("lstat", result.path) }
        result.exists = true
        result.isFolder = status.st_mode & S_IFMT == S_IFDIR
        return result
    }

    /// A local destination; final links are followed, the last folder must exist.
    static func destination(_ path: String) throws(CLIError) -> CopyPath {
        var result = CopyPath(path: path)
        var status = stat()
        for _ in 0..<10 {
            guard lstat(result.path, &status) == 0 else {
                guard errno == ENOENT else { throw failure("lstat", result.path) }
                let folder = split(result.path).folder
                guard stat(folder, &status) == 0 else { throw failure("stat", folder) }
                guard status.st_mode & S_IFMT == S_IFDIR else { throw CLIError("not a directory") }
                return result
            }
            guard status.st_mode & S_IFMT == S_IFLNK else {
                result.exists = true
                result.isFolder = status.st_mode & S_IFMT == S_IFDIR
                return result
            }
            result.path = resolve(try ArchiveSource.target(result.path), from: result.path)
        }
        throw CLIError("too many symlinks in \"\(path)\"")
    }

    private static func failure(_ call: String, _ path: String) -> CLIError {
        CLIError("\(call) \(path): \(systemMessage(errno).lowercasedFirst)")
    }

    private static func real(_ path: String) throws(CLIError) -> String {
        guard let text = realpath(path, nil) else { throw failure("lstat", path) }
        defer { free(text) }
        return String(cString: text)
    }
}
