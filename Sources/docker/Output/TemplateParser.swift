/// A Go template: what Docker's `--format` is written in.
struct Template {
    indirect enum Node {
        case text(String)
        case action(Pipeline)
        case branch(Branch)
        /// Another template by its name.
        case call(name: String, argument: Pipeline?, Place)
        case leave
        case next
    }

    struct Branch {
        enum Kind: String {
            case `if`, range, with
        }

        let kind: Kind
        let pipeline: Pipeline
        let then: [Node]
        let otherwise: [Node]
        let place: Place
    }

    /// Commands, each of which gets the value of the one before as its last argument.
    struct Pipeline {
        var variables: [String] = []
        var isAssignment = false
        var commands: [[Operand]] = []
        var places: [Int] = []
        let position: Int

        var shown: String {
            let left = variables.isEmpty ? "" : variables.joined(separator: ", ") + (isAssignment ? " = " : " := ")
            return left + commands.map(Pipeline.shown).joined(separator: " | ")
        }

        static func shown(_ command: [Operand]) -> String { command.map(\.shown).joined(separator: " ") }
    }

    /// A place of the template, and what Go says stands there.
    struct Place {
        enum Source {
            case text(String)
            case operand(Operand)
            case command([Operand])
            case pipeline(Pipeline)
        }

        let position: Int
        let source: Source

        /// Put together only where an error tells it.
        var shown: String {
            switch source {
            case .text(let text): text
            case .operand(let operand): operand.shown
            case .command(let operands): Pipeline.shown(operands)
            case .pipeline(let pipeline): pipeline.shown
            }
        }
    }

    indirect enum Operand {
        case dot(Int)
        case null(Int)
        case bool(Bool, Int)
        case number(JSON, String, Int)
        case string(String, quoted: String, Int)
        case function(String, Int)
        case field([String], Int)
        case variable([String], Int)
        case chain(Operand, [String], Int)
        case nested(Pipeline)

        var place: Place { Place(position: position, source: .operand(self)) }

        private var position: Int {
            switch self {
            case .dot(let position), .null(let position), .bool(_, let position), .number(_, _, let position),
                .string(_, _, let position), .function(_, let position), .field(_, let position),
                .variable(_, let position), .chain(_, _, let position):
                position
            case .nested(let pipeline): pipeline.position
            }
        }

        var shown: String {
            switch self {
            case .dot: "."
            case .null: "nil"
            case .bool(let flag, _): flag ? "true" : "false"
            case .number(_, let text, _): text
            case .string(_, let quoted, _): quoted
            case .function(let name, _): name
            case .field(let names, _): names.map { "." + $0 }.joined()
            case .variable(let names, _): names.joined(separator: ".")
            case .chain(.nested(let pipeline), let names, _):
                "(\(pipeline.shown))" + names.map { "." + $0 }.joined()
            case .chain(let first, let names, _): first.shown + names.map { "." + $0 }.joined()
            case .nested(let pipeline): "(\(pipeline.shown))"
            }
        }

        /// Whether it cannot take what a pipeline hands on.
        var isConstant: Bool {
            switch self {
            case .bool, .dot, .null, .number, .string: true
            default: false
            }
        }
    }

    /// What errors call it.
    let name: String
    let text: String
    let nodes: [Node]
    /// By name.
    let definitions: [String: [Node]]

    /// - Throws: what Go says of a text that is no template, and Docker's exit code for it.
    init(_ text: String, name: String = "") throws(CLIError) {
        var parser = TemplateParser(text, name: name)
        (self.text, self.name) = (text, name)
        nodes = try parser.parse()
        definitions = parser.definitions
    }

    private init(_ whole: Template, nodes: [Node]) {
        (name, text, definitions) = (whole.name, whole.text, whole.definitions)
        self.nodes = nodes
    }

    /// The template cut at the tabs that stand outside of actions; whole when it has variables, which reach over tabs.
    var columns: [Template] {
        var columns: [[Node]] = [[]]
        for node in nodes {
            if case .action(let pipeline) = node, !pipeline.variables.isEmpty { return [self] }
            guard case .text(let text) = node else {
                columns[columns.count - 1].append(node)
                continue
            }
            for (index, part) in text.split(separator: "\t", omittingEmptySubsequences: false).enumerated() {
                if index > 0 { columns.append([]) }
                if !part.isEmpty { columns[columns.count - 1].append(.text(String(part))) }
            }
        }
        return columns.map { Template(self, nodes: $0) }
    }

    /// The only members of a value that its text can depend on; nil when that takes more than a look at the template.
    var membersRead: Set<String>? {
        var read: Set<String> = []
        for node in nodes {
            switch node {
            case .text: continue
            case .action(let pipeline) where pipeline.variables.isEmpty:
                for operand in pipeline.commands.joined() {
                    switch operand {
                    case .null, .bool, .number, .string, .function: continue
                    case .field(let names, _): read.insert(names[0])
                    case .dot, .variable, .chain, .nested: return nil
                    }
                }
            default: return nil
            }
        }
        return read
    }

    /// The text for one value.
    ///
    /// - Parameters:
    ///   - missingKeysFail: a key that a map has not is an error.
    ///   - functionsPassOn: those that change a text leave it as it is, as in the head of a table.
    func render(
        _ value: GoValue, methods: TemplateEvaluator.Methods = [:], missingKeysFail: Bool = false,
        functionsPassOn: Bool = false
    ) throws(CLIError) -> String {
        var evaluator = TemplateEvaluator(
            self, methods: methods, missingKeysFail: missingKeysFail, functionsPassOn: functionsPassOn)
        return try evaluator.render(value)
    }

    /// Prints the text for one value, as a line, and what there is of it where it fails midway.
    ///
    /// - Parameter reason: why the value is not whole: an error that is told in place of the template's.
    func show(_ value: GoValue, or reason: CLIError?) throws(CLIError) {
        var evaluator = TemplateEvaluator(self)
        defer { print(evaluator.out) }
        do throws(CLIError) { _ = try evaluator.render(value) } catch { throw reason ?? error }
    }

    /// The last names of the fields used, in order: columns of a `table` format.
    var fieldNames: [String] {
        nodes.flatMap { node -> [String] in
            guard case .action(let pipeline) = node else { return [] }
            return pipeline.commands.joined().compactMap {
                if case .field(let names, _) = $0 { names.last } else { nil }
            }
        }
    }
}

/// Reads template text as Go's text/template does, with its words for what is wrong.
struct TemplateParser {
    /// More than anybody writes; what is nested deeper could exhaust the stack.
    private static let depthMax = 200

    private enum Ending {
        case end
        case otherwise

        var shown: String { self == .end ? "{{end}}" : "{{else}}" }
    }

    private let tokens: [TemplateLexer.Token]
    private var position = 0
    private var variables = ["$"]
    private var rangeDepth = 0
    private var depth = 0
    private(set) var definitions: [String: [Template.Node]] = [:]

    private let name: String

    init(_ text: String, name: String) {
        tokens = TemplateLexer.tokens(of: text)
        self.name = name
    }

    // MARK: Tokens

    private var peek: TemplateLexer.Token { tokens[min(position, tokens.count - 1)] }

    private mutating func next() -> TemplateLexer.Token {
        defer { position += 1 }
        return peek
    }

    private mutating func skipSpace() { while peek.kind == .space { position += 1 } }

    private mutating func nextWord() -> TemplateLexer.Token {
        skipSpace()
        return next()
    }

    private func isKeyword(_ token: TemplateLexer.Token, _ word: String) -> Bool {
        token.kind == .keyword && token.text == word
    }

    private func malformed(_ message: String) -> CLIError {
        let token = tokens[max(0, min(position, tokens.count) - 1)]
        return CLIError("template parsing error: template: \(name):\(token.line): \(message)", exitCode: 64)
    }

    private func unexpected(_ token: TemplateLexer.Token, _ context: String) -> CLIError {
        malformed(token.kind == .error ? token.text : "unexpected \(token.shown) in \(context)")
    }

    private mutating func expectClose(_ context: String) throws(CLIError) {
        let token = nextWord()
        guard token.kind == .rightDelimiter else { throw unexpected(token, context) }
    }

    private mutating func enter() throws(CLIError) {
        depth += 1
        guard depth <= Self.depthMax else { throw malformed("nested too deeply") }
    }

    // MARK: Nodes

    mutating func parse() throws(CLIError) -> [Template.Node] {
        var nodes: [Template.Node] = []
        while peek.kind != .end {
            if peek.kind == .leftDelimiter {
                let before = position
                position += 1
                if isKeyword(nextWord(), "define") {
                    try define(context: "define clause")
                    continue
                }
                position = before
            }
            let (node, ending) = try item()
            if let ending { throw malformed("unexpected \(ending.shown)") }
            if let node { nodes.append(node) }
        }
        return nodes
    }

    private mutating func define(context: String) throws(CLIError) {
        let name = try quotedName(context)
        try expectClose(context)
        let (nodes, ending) = try list()
        guard ending == .end else { throw malformed("unexpected \(ending.shown) in \(context)") }
        definitions[name] = nodes
    }

    private mutating func quotedName(_ context: String) throws(CLIError) -> String {
        let token = nextWord()
        guard token.kind == .string || token.kind == .rawString else { throw unexpected(token, context) }
        return try unquoted(token)
    }

    private mutating func list() throws(CLIError) -> ([Template.Node], Ending) {
        try enter()
        defer { depth -= 1 }
        var nodes: [Template.Node] = []
        while true {
            skipSpace()
            guard peek.kind != .end else { break }
            let (node, ending) = try item()
            if let ending { return (nodes, ending) }
            if let node { nodes.append(node) }
        }
        position += 1
        throw malformed("unexpected EOF")
    }

    private mutating func item() throws(CLIError) -> (Template.Node?, Ending?) {
        let token = nextWord()
        switch token.kind {
        case .text: return (.text(token.text), nil)
        case .leftDelimiter: return try action()
        default: throw unexpected(token, "input")
        }
    }

    private mutating func action() throws(CLIError) -> (Template.Node?, Ending?) {
        let token = nextWord()
        if token.kind == .keyword {
            switch token.text {
            case "block": return (try block(token), nil)
            case "break", "continue":
                try expectClose("{{\(token.text)}}")
                guard rangeDepth > 0 else { throw malformed("{{\(token.text)}} outside {{range}}") }
                return (token.text == "break" ? .leave : .next, nil)
            case "else":
                skipSpace()
                if !isKeyword(peek, "if"), !isKeyword(peek, "with") { try expectClose("else") }
                return (nil, .otherwise)
            case "end":
                try expectClose("end")
                return (nil, .end)
            case "if", "range", "with": return (try branch(token), nil)
            case "template": return (try call(), nil)
            default: break
            }
        }
        position -= 1
        return (.action(try pipeline("command", .rightDelimiter)), nil)
    }

    private mutating func branch(_ token: TemplateLexer.Token) throws(CLIError) -> Template.Node {
        try enter()
        let known = variables.count
        defer {
            variables.removeSubrange(known...)
            depth -= 1
        }
        guard let kind = Template.Branch.Kind(rawValue: token.text) else { throw unexpected(token, "command") }
        let pipeline = try pipeline(token.text, .rightDelimiter)
        if kind == .range { rangeDepth += 1 }
        let (then, ending) = try list()
        if kind == .range { rangeDepth -= 1 }
        var otherwise: [Template.Node] = []
        if ending == .otherwise {
            if kind != .range, isKeyword(peek, token.text) {
                otherwise = [try branch(next())]
            } else {
                let last: Ending
                (otherwise, last) = try list()
                guard last == .end else { throw malformed("expected end; found \(last.shown)") }
            }
        }
        return .branch(
            .init(
                kind: kind, pipeline: pipeline, then: then, otherwise: otherwise,
                place: .init(position: token.position, source: .text("{{\(token.text) \(pipeline.shown)}}"))))
    }

    private mutating func call() throws(CLIError) -> Template.Node {
        let context = "template clause"
        skipSpace()
        let position = peek.position
        let name = try quotedName(context)
        skipSpace()
        var argument: Template.Pipeline?
        if peek.kind == .rightDelimiter {
            self.position += 1
        } else {
            argument = try pipeline(context, .rightDelimiter)
        }
        let shown = "{{template \(name.goQuoted)" + (argument.map { " " + $0.shown } ?? "") + "}}"
        return .call(name: name, argument: argument, .init(position: position, source: .text(shown)))
    }

    private mutating func block(_ token: TemplateLexer.Token) throws(CLIError) -> Template.Node {
        let context = "block clause"
        let name = try quotedName(context)
        let argument = try pipeline(context, .rightDelimiter)
        let (nodes, ending) = try list()
        guard ending == .end else { throw malformed("unexpected \(ending.shown) in \(context)") }
        definitions[name] = nodes
        return .call(
            name: name, argument: argument,
            .init(position: token.position, source: .text("{{template \(name.goQuoted)}}")))
    }

    // MARK: Pipelines

    private mutating func pipeline(_ context: String, _ end: TemplateLexer.Kind) throws(CLIError) -> Template.Pipeline {
        try enter()
        defer { depth -= 1 }
        skipSpace()
        var pipeline = Template.Pipeline(position: peek.position)
        try declarations(&pipeline, context)
        while true {
            let token = nextWord()
            switch token.kind {
            case end:
                guard !pipeline.commands.isEmpty else { throw malformed("missing value for \(context)") }
                for (index, command) in pipeline.commands.enumerated().dropFirst() where command[0].isConstant {
                    throw malformed("non executable command in pipeline stage \(index + 1)")
                }
                return pipeline
            case .bool, .characterConstant, .field, .identifier, .number, .rawString, .string, .variable,
                .leftParenthesis,
                .keyword where token.kind != .keyword || [".", "nil"].contains(token.text):
                position -= 1
                pipeline.places.append(peek.position)
                pipeline.commands.append(try command())
            default: throw unexpected(token, context)
            }
        }
    }

    private mutating func declarations(_ pipeline: inout Template.Pipeline, _ context: String) throws(CLIError) {
        while true {
            skipSpace()
            guard peek.kind == .variable else { return }
            let before = position
            let name = next().text
            skipSpace()
            switch peek.kind {
            case .assign, .declare:
                pipeline.isAssignment = next().kind == .assign
                pipeline.variables.append(name)
                variables.append(name)
                return
            case .character where peek.text == ",":
                position += 1
                pipeline.variables.append(name)
                variables.append(name)
                skipSpace()
                guard context == "range", pipeline.variables.count < 2 else {
                    throw malformed("too many declarations in \(context)")
                }
                guard [.variable, .rightDelimiter, .rightParenthesis].contains(peek.kind) else {
                    throw malformed("range can only initialize variables")
                }
            default:
                position = before
                return
            }
        }
    }

    private mutating func command() throws(CLIError) -> [Template.Operand] {
        var operands: [Template.Operand] = []
        while true {
            skipSpace()
            if let operand = try operand() { operands.append(operand) }
            let token = next()
            switch token.kind {
            case .space: continue
            case .rightDelimiter, .rightParenthesis: position -= 1
            case .pipe: break
            default: throw unexpected(token, "operand")
            }
            guard !operands.isEmpty else { throw malformed("empty command") }
            return operands
        }
    }

    private mutating func operand() throws(CLIError) -> Template.Operand? {
        guard let term = try term() else { return nil }
        guard peek.kind == .field else { return term }
        let position = peek.position
        var names: [String] = []
        while peek.kind == .field { names.append(String(next().text.dropFirst())) }
        switch term {
        case .field(let first, _): return .field(first + names, position)
        case .variable(let first, _): return .variable(first + names, position)
        case _ where term.isConstant: throw malformed("unexpected . after term \(term.shown.goQuoted)")
        default: return .chain(term, names, position)
        }
    }

    private mutating func term() throws(CLIError) -> Template.Operand? {
        let token = nextWord()
        switch token.kind {
        case .identifier:
            guard TemplateFunctions.table[token.text] != nil else {
                throw malformed("function \(token.text.goQuoted) not defined")
            }
            return .function(token.text, token.position)
        case .keyword where token.text == ".": return .dot(token.position)
        case .keyword where token.text == "nil": return .null(token.position)
        case .variable:
            guard variables.contains(token.text) else { throw malformed("undefined variable \(token.text.goQuoted)") }
            return .variable([token.text], token.position)
        case .field: return .field([String(token.text.dropFirst())], token.position)
        case .bool: return .bool(token.text == "true", token.position)
        case .characterConstant:
            guard let text = GoLiteral.unquoted(token.text), text.unicodeScalars.count == 1,
                let scalar = text.unicodeScalars.first
            else { throw malformed("malformed character constant: \(token.text)") }
            return .number(JSON(scalar.value), token.text, token.position)
        case .number:
            guard let number = GoLiteral.number(token.text) else {
                throw malformed("illegal number syntax: \(token.text.goQuoted)")
            }
            return .number(number, token.text, token.position)
        case .leftParenthesis: return .nested(try pipeline("parenthesized pipeline", .rightParenthesis))
        case .string, .rawString: return .string(try unquoted(token), quoted: token.text, token.position)
        default:
            position -= 1
            return nil
        }
    }

    private func unquoted(_ token: TemplateLexer.Token) throws(CLIError) -> String {
        guard let text = GoLiteral.unquoted(token.text) else { throw malformed("invalid syntax") }
        return text
    }
}
