@preconcurrency import Glibc

/// Points in time as Docker prints and reads them.
enum Times {
    /// Seconds since 1970 of an RFC 3339 text, with the fraction; `nil` when malformed.
    static func parse(_ text: String) -> Double? {
        let characters = Array(text.utf8)
        guard characters.count >= 19 else { return nil }
        func number(_ range: Range<Int>) -> Int? { Int(String(decoding: characters[range], as: UTF8.self)) }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19)
        else { return nil }
        var rest = String(decoding: characters[19...], as: UTF8.self)[...]
        var fraction = 0.0
        if rest.first == "." {
            let digits = rest.dropFirst().prefix(while: \.isNumber)
            fraction = Double("0.\(digits)") ?? 0
            rest = rest.dropFirst(1 + digits.count)
        }
        var offset = 0
        if let sign = rest.first, sign == "+" || sign == "-" {
            let parts = rest.dropFirst().split(separator: ":").compactMap { Int($0) }
            if parts.count == 2 { offset = (parts[0] * 60 + parts[1]) * 60 * (sign == "-" ? -1 : 1) }
        }
        var broken = tm()
        broken.tm_year = CInt(clamping: year - 1900)
        broken.tm_mon = CInt(clamping: month - 1)
        broken.tm_mday = CInt(clamping: day)
        broken.tm_hour = CInt(clamping: hour)
        broken.tm_min = CInt(clamping: minute)
        broken.tm_sec = CInt(clamping: second)
        return Double(timegm(&broken) - offset) + fraction
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

    /// RFC 3339 in local time, as `2026-01-02T03:04:05+01:00` or ending in `Z`.
    static func rfc3339(_ seconds: Double, fraction: String = "") -> String {
        let zone = local(seconds, "%z")
        let suffix = zone == "+0000" ? "Z" : "\(zone.prefix(3)):\(zone.suffix(2))"
        return local(seconds, "%Y-%m-%dT%H:%M:%S") + fraction + suffix
    }

    /// Turns what users give to `--since` and `--until` (a date, seconds, or a Go duration back from now) into seconds.
    static func apiTimestamp(_ text: String) -> String {
        if let duration = goDuration(text) { return formattedSeconds(now - Double(duration) / 1e9) }
        if let seconds = parse(text.contains("T") && text.utf8.count == 10 ? text : text) { return formattedSeconds(seconds) }
        if text.utf8.count == 10, let seconds = parse(text + "T00:00:00Z") { return formattedSeconds(seconds) }
        return text
    }

    private static func formattedSeconds(_ seconds: Double) -> String { Sizes.formatted(seconds, "%.9f") }

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
}
