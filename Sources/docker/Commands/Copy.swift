@preconcurrency import Glibc

/// `docker cp`.
struct Copy: Command {
    static let usage =
        "cp [OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tdocker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH"
    @Flag("-a --archive", "Archive mode (copy all uid/gid information)") var archive = false
    @Flag("-L --follow-link", "Always follow symbol link in SRC_PATH") var followLink = false
    @Flag(
        "-q --quiet",
        "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached")
    var quiet = false
    @Argument var source: String
    @Argument var destination: String

    func run(_ settings: Settings) throws(CLIError) {
        guard !source.isEmpty else { throw CLIError("source can not be empty") }
        guard !destination.isEmpty else { throw CLIError("destination can not be empty") }
        switch (Remote(source), Remote(destination)) {
        case (_?, _?): throw CLIError("copying between containers is not supported")
        case (let from?, nil): try copyOut(try settings.client(), from, destination)
        case (nil, let to?): try copyIn(try settings.client(), source, to)
        case (nil, nil): throw CLIError("must specify at least one container source")
        }
    }

    /// A path in a container, or in a volume: `CONTAINER:PATH`, `vol:VOLUME:/PATH`.
    struct Remote {
        /// Of the container or, with what says so before it, the volume.
        let name: String
        let path: String
        private static let volumePrefix = "vol:"

        /// Nothing for a local path.
        init?(_ text: String) {
            let (container, path) = Copy.split(text)
            guard let container else { return nil }
            if container + ":" == Self.volumePrefix, let end = path.firstRange(of: ":/")?.lowerBound {
                name = Self.volumePrefix + path[..<end]
                self.path = String(path[path.index(after: end)...])
            } else {
                name = container
                self.path = path
            }
        }

        func archive(_ path: String, _ more: [(String, String?)] = []) throws(CLIError) -> String {
            let owner =
                name.hasPrefix(Self.volumePrefix)
                ? "/volumes/" + escaped(String(name.dropFirst(Self.volumePrefix.count))) : try containerPath(name)
            return owner + "/archive" + query(more + [("path", path)])
        }
    }

    /// `CONTAINER:PATH`, or a local path.
    static func split(_ text: String) -> (container: String?, path: String) {
        guard !text.hasPrefix("/") else { return (nil, text) }
        let (container, path) = text.cut(":")
        guard let path, !container.hasPrefix(".") else { return (nil, text) }
        return (container, path)
    }

    /// What the daemon says of a path, in Go's file modes.
    private struct PathStatus {
        var isFolder: Bool
        var isLink: Bool
        var isDevice: Bool
        var target: String

        init?(_ response: Response) {
            guard let header = response.headers["x-docker-container-path-stat"], let bytes = Base64.decode(header),
                let document = try? JSONParser.parse(bytes)
            else { return nil }
            let mode = document.int("mode")
            isFolder = mode & 1 << 31 != 0
            isLink = mode & 1 << 27 != 0
            isDevice = mode & 1 << 26 != 0
            target = document.text("linkTarget")
        }
    }

    /// The status of a path in the container; `nil` when it cannot be had.
    private func status(_ client: Client, _ remote: Remote, _ path: String) throws(CLIError) -> PathStatus? {
        let request = Request(method: "HEAD", path: try remote.archive(path))
        let response = try client.send(request)
        client.recycle(response)
        return response.status == 200 ? PathStatus(response) : nil
    }

    private func copyOut(_ client: Client, _ remote: Remote, _ local: String) throws(CLIError) {
        let target = local == "-" ? local : CopyPath.local(local)
        if target != "-" { try Self.checkOutput(target) }
        var source = CopyPath(path: remote.path, exists: true)
        if followLink, let status = try status(client, remote, remote.path), status.isLink {
            let resolved = CopyPath.resolve(status.target, from: remote.path)
            (source.path, source.rebase) = CopyPath.renamed(remote.path, resolved: resolved)
        }
        let response = try client.open("GET", try remote.archive(source.path))
        if target == "-" {
            guard !Terminal.isTerminal(1) else { throw CLIError("refusing to copy to a terminal, use redirection") }
            return try Download.write(response, to: nil)
        }
        source.isFolder = PathStatus(response)?.isFolder ?? false
        let plan = try CopyPath.plan(from: source, to: try CopyPath.destination(target))
        var progress = CopyProgress(quiet: quiet, "Copying from container - ")
        let base = CopyPath.split(source.path).name
        let name = plan.name ?? source.rebase
        var extraction = try Extraction(into: plan.folder) { member in
            name.map { Self.renamed(member, base, $0) } ?? member
        }
        let counter = ByteCounter()
        var reader = TarReader { () throws(CLIError) in
            let part = try response.piece()
            counter.bytes += Int64(part.count)
            progress.show(counter.bytes)
            return part
        }
        try extraction.unpack(&reader)
        client.recycle(response)
        progress.finish(counter.bytes, "to \(target)")
    }

    private func copyIn(_ client: Client, _ local: String, _ remote: Remote) throws(CLIError) {
        let shown = "\(remote.name):\(remote.path)"
        var target = CopyPath(path: remote.path)
        var status = try status(client, remote, remote.path)
        if let link = status, link.isLink {
            target.path = CopyPath.resolve(link.target, from: remote.path)
            status = try self.status(client, remote, target.path)
        }
        if status?.isDevice == true {
            throw CLIError("destination \"\(shown)\" must be a directory or a regular file: got a device")
        }
        target.exists = status != nil
        target.isFolder = status?.isFolder ?? false
        if local == "-" {
            guard target.isFolder else { throw CLIError("destination \"\(shown)\" must be a directory") }
            let input = try Upload(path: nil)
            return try put(client, remote, target.path, input.next)
        }
        let source = try CopyPath.source(CopyPath.local(local), followsLink: followLink)
        let plan = try CopyPath.plan(from: source, to: target)
        let name = plan.name ?? source.rebase ?? CopyPath.split(source.path).name
        var archive = ArchiveSource(path: CopyPath.clean(source.path), name: name == "/" ? "." : name)
        var progress = CopyProgress(quiet: quiet, "Copying to container - ")
        var bytes: Int64 = 0
        try put(client, remote, plan.folder) { () throws(CLIError) in
            let part = try archive.next()
            bytes += Int64(part.count)
            progress.show(bytes)
            return part
        }
        progress.finish(bytes, "to \(remote.name):\(target.path)")
    }

    private func put(
        _ client: Client, _ remote: Remote, _ folder: String, _ next: () throws(CLIError) -> [UInt8]
    ) throws(CLIError) {
        let more: [(String, String?)] = [("copyUIDGID", archive ? "true" : nil), ("noOverwriteDirNonDir", "true")]
        let response = try client.upload(
            "PUT", try remote.archive(folder, more), type: "application/x-tar", next: next)
        _ = try response.body()
    }

    /// A member's name with the first part it was archived under replaced.
    static func renamed(_ member: String, _ base: String, _ name: String) -> String {
        if base == "/" { return "\(name)/\(member)" }
        guard member == base || member.hasPrefix(base + "/") else { return member }
        return name + member.dropFirst(base.count)
    }

    /// Refuses a destination whose folder is missing or that is a device.
    private static func checkOutput(_ path: String) throws(CLIError) {
        let folder = CopyPath.split(CopyPath.clean(path)).folder
        var status = stat()
        guard stat(folder, &status) == 0 else {
            throw CLIError("invalid output path: directory \"\(folder)\" does not exist")
        }
        guard stat(path, &status) == 0 else { return }
        let kind = status.st_mode & S_IFMT
        guard kind == S_IFDIR || kind == S_IFREG else {
            throw CLIError("invalid output path: \"\(path)\" must be a directory or a regular file: got a device")
        }
    }
}

/// Bytes that passed, shared between a stream's closure and its owner.
final class ByteCounter {
    var bytes: Int64 = 0
}

/// How much has been copied, on a terminal's standard error; silent without one.
struct CopyProgress {
    private static let secondsBetweenDraws = 0.2
    private let isShown: Bool
    private let header: String
    private var drawnAt = Times.now

    init(quiet: Bool, _ header: String) {
        isShown = !quiet && Terminal.isTerminal(1)
        self.header = header
    }

    /// Shows the bytes so far, at most five times a second.
    mutating func show(_ bytes: Int64) {
        guard isShown, Times.now - drawnAt >= Self.secondsBetweenDraws else { return }
        drawnAt = Times.now
        fputs("\r\u{1b}[K\(header)\(Sizes.decimal(Double(bytes), digits: 3))", stderr)
    }

    /// Says what has been copied.
    func finish(_ bytes: Int64, _ place: String) {
        guard isShown else { return }
        fputs("\r\u{1b}[KSuccessfully copied \(Sizes.decimal(Double(bytes), digits: 3)) \(place)\n", stderr)
    }
}
