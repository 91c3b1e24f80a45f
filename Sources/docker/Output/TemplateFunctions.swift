/// The functions of templates: Go's, and those that Docker adds.
enum TemplateFunctions {
    /// What a function takes, by Go's name of it.
    enum Parameter: String {
        case any = "interface {}"
        case text = "string"
        case whole = "int"
        case texts = "[]string"
    }

    struct Reason: Error {
        let text: String
        init(_ text: String) { self.text = text }
    }

    struct Function: Sendable {
        let parameters: [Parameter]
        /// Whether any number of values may follow.
        var takesMore = false
        let body: @Sendable ([GoValue]) -> Result<GoValue, Reason>

        func parameter(_ index: Int) -> Parameter { index < parameters.count ? parameters[index] : .any }
    }

    static let table: [String: Function] = [
        "and": .init(parameters: [.any], takesMore: true) { .success($0.last ?? .missing) },
        "or": .init(parameters: [.any], takesMore: true) { .success($0.last ?? .missing) },
        "not": .init(parameters: [.any]) { truth(!$0[0].isTrue) },
        "call": .init(parameters: [.any], takesMore: true) {
            .failure(Reason("non-function of type \($0[0].typeName)"))
        },
        "html": .init(parameters: [], takesMore: true) { text(escaped(GoPrintf.print($0), html)) },
        "js": .init(parameters: [], takesMore: true) { text(escaped(GoPrintf.print($0), script)) },
        "urlquery": .init(parameters: [], takesMore: true) { text(query(GoPrintf.print($0))) },
        "index": .init(parameters: [.any], takesMore: true) { index($0[0], $0.dropFirst()) },
        "slice": .init(parameters: [.any], takesMore: true) { slice($0[0], Array($0.dropFirst())) },
        "len": .init(parameters: [.any]) { length($0[0]) },
        "print": .init(parameters: [], takesMore: true) { text(GoPrintf.print($0)) },
        "println": .init(parameters: [], takesMore: true) { text(GoPrintf.println($0)) },
        "printf": .init(parameters: [.text], takesMore: true) {
            text(GoPrintf.printf($0[0].json.string ?? "", Array($0.dropFirst())))
        },
        "eq": .init(parameters: [.any], takesMore: true) { areEqual($0[0], Array($0.dropFirst())) },
        "ne": .init(parameters: [.any, .any]) { arguments in
            areEqual(arguments[0], [arguments[1]]).map { GoValue(.bool($0.json != true), .bool) }
        },
        "lt": .init(parameters: [.any, .any]) { isLess($0[0], $0[1]) },
        "le": .init(parameters: [.any, .any]) { isLess($0[1], $0[0]).map(negated) },
        "gt": .init(parameters: [.any, .any]) { isLess($0[1], $0[0]) },
        "ge": .init(parameters: [.any, .any]) { isLess($0[0], $0[1]).map(negated) },
        "json": .init(parameters: [.any]) { text($0[0].sorted.encoded(escapingHTML: $0[0].isRow)) },
        "split": .init(parameters: [.text, .text]) { arguments in
            .success(
                GoValue(
                    JSON(strings: split(arguments[0].json.string ?? "", arguments[1].json.string ?? "")), .list(.text)))
        },
        "join": .init(parameters: [.texts, .text]) { arguments in
            text(arguments[0].json.elements.map { $0.string ?? "" }.joined(separator: arguments[1].json.string ?? ""))
        },
        "title": .init(parameters: [.text]) { text(titled($0[0].json.string ?? "")) },
        "lower": .init(parameters: [.text]) { text(($0[0].json.string ?? "").lowercased()) },
        "upper": .init(parameters: [.text]) { text(($0[0].json.string ?? "").uppercased()) },
        "pad": .init(parameters: [.text, .whole, .whole]) { pad($0[0].json.string ?? "", $0[1], $0[2]) },
        "truncate": .init(parameters: [.text, .whole]) { truncated($0[0].json.string ?? "", $0[1]) },
    ]

    private static func text(_ text: String) -> Result<GoValue, Reason> { .success(GoValue(.string(text), .text)) }

    private static func truth(_ truth: Bool) -> Result<GoValue, Reason> { .success(GoValue(.bool(truth), .bool)) }

    private static func negated(_ value: GoValue) -> GoValue { GoValue(.bool(value.json != true), .bool) }

    // MARK: Texts

    private static let html: [Unicode.Scalar: String] = [
        "<": "&lt;", ">": "&gt;", "&": "&amp;", "\"": "&#34;", "'": "&#39;", "\0": "\u{fffd}",
    ]
    private static let script: [Unicode.Scalar: String] = [
        "\\": "\\\\", "'": "\\'", "\"": "\\\"", "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D",
        "\n": "\\u000A", "\r": "\\u000D", "\t": "\\u0009",
    ]

    private static func escaped(_ text: String, _ escapes: [Unicode.Scalar: String]) -> String {
        text.unicodeScalars.map { escapes[$0] ?? String($0) }.joined()
    }

    private static func query(_ text: String) -> String {
        text.utf8.map { byte -> String in
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: return String(Unicode.Scalar(byte))
            case 0x20: return "+"
            default: return "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }.joined()
    }

    private static func split(_ text: String, _ separator: String) -> [String] {
        guard !separator.isEmpty else { return text.unicodeScalars.map { String($0) } }
        var parts: [String] = []
        var rest = Array(text.utf8)[...]
        var part: [UInt8] = []
        let mark = Array(separator.utf8)
        while let first = rest.first {
            if rest.starts(with: mark) {
                parts.append(String(decoding: part, as: UTF8.self))
                part = []
                rest = rest.dropFirst(mark.count)
            } else {
                part.append(first)
                rest = rest.dropFirst()
            }
        }
        return parts + [String(decoding: part, as: UTF8.self)]
    }

    /// Every word with a capital; a word goes on over letters, digits and underscores.
    private static func titled(_ text: String) -> String {
        var isInWord = false
        return text.unicodeScalars.map { scalar -> String in
            defer {
                isInWord = scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
            }
            return isInWord ? String(scalar) : scalar.properties.titlecaseMapping
        }.joined()
    }

    /// Wider than any terminal: more is refused as Go refuses a negative number.
    private static let padMax: Int64 = 10_000

    private static func pad(_ source: String, _ before: GoValue, _ after: GoValue) -> Result<GoValue, Reason> {
        guard !source.isEmpty else { return text("") }
        let counts = [before, after].map { $0.json.int ?? 0 }
        guard counts.allSatisfy({ (0...padMax).contains($0) }) else {
            return .failure(Reason("strings: negative Repeat count"))
        }
        let spaces = counts.map { String(repeating: " ", count: Int($0)) }
        return text(spaces[0] + source + spaces[1])
    }

    private static func truncated(_ source: String, _ length: GoValue) -> Result<GoValue, Reason> {
        let length = length.json.int ?? 0
        guard length >= 0 else {
            return .failure(Reason("runtime error: slice bounds out of range [:\(length)]"))
        }
        return text(String(decoding: source.utf8.prefix(Int(clamping: length)), as: UTF8.self))
    }

    // MARK: Lists and maps

    private static func length(_ value: GoValue) -> Result<GoValue, Reason> {
        guard !value.isNil || value.type == .any else { return .failure(Reason("len of nil pointer")) }
        switch value.type.pointed {
        case .string: return .success(GoValue(JSON(bytes(value).count), .whole))
        case .list: return .success(GoValue(JSON(value.json.elements.count), .whole))
        case .map: return .success(GoValue(JSON(value.json.members.count), .whole))
        case .any, .missing: return .failure(Reason("len of nil pointer"))
        default: return .failure(Reason("len of type \(value.typeName.droppingPrefix("*"))"))
        }
    }

    private static func bytes(_ value: GoValue) -> [UInt8] {
        Array((value.json.string ?? GoValue.digits(value.json)).utf8)
    }

    /// - Parameter limit: the last one that is in range.
    private static func position(_ index: GoValue, limit: Int) -> Result<Int, Reason> {
        guard case .int = index.type, let position = index.json.int else {
            let type = index.isNil ? "nil" : "type \(index.typeName)"
            return .failure(Reason("cannot index slice/array with \(type)"))
        }
        guard position >= 0, position <= limit else {
            return .failure(Reason("index out of range: \(position)"))
        }
        return .success(Int(position))
    }

    private static func index(_ start: GoValue, _ keys: ArraySlice<GoValue>) -> Result<GoValue, Reason> {
        var value = start
        guard value.type != .any, value.type != .missing else { return .failure(Reason("index of untyped nil")) }
        for key in keys {
            value = value.unboxed
            if value.isNil { return .failure(Reason("index of nil pointer")) }
            switch member(value, key) {
            case .success(let member): value = member
            case .failure(let reason): return .failure(reason)
            }
        }
        return .success(value)
    }

    private static func member(_ value: GoValue, _ key: GoValue) -> Result<GoValue, Reason> {
        switch value.type.pointed {
        case .list:
            let elements = value.elements
            return position(key, limit: elements.count).flatMap { position in
                position < elements.count
                    ? .success(elements[position]) : .failure(Reason("reflect: slice index out of range"))
            }
        case .string:
            let bytes = bytes(value)
            return position(key, limit: bytes.count).flatMap { position in
                position < bytes.count
                    ? .success(GoValue(JSON(bytes[position]), .int("uint8")))
                    : .failure(Reason("reflect: string index out of range"))
            }
        case .map(let keyType, let element):
            guard !key.isNil else { return .failure(Reason("value is nil; should be of type \(keyType)")) }
            guard key.type == .string(keyType), let name = key.json.string else {
                return .failure(Reason("value has type \(key.typeName); should be \(keyType)"))
            }
            guard let member = value.json[name] else {
                var nothing = GoValue(.null, element)
                nothing.isBoxed = element == .any
                return .success(nothing)
            }
            return .success(value.part(member, element))
        default: return .failure(Reason("can't index item of type \(value.typeName)"))
        }
    }

    private static func slice(_ value: GoValue, _ indexes: [GoValue]) -> Result<GoValue, Reason> {
        guard !value.isNil else { return .failure(Reason("slice of untyped nil")) }
        guard indexes.count <= 3 else { return .failure(Reason("too many slice indexes: \(indexes.count)")) }
        let count: Int
        switch value.type.pointed {
        case .string:
            guard indexes.count < 3 else { return .failure(Reason("cannot 3-index slice a string")) }
            count = bytes(value).count
        case .list: count = value.json.elements.count
        default: return .failure(Reason("can't slice item of type \(value.typeName)"))
        }
        var bounds = [0, count, count]
        for (slot, index) in indexes.enumerated() {
            switch position(index, limit: count) {
            case .success(let position): bounds[slot] = position
            case .failure(let reason): return .failure(reason)
            }
        }
        for (low, high) in [(bounds[0], bounds[1]), (bounds[1], bounds[2])] where low > high {
            return .failure(Reason("invalid slice index: \(low) > \(high)"))
        }
        if case .list = value.type.pointed {
            return .success(GoValue(.array(Array(value.json.elements[bounds[0]..<bounds[1]])), value.type.pointed))
        }
        return text(String(decoding: bytes(value)[bounds[0]..<bounds[1]], as: UTF8.self))
    }

    // MARK: Comparison

    private enum Kind {
        case bool, int, float, text, none
    }

    private static func kind(_ value: GoValue) -> Kind {
        switch value.type {
        case .bool: .bool
        case .int: .int
        case .float: .float
        case .string: .text
        default: .none
        }
    }

    private static let incompatible = Reason("incompatible types for comparison")

    private static func areEqual(_ left: GoValue, _ others: [GoValue]) -> Result<GoValue, Reason> {
        guard !others.isEmpty else { return .failure(Reason("missing argument for comparison")) }
        for right in others {
            if kind(left) != kind(right) {
                guard left.isNil || right.isNil else { return .failure(incompatible) }
                continue
            }
            switch kind(left) {
            case .bool: if left.json == right.json { return truth(true) }
            case .int: if left.json.int == right.json.int { return truth(true) }
            case .float: if left.json.double == right.json.double { return truth(true) }
            case .text: if bytes(left) == bytes(right) { return truth(true) }
            case .none:
                guard left.isNil || right.isNil else {
                    return .failure(Reason("non-comparable type \(GoPrintf.text(right)): \(right.typeName)"))
                }
                if left.isNil == right.isNil { return truth(true) }
            }
        }
        return truth(false)
    }

    private static func isLess(_ left: GoValue, _ right: GoValue) -> Result<GoValue, Reason> {
        let unordered = Reason("invalid type for comparison")
        guard kind(left) != .none, kind(right) != .none else { return .failure(unordered) }
        guard kind(left) == kind(right) else { return .failure(incompatible) }
        switch kind(left) {
        case .int: return truth((left.json.int ?? 0) < (right.json.int ?? 0))
        case .float: return truth((left.json.double ?? 0) < (right.json.double ?? 0))
        case .text: return truth(bytes(left).lexicographicallyPrecedes(bytes(right)))
        default: return .failure(unordered)
        }
    }
}
