/// `docker inspect` and the `inspect` of the groups.
enum Inspector {
    /// The API path prefix and what an unknown name is called.
    struct Kind {
        let name: String
        let path: String
        let suffix: String
    }

    static let kinds = [
        Kind(name: "container", path: "/containers/", suffix: "/json"),
        Kind(name: "image", path: "/images/", suffix: "/json"),
        Kind(name: "network", path: "/networks/", suffix: ""), Kind(name: "volume", path: "/volumes/", suffix: ""),
    ]
    /// Those that are only looked for when they are asked for: other daemons may have them.
    private static let others = [
        Kind(name: "config", path: "/configs/", suffix: ""), Kind(name: "node", path: "/nodes/", suffix: ""),
        Kind(name: "plugin", path: "/plugins/", suffix: "/json"), Kind(name: "secret", path: "/secrets/", suffix: ""),
        Kind(name: "service", path: "/services/", suffix: ""), Kind(name: "task", path: "/tasks/", suffix: ""),
    ]

    /// Prints an array of all that were found, then complains about the rest.
    ///
    /// - Parameter parameters: of the request, for objects of one kind.
    static func run(
        _ names: [String], kind: String?, format: String?, size: Bool = false, _ settings: Settings,
        _ parameters: [(String, String?)] = []
    ) throws(CLIError) {
        let client = try settings.client()
        let all = kinds + others
        let wanted = kind.flatMap { $0.isEmpty ? nil : $0 }.map { kind in all.filter { $0.name == kind } } ?? kinds
        guard !wanted.isEmpty else {
            let names = all.map { "\"\($0.name)\"" }.sorted().joined(separator: ", ")
            throw CLIError("unknown type: \"\(kind ?? "")\": must be one of \(names)")
        }
        let template = try template(format)
        var found: [GoValue] = []
        var failures: [String] = []
        for name in names {
            do throws(CLIError) {
                found.append(try look(client, name, wanted, size: size, parameters))
            } catch {
                // As Docker: what was found is printed, whatever stopped the rest.
                failures.append(error.message)
            }
        }
        try tell(found, failures, template, isCompact: format == "json")
    }

    /// The template of a format; none for `json`.
    static func template(_ format: String?) throws(CLIError) -> Template? {
        try format.flatMap { ["", "json"].contains($0) ? nil : $0 }.map { (text) throws(CLIError) in try Template(text)
        }
    }

    /// Prints what was found: by the template, or as an array on one line or several; then complains about the rest.
    static func tell(
        _ found: [GoValue], _ failures: [String], _ template: Template?, isCompact: Bool, escapingHTML: Bool = false
    ) throws(CLIError) {
        let whole = JSON.array(found.map(\.json))
        if let template {
            try show(found, template)
        } else if isCompact {
            say(whole.encoded(escapingHTML: escapingHTML))
        } else {
            say(found.isEmpty ? "[]" : whole.indented(escapingHTML: escapingHTML))
        }
        guard failures.isEmpty else { throw CLIError(failures.joined(separator: "\n")) }
    }

    /// A line for each, an empty one where there is none; what cannot be shown is told behind all of them.
    private static func show(_ found: [GoValue], _ template: Template) throws(CLIError) {
        var isEmpty = true
        var failures: [String] = []
        defer { if isEmpty { say("") } }
        for value in found {
            do throws(CLIError) {
                say(try text(of: value, template))
                isEmpty = false
            } catch {
                failures.append("template parsing error: \(error.message)")
            }
        }
        guard failures.isEmpty else { throw CLIError(failures.joined(separator: "\n")) }
    }

    /// As Docker's type holds it; or, where that does not have what the template names, as the daemon sent it.
    private static func text(of value: GoValue, _ template: Template) throws(CLIError) -> String {
        guard case .record(let root) = value.type else { return try template.render(value) }
        let typed = GoValue(GoRecords.typed(value.json, root), value.type)
        // Of volumes Docker has no other.
        guard root != GoTypes.roots["volume"] else { return try template.render(typed) }
        do throws(CLIError) { return try template.render(typed) } catch {
            let sent = GoValue(decoded: value.json, numbersAreText: true)
            return try template.render(sent, missingKeysFail: true)
        }
    }

    private static func look(
        _ client: Client, _ name: String, _ kinds: [Kind], size: Bool, _ more: [(String, String?)]
    ) throws(CLIError) -> GoValue {
        if kinds.count == 1, let kind = kinds.first, name.trimmed.isEmpty {
            throw CLIError("invalid \(kind.name) name or ID: value is empty")
        }
        var last: CLIError?
        for kind in kinds {
            let parameters = [("size", size && kind.name == "container" ? "1" : nil)] + more
            do throws(CLIError) {
                let path = kind.path + escaped(name, keeping: kind.name == "image" ? "/:@" : "") + kind.suffix
                let found = try client.call("GET", path + query(parameters))
                if size, kind.name != "container" { complain("WARNING: --size ignored for \(kind.name)") }
                guard let root = GoTypes.roots[kind.name] else { return GoValue(open: found, "interface {}") }
                // Docker holds volumes alone as its own type when it shows them whole.
                return GoValue(kind.name == "volume" ? GoRecords.typed(found, root) : found, .record(root))
            } catch  where error.status == 404 || error.status == 400 && kinds.count > 1 {
                last = error
            }
        }
        if kinds.count == 1, let last {
            var error = last
            error.status = 404
            throw error
        }
        throw CLIError("Error: No such object: \(name)", status: 404)
    }
}

/// `docker inspect`.
struct Inspect: Command {
    static let usage = "inspect [OPTIONS] NAME|ID [NAME|ID...]"
    @Option("-f --format", Help.format) var format: String?
    @Flag("-s --size", "Display total file sizes if the type is container") var size = false
    @Option("--type", "Only inspect objects of the given type") var type: String?
    @Argument var names: [String]
    func run(_ settings: Settings) throws(CLIError) {
        try Inspector.run(names, kind: type, format: format, size: size, settings)
    }
}

/// `docker image inspect`.
struct InspectImages: Command {
    static let usage = "image inspect [OPTIONS] IMAGE [IMAGE...]"
    @Option("-f --format", Help.format) var format: String?
    @Option(
        "--platform",
        """
        Inspect a specific platform of the multi-platform image.
        If the image or the server is not multi-platform capable, the command will error out if the platform does not match.
        'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)
        """)
    var platform: String?
    @Argument var names: [String]
    func run(_ settings: Settings) throws(CLIError) {
        let parameters = [("platform", try platform.map(PlatformName.json))]
        try Inspector.run(names, kind: "image", format: format, settings, parameters)
    }
}

/// `docker volume inspect`.
struct InspectVolumes: Command {
    static let usage = "volume inspect [OPTIONS] VOLUME [VOLUME...]"
    @Option("-f --format", Help.format) var format: String?
    /// Docker's help has no such flag.
    @Flag("-s --size", nil) var size = false
    @Argument var names: [String]
    func run(_ settings: Settings) throws(CLIError) {
        try Inspector.run(names, kind: "volume", format: format, settings, [("size", size ? "1" : nil)])
    }
}

/// `docker container inspect`.
struct InspectContainers: Command {
    static let usage = "container inspect [OPTIONS] CONTAINER [CONTAINER...]"
    @Option("-f --format", Help.format) var format: String?
    @Flag("-s --size", "Display total file sizes") var size = false
    @Argument var names: [String]
    func run(_ settings: Settings) throws(CLIError) {
        try Inspector.run(names, kind: "container", format: format, size: size, settings)
    }
}

/// `docker network inspect`.
struct InspectNetworks: Command {
    static let usage = "network inspect [OPTIONS] NETWORK [NETWORK...]"
    @Option("-f --format", Help.format) var format: String?
    @Flag("-v --verbose", "Verbose output for diagnostics") var verbose = false
    @Argument var names: [String]
    func run(_ settings: Settings) throws(CLIError) {
        try Inspector.run(
            names, kind: "network", format: format, settings, [("verbose", verbose ? "true" : nil)])
    }
}
