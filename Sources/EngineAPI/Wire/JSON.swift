package import NIOCore

/// A JSON value whose members keep their order, as Docker's clients are used to reading it.
package enum JSON: Sendable {
    case null
    case bool(Bool)
    case int(Int64)
    case uint(UInt64)
    case double(Double)
    case string(String)
    case array([JSON])
    case object([(String, JSON)])
    /// An object whose members are text already, as ``memberText`` gives it.
    case members([[UInt8]])

    /// One line of text.
    package var bytes: ByteBuffer {
        var buffer = ByteBuffer()
        write(to: &buffer)
        return buffer
    }

    package func write(to buffer: inout ByteBuffer) {
        // An array takes the many small pieces in a fraction of the time that a ByteBuffer needs for them.
        var text: [UInt8] = []
        text.reserveCapacity(1 << 10)
        write(to: &text)
        buffer.writeBytes(text)
    }

    private func write(to text: inout [UInt8]) {
        switch self {
        case .null: text += "null".utf8
        case .bool(let value): text += (value ? "true" : "false").utf8
        case .int(let value): text += String(value).utf8
        case .uint(let value): text += String(value).utf8
        case .double(let value): text += (value.isFinite ? String(value) : "0").utf8
        case .string(let value): Self.write(value, to: &text)
        case .array(let values):
            text.append(UInt8(ascii: "["))
            let start = text.count
            for (index, value) in values.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                value.write(to: &text)
                // What follows is likely as long as the first: a long text is not copied again and again as it grows.
                if index == 0 { text.reserveCapacity(text.count + min((text.count - start) * values.count, 1 << 21)) }
            }
            text.append(UInt8(ascii: "]"))
        case .object(let members):
            text.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                Self.write(member.0, to: &text)
                text.append(UInt8(ascii: ":"))
                member.1.write(to: &text)
            }
            text.append(UInt8(ascii: "}"))
        case .members(let pieces):
            text.append(UInt8(ascii: "{"))
            for (index, piece) in pieces.lazy.filter({ !$0.isEmpty }).enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                text += piece
            }
            text.append(UInt8(ascii: "}"))
        }
    }

    /// An object's text without its braces; empty for any other value.
    var memberText: [UInt8] {
        guard case .object = self else { return [] }
        var text: [UInt8] = []
        write(to: &text)
        return Array(text.dropFirst().dropLast())
    }

    /// A quoted string, escaped as RFC 8259 asks.
    private static func write(_ value: String, to text: inout [UInt8]) {
        text.append(UInt8(ascii: "\""))
        let isPlain = value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x22 && $0 != 0x5c }
        if isPlain { text += value.utf8 } else { for byte in value.utf8 { write(escaped: byte, to: &text) } }
        text.append(UInt8(ascii: "\""))
    }

    private static func write(escaped byte: UInt8, to text: inout [UInt8]) {
        switch byte {
        case 0x22: text += "\\\"".utf8
        case 0x5c: text += "\\\\".utf8
        case 0x0a: text += "\\n".utf8
        case 0x0d: text += "\\r".utf8
        case 0x09: text += "\\t".utf8
        case 0..<0x10: text += "\\u000\(String(byte, radix: 16))".utf8
        case 0x10..<0x20: text += "\\u00\(String(byte, radix: 16))".utf8
        default: text.append(byte)
        }
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByNilLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByStringInterpolation
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(integerLiteral value: Int64) { self = .int(value) }
    package init(nilLiteral: ()) { self = .null }
    package init(arrayLiteral elements: JSON...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSON)...) { self = .object(elements) }
}

extension JSON {
    init(_ value: String?) { self = value.map { .string($0) } ?? .null }
    init(_ value: Bool?) { self = value.map { .bool($0) } ?? .null }
    init(_ value: Int?) { self = value.map { .int(Int64($0)) } ?? .null }
    init(_ value: Int32) { self = .int(Int64(value)) }
    init(_ value: Int64?) { self = value.map { .int($0) } ?? .null }
    /// A list; null where there is none, as Go writes a nil slice.
    init(_ values: [String]?) { self = values.map { .array($0.map { .string($0) }) } ?? .null }
    /// A map, sorted by key as Go writes it; null where there is none.
    init(_ values: [String: String]?) { self = values.map { JSON(map: $0) { .string($0) } } ?? .null }

    init<Value>(map values: [String: Value], _ member: (Value) -> JSON) {
        self = .object(values.sorted { $0.key < $1.key }.map { ($0.key, member($0.value)) })
    }

    init<Value>(list values: [Value]?, _ element: (Value) -> JSON) {
        self = values.map { .array($0.map(element)) } ?? .null
    }

    /// Members that Go leaves out when they are empty.
    mutating func appendUnlessNull(_ name: String, _ value: JSON) {
        if case .null = value { return }
        append(name, value)
    }

    mutating func append(_ name: String, _ value: JSON) {
        guard case .object(var members) = self else { return }
        self = .null  // so that the members are not copied
        members.append((name, value))
        self = .object(members)
    }
}
