/// Times as Go's `time.ParseDuration` takes them: `1s`, `500ms`, `1m30s`, `1.5h`.
enum GoDuration {
    private static let units: [(name: String, nanoseconds: Int64)] = [
        ("ns", 1), ("us", 1000), ("µs", 1000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ]

    /// nil for any other text, for a sign, and for what has more than 18 digits.
    static func parse(_ text: String) -> Duration? {
        guard !text.isEmpty else { return nil }
        var rest = Substring(text)
        var total: Int64 = 0
        while !rest.isEmpty {
            let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(number.count)
            let name = rest.prefix { !($0.isASCII && ($0.isNumber || $0 == ".")) }
            rest = rest.dropFirst(name.count)
            guard let unit = units.first(where: { $0.name == name }),
                let part = nanoseconds(number, unit.nanoseconds)
            else { return nil }
            let (sum, overflows) = total.addingReportingOverflow(part)
            guard !overflows else { return nil }
            total = sum
        }
        return .nanoseconds(total)
    }

    private static func nanoseconds(_ number: Substring, _ unit: Int64) -> Int64? {
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
}
