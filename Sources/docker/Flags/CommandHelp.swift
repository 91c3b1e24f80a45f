/// A command's help, and its errors with the usage line below.
struct CommandHelp {
    /// The command's usage line without `docker `.
    let usage: String

    /// The command's words: `volume ls`.
    private var verb: String {
        usage.split(separator: " ").prefix { $0.allSatisfy(\.isLowercase) }.joined(separator: " ")
    }

    // MARK: Help

    /// As pflag lays it out: names, kind of value, text, in order of the long names.
    ///
    /// - Parameters:
    ///   - about: what the command does.
    ///   - names: everything that it can be called by.
    func text(_ flags: FlagSet, about: String = "", names: [String] = []) -> String {
        let shown = flags.flags.filter { $0.help != nil && $0.long != nil }
            .sorted { ($0.long ?? "") < ($1.long ?? "") }
        let rows = shown.map { flag -> (String, String) in
            let names = flag.short == nil ? "      \(flag.long ?? "")" : "  \(flag.spelling(separator: ", "))"
            return (flag.kind.isEmpty ? names : "\(names) \(flag.kind)", flag.help?.description ?? "")
        }
        let width = (rows.map(\.0.count).max() ?? 0) + 3
        var text = "Usage:  docker \(usage)"
        if !about.isEmpty { text += "\n\n\(about)" }
        if names.count > 1 { text += "\n\nAliases:\n  " + names.joined(separator: ", ") }
        if !rows.isEmpty { text += "\n\nOptions:" }
        for (left, right) in rows {
            text +=
                "\n" + left + String(repeating: " ", count: width - left.count)
                + Help.wrapped(right, indent: width)
        }
        return text
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
        failure.helpFor = "docker \(verb)"
        return failure
    }

    /// The error for a wrong number of arguments.
    func wrongCount() -> CLIError {
        var failure = shown("docker: 'docker \(verb)' \(expectation)")
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
