@preconcurrency import Glibc

/// Sizes as Docker prints and reads them.
enum Sizes {
    private static let decimal = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]
    private static let binary = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]

    /// Powers of 1000 with `digits` significant digits: `1.05MB`.
    static func decimal(_ bytes: Double, digits: Int = 4) -> String { scaled(bytes, 1000, decimal, digits) }

    /// Powers of 1000, four significant digits, of a count.
    static func decimal(_ bytes: Int64) -> String { decimal(Double(bytes)) }

    /// Powers of 1024, four significant digits: `1.951GiB`.
    static func binary(_ bytes: Double) -> String { scaled(bytes, 1024, binary, 4) }

    private static func scaled(_ bytes: Double, _ base: Double, _ units: [String], _ digits: Int) -> String {
        var value = bytes
        var unit = 0
        while value >= base, unit < units.count - 1 {
            value /= base
            unit += 1
        }
        return formatted(value, "%.\(digits)g") + units[unit]
    }

    /// printf(3) of one number.
    static func formatted(_ value: Double, _ format: String) -> String {
        var buffer = [CChar](repeating: 0, count: 64)
        _ = withVaList([value]) { vsnprintf(&buffer, buffer.count, format, $0) }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Reads `512m`, `1.5g`, `64KiB`, `1024`: powers of 1024, in bytes.
    static func parse(_ text: String) throws(CLIError) -> Int64 {
        let invalid = CLIError("invalid size: '\(text)'")
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        var suffix = text.dropFirst(digits.count).lowercased().trimmed
        guard let number = Double(digits) else { throw invalid }
        if suffix.hasSuffix("b") { suffix.removeLast() }
        if suffix.hasSuffix("i") { suffix.removeLast() }
        guard suffix.count <= 1, let power = ["", "k", "m", "g", "t", "p"].firstIndex(of: suffix) else { throw invalid }
        let bytes = number * Double(Int64(1) << (10 * Int64(power)))
        guard bytes < 9e18 else { throw invalid }
        return Int64(bytes)
    }
}
