@preconcurrency import Glibc

/// A command of the table: flags in, requests out. Its properties declare the flags (``FlagSet``).
protocol Command: SendableMetatype {
    init()
    /// The usage line without `docker `.
    static var usage: String { get }
    /// Whether flags end at the first positional argument (`run`, `exec`, `create`, `top`).
    static var stopsAtPositional: Bool { get }
    func run(_ settings: Settings) throws(CLIError)
}

extension Command {
    static var stopsAtPositional: Bool { false }
}

/// Parses one command's arguments the way Docker's users type them.
struct CommandEntry: Sendable {
    let name: String
    let command: any Command.Type
    /// What it does, in a line.
    let about: String
    /// What its own help says instead, when a line does not do.
    let description: String?
    /// Other names inside its group.
    let aliases: [String]
    /// Whether lists of commands leave it out.
    let isHidden: Bool
    /// Whether Docker has no such command: it is listed apart.
    let isExtension: Bool

    init(
        _ name: String, _ command: any Command.Type, _ about: String, description: String? = nil,
        aliases: [String] = [],
        isHidden: Bool = false,
        isExtension: Bool = false
    ) {
        self.name = name
        self.command = command
        self.about = about
        self.description = description
        self.aliases = aliases
        self.isHidden = isHidden || isExtension
        self.isExtension = isExtension
    }

    /// Whether it is what a group's member of this name means.
    func isNamed(_ typed: String, inGroup: Bool) -> Bool { name == typed || inGroup && aliases.contains(typed) }

    /// - Parameter path: the words it was called by: `container ls`.
    func run(_ arguments: [String], _ options: GlobalOptions, path: String) throws(CLIError) {
        try parseAndRun(command, arguments, options, path)
    }

    private func parseAndRun<C: Command>(
        _ type: C.Type, _ arguments: [String], _ options: GlobalOptions, _ path: String
    ) throws(CLIError) {
        let (command, flags) = FlagSet.collect { C() }
        let help = CommandHelp(usage: C.usage, path: path)
        do throws(FlagError) {
            let outcome = try flags.parse(arguments, stopsAtPositional: C.stopsAtPositional)
            guard outcome == .run else {
                if outcome == .shortHelp { say(Help.shortFlagNote) }
                return say(help.text(flags, about: description ?? about, names: Commands.names(of: type)))
            }
        } catch {
            throw help.failure(error)
        }
        try options.check()
        try command.run(try Settings(options, path: path))
    }
}

/// The program: global options, then one command of the table.
@main
enum Docker {
    static func main() {
        signal(SIGPIPE, SIG_IGN)
        setvbuf(stdout, nil, Terminal.isTerminal(1) ? _IOLBF : _IOFBF, 65536)
        var code: CInt = 0
        do throws(CLIError) {
            try dispatch(Array(CommandLine.arguments.dropFirst()))
        } catch {
            fflush(stdout)
            if !error.message.isEmpty { fputs(error.rendered, stderr) }
            code = error.exitCode
        }
        let isWritten = fflush(stdout) == 0
        let reason = errno
        if code == 0, !isWritten || ferror(stdout) != 0 {
            // The output is the result: one that is cut short is a failure.
            fputs("write /dev/stdout: \(systemMessage(reason).lowercasedFirst)\n", stderr)
            code = 1
        }
        exit(code)
    }

    /// Runs a command line without the program's name.
    static func dispatch(_ words: [String]) throws(CLIError) {
        if let first = words.first, ["__complete", "__completeNoDesc"].contains(first) {
            return say(Completion(Array(words.dropFirst())).text(describes: first == "__complete"))
        }
        if let arguments = DaemonStarter.heritage(words) { return try DaemonStarter.become(arguments) }
        let program = Program()
        let outcome = try program.parse(words)
        let options = program.options
        guard outcome == .run else {
            if outcome == .shortHelp { complain(Help.shortFlagNote) }
            return say(Help.text(program))
        }
        var rest = program.words[...]
        guard let verb = rest.popFirst() else {
            if options.version { return say("Docker version \(Version.client), build \(Version.build)") }
            return complain(Help.text(program))
        }
        if verb == "registry" { return try Siblings.becomeRegistry(Array(rest)) }
        if verb == "help" { return try explain(rest, program) }
        let (entry, path) = try find(verb, &rest)
        guard let entry else { return }
        try entry.run(Array(rest), options, path: path)
    }

    /// The program's options and the words behind them.
    struct Program {
        let options: GlobalOptions
        let flags: FlagSet
        private let slot: WordSlot<[String]>

        init() {
            let collected = FlagSet.collect { (GlobalOptions(), WordSlot<[String]>([], isRequired: false)) }
            (options, slot) = collected.value
            flags = collected.flags
        }

        var words: [String] { slot.value }

        func parse(_ words: [String]) throws(CLIError) -> FlagSet.Outcome {
            do throws(FlagError) { return try flags.parse(words, stopsAtPositional: true) } catch {
                throw CommandHelp(usage: GlobalOptions.usage).failure(error)
            }
        }
    }

    /// `docker help` and `docker help COMMAND`.
    private static func explain(_ topic: ArraySlice<String>, _ program: Program) throws(CLIError) {
        var rest = topic
        guard let verb = rest.popFirst() else { return say(Help.text(program)) }
        let group = Commands.groups.first { $0.name == verb }
        if let group, rest.isEmpty { return say(Help.text(of: group)) }
        let table = group?.entries ?? Commands.table
        let name = group == nil ? verb : rest.popFirst() ?? ""
        guard let entry = table.first(where: { $0.isNamed(name, inGroup: group != nil) }), rest.isEmpty else {
            throw CLIError("unknown help topic: \((rest.isEmpty ? topic : rest).joined(separator: " "))")
        }
        try entry.run(["--help"], program.options, path: group.map { "\($0.name) \(entry.name)" } ?? entry.name)
    }

    /// The command that words name, and its whole name; none when help has been given instead.
    private static func find(
        _ verb: String, _ rest: inout ArraySlice<String>
    ) throws(CLIError) -> (entry: CommandEntry?, path: String) {
        guard let group = Commands.groups.first(where: { $0.name == verb }) else {
            if let entry = Commands.table.first(where: { $0.isNamed(verb, inGroup: false) }) { return (entry, verb) }
            throw unknown(verb, inGroup: nil)
        }
        guard let member = rest.popFirst() else {
            complain(Help.text(of: group))
            return (nil, verb)
        }
        if let entry = group.entries.first(where: { $0.isNamed(member, inGroup: true) }) {
            return (entry, "\(verb) \(entry.name)")
        }
        guard member.hasPrefix("-") else { throw unknown(member, inGroup: group) }
        if member == "-h" { say(Help.shortFlagNote) }
        guard ["-h", "--help"].contains(member) else {
            throw CommandHelp(usage: verb).failure(
                FlagError(
                    member.hasPrefix("--")
                        ? "unknown flag: \(member.cut("=").0)"
                        : "unknown shorthand flag: '\(member.dropFirst().prefix(1))' in \(member)"))
        }
        say(Help.text(of: group))
        return (nil, verb)
    }

    private static func unknown(_ name: String, inGroup group: CommandGroup?) -> CLIError {
        if let note = Absent.note(name, inGroup: group?.name) { return CLIError(note) }
        let path = group.map { "docker \($0.name)" } ?? "docker"
        var error = CLIError("unknown command: \(path) \(name)" + (group == nil ? "" : "\n\nUsage:  \(path)"))
        error.bare = false
        error.helpFor = path
        return error
    }
}

/// Commands that Docker has, or had once, and this program has not: what to do instead.
enum Absent {
    private static let builds = "have it built elsewhere, such as by buildah, then docker pull or docker load it"
    private static let swarm =
        "it needs a swarm, which this engine is no part of; start containers on this host with docker run"

    /// By the command's name.
    private static let remedies = [
        "bake": builds, "build": builds, "builder": builds, "buildx": builds,
        "checkpoint": "containers cannot be frozen to disk; docker pause holds them in memory",
        "config": swarm, "node": swarm, "secret": swarm, "service": swarm, "stack": swarm, "swarm": swarm,
        "manifest": "skopeo inspect, skopeo copy --all and buildah manifest do what it does",
        "plugin": "drivers of volumes, networks and logs are built in",
        "trust": "sign and verify images by cosign or notation",
    ]

    /// What is said of a command; nil for one that nobody has.
    static func note(_ name: String, inGroup group: String?) -> String? {
        switch group {
        case nil where name == "insert":
            return """
                docker: 'docker insert IMAGE URL PATH' is gone: have the file added when the image is built (ADD URL PATH \
                in a Dockerfile), or put it into a container (docker cp FILE CONTAINER:PATH) and commit that (docker commit)
                """
        case nil: return remedies[name].map { "docker: 'docker \(name)' is not there: \($0)" }
        case "image" where name == "build": return "docker: 'docker image build' is not there: \(builds)"
        default: return nil
        }
    }
}
