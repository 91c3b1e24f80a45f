/// What the text behind a flag, or a positional word, becomes.
protocol FlagValue {
    /// The value before any text.
    static var initial: Self { get }
    /// What help calls it, as pflag does.
    static var kind: String { get }
    /// Every occurrence adds to the value.
    static var isRepeated: Bool { get }
    /// There is a value that says that nothing was given.
    static var mayBeAbsent: Bool { get }
    /// Takes one occurrence; returns why it cannot be taken, or nil.
    mutating func take(_ text: String) -> String?
}

extension FlagValue {
    static var isRepeated: Bool { false }
    static var mayBeAbsent: Bool { false }
}

extension String: FlagValue {
    static var initial: String { "" }
    static var kind: String { "string" }
    mutating func take(_ text: String) -> String? {
        self = text
        return nil
    }
}

extension Array: FlagValue where Element == String {
    static var initial: [String] { [] }
    static var kind: String { "list" }
    static var isRepeated: Bool { true }
    mutating func take(_ text: String) -> String? {
        append(text)
        return nil
    }
}

extension Optional: FlagValue where Wrapped: FlagValue {
    static var initial: Wrapped? { nil }
    static var kind: String { Wrapped.kind }
    static var mayBeAbsent: Bool { true }
    mutating func take(_ text: String) -> String? {
        var value = Wrapped.initial
        if let reason = value.take(text) { return reason }
        self = value
        return nil
    }
}

/// Whole numbers, as Go's strconv reads them with base 0.
protocol FlagInteger: FlagValue, FixedWidthInteger {}

extension FlagInteger {
    static var initial: Self { 0 }
    mutating func take(_ text: String) -> String? {
        let function = Self.isSigned ? "ParseInt" : "ParseUint"
        let digits = text.hasPrefix("+") && Self.isSigned ? text.dropFirst() : text[...]
        if let value = Self(digits) {
            self = value
            return nil
        }
        let isNumber =
            !digits.isEmpty && digits.drop { $0 == "-" }.allSatisfy(\.isNumber)
            && (Self.isSigned || !digits.hasPrefix("-"))
        return "strconv.\(function): parsing \"\(text)\": \(isNumber ? "value out of range" : "invalid syntax")"
    }
}

extension Int: FlagInteger { static var kind: String { "int" } }
extension Int64: FlagInteger { static var kind: String { "int" } }
extension UInt16: FlagInteger { static var kind: String { "uint16" } }
