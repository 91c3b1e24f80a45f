/// Times as images write them (RFC 3339), and as seconds since 1970, in the proleptic Gregorian calendar.
package enum Timestamp {
    /// Seconds of `text`; nil for what is no time, and for the year 1, which builders write for unknown.
    package static func seconds(_ text: String) -> Int64? {
        let bytes = Array(text.utf8.prefix(64))
        guard bytes.count >= 20, bytes[4] == UInt8(ascii: "-"), bytes[7] == UInt8(ascii: "-"),
            bytes[10] | 0x20 == UInt8(ascii: "t"), bytes[13] == UInt8(ascii: ":"), bytes[16] == UInt8(ascii: ":"),
            let year = number(bytes[0..<4]), let month = number(bytes[5..<7]), let day = number(bytes[8..<10]),
            let hour = number(bytes[11..<13]), let minute = number(bytes[14..<16]), let second = number(bytes[17..<19]),
            year > 1, (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        var rest = bytes[19...]
        if rest.first == UInt8(ascii: ".") { rest = rest.dropFirst().drop { (0x30...0x39).contains($0) } }
        guard let offset = zone(rest) else { return nil }
        return days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
    }

    private static func number(_ digits: ArraySlice<UInt8>) -> Int64? {
        guard !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return digits.reduce(0) { $0 * 10 + Int64($1 - 0x30) }
    }

    /// Seconds that a zone is ahead of UTC.
    private static func zone(_ text: ArraySlice<UInt8>) -> Int64? {
        if text.count == 1, text.first.map({ $0 | 0x20 }) == UInt8(ascii: "z") { return 0 }
        guard text.count == 6, let sign = text.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-"),
            text[text.startIndex + 3] == UInt8(ascii: ":"),
            let hours = number(text.dropFirst().prefix(2)), let minutes = number(text.suffix(2)), hours < 24,
            minutes < 60
        else { return nil }
        return (hours * 3600 + minutes * 60) * (sign == UInt8(ascii: "+") ? 1 : -1)
    }

    /// Days since 1970-01-01. Years begin in March here, so that the day that some have comes last.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let (era, ofEra) = (shifted / 400, shifted % 400)
        let ofYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468
    }

    /// Seconds of year 9999's end: what is beyond has no four digits.
    private static let secondsMax: Int64 = 253_402_300_799

    /// `2026-11-29T00:49:03Z`, of years 1970 to 9999.
    package static func text(_ seconds: Int64) -> String {
        let seconds = min(max(0, seconds), secondsMax)
        let (whole, rest) = (seconds / 86400 + 719_468, seconds % 86400)
        let (era, day) = (whole / 146_097, whole % 146_097)
        let ofEra = (day - day / 1460 + day / 36524 - day / 146_096) / 365
        let ofYear = day - (365 * ofEra + ofEra / 4 - ofEra / 100)
        let shifted = (5 * ofYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        let year = ofEra + era * 400 + (month <= 2 ? 1 : 0)
        let date = [padded(year, 4), padded(month), padded(ofYear - (153 * shifted + 2) / 5 + 1)].joined(separator: "-")
        return date + "T" + [rest / 3600, rest / 60 % 60, rest % 60].map { padded($0) }.joined(separator: ":") + "Z"
    }

    private static func padded(_ value: Int64, _ width: Int = 2) -> String {
        let digits = "\(value)"
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}
