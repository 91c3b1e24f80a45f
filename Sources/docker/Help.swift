/// What this program is.
enum Version {
    static let client = "28.2.2"
    static let build = "swift"
}

/// The texts of `docker help` and of the groups' help.
enum Help {
    static func text(_ program: Docker.Program) -> String {
        let groups = Commands.groups.map { ($0.name, $0.about) }
        let options = CommandHelp.rows(program.flags) { program.options.filled($0) }
        return """
            Usage:  docker [OPTIONS] COMMAND

            A self-sufficient runtime for containers

            Common Commands:
            \(rows(Commands.common.map { ($0.name, $0.about) }))

            Management Commands:
            \(rows(groups))

            Commands:
            \(rows(Commands.others.filter { !$0.isHidden }.map { ($0.name, $0.about) }))

            Extensions:
            \(rows([registry]))

            Global Options:
            \(options)

            Run 'docker COMMAND --help' for more information on a command.

            For more help on how to use Docker, head to https://docs.docker.com/go/guides/
            """
    }

    /// A program of its own, with commands that Docker has not.
    static let registry = ("registry", "Run a registry, and look after one that runs")

    /// What is said of `-h` before the help it asks for.
    static let shortFlagNote = "Flag shorthand -h has been deprecated, use --help"

    static func text(of group: CommandGroup) -> String {
        let extensions = rows(group.entries.filter(\.isExtension).map { ($0.name, $0.about) })
        return """
            Usage:  docker \(group.name) COMMAND

            \(group.about)

            Commands:
            \(rows(group.entries.filter { !$0.isHidden }.map { ($0.name, $0.about) }))
            \(extensions.isEmpty ? "" : "\nExtensions:\n\(extensions)\n")
            Run 'docker \(group.name) COMMAND --help' for more information on a command.
            """
    }

    private static func rows(_ rows: [(String, String)]) -> String {
        rows.map { name, about in
            "  \(name)\(String(repeating: " ", count: max(1, 12 - name.utf8.count)))\(about)"
        }.joined(separator: "\n")
    }

    // MARK: Lines

    /// One less than the columns of the terminal, or of one that is not known.
    private static let width = (Terminal.size(0)?.columns ?? 80) - 1
    /// How many columns a line may be longer for the sake of the words that are left.
    private static let slack = 5

    /// A flag's text in lines for the space behind its name, broken between words.
    ///
    /// - Parameter indent: of all lines but the first.
    static func wrapped(_ text: String, indent: Int) -> String {
        var lines: [Substring] = []
        var rest = text[...]
        let limit = width - indent - slack
        while rest.count >= limit + slack,
            let space = rest.prefix(limit).lastIndex(where: { $0 == " " || $0 == "\n" }), space > rest.startIndex
        {
            let end = rest.prefix(limit).lastIndex(of: "\n").flatMap { $0 > rest.startIndex ? $0 : nil } ?? space
            lines.append(rest[..<end])
            rest = rest[rest.index(after: end)...]
        }
        lines.append(rest)
        return lines.joined(separator: "\n").split(separator: "\n", omittingEmptySubsequences: false)
            .joined(separator: "\n" + String(repeating: " ", count: indent))
    }

    // MARK: Texts of several commands

    static let listFormat: StaticString = """
        Format output using a custom template:
        'table':            Print output in table format with column headers (default)
        'table TEMPLATE':   Print output in table format using the given Go template
        'json':             Print in JSON format
        'TEMPLATE':         Print output using the given Go template.
        Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates
        """
    static let format: StaticString = """
        Format output using a custom template:
        'json':             Print in JSON format
        'TEMPLATE':         Print output using the given Go template.
        Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates
        """
}
