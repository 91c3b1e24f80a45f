/// A command's help, and its errors with the usage line below.
struct CommandHelp {
    /// The command's usage line without `docker `, with the words it was called by.
    private let usage: String
    /// The command's words: `volume ls`; empty for the program itself.
    private let verb: String

    /// - Parameters:
    ///   - usage: the command's usage line without `docker `.
    ///   - path: the words it was called by, when those of the line are another name of it.
    init(usage: String, path: String? = nil) {
        let words = usage.split(separator: " ").prefix { $0.allSatisfy(\.isLowercase) }
        let own = words.joined(separator: " ")
        verb = path ?? own
        self.usage = verb + usage.dropFirst(own.count)
    }

    /// The command as it is called: `docker volume ls`.
    private var name: String { verb.isEmpty ? "docker" : "docker \(verb)" }

    // MARK: Help

    /// As pflag lays it out: names, kind of value, text, in order of the long names.
    ///
    /// - Parameters:
    ///   - about: what the command does.
    ///   - names: everything that it can be called by.
    func text(_ flags: FlagSet, about: String = "", names: [String] = []) -> String {
        var text = "Usage:  docker \(usage)"
        if !about.isEmpty { text += "\n\n\(about)" }
        if names.count > 1 { text += "\n\nAliases:\n  " + names.joined(separator: ", ") }
        let rows = Self.rows(flags)
        if !rows.isEmpty { text += "\n\nOptions:\n" + rows }
        return text
    }

    /// A line for each flag that is shown.
    ///
    /// - Parameter filled: a flag's text with what only now is known.
    static func rows(_ flags: FlagSet, filled: (String) -> String = { $0 }) -> String {
        let shown = flags.flags.filter { $0.help != nil && $0.long != nil }
        var named = shown.map { flag -> (long: Substring, left: String, right: String) in
            let names = flag.short == nil ? "      \(flag.long ?? "")" : "  \(flag.spelling(separator: ", "))"
            let left = flag.kind.isEmpty ? names : "\(names) \(flag.kind)"
            return (flag.long ?? "", left, filled(flag.help?.description ?? ""))
        }
        // As Docker: it goes without saying, but where `-h` is something else.
        if shown.contains(where: { $0.isNamed("-h") }) { named.append(("--help", "      --help", "Print usage")) }
        let rows = named.sorted { $0.long < $1.long }.map { ($0.left, $0.right) }
        let width = (rows.map(\.0.count).max() ?? 0) + 3
        return rows.map { left, right in
            left + String(repeating: " ", count: width - left.count) + Help.wrapped(right, indent: width)
        }.joined(separator: "\n")
    }

    // MARK: Errors

    func failure(_ error: FlagError) -> CLIError {
        switch error {
        case .flag(let message): shown(message)
        case .wrongCount: wrongCount()
        }
    }

    /// A text with the usage line and the help line below it, and exit code 125.
    func shown(_ text: String) -> CLIError {
        var failure = CLIError("\(text)\n\nUsage:  docker \(usage)", exitCode: 125)
        failure.helpFor = name
        return failure
    }

    /// The error for a wrong number of arguments.
    func wrongCount() -> CLIError {
        var failure = shown("docker: '\(name)' \(expectation)")
        failure.exitCode = 1
        failure.helpWord = expectation.hasPrefix("requires at least") && !expectation.contains(" and ") ? "See" : "Run"
        return failure
    }

    /// How many arguments the usage line asks for.
    private var expectation: String {
        let line = usage.split(separator: "\n").first ?? ""
        let words = line.split(separator: " ").drop { $0.allSatisfy(\.isLowercase) }.filter { $0 != "[OPTIONS]" }
        let required = words.prefix { !$0.hasPrefix("[") }.count
        let optional = words.count - required
        func arguments(_ count: Int) -> String { count == 1 ? "1 argument" : "\(count) arguments" }
        if line.contains("...") || line.hasSuffix("[ps OPTIONS]") { return "requires at least \(arguments(required))" }
        if optional == 0 { return required == 0 ? "accepts no arguments" : "requires \(arguments(required))" }
        return required == 0
            ? "requires at most \(arguments(optional))"
            : "requires at least \(required) and at most \(arguments(required + optional))"
    }
}
