/// The `until` filter of prunes: only what is older than that.
enum PruneAge {
    /// - Parameter text: seconds since 1970, RFC 3339, or a Go duration (`24h`, `1h30m`) before now.
    /// - Throws: ``EngineError`` `.invalidParameter`.
    static func time(_ text: String, now: Timestamp = .now()) throws -> Timestamp {
        if let time = Timestamp(text) { return time }
        if let seconds = Int64(text), seconds.magnitude < UInt64(Int64.max / 1_000_000_000) {
            return Timestamp(nanosecondsSince1970: seconds * 1_000_000_000)
        }
        guard let age = duration(text) else {
            throw EngineError.invalid("invalid filter 'until=\(text.printable)': want a time or a duration such as 24h")
        }
        return Timestamp(nanosecondsSince1970: now.nanosecondsSince1970 - age)
    }

    private static let units: [(name: String, nanoseconds: Double)] = [
        ("ns", 1), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("h", 3.6e12), ("m", 6e10), ("s", 1e9),
    ]

    /// Nanoseconds of a Go duration; nil for anything else, and past three centuries.
    private static func duration(_ text: String) -> Int64? {
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
}
