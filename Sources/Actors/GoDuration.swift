/// Lengths of time as Go, and with it Docker, reads and writes them.
enum GoDuration {
    private static let units: [(name: String, nanoseconds: Double)] = [
        ("ns", 1), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("h", 3.6e12), ("m", 6e10), ("s", 1e9),
    ]

    /// Nanoseconds of `24h`, `1h30m`, `1.5s`; nil for anything else, and past three centuries.
    static func nanoseconds(_ text: String) -> Int64? {
        var rest = Substring(text)
        var total = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0 == "." || ("0"..."9").contains($0) }
            guard let number = Double(digits) else { return nil }
            rest = rest.dropFirst(digits.count)
            guard let unit = units.first(where: { rest.hasPrefix($0.name) }) else { return nil }
            rest = rest.dropFirst(unit.name.count)
            total += number * unit.nanoseconds
        }
        return total < 9e18 ? Int64(total) : nil
    }

    /// `1m30s`, `1.5s`, `250ms`, of what is not negative.
    static func text(_ duration: Duration) -> String {
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
