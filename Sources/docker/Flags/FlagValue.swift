/// What the text behind a flag, or a positional word, becomes.
protocol FlagValue {
    /// The value before any text.
    static var initial: Self { get }
    /// What help calls it, as pflag does.
    static var kind: String { get }
    /// Every occurrence adds to the value.
    static var isRepeated: Bool { get }
    /// The flag may stand without a value and then means `true`.
    static var isSwitch: Bool { get }
    /// There is a value that says that nothing was given.
    static var mayBeAbsent: Bool { get }
    /// Takes one occurrence; returns why it cannot be taken, or nil.
    mutating func take(_ text: String) -> String?
}

extension FlagValue {
    static var isRepeated: Bool { false }
    static var isSwitch: Bool { false }
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

/// Whole numbers, as Go's strconv reads them.
protocol FlagInteger: FlagValue, FixedWidthInteger {}

extension FlagInteger {
    static var initial: Self { 0 }

    /// Takes a number whose prefix says its base: `0x`, `0o`, `0b`, `0`; else it is decimal.
    mutating func take(_ text: String) -> String? {
        let function = Self.isSigned ? "ParseInt" : "ParseUint"
        return read(text, anyBase: true).map { "strconv.\(function): parsing \(text.goQuoted): \($0)" }
    }

    /// Takes a decimal number.
    ///
    /// - Returns: why it is none: `invalid syntax` or `value out of range`.
    mutating func takeDecimal(_ text: String) -> String? { read(text, anyBase: false) }

    private mutating func read(_ text: String, anyBase: Bool) -> String? {
        let sign = Self.isSigned ? text.first.flatMap { "+-".contains($0) ? String($0) : nil } ?? "" : ""
        var digits = String(text.dropFirst(sign.count))
        var radix = 10
        if anyBase, digits.utf8.count > 1, digits.hasPrefix("0") {
            let bases: [Character: Int] = ["x": 16, "X": 16, "o": 8, "O": 8, "b": 2, "B": 2]
            let named = digits.dropFirst().first.flatMap { bases[$0] }
            radix = named ?? 8
            digits = String(digits.dropFirst(named == nil ? 1 : 2))
            if digits.hasPrefix("_") { digits.removeFirst() }
        }
        if anyBase, !digits.hasPrefix("_"), !digits.hasSuffix("_"), !digits.contains("__") {
            digits.removeAll { $0 == "_" }
        }
        guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.hexDigitValue.map { $0 < radix } ?? false }) else {
            return "invalid syntax"
        }
        guard let value = Self((sign == "-" ? "-" : "") + digits, radix: radix) else { return "value out of range" }
        self = value
        return nil
    }
}

extension Int: FlagInteger { static var kind: String { "int" } }
extension Int64: FlagInteger { static var kind: String { "int" } }
extension UInt64: FlagInteger { static var kind: String { "uint" } }
extension UInt16: FlagInteger { static var kind: String { "uint16" } }
