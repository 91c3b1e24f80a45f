@preconcurrency import Glibc

/// Points in time as Docker prints and reads them.
enum Times {
    /// A date, or a date and time down to the nanosecond, with or without a zone: without one it is local time.
    ///
    /// - Returns: seconds and nanoseconds since 1970; `nil` when malformed.
    static func instant(_ text: String) -> (seconds: Int, nanoseconds: Int)? {
        let (date, time) = text.cut("T")
        let days = date.split(separator: "-", omittingEmptySubsequences: false)
        guard days.map(\.utf8.count) == [4, 2, 2], let year = Int(days[0]), let month = Int(days[1]),
            let day = Int(days[2]),
            (1...12).contains(month), (1...31).contains(day)
        else { return nil }
        let (clock, zone) = zone(of: time ?? "")
        let (whole, fraction) = clock.cut(".")
        let parts = whole.split(separator: ":", omittingEmptySubsequences: time == nil)
        let numbers = parts.compactMap { $0.utf8.count == 2 ? Int($0) : nil }
        guard numbers.count == parts.count, numbers.count <= 3,
            zip(numbers, [24, 60, 61]).allSatisfy({ $0 < $1 && $0 >= 0 })
        else { return nil }
        let digits = (fraction ?? "").prefix(9)
        guard let nanoseconds = Int(digits + String(repeating: "0", count: 9 - digits.count)), nanoseconds >= 0 else {
            return nil
        }
        var broken = tm()
        broken.tm_year = CInt(clamping: year - 1900)
        broken.tm_mon = CInt(clamping: month - 1)
        broken.tm_mday = CInt(clamping: day)
        broken.tm_hour = CInt(clamping: numbers.first ?? 0)
        broken.tm_min = CInt(clamping: numbers.count > 1 ? numbers[1] : 0)
        broken.tm_sec = CInt(clamping: numbers.count > 2 ? numbers[2] : 0)
        broken.tm_isdst = -1
        guard let zone else { return (mktime(&broken), nanoseconds) }
        return offsetSeconds(zone).map { (timegm(&broken) - $0, nanoseconds) }
    }

    /// A time of day and the zone behind it: `Z`, `+01:00` or `-01:00`.
    private static func zone(of time: String) -> (clock: String, zone: String?) {
        guard let start = time.firstIndex(where: { "Z+-".contains($0) }) else { return (time, nil) }
        return (String(time[..<start]), String(time[start...]))
    }

    private static func offsetSeconds(_ zone: String) -> Int? {
        if zone == "Z" { return 0 }
        let parts = zone.dropFirst().split(separator: ":").compactMap { UInt8($0) }
        guard parts.count == 2 else { return nil }
        return (Int(parts[0]) * 60 + Int(parts[1])) * 60 * (zone.hasPrefix("-") ? -1 : 1)
    }

    /// Now, in seconds since 1970.
    static var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Go's `HumanDuration`: `Less than a second`, `About a minute`, `3 hours`.
    static func human(_ seconds: Double) -> String {
        let whole = Int(max(seconds, 0))
        let minutes = whole / 60
        let hours = Int((max(seconds, 0) / 3600).rounded())
        switch true {
        case whole < 1: return "Less than a second"
        case whole == 1: return "1 second"
        case whole < 60: return "\(whole) seconds"
        case minutes == 1: return "About a minute"
        case minutes < 60: return "\(minutes) minutes"
        case hours == 1: return "About an hour"
        case hours < 48: return "\(hours) hours"
        case hours < 24 * 7 * 2: return "\(hours / 24) days"
        case hours < 24 * 30 * 2: return "\(hours / 24 / 7) weeks"
        case hours < 24 * 365 * 2: return "\(hours / 24 / 30) months"
        default: return "\(Int(seconds / 3600) / 24 / 365) years"
        }
    }

    /// `3 hours ago`.
    static func ago(_ seconds: Double) -> String { human(now - seconds) + " ago" }

    /// strftime(3) in local time.
    static func local(_ seconds: Double, _ format: String) -> String {
        var time = time_t(seconds)
        var broken = tm()
        localtime_r(&time, &broken)
        var buffer = [CChar](repeating: 0, count: 128)
        let count = strftime(&buffer, buffer.count, format, &broken)
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Go's `2006-01-02 15:04:05 -0700 MST`.
    static func goString(_ seconds: Double) -> String { local(seconds, "%Y-%m-%d %H:%M:%S %z %Z") }

    /// The same of a time in RFC 3339, with its fraction of a second and in its own zone; as it is when it is none.
    static func goString(rfc3339 text: String) -> String {
        let (date, clock) = text.cut("T")
        guard let clock, instant(text) != nil, case (let time, let zone?) = zone(of: clock) else { return text }
        let (whole, fraction) = time.cut(".")
        var digits = fraction ?? ""
        while digits.hasSuffix("0") { digits.removeLast() }
        let offset = zone.filter { $0 != ":" }
        return "\(date) \(whole)\(digits.isEmpty ? "" : "." + digits) "
            + (zone == "Z" ? "+0000 UTC" : "\(offset) \(offset)")
    }

    /// RFC 3339 in local time, as `2026-01-02T03:04:05+01:00` or ending in `Z`.
    static func rfc3339(_ seconds: Double, fraction: String = "") -> String {
        let zone = local(seconds, "%z")
        let suffix = zone == "+0000" ? "Z" : "\(zone.prefix(3)):\(zone.suffix(2))"
        return local(seconds, "%Y-%m-%dT%H:%M:%S") + fraction + suffix
    }

    /// Turns what users give to `--since` and `--until` (a date, seconds since 1970, or a Go duration back from now) into
    /// seconds since 1970.
    static func apiTimestamp(_ text: String) throws(CLIError) -> String {
        if text != "0", let duration = goDuration(text) { return String(Int(now) - Int(duration / 1_000_000_000)) }
        if let instant = instant(text) {
            let fraction = String(instant.nanoseconds)
            return "\(instant.seconds)." + String(repeating: "0", count: 9 - fraction.utf8.count) + fraction
        }
        let (seconds, fraction) = text.cut(".")
        guard Int64(seconds) != nil, fraction == nil || UInt64(fraction ?? "") != nil else {
            throw CLIError("failed to parse value as time or duration: \"\(text)\"")
        }
        return text
    }

    /// Nanoseconds of a Go duration such as `1h30m`, `500ms`; `nil` when it is none.
    static func goDuration(_ text: String) -> Int64? {
        let units: [(String, Double)] = [
            ("ns", 1), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9),
        ]
        var rest = text[...]
        var total = 0.0
        guard !rest.isEmpty else { return nil }
        if rest == "0" { return 0 }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isNumber || $0 == "." }
            rest = rest.dropFirst(digits.count)
            let word = rest.prefix { $0.isLetter }
            rest = rest.dropFirst(word.count)
            guard let value = Double(digits), let unit = units.first(where: { $0.0 == word })?.1 else { return nil }
            total += value * unit
        }
        return total < 9e18 ? Int64(total) : nil
    }

    /// A span as Go shows it: `1h0m0.5s`, `1.5ms`.
    static func goDuration(nanoseconds: Int64) -> String {
        func digits(_ value: UInt64, per unit: UInt64) -> String {
            var fraction = String(value % unit)
            fraction = String(repeating: "0", count: max(0, String(unit).count - 1 - fraction.count)) + fraction
            while fraction.hasSuffix("0") { fraction.removeLast() }
            return "\(value / unit)" + (value % unit == 0 ? "" : "." + fraction)
        }
        let (sign, left) = (nanoseconds < 0 ? "-" : "", nanoseconds.magnitude)
        switch left {
        case 0: return "0s"
        case ..<1000: return "\(sign)\(left)ns"
        case ..<1_000_000: return sign + digits(left, per: 1000) + "µs"
        case ..<1_000_000_000: return sign + digits(left, per: 1_000_000) + "ms"
        default:
            let (hours, minutes) = (left / 3_600_000_000_000, left / 60_000_000_000 % 60)
            let seconds = digits(left % 60_000_000_000, per: 1_000_000_000)
            return sign + (hours > 0 ? "\(hours)h" : "") + (hours + minutes > 0 ? "\(minutes)m" : "") + seconds + "s"
        }
    }
}
