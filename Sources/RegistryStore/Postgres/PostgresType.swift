/// The types of PostgreSQL that an index has (pg_type).
enum PostgresType {
    static let bool: UInt32 = 16
    static let bytes: UInt32 = 17
    static let int8: UInt32 = 20
    static let int2: UInt32 = 21
    static let int4: UInt32 = 23
    static let text: UInt32 = 25
    static let oid: UInt32 = 26
    /// Of sums; those of ours are whole numbers.
    static let numeric: UInt32 = 1700

    /// The type that a statement is prepared with for a value; 0 lets the server find one.
    static func of(_ value: SQLValue) -> UInt32 {
        switch value {
        case .null: 0
        case .integer: int8
        case .text: text
        case .bytes: bytes
        }
    }

    /// A value that came as text.
    static func value(_ raw: UnsafeRawBufferPointer, _ type: UInt32) -> SQLValue {
        switch type {
        case bytes: return .bytes(unhex(raw))
        case bool: return .integer(raw.first == UInt8(ascii: "t") ? 1 : 0)
        case int2, int4, int8, oid, numeric:
            let digits = String(decoding: raw, as: UTF8.self)
            return Int64(digits).map { .integer($0) } ?? .text(digits)
        default: return .text(String(decoding: raw, as: UTF8.self))
        }
    }

    /// `\x` and two digits for each byte.
    private static func unhex(_ raw: UnsafeRawBufferPointer) -> [UInt8] {
        guard raw.count >= 2 else { return [] }
        let count = raw.count / 2 - 1
        return [UInt8](unsafeUninitializedCapacity: count) { bytes, filled in
            for place in 0..<count {
                bytes[place] = nibble(raw[2 + place * 2]) << 4 | nibble(raw[3 + place * 2])
            }
            filled = count
        }
    }

    private static func nibble(_ digit: UInt8) -> UInt8 { digit < 0x3a ? digit & 0xf : (digit & 0xf) + 9 }

    /// `sql` with `$1`, `$2`, … for its `?`; what is quoted or a comment stays.
    static func numbered(_ sql: String) -> String {
        var result: [UInt8] = []
        var count = 0
        var quote: UInt8?
        var previous: UInt8 = 0
        for byte in sql.utf8 {
            if let end = quote {
                if byte == end { quote = nil }
            } else if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
                quote = byte
            } else if byte == UInt8(ascii: "-"), previous == byte {
                quote = UInt8(ascii: "\n")
            } else if byte == UInt8(ascii: "?") {
                count += 1
                result += Array("$\(count)".utf8)
                previous = byte
                continue
            }
            previous = byte
            result.append(byte)
        }
        return String(decoding: result, as: UTF8.self)
    }
}

/// Arguments as libpq takes them: texts with a zero at their end, bytes as they are.
struct WireArguments {
    private var bytes: [UInt8] = []
    /// Where each begins; nil for null.
    private var places: [Int?] = []
    private(set) var lengths: [CInt] = []
    /// 1 for bytes.
    private(set) var formats: [CInt] = []

    init(_ values: [SQLValue]) {
        for value in values {
            places.append(value == .null ? nil : bytes.count)
            let start = bytes.count
            var format: CInt = 0
            switch value {
            case .null: break
            case .integer(let number): bytes += Array(String(number).utf8)
            // As bytes, so that one which has a zero is refused and not cut short.
            case .text(let text):
                bytes += Array(text.utf8)
                format = 1
            case .bytes(let value):
                bytes += value
                format = 1
            }
            lengths.append(CInt(clamping: bytes.count - start))
            formats.append(format)
            bytes.append(0)
        }
    }

    func withPointers<Value>(_ body: ([UnsafePointer<CChar>?]) -> Value) -> Value {
        bytes.withUnsafeBytes { buffer in
            let start = buffer.baseAddress
            return body(
                places.map { place in
                    place.flatMap { start?.advanced(by: $0).assumingMemoryBound(to: CChar.self) }
                })
        }
    }
}
