/// Runs a template over a value, as Go's text/template does.
struct TemplateEvaluator {
    /// Methods of Docker's formatting contexts that take an argument, such as `.Label "key"`.
    typealias Methods = [String: @Sendable (JSON, JSON) -> JSON]

    /// How much deeper templates may call each other than anybody needs.
    private static let depthMax = 100

    private static let passedOn: Set = ["json", "lower", "title", "truncate", "upper"]

    private enum Flow {
        case on, leave, next
    }

    private let template: Template
    private let methods: Methods
    private let missingKeysFail: Bool
    private let functionsPassOn: Bool
    private var root = GoValue.missing
    private var variables: [(name: String, value: GoValue)]
    /// What has been shown by now.
    private(set) var out = ""
    private var depth = 0
    /// What was looked at last: errors name it.
    private var place = Template.Place(position: 0, source: .text(""))

    init(_ template: Template, methods: Methods = [:], missingKeysFail: Bool = false, functionsPassOn: Bool = false) {
        self.template = template
        self.methods = methods
        self.missingKeysFail = missingKeysFail
        self.functionsPassOn = functionsPassOn
        variables = [("$", root)]
    }

    /// The text of the whole template for one value; rows of a listing come one after the other.
    mutating func render(_ root: GoValue) throws(CLIError) -> String {
        self.root = root
        variables.removeSubrange(1...)
        variables[0].value = root
        out = ""
        _ = try walk(template.nodes, root)
        return out
    }

    // MARK: Errors

    func failure(_ message: String) -> CLIError {
        let before = template.text.utf8.prefix(place.position)
        let line = before.reduce(1) { $1 == 0x0a ? $0 + 1 : $0 }
        let column = before.reversed().prefix { $0 != 0x0a }.count
        return CLIError(
            "template: \(template.name):\(line):\(column): executing \(template.name.goQuoted) at <\(place.shown)>: \(message)"
        )
    }

    // MARK: Nodes

    private mutating func walk(_ nodes: [Template.Node], _ dot: GoValue) throws(CLIError) -> Flow {
        for node in nodes {
            switch node {
            case .text(let text): out += text
            case .action(let pipeline):
                let value = try evaluate(pipeline, dot)
                if pipeline.variables.isEmpty { show(value) }
            case .leave: return .leave
            case .next: return .next
            case .branch(let branch):
                let known = variables.count
                defer { variables.removeSubrange(known...) }
                let flow = try branch.kind == .range ? range(branch, dot) : choose(branch, dot)
                if flow != .on { return flow }
            case .call(let name, let argument, let place): try call(name, argument, place, dot)
            }
        }
        return .on
    }

    private mutating func show(_ value: GoValue) {
        // What nearly every value of a listing is.
        if case .string = value.type, case .string(let text) = value.json, value.ownText == nil { return out += text }
        out += value.type == .missing ? "<no value>" : GoPrintf.text(value)
    }

    private mutating func choose(_ branch: Template.Branch, _ dot: GoValue) throws(CLIError) -> Flow {
        let value = try evaluate(branch.pipeline, dot)
        guard value.isTrue else { return try walk(branch.otherwise, dot) }
        return try walk(branch.then, branch.kind == .with ? value : dot)
    }

    private mutating func range(_ branch: Template.Branch, _ dot: GoValue) throws(CLIError) -> Flow {
        place = branch.place
        let value = try evaluate(branch.pipeline, dot)
        var pairs: [(GoValue, GoValue)] = []
        switch value.type.pointed {
        case .list: pairs = value.elements.enumerated().map { (GoValue(JSON($0.offset), .whole), $0.element) }
        case .map(let key, _): pairs = value.members.map { (GoValue(.string($0.name), .string(key)), $0.value) }
        case .int:
            // No list of Docker's is longer; a number that is typed may be.
            let count = min(max(0, value.json.int ?? 0), 1_000_000)
            pairs = (0..<count).map { (GoValue(JSON($0), value.type), GoValue(JSON($0), value.type)) }
        case .missing, .any: break
        default: throw failure("range can't iterate over \(GoPrintf.text(value))")
        }
        guard !pairs.isEmpty else { return try walk(branch.otherwise, dot) }
        let mark = variables.count
        for (index, element) in pairs {
            let names = branch.pipeline.variables
            let values = names.count > 1 ? [index, element] : [element]
            for (name, value) in zip(names, values) {
                if branch.pipeline.isAssignment {
                    try assign(name, value)
                } else if let slot = variables.lastIndex(where: { $0.name == name }) {
                    variables[slot].value = value
                }
            }
            let flow = try walk(branch.then, element)
            variables.removeSubrange(mark...)
            if flow == .leave { break }
        }
        return .on
    }

    private mutating func call(
        _ name: String, _ argument: Template.Pipeline?, _ place: Template.Place, _ dot: GoValue
    ) throws(CLIError) {
        self.place = place
        guard let nodes = template.definitions[name] else { throw failure("template \(name.goQuoted) not defined") }
        guard depth < Self.depthMax else {
            throw failure("exceeded maximum template depth (\(Self.depthMax))")
        }
        let value = try argument.map { (pipeline) throws(CLIError) in try evaluate(pipeline, dot) } ?? .missing
        let saved = variables
        variables = [("$", value)]
        depth += 1
        defer {
            variables = saved
            depth -= 1
        }
        _ = try walk(nodes, value)
    }

    private mutating func assign(_ name: String, _ value: GoValue) throws(CLIError) {
        guard let slot = variables.lastIndex(where: { $0.name == name }) else {
            throw failure("undefined variable: \(name)")
        }
        variables[slot].value = value
    }

    // MARK: Pipelines

    private mutating func evaluate(_ pipeline: Template.Pipeline, _ dot: GoValue) throws(CLIError) -> GoValue {
        place = .init(position: pipeline.position, source: .pipeline(pipeline))
        var value: GoValue?
        for (command, position) in zip(pipeline.commands, pipeline.places) {
            value = try run(command, position, dot, value).unboxed
        }
        let result = value ?? .missing
        for name in pipeline.variables {
            if pipeline.isAssignment { try assign(name, result) } else { variables.append((name, result)) }
        }
        return result
    }

    private mutating func run(
        _ command: [Template.Operand], _ position: Int, _ dot: GoValue, _ final: GoValue?
    ) throws(CLIError) -> GoValue {
        let first = command[0]
        let arguments = Array(command.dropFirst())
        switch first {
        case .function(let name, _):
            place = first.place
            let whole = Template.Place(position: position, source: .command(command))
            return try apply(name, arguments, whole, dot, final)
        case .field(let names, _):
            place = first.place
            return try follow(dot, names, arguments, final, dot)
        case .variable(let names, _) where names.count > 1:
            place = first.place
            return try follow(variable(names[0]), Array(names.dropFirst()), arguments, final, dot)
        case .chain(let start, let names, _):
            place = first.place
            if case .null = start { throw failure("indirection through explicit nil in \(first.shown)") }
            return try follow(try value(start, dot), names, arguments, final, dot)
        case .null:
            place = first.place
            throw failure("nil is not a command")
        default:
            place = first.place
            guard arguments.isEmpty, final == nil else {
                throw failure("can't give argument to non-function \(first.shown)")
            }
            return try value(first, dot)
        }
    }

    private func variable(_ name: String) throws(CLIError) -> GoValue {
        guard let known = variables.last(where: { $0.name == name }) else {
            throw failure("undefined variable: \(name)")
        }
        return known.value
    }

    /// An operand that stands alone.
    private mutating func value(_ operand: Template.Operand, _ dot: GoValue) throws(CLIError) -> GoValue {
        place = operand.place
        switch operand {
        case .dot: return dot
        case .null: return GoValue(.null, .any)
        case .bool(let flag, _): return GoValue(.bool(flag), .bool)
        case .number(let number, let text, _):
            let isFloat = GoValue.digits(number).contains { ".e".contains($0) } && !text.hasPrefix("'")
            return GoValue(number, isFloat ? .float : .whole)
        case .string(let text, _, _): return GoValue(.string(text), .text)
        case .function(let name, _): return try apply(name, [], operand.place, dot, nil)
        case .field(let names, _): return try follow(dot, names, [], nil, dot)
        case .variable(let names, _):
            return try follow(variable(names[0]), Array(names.dropFirst()), [], nil, dot)
        case .chain(let start, let names, _): return try follow(try value(start, dot), names, [], nil, dot)
        case .nested(let pipeline): return try evaluate(pipeline, dot)
        }
    }

    // MARK: Fields

    private mutating func follow(
        _ start: GoValue, _ names: [String], _ arguments: [Template.Operand], _ final: GoValue?, _ dot: GoValue
    ) throws(CLIError) -> GoValue {
        guard !names.isEmpty else {
            guard arguments.isEmpty, final == nil else {
                throw failure("can't give argument to non-function \(place.shown)")
            }
            return start
        }
        var value = start
        for (index, name) in names.enumerated() {
            let isLast = index == names.count - 1
            value = try field(value, name, isLast ? arguments : [], isLast ? final : nil, dot)
        }
        return value
    }

    private mutating func field(
        _ receiver: GoValue, _ name: String, _ arguments: [Template.Operand], _ final: GoValue?, _ dot: GoValue
    ) throws(CLIError) -> GoValue {
        guard receiver.type != .missing else {
            guard !missingKeysFail else { throw failure("nil data; no entry for key \(name.goQuoted)") }
            return .missing
        }
        if receiver.type == .any { throw failure("nil pointer evaluating interface {}.\(name)") }
        let count = arguments.count + (final == nil ? 0 : 1)
        if let method = methods[name], receiver.type == root.type {
            guard count == 1 else { throw failure("wrong number of args for \(name): want 1 got \(count)") }
            let argument: GoValue
            if let final { argument = final } else { argument = try value(arguments[0], dot).unboxed }
            return GoValue(method(receiver.json, argument.json), .text)
        }
        // The columns of a row are methods.
        if count > 0, receiver.isRow, receiver.field(name) != nil {
            throw failure("wrong number of args for \(name): want 0 got \(count)")
        }
        switch receiver.type.pointed {
        case .record, .open:
            guard let field = receiver.field(name) else {
                guard receiver.isNil, case .pointer(.open) = receiver.type else { break }
                throw failure("nil pointer evaluating \(receiver.type.name).\(name)")
            }
            if receiver.isNil { throw failure("nil pointer evaluating \(receiver.type.name).\(name)") }
            if count > 0 { throw failure("\(name) has arguments but cannot be invoked as function") }
            return field
        case .map("string", let element):
            if count > 0 { throw failure("\(name) is not a method but has arguments") }
            guard let member = receiver.json[name] else {
                guard !missingKeysFail else { throw failure("map has no entry for key \(name.goQuoted)") }
                return .missing
            }
            return receiver.part(member, element)
        default: break
        }
        throw failure("can't evaluate field \(name) in type \(receiver.typeName)")
    }

    // MARK: Functions

    private mutating func apply(
        _ name: String, _ operands: [Template.Operand], _ whole: Template.Place, _ dot: GoValue, _ final: GoValue?
    ) throws(CLIError) -> GoValue {
        guard let function = TemplateFunctions.table[name] else {
            throw failure("\(name.goQuoted) is not a defined function")
        }
        let count = operands.count + (final == nil ? 0 : 1)
        if function.takesMore {
            guard count >= function.parameters.count else {
                throw failure(
                    "wrong number of args for \(name): want at least \(function.parameters.count) got \(operands.count)"
                )
            }
        } else if count != function.parameters.count {
            throw failure("wrong number of args for \(name): want \(function.parameters.count) got \(count)")
        }
        if name == "and" || name == "or" {
            var last = GoValue.missing
            for operand in operands {
                last = try value(operand, dot).unboxed
                if last.isTrue == (name == "or") { return last }
            }
            return final ?? last
        }
        var arguments: [GoValue] = []
        for (index, operand) in operands.enumerated() {
            arguments.append(try argument(operand, function.parameter(index), dot))
        }
        if let final { arguments.append(try checked(final, function.parameter(arguments.count))) }
        if name == "call" {
            place = whole
            let shown = operands.first?.shown ?? "value"
            throw failure("error calling call: non-function \(shown) of type \(arguments[0].typeName)")
        }
        if functionsPassOn, Self.passedOn.contains(name) { return arguments[0] }
        switch function.body(arguments) {
        case .success(let value): return value
        case .failure(let reason):
            place = whole
            throw failure("error calling \(name): \(reason.text)")
        }
    }

    private mutating func argument(
        _ operand: Template.Operand, _ parameter: TemplateFunctions.Parameter, _ dot: GoValue
    ) throws(CLIError) -> GoValue {
        place = operand.place
        if operand.isConstant, parameter != .any {
            switch (operand, parameter) {
            case (.dot, _): break
            case (.string, .text), (.number, .whole): return try value(operand, dot)
            case (.null, .texts): return GoValue(.null, .list(.text))
            case (.null, _): throw failure("cannot assign nil to \(parameter.rawValue)")
            case (_, .text): throw failure("expected string; found \(operand.shown)")
            case (_, .whole): throw failure("expected integer; found \(operand.shown)")
            default: throw failure("can't handle \(operand.shown) for arg of type \(parameter.rawValue)")
            }
        }
        return try checked(try value(operand, dot), parameter)
    }

    /// A value as a parameter takes it.
    private func checked(_ value: GoValue, _ parameter: TemplateFunctions.Parameter) throws(CLIError) -> GoValue {
        let inside = value.unboxed
        guard parameter != .any else { return inside.type == .missing ? GoValue(.null, .any) : inside }
        guard value.type != .missing else {
            guard parameter == .texts else { throw failure("invalid value; expected \(parameter.rawValue)") }
            return GoValue(.null, .list(.text))
        }
        guard inside.type.name == parameter.rawValue else {
            throw failure(
                "wrong type for value; expected \(parameter.rawValue); got "
                    + (inside.type == .missing ? "interface {}" : inside.typeName))
        }
        return inside
    }
}
