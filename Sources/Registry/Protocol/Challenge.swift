/// One challenge of a `WWW-Authenticate` header (RFC 9110 §11.6.1).
struct Challenge: Sendable, Hashable {
    /// Lower case: `basic`, `bearer`, or what else the server said.
    let scheme: String
    /// By lower-case name; the first of two equal names stands.
    let parameters: [String: String]

    /// The challenges of all values of the header, in order; what cannot be read ends its value.
    static func parse(_ values: [String]) -> [Challenge] {
        values.flatMap { value in
            var scanner = Scanner(bytes: Array(value.utf8.prefix(Scanner.bytesMax)))
            return scanner.challenges()
        }
    }

    /// Reads one header value. Comma separates parameters *and* challenges: a token not followed by `=` starts the next.
    private struct Scanner {
        /// Bytes of one value that are looked at.
        static let bytesMax = 8 << 10
        /// Challenges of one value that are looked at; honest servers send one or two.
        static let challengesMax = 16

        let bytes: [UInt8]
        var position = 0

        mutating func challenges() -> [Challenge] {
            var result: [Challenge] = []
            while result.count < Self.challengesMax {
                skip { Self.isBlank($0) || $0 == 0x2c }
                guard let scheme = token() else { return result }
                result.append(Challenge(scheme: scheme.lowercased(), parameters: parameters()))
            }
            return result
        }

        private mutating func parameters() -> [String: String] {
            var result: [String: String] = [:]
            while true {
                let start = position
                skip { Self.isBlank($0) || $0 == 0x2c }
                guard let name = token() else { return result }
                skip(Self.isBlank)
                guard peek == 0x3d else {
                    position = start  // not a parameter: the scheme of the next challenge
                    return result
                }
                position += 1
                skip(Self.isBlank)
                guard let value = peek == 0x22 ? quoted() : token() else { return result }
                if result[name.lowercased()] == nil { result[name.lowercased()] = value }
            }
        }

        private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

        private mutating func skip(_ condition: (UInt8) -> Bool) {
            while let byte = peek, condition(byte) { position += 1 }
        }

        private mutating func token() -> String? {
            let start = position
            skip { (0x21...0x7e).contains($0) && !Self.delimiters.contains($0) }
            return position > start ? String(decoding: bytes[start..<position], as: UTF8.self) : nil
        }

        private mutating func quoted() -> String? {
            var result: [UInt8] = []
            position += 1
            while let byte = peek {
                position += 1
                switch byte {
                case 0x22: return String(decoding: result, as: UTF8.self)
                case 0x5c:
                    guard let escaped = peek else { return nil }
                    result.append(escaped)
                    position += 1
                default: result.append(byte)
                }
            }
            return nil
        }

        private static let delimiters = Set(Array(#"(),;<=>?@[\]{}""#.utf8))
        private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
    }
}
