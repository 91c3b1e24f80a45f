@preconcurrency import Glibc

/// A local file or folder as a tar stream, made piece by piece while it is sent.
///
/// Folders come before what is in them, names in byte order. Sockets are left out. Files that a name was already sent of
/// become hard links.
struct ArchiveSource {
    private static let pieceBytes = 262_144

    private struct Inode: Hashable {
        var device: dev_t
        var number: ino_t
    }

    private var pending: [(path: String, name: String)]
    private var seen: [Inode: String] = [:]
    private var file: Descriptor?
    private var left: Int64 = 0
    private var padding = 0
    private var ended = false

    /// Sends `path` (a final symbolic link as itself) with everything below it, under `name`.
    init(path: String, name: String) { pending = [(path, name)] }

    /// The next bytes of the stream; empty behind its end.
    mutating func next() throws(CLIError) -> [UInt8] {
        if let file { return try contents(file) }
        while let (path, name) = pending.popLast() {
            if let bytes = try begin(path, name) { return bytes }
        }
        guard !ended else { return [] }
        ended = true
        return [UInt8](repeating: 0, count: 2 * TarMember.block)
    }

    private mutating func contents(_ file: Descriptor) throws(CLIError) -> [UInt8] {
        guard left > 0 else {
            self.file = nil
            return padding > 0 ? [UInt8](repeating: 0, count: padding) : try next()
        }
        var bytes = try readSome(file.raw, Int(min(left, Int64(Self.pieceBytes))))
        // A file that shrank meanwhile is filled up with zeros: its size has been announced.
        if bytes.isEmpty { bytes = [UInt8](repeating: 0, count: Int(min(left, Int64(Self.pieceBytes)))) }
        left -= Int64(bytes.count)
        return bytes
    }

    /// The header of one file; `nil` when it is not sent. Remembers a folder's members and a file's contents as to be sent.
    private mutating func begin(_ path: String, _ name: String) throws(CLIError) -> [UInt8]? {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            throw CLIError("lstat \(path): \(systemMessage(errno).lowercasedFirst)")
        }
        guard let kind = Self.kind(status.st_mode) else { return nil }
        var member = TarMember(name: name, kind: kind, mode: status.st_mode & 0o7777)
        member.owner = status.st_uid
        member.group = status.st_gid
        member.modified = Int64(status.st_mtim.tv_sec)
        switch kind {
        case .folder:
            if !name.hasSuffix("/") { member.name += "/" }
            let prefix = member.name
            for entry in try Self.names(path).reversed() { pending.append(("\(path)/\(entry)", prefix + entry)) }
        case .symbolicLink: member.link = try Self.target(path)
        case .characterDevice, .blockDevice:
            member.deviceMajor = DeviceNumber.major(status.st_rdev)
            member.deviceMinor = DeviceNumber.minor(status.st_rdev)
        case .file, .hardLink, .fifo: break
        }
        if kind == .file { try open(path, status, &member) }
        return member.encoded()
    }

    private mutating func open(_ path: String, _ status: stat, _ member: inout TarMember) throws(CLIError) {
        let inode = Inode(device: status.st_dev, number: status.st_ino)
        if status.st_nlink > 1, let first = seen[inode] {
            member.kind = .hardLink
            member.link = first
            return
        }
        if status.st_nlink > 1 { seen[inode] = member.name }
        let raw = Glibc.open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard raw >= 0 else { throw CLIError("open \(path): \(systemMessage(errno).lowercasedFirst)") }
        file = Descriptor(adopting: raw)
        member.size = Int64(status.st_size)
        left = member.size
        padding = TarMember.padding(left)
    }

    private static func kind(_ mode: mode_t) -> TarMember.Kind? {
        switch mode & S_IFMT {
        case S_IFREG: .file
        case S_IFDIR: .folder
        case S_IFLNK: .symbolicLink
        case S_IFCHR: .characterDevice
        case S_IFBLK: .blockDevice
        case S_IFIFO: .fifo
        default: nil
        }
    }

    private static func names(_ path: String) throws(CLIError) -> [String] {
        guard let folder = opendir(path) else {
            throw CLIError("open \(path): \(systemMessage(errno).lowercasedFirst)")
        }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// The target of a symbolic link.
    static func target(_ path: String) throws(CLIError) -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &buffer, buffer.count)
        guard count >= 0 else { throw CLIError("readlink \(path): \(systemMessage(errno).lowercasedFirst)") }
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
