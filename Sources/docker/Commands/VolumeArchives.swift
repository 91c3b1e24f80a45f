@preconcurrency import Glibc

/// `docker volume export`.
struct ExportVolume: Command {
    static let usage = "volume export [OPTIONS] VOLUME"
    @Option("-o --output", "Write to a file, instead of STDOUT") var output: String?
    @Flag("--resume", "Keep what a cut export has written, and go on there if the volume is unchanged") var resume =
        false
    @Flag("--zstd", "Compress the archive with zstd") var zstd = false
    @Argument var name: String

    func run(_ settings: Settings) throws(CLIError) {
        let path = output == "-" ? nil : output
        try Download.check(path, "save")
        if resume && (path == nil || zstd) { throw CLIError("--resume needs a file (-o FILE) and no --zstd") }
        let client = try settings.client()
        guard let path else {
            try request(client, 1, [])
            return
        }
        let kept = resume ? try PartialExport.find(path, name) : nil
        let temporary = kept?.path ?? "\(path).\(getpid()).tmp"
        let raw = open(temporary, O_WRONLY | O_CREAT | (kept == nil ? O_EXCL : 0) | O_CLOEXEC, 0o600)
        guard raw >= 0 else { throw CLIError("open \(path): \(systemMessage(errno).lowercasedFirst)") }
        let file = Descriptor(adopting: raw)
        var current = temporary
        do throws(CLIError) {
            let offset = Int64(lseek(raw, 0, SEEK_END))
            let began = kept?.began
            try request(client, raw, offset > 0 ? [("offset", String(offset)), ("began", began)] : []) {
                (moment) throws(CLIError) in
                guard resume, kept == nil else { return }
                let part = PartialExport.path(path, name, moment)
                guard rename(temporary, part) == 0 else { throw .system("rename \(part)", errno) }
                current = part
            }
            guard rename(current, path) == 0 else { throw .system("rename \(path)", errno) }
        } catch {
            if !resume || current == "\(path).\(getpid()).tmp" { unlink(current) }
            throw error
        }
        _ = file
    }

    /// Lets the daemon write to `descriptor`, or writes there what it sends.
    private func request(
        _ client: Client, _ descriptor: CInt, _ offset: [(String, String?)],
        begun: (_ moment: String) throws(CLIError) -> Void = { _ in }
    ) throws(CLIError) {
        let shows = Terminal.isTerminal(2)
        let pairs = offset + [("compress", zstd ? "zstd" : nil), ("progress", shows ? "1" : nil)]
        let response = try client.open(
            "GET", "/volumes/\(escaped(name))/export" + query(pairs + LocalFile.parameters(descriptor, client.host)))
        if let moment = response.headers["docker-volume-began"] { try begun(moment) }
        guard response.headers["content-type"]?.contains("json") == true else {
            return try Download.copy(response, descriptor)
        }
        try Upload.show(response, on: 2)
    }
}

/// `docker volume import`.
struct ImportVolume: Command {
    static let usage = "volume import [OPTIONS] VOLUME"
    @Option("-i --input", "Read from a tar archive, instead of STDIN") var input: String?
    @Argument var name: String

    func run(_ settings: Settings) throws(CLIError) {
        let path = input == "-" ? nil : input
        if path == nil, Terminal.isTerminal(0) { throw CLIError("requested import from stdin, but stdin is empty") }
        let source = try Upload(path: path)
        let client = try settings.client()
        let local = LocalFile.parameters(source.descriptor, client.host, isSource: true)
        let target = "/volumes/import" + query([("name", name)] + local)
        if local.isEmpty {
            let response = try client.upload("POST", target, type: "application/x-tar", next: source.next)
            _ = try response.body()
        } else {
            let response = try client.open("POST", target)
            try Upload.show(response, on: 2)
        }
        say(name)
    }
}

/// Tells a daemon on this machine which of this process's files is meant, so that content need not go through the connection.
enum LocalFile {
    /// - Parameter isSource: it is read; a pipe is then left to this process.
    /// - Returns: nothing when the daemon could not take it.
    static func parameters(_ descriptor: CInt, _ host: Host, isSource: Bool = false) -> [(String, String?)] {
        var status = stat()
        guard case .unix = host, fstat(descriptor, &status) == 0 else { return [] }
        let kind = status.st_mode & S_IFMT
        guard kind == S_IFREG || (kind == S_IFIFO && !isSource) else { return [] }
        return [
            ("fd", String(descriptor)), ("pid", String(getpid())), ("file", "\(status.st_dev):\(status.st_ino)"),
        ]
    }
}

/// An export that was cut: `FILE.VOLUME.TIME.part`, where TIME is when it began by the daemon's clock.
struct PartialExport {
    let path: String
    let began: String

    static func path(_ file: String, _ volume: String, _ began: String) -> String { "\(file).\(volume).\(began).part" }

    /// The one that belongs to `file`; nil when there is none.
    ///
    /// - Throws: when there are several.
    static func find(_ file: String, _ volume: String) throws(CLIError) -> PartialExport? {
        let slash = file.utf8.lastIndex(of: UInt8(ascii: "/"))
        let directory = slash.map { String(file[...$0]) } ?? "./"
        let prefix = (slash.map { String(file[file.index(after: $0)...]) } ?? file) + ".\(volume)."
        guard let stream = opendir(directory) else { return nil }
        defer { closedir(stream) }
        var found: [PartialExport] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard name.hasPrefix(prefix), name.hasSuffix(".part") else { continue }
            let began = String(name.dropFirst(prefix.count).dropLast(5))
            guard began.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }) else { continue }
            found.append(PartialExport(path: directory + name, began: began))
        }
        guard found.count < 2 else {
            throw CLIError(
                "there are several parts of \(file): \(found.map(\.path).sorted().joined(separator: ", ")): remove all but one"
            )
        }
        return found.first
    }
}
