import OCI

/// Reads the part of TOML 1.0 (<https://toml.io/en/v1.0.0>) that hosts.toml is written in: tables, dotted keys, text in one
/// line, `true` and `false`, arrays, inline tables, comments. Numbers, dates, text over several lines and arrays of tables
/// are refused by name.
///
/// Ours, because the packages for it lose the order of tables, which is the order in which hosts are asked, and the lines.
struct TOMLParser {
    /// Arrays and tables inside of each other, and parts of a key: hosts.toml has four.
    private static let depthMax = 8
    /// Values and headers of a document, far beyond any list of hosts.
    private static let valuesMax = 4096

    private let bytes: [UInt8]
    private var place = 0
    private var line = 1
    private var values = 0

    /// - Throws: `TOMLError` that says in which line it is wrong.
    static func parse(_ bytes: [UInt8]) throws(TOMLError) -> TOMLTable {
        try checkCharacters(bytes)
        var parser = TOMLParser(bytes: bytes)
        return try parser.document()
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// UTF-8 without control characters but tabs and ends of lines.
    private static func checkCharacters(_ bytes: [UInt8]) throws(TOMLError) {
        for (number, text) in bytes.split(separator: 0x0a, omittingEmptySubsequences: false).enumerated() {
            let text = text.last == 0x0d && text.endIndex < bytes.endIndex ? text.dropLast() : text
            guard !text.contains(where: { ($0 < 0x20 && $0 != 0x09) || $0 == 0x7f }) else {
                throw TOMLError(number + 1, "there is a control character", remedy: "take it out")
            }
            guard String(validating: text, as: UTF8.self) != nil else {
                throw TOMLError(number + 1, "it is not UTF-8")
            }
        }
    }

    private mutating func document() throws(TOMLError) -> TOMLTable {
        var root = TOMLTable(.header)
        var header: [String] = []
        while true {
            skipBlanks()
            guard let byte = peek else { return root }
            switch byte {
            case UInt8(ascii: "#"), 0x0a, 0x0d: break
            case UInt8(ascii: "["):
                header = try tableHeader()
                try count()
                try root.define(header[...], line: line)
            default:
                let start = line
                let path = try key()
                try expect("=", "after a key")
                try root.insert(try value(depth: 0), under: header[...], at: path[...], line: start)
            }
            try endLine()
        }
    }

    private mutating func tableHeader() throws(TOMLError) -> [String] {
        place += 1
        guard peek != UInt8(ascii: "[") else { throw TOMLError(line, "arrays of tables are not read") }
        skipBlanks()
        let path = try key()
        try expect("]", "after the name of a table")
        return path
    }

    /// One or more parts between dots.
    private mutating func key() throws(TOMLError) -> [String] {
        var parts = [try keyPart()]
        while true {
            skipBlanks()
            guard peek == UInt8(ascii: ".") else { return parts }
            place += 1
            skipBlanks()
            parts.append(try keyPart())
            guard parts.count <= Self.depthMax else {
                throw TOMLError(line, "a key has more than \(Self.depthMax) parts")
            }
        }
    }

    private mutating func keyPart() throws(TOMLError) -> String {
        switch peek {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return try text()
        default:
            let start = place
            while let byte = peek, Self.isBare(byte) { place += 1 }
            guard place > start else { throw unexpected("where a key should be") }
            return String(decoding: bytes[start..<place], as: UTF8.self)
        }
    }

    private static func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    private mutating func value(depth: Int) throws(TOMLError) -> TOMLValue {
        skipBlanks()
        try count()
        guard depth < Self.depthMax else {
            throw TOMLError(line, "values are nested deeper than \(Self.depthMax)")
        }
        let start = line
        switch peek {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return TOMLValue(.string(try text()), line: start)
        case UInt8(ascii: "["): return TOMLValue(.array(try array(depth: depth + 1)), line: start)
        case UInt8(ascii: "{"): return TOMLValue(.table(try inlineTable(depth: depth + 1)), line: start)
        default: return TOMLValue(.boolean(try boolean()), line: start)
        }
    }

    private mutating func boolean() throws(TOMLError) -> Bool {
        let start = place
        while let byte = peek,
            Self.isBare(byte) || [UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "+")].contains(byte)
        { place += 1 }
        let word = String(decoding: bytes[start..<place], as: UTF8.self)
        switch word {
        case "true": return true
        case "false": return false
        case "": throw unexpected("where a value should be")
        default:
            throw TOMLError(
                line, "\(TOMLError.quoted(word)) is no value", remedy: "give text in quotes, true or false")
        }
    }

    private mutating func array(depth: Int) throws(TOMLError) -> [TOMLValue] {
        place += 1
        var items: [TOMLValue] = []
        while true {
            try skipLines()
            if take(UInt8(ascii: "]")) { return items }
            items.append(try value(depth: depth))
            try skipLines()
            if take(UInt8(ascii: ",")) { continue }
            try expect("]", "after a value of an array")
            return items
        }
    }

    private mutating func inlineTable(depth: Int) throws(TOMLError) -> TOMLTable {
        place += 1
        var table = TOMLTable(.dotted)
        skipBlanks()
        if take(UInt8(ascii: "}")) { return table.closed() }
        while true {
            skipBlanks()
            let path = try key()
            try expect("=", "after a key")
            try table.insert(try value(depth: depth), under: [], at: path[...], line: line)
            skipBlanks()
            if take(UInt8(ascii: ",")) { continue }
            try expect("}", "after a value of an inline table")
            return table.closed()
        }
    }

    // MARK: Text

    /// What stands between quotes: as it is between single ones, with escapes between double ones.
    private mutating func text() throws(TOMLError) -> String {
        let quote = bytes[place]
        guard !bytes[place...].starts(with: [quote, quote, quote]) else {
            throw TOMLError(line, "text over several lines is not read", remedy: "write it in one line")
        }
        place += 1
        var result: [UInt8] = []
        while let byte = peek, byte != 0x0a, byte != 0x0d {
            place += 1
            if byte == quote { return String(decoding: result, as: UTF8.self) }
            if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
                result.append(contentsOf: try escaped())
            } else {
                result.append(byte)
            }
        }
        throw TOMLError(line, "text has no end", remedy: "close its quote in the same line")
    }

    private mutating func escaped() throws(TOMLError) -> [UInt8] {
        guard let byte = peek else { throw unexpected("after a backslash") }
        place += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "f"): return [0x0c]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "u"): return try scalar(digits: 4)
        case UInt8(ascii: "U"): return try scalar(digits: 8)
        default:
            throw TOMLError(
                line, "a backslash stands before what is no escape", remedy: "write two, or use single quotes")
        }
    }

    private mutating func scalar(digits: Int) throws(TOMLError) -> [UInt8] {
        let text = bytes[place...].prefix(digits)
        // Without the first check a sign would do.
        guard text.count == digits, text.allSatisfy({ Character(UnicodeScalar($0)).isHexDigit }),
            let number = UInt32(String(decoding: text, as: UTF8.self), radix: 16), let scalar = Unicode.Scalar(number)
        else { throw TOMLError(line, "an escape names no character", remedy: "give \(digits) hexadecimal digits") }
        place += digits
        return Array(String(Character(scalar)).utf8)
    }

    // MARK: Between the values

    private var peek: UInt8? { place < bytes.count ? bytes[place] : nil }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard peek == byte else { return false }
        place += 1
        return true
    }

    private mutating func expect(_ character: Unicode.Scalar, _ position: String) throws(TOMLError) {
        skipBlanks()
        guard take(UInt8(ascii: character)) else { throw unexpected("\(position): \(character) belongs there") }
    }

    private mutating func skipBlanks() {
        while let byte = peek, byte == 0x20 || byte == 0x09 { place += 1 }
    }

    /// Blanks, comments and ends of lines.
    private mutating func skipLines() throws(TOMLError) {
        while true {
            skipBlanks()
            guard let byte = peek, [UInt8(ascii: "#"), 0x0a, 0x0d].contains(byte) else { return }
            try endLine()
        }
    }

    private mutating func endLine() throws(TOMLError) {
        skipBlanks()
        if peek == UInt8(ascii: "#") { while let byte = peek, byte != 0x0a { place += 1 } }
        // Only before the end of a line, as was checked.
        if peek == 0x0d { place += 1 }
        guard let byte = peek else { return }
        guard byte == 0x0a else { throw unexpected("where the line should end") }
        place += 1
        line += 1
    }

    private mutating func count() throws(TOMLError) {
        values += 1
        guard values <= Self.valuesMax else { throw TOMLError(line, "there are more than \(Self.valuesMax) values") }
    }

    private func unexpected(_ position: String) -> TOMLError {
        guard let byte = peek, byte != 0x0a, byte != 0x0d else { return TOMLError(line, "the line ends \(position)") }
        let rest = bytes[place...].prefix { $0 != 0x0a && $0 != 0x0d }
        return TOMLError(line, "there is \(TOMLError.quoted(String(decoding: rest, as: UTF8.self))) \(position)")
    }
}

extension TOMLError {
    /// `text` in quotes, cut.
    static func quoted(_ text: String) -> String { OCIError.quoted(text) }
}
