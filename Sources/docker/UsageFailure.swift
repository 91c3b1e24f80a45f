/// Turns the argument parser's messages into Docker's words.
struct UsageFailure {
    /// The command's usage line without `docker `.
    let usage: String

    /// The command's words: `volume ls`.
    private var verb: String {
        usage.split(separator: " ").prefix { $0.allSatisfy(\.isLowercase) }.joined(separator: " ")
    }

    /// The error for one message of the parser.
    func error(_ message: String) -> CLIError {
        if message.hasPrefix("Unknown option '"), let option = Self.quoted(message.dropFirst(16)) {
            let name = option.cut("=").0
            return shown(
                name.hasPrefix("--")
                    ? "unknown flag: \(name)" : "unknown shorthand flag: '\(name.dropFirst().prefix(1))' in \(name)")
        }
        if message.hasPrefix("Missing expected argument") || message.contains("nexpected argument") {
            return tooFew()
        }
        if message.hasPrefix("The value '"), let value = Self.quoted(message.dropFirst(11)),
            let flag = message.split(separator: "'").dropFirst(2).first(where: { $0.hasPrefix("-") })
        {
            let name = flag.split(separator: " ").first ?? flag
            return shown(
                "invalid argument \"\(value)\" for \"\(name)\" flag: strconv.ParseInt: parsing \"\(value)\": invalid syntax"
            )
        }
        return shown(message)
    }

    /// A text with the usage line and the help line below it, and exit code 125.
    func shown(_ text: String) -> CLIError {
        var failure = CLIError("\(text)\n\nUsage:  docker \(usage)", exitCode: 125)
        failure.helpFor = "docker \(verb)"
        return failure
    }

    /// The error for a wrong number of arguments.
    func tooFew() -> CLIError {
        var failure = shown("docker: 'docker \(verb)' \(expectation)")
        failure.exitCode = 1
        failure.helpWord = expectation.hasPrefix("requires at least") && !expectation.contains(" and ") ? "See" : "Run"
        return failure
    }

    private static func quoted(_ text: Substring) -> String? { text.firstIndex(of: "'").map { String(text[..<$0]) } }

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
