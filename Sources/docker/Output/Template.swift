/// Go templates as far as Docker's `--format` is used: fields, pipelines, `if`, `range`, `with`, variables, functions.
struct Template {
    indirect enum Node {
        case text(String)
        case output([Call])
        case branch(kind: String, variable: [String], pipeline: [Call], then: [Node], otherwise: [Node])
        case assign(String, [Call])
    }

    /// One command of a pipeline: a function or operand, and its arguments.
    struct Call {
        var operands: [Operand]
        /// Where it stands, for errors.
        var place: Place
    }

    /// What Go says of where an error is.
    struct Place {
        private let text: Substring
        private let offset: Int

        /// - Parameters:
        ///   - text: of the template, which it is a part of.
        ///   - offset: of the byte of `text` that is pointed at.
        init(_ text: Substring, offset: Int = 0) {
            self.text = text
            self.offset = offset
        }

        func error(_ message: String) -> CLIError {
            let before = text.base.utf8[..<text.startIndex]
            let line = before.reduce(1) { $1 == 0x0a ? $0 + 1 : $0 }
            let column = before.reversed().prefix { $0 != 0x0a }.count + offset
            return CLIError("template: :\(line):\(column): executing \"\" at <\(text)>: \(message)")
        }
    }

    indirect enum Operand {
        case path([String], Place)
        case variable(String, [String], Place)
        case literal(JSON)
        case function(String)
        case nested([Call], [String])
    }

    let nodes: [Node]

    /// Parses the text between and inside `{{ }}`.
    init(_ text: String) throws(CLIError) {
        var parser = TemplateParser(text)
        nodes = try parser.parse()
    }

    private init(nodes: [Node]) { self.nodes = nodes }

    /// The template cut at the tabs that stand outside of actions; whole when it has variables, which reach over tabs.
    var columns: [Template] {
        var columns: [[Node]] = [[]]
        for node in nodes {
            if case .assign = node { return [self] }
            guard case .text(let text) = node else {
                columns[columns.count - 1].append(node)
                continue
            }
            for (index, part) in text.split(separator: "\t", omittingEmptySubsequences: false).enumerated() {
                if index > 0 { columns.append([]) }
                if !part.isEmpty { columns[columns.count - 1].append(.text(String(part))) }
            }
        }
        return columns.map(Template.init(nodes:))
    }

    /// The text for one value.
    ///
    /// - Parameters:
    ///   - missingKeysFail: a member that is not there is an error, except in maps whose keys users choose.
    ///   - rowType: what Go calls the value's type, for that error; nil when any member may be missing.
    func render(
        _ value: JSON, methods: TemplateEvaluator.Methods = [:], missingKeysFail: Bool = false, rowType: String? = nil
    ) throws(CLIError) -> String {
        var evaluator = TemplateEvaluator(
            root: value, methods: methods, missingKeysFail: missingKeysFail, rowType: rowType)
        return try evaluator.render(nodes, value)
    }

    /// The first-level field names used, in order: the header of a `table` format.
    var fieldNames: [String] {
        nodes.flatMap { node -> [String] in
            guard case .output(let calls) = node else { return [] }
            return calls.flatMap(\.operands).compactMap { if case .path(let names, _) = $0 { names.last } else { nil } }
        }
    }

    /// The only members of a value that its text can depend on; nil when that takes more than a look at the template.
    var membersRead: Set<String>? {
        var read: Set<String> = []
        for node in nodes {
            switch node {
            case .text: continue
            case .branch, .assign: return nil
            case .output(let calls):
                for operand in calls.flatMap(\.operands) {
                    switch operand {
                    case .literal, .function: continue
                    case .variable, .nested: return nil
                    case .path(let names, _):
                        guard let first = names.first else { return nil }
                        read.insert(first)
                    }
                }
            }
        }
        return read
    }
}

/// Reads template text.
struct TemplateParser {
    private var pieces: [(isAction: Bool, text: Substring)] = []
    private var position = 0
    private let source: String

    init(_ text: String) { source = text }

    /// The nodes of the whole text.
    mutating func parse() throws(CLIError) -> [Template.Node] {
        try split()
        let (nodes, ending) = try block()
        guard ending == nil else { throw malformed("unexpected {{\(ending ?? "")}}") }
        return nodes
    }

    private func malformed(_ text: String) -> CLIError {
        CLIError("template parsing error: template: :1: \(text)", exitCode: 64)
    }

    private mutating func split() throws(CLIError) {
        var rest = source[...]
        var trimNext = false
        while let open = Self.find("{{", in: rest) {
            var text = rest[..<open]
            if trimNext { text = text.drop(while: \.isWhitespace) }
            rest = rest[rest.index(open, offsetBy: 2)...]
            guard let close = Self.find("}}", in: rest) else { throw malformed("unclosed action") }
            var action = rest[..<close]
            rest = rest[rest.index(close, offsetBy: 2)...]
            if action.hasPrefix("- ") {
                action = action.dropFirst(2)
                while text.last?.isWhitespace == true { text.removeLast() }
            }
            trimNext = action.hasSuffix(" -")
            if trimNext { action = action.dropLast(2) }
            if !text.isEmpty { pieces.append((false, text)) }
            if !action.hasPrefix("/*") { pieces.append((true, Self.trimmed(action))) }
        }
        let tail = trimNext ? rest.drop(while: \.isWhitespace) : rest
        if !tail.isEmpty { pieces.append((false, tail)) }
    }

    /// Without white space at both ends, and still a part of the template.
    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }

    private static func find(_ mark: String, in text: Substring) -> Substring.Index? {
        var index = text.startIndex
        var quote: Character?
        while index < text.endIndex {
            let character = text[index]
            if mark == "}}", let open = quote {
                if character == "\\", open == "\"" {
                    index = text.index(after: index)
                } else if character == open {
                    quote = nil
                }
            } else if mark == "}}", character == "\"" || character == "`" {
                quote = character
            } else if text[index...].hasPrefix(mark) {
                return index
            }
            guard index < text.endIndex else { return nil }
            index = text.index(after: index)
        }
        return nil
    }

    private mutating func block() throws(CLIError) -> ([Template.Node], Substring?) {
        var nodes: [Template.Node] = []
        while position < pieces.count {
            let piece = pieces[position]
            position += 1
            guard piece.isAction else {
                nodes.append(.text(String(piece.text)))
                continue
            }
            let word = String(piece.text.prefix { !$0.isWhitespace })
            switch word {
            case "end", "else": return (nodes, piece.text)
            case "if", "range", "with": nodes.append(try branch(word, piece.text.dropFirst(word.count)))
            default: nodes.append(try simple(piece.text))
            }
        }
        return (nodes, nil)
    }

    private mutating func branch(_ kind: String, _ head: Substring) throws(CLIError) -> Template.Node {
        var lexer = try TemplateLexer(head)
        let variables = lexer.takeDeclaration()
        let pipeline = try lexer.pipeline(of: kind)
        let (then, ending) = try block()
        guard let ending else { throw malformed("unexpected EOF") }
        var otherwise: [Template.Node] = []
        if ending.hasPrefix("else") {
            let rest = Self.trimmed(ending.dropFirst(4))
            if rest.hasPrefix("if ") {
                otherwise = [try branch("if", rest.dropFirst(2))]
            } else {
                let (nodes, last) = try block()
                guard last == "end" else { throw malformed("unexpected EOF") }
                otherwise = nodes
            }
        }
        return .branch(kind: kind, variable: variables, pipeline: pipeline, then: then, otherwise: otherwise)
    }

    private func simple(_ text: Substring) throws(CLIError) -> Template.Node {
        var lexer = try TemplateLexer(text)
        let variables = lexer.takeDeclaration()
        let pipeline = try lexer.pipeline()
        return variables.first.map { .assign($0, pipeline) } ?? .output(pipeline)
    }
}

/// The words of one action, and the pipelines made of them.
struct TemplateLexer {
    private var tokens: [Substring] = []
    private var position = 0

    init(_ text: Substring) throws(CLIError) {
        var rest = text
        while let character = rest.first {
            if character.isWhitespace {
                if let last = tokens.last, !Self.isSpace(last) { tokens.append(rest.prefix(1)) }
                rest = rest.dropFirst()
            } else if character == "\"" || character == "`" || character == "'" {
                var index = rest.index(after: rest.startIndex)
                while index < rest.endIndex, rest[index] != character {
                    if rest[index] == "\\", character == "\"" { index = rest.index(after: index) }
                    if index < rest.endIndex { index = rest.index(after: index) }
                }
                guard index < rest.endIndex else {
                    throw CLIError("template parsing error: template: :1: unterminated quoted string", exitCode: 64)
                }
                tokens.append(rest[...index])
                rest = rest[rest.index(after: index)...]
            } else if "()|,".contains(character) {
                tokens.append(rest.prefix(1))
                rest = rest.dropFirst()
            } else {
                let word = rest.prefix { !$0.isWhitespace && !"()|,\"`".contains($0) }
                tokens.append(word)
                rest = rest.dropFirst(word.count)
            }
        }
        if tokens.last.map(Self.isSpace) == true { tokens.removeLast() }
    }

    private static func isSpace(_ token: Substring) -> Bool { token.first?.isWhitespace == true }

    /// `$a, $b :=` at the beginning; nothing when there is none.
    mutating func takeDeclaration() -> [String] {
        guard let sign = tokens.firstIndex(where: { $0 == ":=" || $0 == "=" }) else { return [] }
        let names = tokens[..<sign].filter { $0.hasPrefix("$") }
        position = sign + 1
        return names.map(String.init)
    }

    /// Commands separated by `|`, to the end or a closing parenthesis.
    ///
    /// - Parameter owner: what the commands are for, as errors say it.
    mutating func pipeline(of owner: String = "command") throws(CLIError) -> [Template.Call] {
        var calls: [Template.Call] = []
        var operands: [Template.Operand] = []
        var words: [Substring] = []
        /// What has been collected as a command, with its text in the template.
        func command() -> Template.Call {
            let first = words.first ?? ""
            let end = words.last?.endIndex ?? first.endIndex
            return .init(operands: operands, place: .init(first.isEmpty ? first : first.base[first.startIndex..<end]))
        }
        while position < tokens.count, tokens[position] != ")" {
            let token = tokens[position]
            position += 1
            switch token {
            case _ where Self.isSpace(token): continue
            case "|":
                calls.append(command())
                operands = []
                words = []
                continue
            case "(":
                let nested = try pipeline()
                guard position < tokens.count else {
                    throw CLIError("template parsing error: template: :1: unclosed left paren", exitCode: 64)
                }
                position += 1
                var path: [String] = []
                if position < tokens.count, tokens[position].hasPrefix(".") {
                    path = tokens[position].split(separator: ".").map(String.init)
                    position += 1
                }
                operands.append(.nested(nested, path))
            default: operands.append(try operand(token))
            }
            words += [token, tokens[position - 1]]
        }
        if !operands.isEmpty { calls.append(command()) }
        guard !calls.isEmpty, !calls.contains(where: { $0.operands.isEmpty }) else {
            throw CLIError("template parsing error: template: :1: missing value for \(owner)", exitCode: 64)
        }
        return calls
    }

    private func operand(_ token: Substring) throws(CLIError) -> Template.Operand {
        let names = token.split(separator: ".").map(String.init)
        // As Go: a path is where its second name is.
        let second = names.count > 1 ? names[0].utf8.count + (token.hasPrefix(".") ? 1 : 0) : 0
        let place = Template.Place(token, offset: second)
        if token.hasPrefix(".") { return .path(names, place) }
        if token.hasPrefix("$") { return .variable(names[0], Array(names.dropFirst()), place) }
        if token.hasPrefix("\"") { return .literal(try JSONParser.parse(String(token))) }
        if token.hasPrefix("`") { return .literal(.string(String(token.dropFirst().dropLast()))) }
        switch token {
        case "true": return .literal(true)
        case "false": return .literal(false)
        case "nil": return .literal(.null)
        default: break
        }
        if Double(token) != nil { return .literal(.number(String(token))) }
        guard TemplateEvaluator.functions.contains(String(token)) else {
            throw CLIError("template parsing error: template: :1: function \"\(token)\" not defined", exitCode: 64)
        }
        return .function(String(token))
    }
}
