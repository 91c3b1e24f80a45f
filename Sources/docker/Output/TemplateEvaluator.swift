/// Runs a parsed template over a value.
struct TemplateEvaluator {
    /// Methods of Docker's formatting contexts that take arguments, such as `.Label "key"`.
    typealias Methods = [String: @Sendable (JSON, [JSON]) -> JSON]

    static let functions: Set<String> = [
        "json", "println", "print", "printf", "join", "upper", "lower", "title", "split", "index", "len", "eq", "ne",
        "lt", "le",
        "gt", "ge", "and", "or", "not", "pad", "truncate", "table", "slice",
    ]

    private let root: JSON
    private let methods: Methods
    private var variables: [String: JSON] = [:]

    private let missingKeysFail: Bool
    /// What Go calls the type of a listing's rows, which have no other fields; nil for any other value.
    private let rowType: String?
    /// Members whose own members are named by users.
    static let maps: Set = [
        "Annotations", "AuxiliaryAddresses", "Containers", "DriverOpts", "ExposedPorts", "Labels", "Networks",
        "Options", "PortBindings", "Ports",
        "StorageOpt",
        "Sysctls", "Tmpfs", "Volumes",
    ]
    /// Members that Docker's types hold as pointers; other absent values are lists.
    private static let pointers: Set = [
        "Descriptor", "Health", "Healthcheck", "IPAMConfig", "Init", "ManifestDescriptor", "MemorySwappiness",
        "OomKillDisable",
        "PidsLimit", "SizeRootFs", "SizeRw", "Status", "StopTimeout", "UsageData",
    ]

    init(root: JSON, methods: Methods, missingKeysFail: Bool = false, rowType: String? = nil) {
        self.missingKeysFail = missingKeysFail
        self.rowType = rowType
        self.root = root
        self.methods = methods
    }

    mutating func render(_ nodes: [Template.Node], _ dot: JSON) throws(CLIError) -> String {
        if nodes.count == 1, case .output(let calls) = nodes[0] { return shown(try pipeline(calls, dot), calls, dot) }
        var out = ""
        for node in nodes {
            switch node {
            case .text(let text): out += text
            case .output(let calls): out += shown(try pipeline(calls, dot), calls, dot)
            case .assign(let name, let calls): variables[name] = try pipeline(calls, dot)
            case .branch(let kind, let names, let calls, let then, let otherwise):
                out += try branch(kind, names, try pipeline(calls, dot), then, otherwise, dot)
            }
        }
        return out
    }

    /// What `{{.Path}}` prints for a null, which JSON has for several of Go's empty values.
    private func shown(_ value: JSON, _ calls: [Template.Call], _ dot: JSON) -> String {
        guard calls.count == 1, calls[0].operands.count == 1, case .path(let names, _) = calls[0].operands[0],
            let name = names.last
        else { return Self.text(value) }
        // The only time that Docker's types hold as one.
        if names == ["Created"], GoRecords.isNetwork(dot) { return Times.goString(rfc3339: Self.text(value)) }
        guard value == .null, !Self.pointers.contains(name) else { return Self.text(value) }
        return Self.maps.contains(name) ? "map[]" : "[]"
    }

    private mutating func branch(
        _ kind: String, _ names: [String], _ value: JSON, _ then: [Template.Node], _ otherwise: [Template.Node],
        _ dot: JSON
    ) throws(CLIError) -> String {
        guard Self.isTrue(value) else { return try render(otherwise, dot) }
        if kind != "range" {
            if let name = names.first { variables[name] = value }
            return try render(then, kind == "with" ? value : dot)
        }
        var pairs: [(JSON, JSON)] = []
        if case .object(let members) = value {
            pairs = members.sorted { $0.name < $1.name }.map { (.string($0.name), $0.value) }
        } else {
            pairs = value.elements.enumerated().map { (JSON($0.offset), $0.element) }
        }
        var out = ""
        for (key, element) in pairs {
            if let last = names.last { variables[last] = element }
            if names.count == 2 { variables[names[0]] = key }
            out += try render(then, element)
        }
        return out
    }

    private mutating func pipeline(_ calls: [Template.Call], _ dot: JSON) throws(CLIError) -> JSON {
        var result: JSON?
        for call in calls { result = try run(call, dot, piped: result) }
        return result ?? .null
    }

    private mutating func run(_ call: Template.Call, _ dot: JSON, piped: JSON?) throws(CLIError) -> JSON {
        var arguments: [JSON] = []
        for operand in call.operands.dropFirst() { arguments.append(try value(operand, dot, call.place)) }
        if let piped { arguments.append(piped) }
        switch call.operands[0] {
        case .function(let name): return try apply(name, arguments, call.place)
        case .path(let names, _) where !arguments.isEmpty:
            if let last = names.last, let method = methods[last] { return method(dot, arguments) }
            return try value(call.operands[0], dot, call.place)
        default: return try value(call.operands[0], dot, call.place)
        }
    }

    /// - Parameter command: where the operand's command is.
    private mutating func value(
        _ operand: Template.Operand, _ dot: JSON, _ command: Template.Place
    ) throws(CLIError) -> JSON {
        switch operand {
        case .literal(let value): return value
        case .path(let names, let place): return try walk(dot, names, place)
        case .variable("$", let names, let place): return try walk(root, names, place)
        case .variable(let name, let names, let place): return try walk(variables[name] ?? .null, names, place)
        case .nested(let calls, let names):
            return try walk(try pipeline(calls, dot), names, calls.first?.place ?? command)
        case .function(let name): return try apply(name, [], command)
        }
    }

    private func walk(_ start: JSON, _ names: [String], _ place: Template.Place) throws(CLIError) -> JSON {
        var value = start
        var above: String?
        for name in names {
            if let next = value[name] ?? GoRecords.member(name, of: value) {
                value = next
            } else {
                value = try missing(name, value, above, place)
            }
            above = name
        }
        return value
    }

    /// What a member is that is not there.
    ///
    /// - Parameter above: the name of the value that it is not in.
    private func missing(
        _ name: String, _ value: JSON, _ above: String?, _ place: Template.Place
    ) throws(CLIError) -> JSON {
        let isUsersMap = Self.maps.contains(above ?? "")
        switch value {
        case .null: return .string("<no value>")
        case .object where rowType != nil && value == root:
            throw place.error("can't evaluate field \(name) in type \(rowType ?? "")")
        case .object where missingKeysFail && !isUsersMap:
            // Docker's types leave empty maps out.
            guard !Self.maps.contains(name) else { return .null }
            throw place.error("map has no entry for key \"\(name)\"")
        // As Go: a missing key of a map is "no value"; a list or a number has no fields at all.
        case .object: return .string("<no value>")
        default: throw place.error("can't evaluate field \(name) in type \(rowType == nil ? "interface {}" : "string")")
        }
    }

    private func apply(
        _ name: String, _ arguments: [JSON], _ place: Template.Place
    ) throws(CLIError) -> JSON {
        func text(_ index: Int) -> String { index < arguments.count ? Self.text(arguments[index]) : "" }
        func number(_ index: Int) -> Int { index < arguments.count ? Int(clamping: arguments[index].int ?? 0) : 0 }
        let first = arguments.first ?? .null
        switch name {
        case "json": return .string(first.encoded(escapingHTML: false))
        case "println": return .string(arguments.map(Self.text).joined(separator: " ") + "\n")
        case "print": return .string(arguments.map(Self.text).joined())
        case "printf": return .string(Self.printf(arguments))
        case "join": return .string(first.elements.map(Self.text).joined(separator: text(1)))
        case "upper": return .string(text(0).uppercased())
        case "lower": return .string(text(0).lowercased())
        case "title":
            return .string(
                text(0).split(separator: " ", omittingEmptySubsequences: false).map {
                    $0.prefix(1).uppercased() + $0.dropFirst()
                }.joined(separator: " "))
        case "split": return JSON(strings: Self.split(text(0), text(1)))
        case "len":
            return JSON(
                first.elements.isEmpty
                    ? (first.members.isEmpty ? (first.string?.utf8.count ?? 0) : first.members.count)
                    : first.elements.count)
        case "index": return try index(first, arguments.dropFirst(), place)
        case "eq": return .bool(arguments.dropFirst().contains { $0 == first })
        case "ne": return .bool(arguments.count > 1 && arguments[1] != first)
        case "lt", "le", "gt", "ge": return .bool(Self.compare(name, arguments))
        case "and": return arguments.first { !Self.isTrue($0) } ?? arguments.last ?? .null
        case "or": return arguments.first { Self.isTrue($0) } ?? arguments.last ?? .null
        case "not": return .bool(!Self.isTrue(first))
        case "pad":
            return .string(
                text(0).isEmpty
                    ? ""
                    : String(repeating: " ", count: max(0, number(1))) + text(0)
                        + String(repeating: " ", count: max(0, number(2))))
        case "slice": return Self.slice(first, number(1), arguments.count > 2 ? number(2) : Int.max)
        case "truncate": return .string(String(text(0).prefix(max(0, number(1)))))
        default: return .string("")
        }
    }

    private func index(
        _ start: JSON, _ keys: ArraySlice<JSON>, _ place: Template.Place
    ) throws(CLIError) -> JSON {
        var value = start
        for key in keys {
            if let name = key.string {
                value = value[name] ?? .string("")
            } else {
                guard let offset = key.int, value.elements.indices.contains(Int(clamping: offset)) else {
                    throw place.error("error calling index: index out of range: \(Self.text(key))")
                }
                value = value.elements[Int(clamping: offset)]
            }
        }
        return value
    }

    private static func compare(_ name: String, _ arguments: [JSON]) -> Bool {
        guard arguments.count == 2, let left = arguments[0].double, let right = arguments[1].double else {
            return false
        }
        switch name {
        case "lt": return left < right
        case "le": return left <= right
        case "gt": return left > right
        default: return left >= right
        }
    }

    private static func split(_ text: String, _ separator: String) -> [String] {
        guard separator.count == 1, let character = separator.first else { return [text] }
        return text.split(separator: character, omittingEmptySubsequences: false).map(String.init)
    }

    private static func slice(_ value: JSON, _ start: Int, _ end: Int) -> JSON {
        func bounds(_ count: Int) -> Range<Int> {
            let low = min(max(0, start), count); return low..<max(low, min(end, count))
        }
        guard let text = value.string else { return .array(Array(value.elements[bounds(value.elements.count)])) }
        let bytes = Array(text.utf8)
        return .string(String(decoding: bytes[bounds(bytes.count)], as: UTF8.self))
    }

    /// Go's Printf with flags, width and precision.
    private static func printf(_ arguments: [JSON]) -> String {
        var rest = arguments.dropFirst()
        var out = ""
        var format = text(arguments.first ?? .null)[...]
        while let character = format.popFirst() {
            guard character == "%" else {
                out.append(character)
                continue
            }
            let flags = format.prefix { "-+# 0".contains($0) }
            format = format.dropFirst(flags.count)
            let width = format.prefix { $0.isNumber }
            format = format.dropFirst(width.count)
            var precision: Int?
            if format.first == "." {
                let digits = format.dropFirst().prefix { $0.isNumber }
                format = format.dropFirst(1 + digits.count)
                precision = Int(digits) ?? 0
            }
            guard let verb = format.popFirst() else { return out + "%!(NOVERB)" }
            if verb == "%" {
                out += "%"
            } else {
                let shown = rest.popFirst().map { printed($0, verb, precision) } ?? "%!\(verb)(MISSING)"
                out += padded(shown, Int(width) ?? 0, left: flags.contains("-"), zeros: flags.contains("0"))
            }
        }
        return out
    }

    private static func printed(_ value: JSON, _ verb: Character, _ precision: Int?) -> String {
        switch verb {
        case "q": return JSON.string(text(value)).encoded(escapingHTML: false)
        case "T":
            switch value {
            case .null: return "<nil>"
            case .bool: return "bool"
            case .number: return value.int == nil ? "float64" : "int"
            case .string: return "string"
            case .array: return "[]interface {}"
            case .object: return "map[string]interface {}"
            }
        case "x":
            if let number = value.int { return String(number, radix: 16) }
            return text(value).utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        case "f": return Sizes.formatted(value.double ?? 0, "%.\(min(precision ?? 6, 20))f")
        default: return precision.map { String(text(value).prefix($0)) } ?? text(value)
        }
    }

    private static func padded(_ text: String, _ width: Int, left: Bool, zeros: Bool) -> String {
        let missing = min(width, 1000) - text.count
        guard missing > 0 else { return text }
        let fill = String(repeating: zeros && !left ? "0" : " ", count: missing)
        return left ? text + fill : fill + text
    }

    /// Go's truth: empty, zero, false and nil are false.
    static func isTrue(_ value: JSON) -> Bool {
        switch value {
        case .null: false
        case .bool(let flag): flag
        case .number: value.double != 0
        case .string(let text): !text.isEmpty && text != "<no value>"
        case .array(let elements): !elements.isEmpty
        case .object(let members): !members.isEmpty
        }
    }

    /// Go's `%v`.
    static func text(_ value: JSON) -> String {
        switch value {
        case .null: "<nil>"
        case .bool(let flag): flag ? "true" : "false"
        case .number(let digits): digits
        case .string(let text): text
        case .array(let elements): "[" + elements.map(text).joined(separator: " ") + "]"
        case .object(let members):
            GoRecords.text(members, text)
                ?? "map["
                + members.sorted { $0.name < $1.name }.map { "\($0.name):\(GoRecords.element($0, text))" }
                .joined(separator: " ") + "]"
        }
    }
}
