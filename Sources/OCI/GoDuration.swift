/// Lengths of time as Go, and with it Docker, reads and writes them: `1s`, `500ms`, `1m30s`, `1.5h`.
package enum GoDuration {
    private static let units: [(name: String, nanoseconds: Int64)] = [
        ("ns", 1), ("us", 1000), ("µs", 1000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ]

    /// Nanoseconds of a text; nil for any other, for a sign, for a number of more than 18 digits, and past three centuries.
    package static func nanoseconds(_ text: String) -> Int64? {
        guard !text.isEmpty else { return nil }
        var rest = Substring(text)
        var total: Int64 = 0
        while !rest.isEmpty {
            let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(number.count)
            let name = rest.prefix { !($0.isASCII && ($0.isNumber || $0 == ".")) }
            rest = rest.dropFirst(name.count)
            guard let unit = units.first(where: { $0.name == name }),
                let part = amount(number, unit.nanoseconds)
            else { return nil }
            let (sum, overflows) = total.addingReportingOverflow(part)
            guard !overflows else { return nil }
            total = sum
        }
        return total
    }

    private static func amount(_ number: Substring, _ unit: Int64) -> Int64? {
        let parts = number.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), number.contains(where: \.isNumber), number.utf8.count <= 18,
            let whole = parts[0].isEmpty ? 0 : Int64(parts[0])
        else { return nil }
        var (result, overflows) = whole.multipliedReportingOverflow(by: unit)
        guard !overflows else { return nil }
        var worth = unit
        for digit in parts.count == 2 ? parts[1] : "" {
            worth /= 10
            let (sum, isTooMuch) = result.addingReportingOverflow(worth * Int64(digit.wholeNumberValue ?? 0))
            (result, overflows) = (sum, overflows || isTooMuch)
        }
        return overflows ? nil : result
    }

    /// `1m30s`, `1.5s`, `250ms`, of what is not negative.
    package static func text(_ duration: Duration) -> String {
        let (whole, attoseconds) = duration.components
        let nanoseconds = attoseconds / 1_000_000_000
        guard whole > 0 else {
            switch nanoseconds {
            case 0: return "0s"
            case ..<1_000: return "\(nanoseconds)ns"
            case ..<1_000_000: return decimal(nanoseconds, 1_000) + "µs"
            default: return decimal(nanoseconds, 1_000_000) + "ms"
            }
        }
        let seconds = decimal(whole % 60 * 1_000_000_000 + nanoseconds, 1_000_000_000) + "s"
        if whole < 60 { return seconds }
        return whole < 3600 ? "\(whole / 60)m\(seconds)" : "\(whole / 3600)h\(whole / 60 % 60)m\(seconds)"
    }

    /// `value / unit` without zeros at its end; `unit` is a power of ten.
    private static func decimal(_ value: Int64, _ unit: Int64) -> String {
        guard value % unit != 0 else { return "\(value / unit)" }
        var fraction = "\(unit + value % unit)".dropFirst()
        while fraction.last == "0" { fraction.removeLast() }
        return "\(value / unit).\(fraction)"
    }
}
