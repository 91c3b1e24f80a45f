/// A JSON value that keeps member order and the exact text of numbers, so that what a server sent can be shown as it was.
enum JSON: Equatable, Sendable {
    case null
    case bool(Bool)
    /// The digits as sent; never converted unless asked.
    case number(String)
    case string(String)
    case array([JSON])
    case object([Member])

    /// One name and value of an object.
    struct Member: Equatable, Sendable {
        var name: String
        var value: JSON
    }

    /// Member access; the first of that name, `nil` for other kinds.
    subscript(name: String) -> JSON? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.name == name }?.value
    }

    /// The text of a string, else `nil`.
    var string: String? {
        if case .string(let text) = self { return text }
        return nil
    }

    /// The value of a number that is whole or has a fraction of any length (truncated), else `nil`.
    var int: Int64? {
        guard case .number(let digits) = self else { return nil }
        return Int64(digits) ?? Double(digits).flatMap { Int64(exactly: $0.rounded(.towardZero)) }
    }

    /// The value of a number, else `nil`.
    var double: Double? {
        guard case .number(let digits) = self else { return nil }
        return Double(digits)
    }

    /// The value of a boolean, else `nil`.
    var bool: Bool? {
        if case .bool(let flag) = self { return flag }
        return nil
    }

    /// The elements of an array; empty for every other kind.
    var elements: [JSON] {
        if case .array(let elements) = self { return elements }
        return []
    }

    /// The members of an object in the order they came; empty for every other kind.
    var members: [Member] {
        if case .object(let members) = self { return members }
        return []
    }

    /// A string member, empty when absent: how Go clients see a missing field.
    func text(_ name: String) -> String { self[name]?.string ?? "" }

    /// A number member, 0 when absent.
    func int(_ name: String) -> Int64 { self[name]?.int ?? 0 }

    /// A boolean member, false when absent.
    func flag(_ name: String) -> Bool { self[name]?.bool ?? false }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    init(stringLiteral value: String) { self = .string(value) }
    init(integerLiteral value: Int64) { self = .number(String(value)) }
    init(booleanLiteral value: Bool) { self = .bool(value) }
    init(arrayLiteral elements: JSON...) { self = .array(elements) }
    init(dictionaryLiteral elements: (String, JSON)...) { self = .object(elements.map { Member(name: $0, value: $1) }) }

    init(_ value: some BinaryInteger) { self = .number(String(value)) }
    init(strings: some Sequence<String>) { self = .array(strings.map { .string($0) }) }

    /// An object of strings, sorted by name as Go's encoder sorts maps.
    init(map: [String: String]) {
        self = .object(map.sorted { $0.key < $1.key }.map { Member(name: $0.key, value: .string($0.value)) })
    }
}

extension JSON {
    /// Compact text. With `escapingHTML` the characters `<`, `>` and `&` are written as Go's encoder writes them.
    func encoded(escapingHTML: Bool = true) -> String {
        var out = ""
        write(into: &out, indent: nil, depth: 0, escapingHTML: escapingHTML)
        return out
    }

    /// Text over several lines, `indent` repeated per level, in member order.
    func indented(_ indent: String = "    ", depth: Int = 0, escapingHTML: Bool = false) -> String {
        var out = ""
        write(into: &out, indent: indent, depth: depth, escapingHTML: escapingHTML)
        return out
    }

    private func write(into out: inout String, indent: String?, depth: Int, escapingHTML: Bool) {
        switch self {
        case .null: out += "null"
        case .bool(let flag): out += flag ? "true" : "false"
        case .number(let digits): out += digits
        case .string(let text): JSON.quote(text, into: &out, escapingHTML: escapingHTML)
        case .array(let elements):
            JSON.writeList(elements, "[", "]", into: &out, indent, depth) { element, out in
                element.write(into: &out, indent: indent, depth: depth + 1, escapingHTML: escapingHTML)
            }
        case .object(let members):
            JSON.writeList(members, "{", "}", into: &out, indent, depth) { member, out in
                JSON.quote(member.name, into: &out, escapingHTML: escapingHTML)
                out += indent == nil ? ":" : ": "
                member.value.write(into: &out, indent: indent, depth: depth + 1, escapingHTML: escapingHTML)
            }
        }
    }

    private static func writeList<Item>(
        _ items: [Item], _ open: String, _ close: String, into out: inout String, _ indent: String?, _ depth: Int,
        _ body: (Item, inout String) -> Void
    ) {
        out += open
        func newline(_ depth: Int) {
            guard let indent else { return }
            out += "\n"
            for _ in 0..<depth { out += indent }
        }
        for (index, item) in items.enumerated() {
            if index > 0 { out += "," }
            newline(depth + 1)
            body(item, &out)
        }
        if !items.isEmpty { newline(depth) }
        out += close
    }

    private static func quote(_ text: String, into out: inout String, escapingHTML: Bool) {
        out += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\u{8}": out += "\\b"
            case "\u{c}": out += "\\f"
            case "<" where escapingHTML, ">" where escapingHTML, "&" where escapingHTML: out += escape(scalar)
            case _ where scalar.value < 0x20 || scalar.value == 0x2028 || scalar.value == 0x2029: out += escape(scalar)
            default: out.unicodeScalars.append(scalar)
            }
        }
        out += "\""
    }

    private static func escape(_ scalar: Unicode.Scalar) -> String {
        let hex = String(scalar.value, radix: 16)
        return "\\u" + String(repeating: "0", count: max(0, 4 - hex.count)) + hex
    }
}
