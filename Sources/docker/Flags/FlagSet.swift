/// The flags and positional arguments of one command, and the grammar of Docker's command line (Go's pflag).
///
/// A flag always takes the next word as its value, even one that begins with a dash; `-eA=b`, `-p8080:80`, `-it` and
/// `--rm=false` work, and for some commands flags end at the first positional argument.
///
/// A command declares its flags as properties (``Option``, ``Flag``, ``Argument``). Each adds itself to ``current`` while
/// the command's value is made, so nothing is reflected upon: a client lives for milliseconds, and finding ninety flags by
/// reflection would take as long as a container's start.
final class FlagSet {
    private(set) var flags: [FlagSlot] = []
    private(set) var arguments: [ArgumentSlot] = []

    /// Where properties add themselves.
    nonisolated(unsafe) static var current: FlagSet?  // one command line is parsed, on one thread, before all else

    /// What a command line asked for.
    enum Outcome {
        case run, help
        /// `-h`, which is `--help` where no flag is called so.
        case shortHelp
    }

    static func add(_ slot: FlagSlot) { current?.flags.append(slot) }
    static func add(_ slot: ArgumentSlot) { current?.arguments.append(slot) }

    /// Makes a value whose properties are flags, and collects them.
    static func collect<Value>(_ make: () -> Value) -> (value: Value, flags: FlagSet) {
        let set = FlagSet()
        current = set
        defer { current = nil }
        return (make(), set)
    }

    /// Gives every word to its flag or argument.
    ///
    /// - Parameter stopsAtPositional: the words behind the first positional one belong to it.
    /// - Throws: `CLIError` with pflag's words, without the usage.
    func parse(_ words: [String], stopsAtPositional: Bool) throws(FlagError) -> Outcome {
        var positional: [String] = []
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--" {
                positional += rest
                break
            }
            if !word.hasPrefix("-") || word == "-" {
                positional.append(word)
                guard stopsAtPositional else { continue }
                positional += rest
                break
            }
            let outcome = word.hasPrefix("--") ? try long(word, &rest) : try short(word, &rest)
            if outcome != .run { return outcome }
        }
        try distribute(positional)
        return .run
    }

    /// How many words of an unfinished command line are positional.
    func positionalCount(_ words: [String], stopsAtPositional: Bool) -> Int {
        var count = 0
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--" { return count + rest.count }
            guard word.hasPrefix("-"), word != "-" else {
                count += 1
                if stopsAtPositional { return count + rest.count }
                continue
            }
            // What cannot be read is passed over.
            _ = try? word.hasPrefix("--") ? long(word, &rest) : short(word, &rest)
        }
        return count
    }

    private func long(_ word: String, _ rest: inout ArraySlice<String>) throws(FlagError) -> Outcome {
        let (name, value) = word.cut("=")
        guard let flag = flags.first(where: { $0.isNamed(name) }) else {
            if name == "--help" { return .help }
            throw FlagError("unknown flag: \(name)")
        }
        guard let text = value ?? (flag.isSwitch ? "true" : rest.popFirst()) else {
            throw FlagError("flag needs an argument: \(name)")
        }
        try give(text, to: flag)
        return .run
    }

    private func short(_ word: String, _ rest: inout ArraySlice<String>) throws(FlagError) -> Outcome {
        if let long = heritage(word) { return try self.long(long, &rest) }
        var letters = word.dropFirst()
        while let letter = letters.popFirst() {
            guard let flag = flags.first(where: { $0.isNamed("-\(letter)") }) else {
                if letter == "h" { return .shortHelp }
                throw FlagError("unknown shorthand flag: '\(letter)' in -\(letter)\(letters)")
            }
            if flag.isSwitch, letters.first != "=" {
                try give("true", to: flag)
                continue
            }
            if letters.first == "=" { letters = letters.dropFirst() }
            guard let text = letters.isEmpty && !flag.isSwitch ? rest.popFirst() : String(letters) else {
                throw FlagError("flag needs an argument: '\(letter)' in -\(letter)")
            }
            try give(text, to: flag)
            return .run
        }
        return .run
    }

    /// The spelling of today of a long flag behind a single dash, as the first versions of Docker had them: those that a
    /// flag declares (`-volumes-from`), and words that are nothing else.
    private func heritage(_ word: String) -> String? {
        let (name, value) = word.cut("=")
        guard name.utf8.count > 2 else { return nil }
        if let flag = flags.first(where: { $0.isNamed(name) }), let long = flag.long {
            return long + (value.map { "=\($0)" } ?? "")
        }
        return !areLetters(word) && flags.contains { $0.isNamed("-\(name)") } ? "-" + word : nil
    }

    /// Whether a word is short flags, the last of them perhaps with its value.
    private func areLetters(_ word: String) -> Bool {
        for letter in word.dropFirst() {
            guard let flag = flags.first(where: { $0.isNamed("-\(letter)") }) else { return letter == "h" }
            if !flag.isSwitch { return true }
        }
        return true
    }

    private func give(_ text: String, to flag: FlagSlot) throws(FlagError) {
        if let reason = flag.take(text) { throw invalid(text, flag, reason) }
    }

    private func invalid(_ text: String, _ flag: FlagSlot, _ reason: String) -> FlagError {
        FlagError("invalid argument \(text.goQuoted) for \"\(flag.spelling(separator: ", "))\" flag: \(reason)")
    }

    /// One word for each argument; the last takes all that are left when it is a list.
    private func distribute(_ words: [String]) throws(FlagError) {
        var rest = words[...]
        for argument in arguments {
            if argument.isRequired, rest.isEmpty { throw .wrongCount }
            repeat {
                guard let word = rest.popFirst() else { break }
                argument.take(word)
            } while argument.isRepeated
        }
        if !rest.isEmpty { throw .wrongCount }
    }
}

/// What is wrong with a command line.
enum FlagError: Error {
    /// A flag, in pflag's words.
    case flag(String)
    /// Too few or too many positional arguments.
    case wrongCount

    init(_ message: String) { self = .flag(message) }
}

/// A flag that is being parsed: its names, its help, and where its value goes.
class FlagSlot {
    /// `-a --attach`: short names with one dash, long ones with two; the first of a kind is the one that help shows.
    private let names: StaticString
    /// nil for flags that help does not show.
    let help: StaticString?

    init(_ names: StaticString, _ help: StaticString?) {
        self.names = names
        self.help = help
        FlagSet.add(self)
    }

    /// What help calls the value; empty for switches.
    var kind: String { "" }
    /// Whether it may stand without a value.
    var isSwitch: Bool { false }

    /// Takes one occurrence's text.
    ///
    /// - Returns: why it cannot be taken, in the words of Go's strconv; nil when it was.
    func take(_ text: String) -> String? { nil }

    private var allNames: [Substring] { names.description.split(separator: " ") }
    var short: Substring? { allNames.first { $0.utf8.count == 2 } }
    var long: Substring? { allNames.first { $0.hasPrefix("--") } }

    /// Compares bytes without making strings: every flag of a command is asked about every word.
    func isNamed(_ name: String) -> Bool {
        var name = name
        return name.withUTF8 { wanted in
            names.withUTF8Buffer { all in
                all.split(separator: 0x20).contains { $0.elementsEqual(wanted) }
            }
        }
    }

    /// The first names of each kind: `-a, --attach`.
    func spelling(separator: String) -> String { [short, long].compactMap { $0 }.joined(separator: separator) }
}

/// A flag without a value.
final class SwitchSlot: FlagSlot {
    var value: Bool

    init(_ names: StaticString, _ help: StaticString?, _ value: Bool) {
        self.value = value
        super.init(names, help)
    }

    override var isSwitch: Bool { true }
    override func take(_ text: String) -> String? {
        guard let value = Bool(goText: text) else {
            return "strconv.ParseBool: parsing \(text.goQuoted): invalid syntax"
        }
        self.value = value
        return nil
    }
}

/// A flag with a value.
final class ValueSlot<Value: FlagValue>: FlagSlot {
    var value: Value
    private let givenKind: StaticString?

    init(_ names: StaticString, _ help: StaticString?, _ value: Value, _ kind: StaticString? = nil) {
        self.value = value
        givenKind = kind
        super.init(names, help)
    }

    override var kind: String { givenKind?.description ?? Value.kind }
    override var isSwitch: Bool { Value.isSwitch }
    override func take(_ text: String) -> String? { value.take(text) }
}

/// A positional argument.
class ArgumentSlot {
    let isRequired: Bool
    let isRepeated: Bool

    init(isRequired: Bool, isRepeated: Bool) {
        self.isRequired = isRequired
        self.isRepeated = isRepeated
        FlagSet.add(self)
    }

    func take(_ text: String) {}
}

/// A positional argument's value.
final class WordSlot<Value: FlagValue>: ArgumentSlot {
    var value: Value

    init(_ value: Value, isRequired: Bool) {
        self.value = value
        super.init(isRequired: isRequired, isRepeated: Value.isRepeated)
    }

    override func take(_ text: String) { _ = value.take(text) }
}
