/// Rewrites a command line from the grammar of Docker's flags (Go's pflag) to the parser's.
///
/// Docker's flags always take the next word as their value, even one that begins with a dash, allow `-eA=b`, `-p8080:80`
/// and `--rm=false`, and for some commands end at the first positional argument. Switches that are on unless said otherwise
/// (marked `+` in the list) become `--no-NAME` when they are turned off.
struct ArgumentNormalizer {
    private let switches: Set<Substring>
    private let onByDefault: Set<Substring>
    private let stopsAtPositional: Bool

    init(switches: String, stopsAtPositional: Bool) {
        let names = switches.split(separator: " ")
        self.switches = Set(names.map { $0.drop { $0 == "+" } } + ["help"])
        onByDefault = Set(names.filter { $0.hasPrefix("+") }.map { $0.dropFirst() })
        self.stopsAtPositional = stopsAtPositional
    }

    /// Options first, each in one word with its value, then `--` and the positional arguments.
    func normalize(_ words: [String]) throws(CLIError) -> [String] {
        var options: [String] = []
        var positional: [String] = []
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--" {
                positional += rest
                break
            }
            if !word.hasPrefix("-") || word == "-" {
                positional.append(word)
                if stopsAtPositional {
                    positional += rest
                    break
                }
            } else if word.hasPrefix("--") {
                try long(word, &rest, &options)
            } else {
                try short(word, &rest, &options)
            }
        }
        return options + ["--"] + positional
    }

    private func long(_ word: String, _ rest: inout ArraySlice<String>, _ options: inout [String]) throws(CLIError) {
        let (name, value) = word.cut("=")
        guard !switches.contains(name.dropFirst(2)) else {
            try appendSwitch(name, value, &options)
            return
        }
        guard let text = value ?? rest.popFirst() else {
            var error = CLIError("flag needs an argument: \(name)", exitCode: 125)
            error.flag = name
            throw error
        }
        append(name, text, &options)
    }

    /// The parser takes `--name=` for a missing value, so an empty one stands in a word of its own.
    private func append(_ name: String, _ text: String, _ options: inout [String]) {
        options += text.isEmpty ? [name, ""] : ["\(name)=\(text)"]
    }

    private func short(_ word: String, _ rest: inout ArraySlice<String>, _ options: inout [String]) throws(CLIError) {
        var letters = word.dropFirst()
        while let letter = letters.popFirst() {
            if switches.contains(Substring(String(letter))) {
                if letters.first == "=" {
                    try appendSwitch("-\(letter)", String(letters.dropFirst()), &options)
                    return
                }
                try appendSwitch("-\(letter)", nil, &options)
                continue
            }
            let isJoined = letters.first == "="
            if isJoined { letters = letters.dropFirst() }
            guard let text = letters.isEmpty && !isJoined ? rest.popFirst() : String(letters) else {
                var error = CLIError("flag needs an argument: '\(letter)' in \(word)", exitCode: 125)
                error.flag = "-\(letter)"
                throw error
            }
            append("-\(letter)", text, &options)
            return
        }
    }

    private func appendSwitch(_ name: String, _ value: String?, _ options: inout [String]) throws(CLIError) {
        let on = try isOn(name, value)
        let bare = name.drop { $0 == "-" }
        if onByDefault.contains(bare) {
            if !on { options.append("--no-\(bare)") }
        } else if on {
            options.append(name)
        }
    }

    private func isOn(_ name: String, _ value: String?) throws(CLIError) -> Bool {
        switch value {
        case nil, "1", "t", "T", "true", "TRUE", "True": return true
        case "0", "f", "F", "false", "FALSE", "False": return false
        case let other?:
            let reason = "strconv.ParseBool: parsing \"\(other)\": invalid syntax"
            throw CLIError("invalid argument \"\(other)\" for \"\(name)\" flag: \(reason)", exitCode: 125)
        }
    }
}
