/// Sizes, times and counts, in Docker's words.
enum Wording {
    /// `12.3 MB`: powers of 1000, three digits.
    static func size(_ bytes: Int64) -> String {
        let units = ["B", "kB", "MB", "GB", "TB", "PB"]
        var (value, unit) = (Double(max(0, bytes)), 0)
        while value >= 999.5, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        return "\(short(value, isWhole: unit == 0)) \(units[unit])"
    }

    /// `1,234`, and `12.3k` from ten thousand on.
    static func count(_ value: Int64) -> String {
        switch value {
        case ..<10_000: return grouped(value)
        case ..<999_500: return short(Double(value) / 1000, isWhole: false) + "k"
        case ..<999_500_000: return short(Double(value) / 1e6, isWhole: false) + "M"
        default: return short(Double(value) / 1e9, isWhole: false) + "G"
        }
    }

    /// `1 tag`, `2 tags`.
    static func count(_ value: Int64, _ one: String, _ many: String) -> String {
        "\(count(value)) \(value == 1 ? one : many)"
    }

    static func grouped(_ value: Int64) -> String {
        let digits = Array("\(abs(value))")
        var result = value < 0 ? "-" : ""
        for (position, digit) in digits.enumerated() {
            if position > 0, (digits.count - position) % 3 == 0 { result += "," }
            result.append(digit)
        }
        return result
    }

    /// Three digits at most, without a zero behind the point.
    private static func short(_ value: Double, isWhole: Bool) -> String {
        if isWhole || value >= 99.95 { return "\(Int64(value.rounded()))" }
        let tenths = Int64((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
    }

    /// `3 days ago`, as `docker images` says it.
    ///
    /// - Parameters: seconds since 1970.
    static func ago(_ time: Int64, now: Int64) -> String {
        // A clock that is ahead of ours.
        let seconds = max(0, now.subtractingReportingOverflow(time).partialValue)
        let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600)
        switch seconds {
        case ..<2: return "just now"
        case ..<60: return "\(seconds) seconds ago"
        case ..<120: return "a minute ago"
        case ..<3600: return "\(minutes) minutes ago"
        case _ where hours < 2: return "an hour ago"
        case _ where hours < 48: return "\(hours) hours ago"
        case _ where hours < 24 * 14: return "\(hours / 24) days ago"
        case _ where hours < 24 * 60: return "\(hours / 24 / 7) weeks ago"
        case _ where hours < 24 * 365 * 2: return "\(hours / 24 / 30) months ago"
        default: return "\(hours / 24 / 365) years ago"
        }
    }
}

extension HTML {
    /// How long ago; the exact time is its title.
    static func time(_ time: Int64, now: Int64) -> HTML {
        let iso = Timestamp.text(time)
        return "<time datetime=\"\(iso)\" title=\"\(iso)\">\(Wording.ago(time, now: now))</time>"
    }
}
