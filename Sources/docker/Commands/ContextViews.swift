/// `docker context ls`.
struct ListContexts: Command {
    static let usage = "context ls [OPTIONS]"
    @Option("--format", Help.listFormat) var format: String?
    @Flag("-q --quiet", "Only show context names") var quiet = false

    /// Columns of an error in the table.
    private static let errorWidth = 45

    func run(_ settings: Settings) throws(CLIError) {
        let current = settings.contextName
        let store = ContextStore(folder: settings.folder)
        let named = try settings.context(ContextStore.defaultName)
        var contexts = (try store.list() + [named]).map { ($0.name, $0.description, $0.host, "") }
        if !contexts.contains(where: { $0.0 == current }) {
            do throws(CLIError) { _ = try store.load(current) } catch {
                contexts.append((current, "", "", error.message))
            }
        }
        contexts.sort { NaturalOrder.isAscending($0.0, $1.0) }
        let isTable = format.map { $0.isEmpty || $0.hasPrefix("table") } ?? true
        let rows = contexts.map { name, description, host, error -> JSON in
            [
                "Current": .bool(name == current), "Description": .string(description),
                "DockerEndpoint": .string(host),
                "Error": .string(isTable ? Short.ellipsis(error, Self.errorWidth) : error), "Name": .string(name),
            ]
        }
        let listing = Listing(
            standard:
                "table {{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}",
            headers: ["DockerEndpoint": "DOCKER ENDPOINT", "Current": Listing.untitled], identifier: "Name",
            rowType: "*formatter.clientContextContext")
        if quiet {
            contexts.forEach { say($0.0) }
        } else {
            print(try listing.render(rows, format: format), terminator: "")
        }
        guard settings.options.context == nil, environment("DOCKER_HOST") != nil, isTable else { return }
        complain(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the "
                + "global --context flag, or unset DOCKER_HOST environment variable.")
    }
}

/// `docker context inspect`.
struct InspectContexts: Command {
    static let usage = "context inspect [OPTIONS] [CONTEXT] [CONTEXT...]"
    @Option("-f --format", Help.format) var format: String?
    @Argument var names: [String] = []

    func run(_ settings: Settings) throws(CLIError) {
        let template = try Inspector.template(format)
        var found: [GoValue] = []
        var failures: [String] = []
        for name in names.isEmpty ? [settings.contextName] : names {
            do throws(CLIError) { found.append(GoValue(open: try document(name, settings), "interface {}")) } catch {
                failures.append(error.message)
            }
        }
        try Inspector.tell(found, failures, template, isCompact: format == "json", escapingHTML: true)
    }

    private func document(_ name: String, _ settings: Settings) throws(CLIError) -> JSON {
        let store = ContextStore(folder: settings.folder)
        let isDefault = name == ContextStore.defaultName
        var context = try settings.context(name)
        if isDefault { context.description = "" }
        let files = isDefault ? [] : store.tlsFiles(name)
        let memory: JSON = "<IN MEMORY>"
        return [
            "Name": .string(name), "Metadata": context.metadata, "Endpoints": context.endpoints,
            "TLSMaterial": files.isEmpty ? [:] : ["docker": JSON(strings: files)],
            "Storage": [
                "MetadataPath": isDefault ? memory : .string(store.metaFolder(name)),
                "TLSPath": isDefault ? memory : .string(store.tlsFolder(name)),
            ],
        ]
    }
}

/// `docker context export`.
struct ExportContext: Command {
    static let usage = "context export [OPTIONS] CONTEXT [FILE|-]"
    @Argument var name: String
    @Argument var path: String?

    func run(_ settings: Settings) throws(CLIError) {
        let store = ContextStore(folder: settings.folder)
        let isDefault = name == ContextStore.defaultName
        if !isDefault { try ContextStore.check(name) }
        var context = try settings.context(name)
        if isDefault { context.description = "" }
        var archive = Self.file("meta.json", Array(context.json.encoded().utf8), mode: 0o644)
        archive += TarMember(name: "tls", kind: .folder, mode: 0o700).encoded()
        let files = isDefault ? [] : try store.loadTLS(name)
        if !files.isEmpty { archive += TarMember(name: "tls/docker", kind: .folder, mode: 0o700).encoded() }
        for file in files { archive += Self.file("tls/docker/\(file.name)", file.bytes, mode: 0o600) }
        archive += [UInt8](repeating: 0, count: 2 * TarMember.block)
        let target = path ?? "\(name).dockercontext"
        if target == "-" {
            guard !Terminal.isTerminal(1) else {
                throw CLIError("cowardly refusing to export to a terminal, specify a file path")
            }
            return try writeAll(1, archive)
        }
        try writeNewFile(target, archive, mode: 0o600)
        complain("Written file \"\(target)\"")
    }

    private static func file(_ name: String, _ bytes: [UInt8], mode: UInt32) -> [UInt8] {
        var member = TarMember(name: name, kind: .file, mode: mode)
        member.size = Int64(bytes.count)
        return member.encoded() + bytes + [UInt8](repeating: 0, count: TarMember.padding(member.size))
    }
}

/// `docker context import`.
struct ImportContext: Command {
    static let usage = "context import CONTEXT FILE|-"
    @Argument var name: String
    @Argument var path: String

    /// An exported context is small.
    private static let bytesMax = 10 << 20

    func run(_ settings: Settings) throws(CLIError) {
        let store = ContextStore(folder: settings.folder)
        try ContextStore.check(name)
        guard !store.exists(name) else { throw CLIError("context \"\(name)\" already exists") }
        var whole = try readFile(path == "-" ? "/dev/stdin" : path, limit: Self.bytesMax)
        guard !whole.starts(with: [0x50, 0x4b, 3, 4]) else {
            throw CLIError("\(path) is a zip file: only tar archives, as `docker context export` writes them, are read")
        }
        var reader = TarReader { () throws(CLIError) in
            defer { whole = [] }
            return whole
        }
        var context: StoredContext?
        var files: [(name: String, bytes: [UInt8])] = []
        while let member = try reader.next() {
            guard member.kind == .file else { continue }
            let parts = member.name.split(separator: "/").map(String.init)
            let bytes = try Self.contents(&reader)
            if parts == ["meta.json"] {
                context = StoredContext(try JSONParser.parse(bytes))
            } else if parts.count == 3, parts[0] == "tls", parts[1] == "docker", parts[2] != ".." {
                files.append((parts[2], bytes))
            } else {
                throw CLIError("\"\(member.name)\": unexpected context file")
            }
        }
        guard var context else { throw CLIError("invalid context: no metadata found") }
        context.name = name
        try store.save(context)
        try store.saveTLS(name, files)
        say(name)
        complain("Successfully imported context \"\(name)\"")
    }

    private static func contents(_ reader: inout TarReader) throws(CLIError) -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            let part = try reader.content()
            if part.isEmpty { return bytes }
            bytes += part
        }
    }
}
