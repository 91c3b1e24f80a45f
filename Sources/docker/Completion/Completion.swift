/// What a word on a command line can become: the candidates that shells ask for on a tab.
///
/// `docker __complete WORDS… LAST` prints one a line, with what it is behind a tab, and a last line that says what the shell
/// does with them: the protocol that scripts of Docker's own client speak, too.
struct Completion {
    /// What a shell does with candidates.
    enum Directive: Int {
        /// Offers files when there are none.
        case files = 0
        case noFiles = 4
    }

    /// A candidate and what it is.
    typealias Candidate = (text: String, about: String)

    private(set) var candidates: [Candidate] = []
    private(set) var directive = Directive.noFiles
    private let program = Docker.Program()

    /// - Parameter words: behind the program's name; the last one is being typed and may be empty.
    init(_ words: [String]) { fill(words) }

    private mutating func fill(_ words: [String]) {
        let current = words.last ?? ""
        var rest = words.dropLast()
        if let flag = Self.flagAtEnd(program.flags, rest, stopsAtPositional: true) {
            return offer(Self.values(of: flag, program.options), current)
        }
        // What the program cannot read is no reason to offer nothing.
        _ = try? program.flags.parse(Array(rest), stopsAtPositional: true)
        rest = program.words[...]
        guard let verb = rest.popFirst() else {
            return current.hasPrefix("-")
                ? offer(Self.names(of: program.flags), current) : offer(Self.commands, current)
        }
        var table = Commands.table
        var name = verb
        var path = verb
        if let group = Commands.groups.first(where: { $0.name == verb }) {
            guard let member = rest.popFirst() else { return offer(Self.listed(group.entries), current) }
            (table, name, path) = (group.entries, member, "\(verb) \(member)")
        }
        guard let entry = table.first(where: { $0.isNamed(name, inGroup: path != verb) }) else { return }
        complete(entry, path, Array(rest), current)
    }

    /// The lines for the shell.
    func text(describes: Bool) -> String {
        candidates.map { describes && !$0.about.isEmpty ? "\($0.text)\t\($0.about)\n" : "\($0.text)\n" }.joined()
            + ":\(directive.rawValue)"
    }

    private mutating func offer(_ all: [Candidate]?, _ current: String) {
        guard let all else { return directive = .files }
        candidates = all.filter { $0.text.hasPrefix(current) }.sorted { $0.text < $1.text }
    }

    // MARK: Commands

    private static func listed(_ entries: [CommandEntry]) -> [Candidate] {
        entries.filter { !$0.isHidden }.map { ($0.name, $0.about) }
    }

    private static var commands: [Candidate] {
        listed(Commands.table) + Commands.groups.map { ($0.name, $0.about) } + [
            Help.registry, ("help", "Help about any command"),
        ]
    }

    private mutating func complete(_ entry: CommandEntry, _ path: String, _ words: [String], _ current: String) {
        let parsed = entry.parsed(words)
        if let flag = Self.flagAtEnd(parsed.flags, words[...], stopsAtPositional: parsed.stopsAtPositional) {
            return offer(Self.values(of: flag, program.options), current)
        }
        let isInner = parsed.stopsAtPositional && parsed.words > 0
        if current.hasPrefix("-"), !isInner {
            let (name, value) = current.cut("=")
            guard value != nil, let flag = parsed.flags.flags.first(where: { $0.isNamed(name) }) else {
                return offer(Self.names(of: parsed.flags), current)
            }
            let values = Self.values(of: flag, program.options)
            return offer(values.map { list in list.map { ("\(name)=\($0.text)", $0.about) } }, current)
        }
        guard let kind = Self.kind(parsed.usage, parsed.words) else { return directive = .files }
        let names = ObjectNames(program.options).list(kind, path)
        guard entry.name == "cp" else { return offer(names, current) }
        // What is copied is a path in a container, or one here.
        offer(names.map { ($0.text + ":", $0.about) }, current)
        if candidates.isEmpty { directive = .files }
    }

    /// What the word at a place is the name of; nil for files, commands and texts.
    private static func kind(_ usage: String, _ index: Int) -> ObjectNames.Kind? {
        let line = usage.split(separator: "\n").first ?? ""
        let places = line.split(separator: " ").drop { $0.allSatisfy(\.isLowercase) }.filter { $0 != "[OPTIONS]" }
        guard let last = places.last else { return nil }
        let place = index < places.count ? places[places.startIndex + index] : last.hasSuffix("...]") ? last : ""
        let names: [(String, ObjectNames.Kind)] = [
            ("TARGET", .none), ("CONTAINER", .containers), ("IMAGE", .images), ("VOLUME", .volumes),
            ("NETWORK", .networks), ("CONTEXT", .contexts), ("NAME|ID", .all), ("REPOSITORY", .images),
            ("NAME[:TAG", .images), ("bash|zsh|fish", .shells),
        ]
        return names.first { place.contains($0.0) }?.1
    }

    // MARK: Flags

    private static func names(of flags: FlagSet) -> [Candidate] {
        flags.flags.filter { $0.help != nil }.compactMap { flag in
            flag.long.map { (String($0), String(flag.help?.description.split(separator: "\n").first ?? "")) }
        }
    }

    /// The flag that the next word is the value of.
    private static func flagAtEnd(
        _ flags: FlagSet, _ words: ArraySlice<String>, stopsAtPositional: Bool
    ) -> FlagSlot? {
        var rest = words
        while let word = rest.popFirst() {
            guard word.hasPrefix("-"), word != "-" else {
                if stopsAtPositional { return nil }
                continue
            }
            if word == "--" { return nil }
            let name = word.hasPrefix("--") ? word : "-\(word.last.map(String.init) ?? "")"
            guard let flag = flags.flags.first(where: { $0.isNamed(name) }), !flag.isSwitch else { continue }
            guard !rest.isEmpty else { return flag }
            rest = rest.dropFirst()
        }
        return nil
    }

    /// The values that a flag can have; nil for files and whatever else.
    private static func values(of flag: FlagSlot, _ options: GlobalOptions) -> [Candidate]? {
        let fixed: [Substring: [String]] = [
            "--pull": ["always", "missing", "never"], "--restart": ["always", "no", "on-failure", "unless-stopped"],
            "--signal": ["HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2"],
            "--log-level": ["debug", "error", "fatal", "info", "warn"], "--format": ["json", "table"],
            "--attach": ["stderr", "stdin", "stdout"], "--cgroupns": ["host", "private"],
            "--type": ["container", "image", "network", "volume"],
            "--platform": ["linux/amd64", "linux/arm/v7", "linux/arm64"],
        ]
        let named: [Substring: ObjectNames.Kind] = [
            "--network": .networks, "--volumes-from": .containers, "--link": .containers, "--context": .contexts,
            "--from": .contexts, "--config-from": .networks,
        ]
        guard let long = flag.long else { return nil }
        if let texts = fixed[long] { return texts.map { ($0, "") } }
        return named[long].map { ObjectNames(options).list($0, "") }
    }
}

extension CommandEntry {
    /// A command's flags, and how many words it has been given.
    struct Parsed {
        let usage: String
        let flags: FlagSet
        let stopsAtPositional: Bool
        let words: Int
    }

    /// Reads an unfinished command line.
    func parsed(_ words: [String]) -> Parsed { read(command, words) }

    private func read<C: Command>(_ type: C.Type, _ words: [String]) -> Parsed {
        let flags = FlagSet.collect { C() }.flags
        return Parsed(
            usage: C.usage, flags: flags, stopsAtPositional: C.stopsAtPositional,
            words: flags.positionalCount(words, stopsAtPositional: C.stopsAtPositional))
    }
}
