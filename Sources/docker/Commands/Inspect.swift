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

    /// Prints an array of all that were found, then complains about the rest.
    static func run(
        _ names: [String], kind: String?, format: String?, size: Bool = false, verbose: Bool = false,
        _ settings: Settings
    ) throws(CLIError) {
        let client = try settings.client()
        let wanted = kinds.filter { kind == nil || kind?.isEmpty == true || $0.name == kind }
        guard !wanted.isEmpty else {
            throw CLIError(
                "unknown type: \"\(kind ?? "")\": must be one of \"container\", \"image\", \"network\", \"volume\"")
        }
        let template: Template? = try format.flatMap { $0 == "json" ? nil : $0 }.map { (text) throws(CLIError) in
            try Template(text)
        }
        var found: [JSON] = []
        var failures: [String] = []
        for name in names {
            do throws(CLIError) {
                found.append(try look(client, name, wanted, size: size, verbose: verbose))
            } catch {
                // As Docker: what was found is printed, whatever stopped the rest.
                failures.append(error.message)
            }
        }
        if let template {
            try show(found.map { GoRecords.typed($0) }, template)
        } else if format == "json" {
            say(JSON.array(found).encoded(escapingHTML: false))
        } else {
            say(found.isEmpty ? "[]" : JSON.array(found).indented())
        }
        guard failures.isEmpty else { throw CLIError(failures.joined(separator: "\n")) }
    }

    /// A line for each; what cannot be shown is told behind all of them.
    private static func show(_ found: [JSON], _ template: Template) throws(CLIError) {
        if found.isEmpty { say("") }
        var failures: [String] = []
        for value in found {
            do throws(CLIError) { say(try template.render(value, missingKeysFail: true)) } catch {
                say("")
                failures.append("template parsing error: \(error.message)")
            }
        }
        guard failures.isEmpty else { throw CLIError(failures.joined(separator: "\n")) }
    }

    private static func look(
        _ client: Client, _ name: String, _ kinds: [Kind], size: Bool, verbose: Bool
    ) throws(CLIError) -> JSON {
        if kinds.count == 1, let kind = kinds.first, name.trimmed.isEmpty {
            throw CLIError("invalid \(kind.name) name or ID: value is empty")
        }
        var last: CLIError?
        for kind in kinds {
            let parameters = [
                ("size", size && kind.name == "container" ? "1" : nil),
                ("verbose", verbose && kind.name == "network" ? "true" : nil),
            ]
            do throws(CLIError) {
                let path = kind.path + escaped(name, keeping: kind.name == "image" ? "/:@" : "") + kind.suffix
                let found = try client.call("GET", path + query(parameters))
                if size, kind.name != "container" { complain("WARNING: --size ignored for \(kind.name)") }
                return found
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

/// What makes an `inspect` of one kind: the kind's name.
protocol InspectedKind {
    static var kind: String { get }
}
enum ImageKind: InspectedKind { static let kind = "image" }
enum VolumeKind: InspectedKind { static let kind = "volume" }

/// `docker image inspect` and its like.
struct InspectKind<Kind: InspectedKind>: Command {
    static var usage: String { "\(Kind.kind) inspect [OPTIONS] \(name) [\(name)...]" }
    private static var name: String { Kind.kind.uppercased() }
    @Option("-f --format", Help.format) var format: String?
    @Argument var names: [String]
    func run(_ settings: Settings) throws(CLIError) {
        try Inspector.run(names, kind: Kind.kind, format: format, settings)
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
        try Inspector.run(names, kind: "network", format: format, verbose: verbose, settings)
    }
}
