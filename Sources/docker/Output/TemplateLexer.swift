/// Cuts the text of a Go template into tokens, with the words of Go's text/template for what is none.
struct TemplateLexer {
    enum Kind {
        case error, bool, character, characterConstant, assign, declare, end, field, identifier, leftDelimiter
        case leftParenthesis, number, pipe, rawString, rightDelimiter, rightParenthesis, space, string, text, variable
        case keyword
    }

    struct Token {
        let kind: Kind
        /// Of its first byte.
        let position: Int
        let text: String
        /// Counted from 1.
        let line: Int

        /// As Go's parser says what it did not expect.
        var shown: String {
            switch kind {
            case .end: return "EOF"
            case .error: return text
            case .keyword: return "<\(text)>"
            default:
                guard text.unicodeScalars.count > 10 else { return text.goQuoted }
                return String(String.UnicodeScalarView(text.unicodeScalars.prefix(10))).goQuoted + "..."
            }
        }
    }

    /// `nil` and the dot stand among them, as in Go.
    static let keywords: Set = [
        ".", "block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template", "with",
    ]

    private let bytes: [UInt8]
    private var start = 0
    private var position = 0
    private var line = 1
    private var startLine = 1
    private var depth = 0
    private var isInAction = false
    private var tokens: [Token] = []

    /// All tokens of a text; the last one is `.end` or `.error`.
    static func tokens(of text: String) -> [Token] {
        var lexer = TemplateLexer(bytes: Array(text.utf8))
        while lexer.step() {}
        return lexer.tokens
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    // MARK: Bytes

    private func byte(_ offset: Int = 0) -> UInt8? {
        position + offset < bytes.count ? bytes[position + offset] : nil
    }

    private func has(_ mark: String, at offset: Int = 0) -> Bool {
        bytes[min(position + offset, bytes.count)...].starts(with: mark.utf8)
    }

    private static func isSpace(_ byte: UInt8?) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0d || byte == 0x0a }

    private static func isWord(_ byte: UInt8?) -> Bool {
        guard let byte else { return false }
        return byte == UInt8(ascii: "_") || byte >= 0x80 || isDigit(byte) || (0x41...0x5a).contains(byte & 0xdf)
    }

    private static func isDigit(_ byte: UInt8?) -> Bool { byte.map { (0x30...0x39).contains($0) } ?? false }

    /// The character at the position, as Go's `%#U`.
    private var named: String {
        guard let scalar = String(decoding: bytes[position...].prefix(4), as: UTF8.self).unicodeScalars.first else {
            return "U+FFFFFFFFFFFFFFFF"
        }
        return "\(GoPrintf.codePoint(Int64(scalar.value))) '\(scalar)'"
    }

    // MARK: Tokens

    private mutating func emit(_ kind: Kind) {
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        tokens.append(Token(kind: kind, position: start, text: text, line: startLine))
        ignore()
    }

    private mutating func ignore() {
        line += bytes[start..<position].count { $0 == 0x0a }
        start = position
        startLine = line
    }

    private mutating func fail(_ message: String) -> Bool {
        tokens.append(Token(kind: .error, position: start, text: message, line: startLine))
        return false
    }

    /// Reads on; false at the end.
    private mutating func step() -> Bool { isInAction ? action() : text() }

    private mutating func text() -> Bool {
        while position < bytes.count, !has("{{") { position += 1 }
        guard position < bytes.count else {
            if position > start { emit(.text) }
            emit(.end)
            return false
        }
        let open = position
        let trims = byte(2) == UInt8(ascii: "-") && Self.isSpace(byte(3))
        if trims { while position > start, Self.isSpace(bytes[position - 1]) { position -= 1 } }
        if position > start { emit(.text) }
        position = open
        ignore()
        let marker = trims ? 4 : 2
        if has("/*", at: marker) { return comment(from: marker) }
        position += 2
        emit(.leftDelimiter)
        if trims {
            position += 2
            ignore()
        }
        (isInAction, depth) = (true, 0)
        return true
    }

    private mutating func comment(from offset: Int) -> Bool {
        position += offset + 2
        while position < bytes.count, !has("*/") { position += 1 }
        guard position < bytes.count else { return fail("unclosed comment") }
        position += 2
        guard let trims = closing else { return fail("comment ends before closing delimiter") }
        position += trims ? 4 : 2
        if trims { while Self.isSpace(byte()) { position += 1 } }
        ignore()
        return true
    }

    /// Whether the text goes on with the closing delimiter, and whether that trims; nil when it does not.
    private var closing: Bool? {
        if Self.isSpace(byte()), byte(1) == UInt8(ascii: "-"), has("}}", at: 2) { return true }
        return has("}}") ? false : nil
    }

    private mutating func close(trims: Bool) -> Bool {
        if trims {
            position += 2
            ignore()
        }
        position += 2
        emit(.rightDelimiter)
        if trims {
            while Self.isSpace(byte()) { position += 1 }
            ignore()
        }
        isInAction = false
        return true
    }

    private mutating func action() -> Bool {
        if let trims = closing { return depth == 0 ? close(trims: trims) : fail("unclosed left paren") }
        guard let first = byte() else { return fail("unclosed action") }
        if Self.isSpace(first) { return space() }
        position += 1
        switch Character(Unicode.Scalar(first)) {
        case "=": emit(.assign)
        case ":":
            guard byte() == UInt8(ascii: "=") else { return fail("expected :=") }
            position += 1
            emit(.declare)
        case "|": emit(.pipe)
        case "\"": return quoted(by: first, .string, "unterminated quoted string")
        case "'": return quoted(by: first, .characterConstant, "unterminated character constant")
        case "`":
            while let next = byte(), next != first { position += 1 }
            guard byte() != nil else { return fail("unterminated raw quoted string") }
            position += 1
            emit(.rawString)
        case "$": return name(.variable)
        case "." where byte() != nil && !Self.isDigit(byte()): return name(.field)
        case ".", "+", "-", "0"..."9":
            position -= 1
            return number()
        case "(":
            depth += 1
            emit(.leftParenthesis)
        case ")":
            depth -= 1
            guard depth >= 0 else { return fail("unexpected right paren") }
            emit(.rightParenthesis)
        case _ where Self.isWord(first): return word()
        case _ where (0x20..<0x7f).contains(first): emit(.character)
        default:
            position -= 1
            return fail("unrecognized character in action: \(named)")
        }
        return true
    }

    private mutating func space() -> Bool {
        while Self.isSpace(byte()) {
            // The last one may belong to a delimiter that trims.
            if closing == true {
                if position > start { emit(.space) }
                return close(trims: true)
            }
            position += 1
        }
        emit(.space)
        return true
    }

    private mutating func quoted(by quote: UInt8, _ kind: Kind, _ failure: String) -> Bool {
        while let next = byte(), next != quote {
            guard next != 0x0a else { return fail(failure) }
            position += 1
            if next == UInt8(ascii: "\\"), let escaped = byte() {
                guard escaped != 0x0a else { return fail(failure) }
                position += 1
            }
        }
        guard byte() != nil else { return fail(failure) }
        position += 1
        emit(kind)
        return true
    }

    /// What may follow a name without a space.
    private var isAtTerminator: Bool {
        guard let next = byte() else { return true }
        return Self.isSpace(next) || ".,|:)(".utf8.contains(next) || has("}}")
    }

    private mutating func name(_ kind: Kind) -> Bool {
        if isAtTerminator {
            emit(kind == .field ? .keyword : kind)
            return true
        }
        while Self.isWord(byte()) { position += 1 }
        guard isAtTerminator else { return fail("bad character \(named)") }
        emit(kind)
        return true
    }

    private mutating func word() -> Bool {
        while Self.isWord(byte()) { position += 1 }
        guard isAtTerminator else { return fail("bad character \(named)") }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        emit(text == "true" || text == "false" ? .bool : Self.keywords.contains(text) ? .keyword : .identifier)
        return true
    }

    private mutating func number() -> Bool {
        func accept(_ set: String) -> Bool {
            guard let next = byte(), set.utf8.contains(next) else { return false }
            position += 1
            return true
        }
        _ = accept("+-")
        var digits = "0123456789_"
        if accept("0") {
            digits =
                accept("xX") ? "0123456789abcdefABCDEF_" : accept("oO") ? "01234567_" : accept("bB") ? "01_" : digits
        }
        while accept(digits) {}
        if accept(".") { while accept(digits) {} }
        let isHexadecimal = digits.utf8.count == 23
        if digits.utf8.count == 11 && accept("eE") || isHexadecimal && accept("pP") {
            _ = accept("+-")
            while accept("0123456789_") {}
        }
        guard !Self.isWord(byte()) else {
            position += 1
            return fail("bad number syntax: \(String(decoding: bytes[start..<position], as: UTF8.self).goQuoted)")
        }
        emit(.number)
        return true
    }
}
