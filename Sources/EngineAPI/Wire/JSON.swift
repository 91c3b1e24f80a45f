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

    /// One line of text.
    package var bytes: ByteBuffer {
        var buffer = ByteBuffer()
        write(to: &buffer)
        return buffer
    }

    package func write(to buffer: inout ByteBuffer) {
        switch self {
        case .null: buffer.writeStaticString("null")
        case .bool(let value): buffer.writeStaticString(value ? "true" : "false")
        case .int(let value): buffer.writeString(String(value))
        case .uint(let value): buffer.writeString(String(value))
        case .double(let value): buffer.writeString(value.isFinite ? String(value) : "0")
        case .string(let text): Self.write(text, to: &buffer)
        case .array(let values): Self.write(values, to: &buffer)
        case .object(let members): Self.write(members, to: &buffer)
        }
    }

    private static func write(_ values: [JSON], to buffer: inout ByteBuffer) {
        buffer.writeStaticString("[")
        for (index, value) in values.enumerated() {
            if index > 0 { buffer.writeStaticString(",") }
            value.write(to: &buffer)
        }
        buffer.writeStaticString("]")
    }

    private static func write(_ members: [(String, JSON)], to buffer: inout ByteBuffer) {
        buffer.writeStaticString("{")
        for (index, member) in members.enumerated() {
            if index > 0 { buffer.writeStaticString(",") }
            write(member.0, to: &buffer)
            buffer.writeStaticString(":")
            member.1.write(to: &buffer)
        }
        buffer.writeStaticString("}")
    }

    /// A quoted string, escaped as RFC 8259 asks.
    private static func write(_ text: String, to buffer: inout ByteBuffer) {
        buffer.writeStaticString("\"")
        let isPlain = text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x22 && $0 != 0x5c }
        if isPlain { buffer.writeString(text) } else { buffer.writeBytes(text.utf8.flatMap(escaped)) }
        buffer.writeStaticString("\"")
    }

    private static func escaped(_ byte: UInt8) -> [UInt8] {
        switch byte {
        case 0x22: Array("\\\"".utf8)
        case 0x5c: Array("\\\\".utf8)
        case 0x0a: Array("\\n".utf8)
        case 0x0d: Array("\\r".utf8)
        case 0x09: Array("\\t".utf8)
        case 0..<0x10: Array("\\u000\(String(byte, radix: 16))".utf8)
        case 0x10..<0x20: Array("\\u00\(String(byte, radix: 16))".utf8)
        default: [byte]
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
        members.append((name, value))
        self = .object(members)
    }
}
