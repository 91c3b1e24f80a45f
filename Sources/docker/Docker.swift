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

/// What is said before the command's name.
struct Settings {
    var host: String?
    var configFolder: String?

    /// The folder of `config.json`.
    var folder: String { configFolder ?? environment("DOCKER_CONFIG") ?? (environment("HOME") ?? "/root") + "/.docker" }

    func client() throws(CLIError) -> Client { try Client(self) }
}

/// Parses one command's arguments the way Docker's users type them.
struct CommandEntry: Sendable {
    let name: String
    let command: any Command.Type
    /// What it does, in a line.
    let about: String
    /// Other names inside its group.
    let aliases: [String]

    init(_ name: String, _ command: any Command.Type, _ about: String, aliases: [String] = []) {
        self.name = name
        self.command = command
        self.about = about
        self.aliases = aliases
    }

    /// Whether it is what a group's member of this name means.
    func isNamed(_ typed: String, inGroup: Bool) -> Bool { name == typed || inGroup && aliases.contains(typed) }

    func run(_ arguments: [String], _ settings: Settings) throws(CLIError) {
        try parseAndRun(command, arguments, settings)
    }

    private func parseAndRun<C: Command>(
        _ type: C.Type, _ arguments: [String], _ settings: Settings
    ) throws(CLIError) {
        let (command, flags) = FlagSet.collect(type)
        let help = CommandHelp(usage: C.usage)
        do throws(FlagError) {
            guard try flags.parse(arguments, stopsAtPositional: C.stopsAtPositional) == .run else {
                return say(help.text(flags, about: about, names: Commands.names(of: type)))
            }
        } catch {
            throw help.failure(error)
        }
        try command.run(settings)
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
        var settings = Settings()
        var rest = words[...]
        while let word = rest.first, word.hasPrefix("-") {
            rest = rest.dropFirst()
            let (name, joined) = word.cut("=")
            switch name {
            case "-H", "--host": settings.host = joined ?? rest.popFirst()
            case "--config": settings.configFolder = joined ?? rest.popFirst()
            case "-c", "--context", "-l", "--log-level": if joined == nil { rest = rest.dropFirst() }
            case "-D", "--debug": break
            case "-v", "--version": return say("Docker version \(Version.client), build \(Version.build)")
            case "-h", "--help": return say(Help.text)
            default:
                guard name.hasPrefix("-H"), name.count > 2 else {
                    let text =
                        name.hasPrefix("--")
                        ? "unknown flag: \(name)" : "unknown shorthand flag: '\(name.dropFirst().prefix(1))' in \(name)"
                    var error = CLIError(text + "\n\nUsage:  docker [OPTIONS] COMMAND", exitCode: 125)
                    error.helpFor = "docker"
                    throw error
                }
                settings.host = String(word.dropFirst(2))
            }
        }
        guard let verb = rest.popFirst() else { return complain(Help.text) }
        if verb == "help" { return say(Help.text) }
        try lookUp(verb, rest, settings)
    }

    private static func lookUp(
        _ verb: String, _ rest: ArraySlice<String>, _ settings: Settings
    ) throws(CLIError) {
        var table = Commands.table
        var name = verb
        var rest = rest
        if let group = Commands.groups.first(where: { $0.name == verb }) {
            guard let member = rest.popFirst() else { return complain(Help.text(of: group)) }
            if ["-h", "--help"].contains(member) { return say(Help.text(of: group)) }
            table = group.entries
            name = member
        }
        let inGroup = name != verb
        guard let entry = table.first(where: { $0.isNamed(name, inGroup: inGroup) }) else {
            let typed = inGroup ? "\(verb) \(name)" : verb
            let usage = inGroup ? "\n\nUsage:  docker \(verb)" : ""
            var error = CLIError("unknown command: docker \(typed)\(usage)")
            error.bare = false
            error.helpFor = inGroup ? "docker \(verb)" : "docker"
            throw error
        }
        try entry.run(Array(rest), settings)
    }
}
