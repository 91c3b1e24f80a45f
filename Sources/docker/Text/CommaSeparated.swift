/// Lines of comma-separated values (RFC 4180), as strict as Go's encoding/csv and with its errors.
struct CommaSeparated {
    private let bytes: [UInt8]
    private var position = 0

    private static let quote = UInt8(ascii: "\"")
    private static let comma = UInt8(ascii: ",")

    /// The fields of the first line of a text that is not empty.
    static func fields(_ text: String) throws(FlagReason) -> [String] {
        var reader = CommaSeparated(text)
        guard !reader.bytes.isEmpty else { throw FlagReason("EOF") }
        var fields = [try reader.field()]
        while reader.position < reader.bytes.count {
            reader.position += 1
            fields.append(try reader.field())
        }
        return fields
    }

    private init(_ text: String) {
        // A quoted field may hold line ends; nothing that reads these lines wants more than the first of them.
        bytes = Array(text.utf8.drop { $0 == 0x0a }.prefix { $0 != 0x0a })
    }

    /// One field; the position is then at the comma behind it or at the end.
    private mutating func field() throws(FlagReason) -> String {
        if position < bytes.count, bytes[position] == Self.quote { return try quotedField() }
        let start = position
        while position < bytes.count, bytes[position] != Self.comma {
            guard bytes[position] != Self.quote else { throw error("bare \" in non-quoted-field") }
            position += 1
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func quotedField() throws(FlagReason) -> String {
        var value: [UInt8] = []
        position += 1
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            guard byte == Self.quote else {
                value.append(byte)
                continue
            }
            guard position < bytes.count, bytes[position] != Self.comma else {
                return String(decoding: value, as: UTF8.self)
            }
            guard bytes[position] == Self.quote else {
                position -= 1
                break
            }
            value.append(Self.quote)
            position += 1
        }
        throw error("extraneous or missing \" in quoted-field")
    }

    private func error(_ reason: String) -> FlagReason {
        FlagReason("parse error on line 1, column \(position + 1): \(reason)")
    }
}
