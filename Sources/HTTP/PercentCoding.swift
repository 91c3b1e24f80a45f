/// Decoding of paths and queries (RFC 3986 §2.1, and `+` as a blank in queries).
enum PercentCoding {
    /// `text` decoded once.
    ///
    /// - Returns: nil for a broken escape, a NUL or other control character, or bytes that are not UTF-8.
    static func decode(_ text: some Sequence<UInt8>, plusIsBlank: Bool = false) -> String? {
        var bytes: [UInt8] = []
        var rest = text.makeIterator()
        while let byte = rest.next() {
            switch byte {
            case UInt8(ascii: "%"):
                guard let high = rest.next().flatMap(digit), let low = rest.next().flatMap(digit) else { return nil }
                bytes.append(high << 4 | low)
            case UInt8(ascii: "+") where plusIsBlank: bytes.append(UInt8(ascii: " "))
            default: bytes.append(byte)
            }
        }
        guard !bytes.contains(0) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}

/// The query of a request target: names with their values in order.
package struct Query: Sendable, Hashable {
    private var values: [String: [String]] = [:]

    package init() {}

    /// A body that is a form (`application/x-www-form-urlencoded`).
    ///
    /// - Throws: ``HTTPError`` 400 for a broken escape.
    package init(form bytes: [UInt8]) throws(HTTPError) {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .badRequest("the form is not UTF-8") }
        try self.init(parsing: Substring(text).utf8)
    }

    /// - Throws: ``HTTPError`` 400 for a broken escape.
    init(parsing text: Substring.UTF8View) throws(HTTPError) {
        for pair in text.split(separator: UInt8(ascii: "&")) {
            let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count > 1 ? parts[1] : parts[0][parts[0].endIndex...]
            guard let name = PercentCoding.decode(parts[0], plusIsBlank: true),
                let decoded = PercentCoding.decode(value, plusIsBlank: true)
            else { throw .badRequest("invalid escape in the query") }
            values[name, default: []].append(decoded)
        }
    }

    /// The first value of `name`.
    package subscript(_ name: String) -> String? { values[name]?.first }

    /// Every value of `name`, in order.
    package func all(_ name: String) -> [String] { values[name] ?? [] }
}
