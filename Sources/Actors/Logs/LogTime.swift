import Glibc

/// Times of log records, which there are millions of.
enum LogTime {
    private static let nanoseconds: Int64 = 1_000_000_000
    private static let daySeconds: Int64 = 86_400
    /// Of a time that is shown: always nine digits of fraction, so that columns line up.
    static let textBytes = 30

    /// Reads one time after the other; what was read together often has the same.
    struct Parser {
        private var last: UnsafeRawBufferPointer?
        private var time: Int64 = 0

        /// - Parameter text: stays where it is while the parser is used.
        mutating func parse(_ text: UnsafeRawBufferPointer) -> Int64? {
            if let last, last.count == text.count, let one = last.baseAddress, let other = text.baseAddress,
                memcmp(one, other, text.count) == 0
            {
                return time
            }
            guard let value = LogTime.parse(text) else { return nil }
            (last, time) = (text, value)
            return value
        }
    }

    /// `2026-11-23T19:04:05.123456789Z` with any number of digits after the point; other forms as ``Timestamp`` reads them.
    static func parse(_ text: UnsafeRawBufferPointer) -> Int64? {
        func number(_ start: Int, _ count: Int) -> Int64? {
            var value: Int64 = 0
            for byte in text[start..<(start + count)] {
                guard byte >= 0x30, byte <= 0x39 else { return nil }
                value = value * 10 + Int64(byte - 0x30)
            }
            return value
        }
        guard text.count >= 20, text.count <= 30, text[text.count - 1] == UInt8(ascii: "Z"),
            let year = number(0, 4), let month = number(5, 2), let day = number(8, 2), let hour = number(11, 2),
            let minute = number(14, 2), let second = number(17, 2), (1...12).contains(month), (1...31).contains(day),
            (1700...2200).contains(year), hour < 24, minute < 60, second < 61
        else { return Timestamp(String(decoding: text, as: UTF8.self))?.nanosecondsSince1970 }
        var fraction: Int64 = 0
        if text.count > 21 {
            guard let digits = number(20, text.count - 21) else { return nil }
            fraction = (0..<(30 - text.count)).reduce(digits) { value, _ in value * 10 }
        }
        let seconds = days(year, month, day) * daySeconds + hour * 3600 + minute * 60 + second
        return seconds * nanoseconds + fraction
    }

    /// Days since 1970 of a date of the Gregorian calendar, in years that begin with March.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let years = month > 2 ? year : year - 1
        let ofYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        return years * 365 + years / 4 - years / 100 + years / 400 + ofYear - 719_468
    }

    /// Writes one time after the other.
    struct Text {
        private var second = Int64.min
        /// `2026-11-23T19:04:05.` of `second`.
        private var beginning: [UInt8] = []

        /// - Parameter place: has room for ``LogTime/textBytes``.
        mutating func write(_ time: Int64, to place: UnsafeMutableRawPointer) {
            var (seconds, fraction) = time.quotientAndRemainder(dividingBy: LogTime.nanoseconds)
            if fraction < 0 { (seconds, fraction) = (seconds - 1, fraction + LogTime.nanoseconds) }
            if seconds != second { (second, beginning) = (seconds, LogTime.beginning(seconds)) }
            beginning.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(start: place, count: $0.count).copyMemory(from: $0)
            }
            for index in stride(from: LogTime.textBytes - 2, to: LogTime.textBytes - 11, by: -1) {
                place.storeBytes(of: 0x30 + UInt8(fraction % 10), toByteOffset: index, as: UInt8.self)
                fraction /= 10
            }
            place.storeBytes(of: UInt8(ascii: "Z"), toByteOffset: LogTime.textBytes - 1, as: UInt8.self)
        }
    }

    private static func beginning(_ seconds: Int64) -> [UInt8] {
        // Years of four digits are all that fit the nanoseconds of 64 bits.
        var text = Array("0000-00-00T00:00:00.".utf8)
        func put(_ value: Int, _ start: Int, _ count: Int) {
            var rest = value
            for index in (start..<(start + count)).reversed() {
                text[index] = 0x30 + UInt8(rest % 10)
                rest /= 10
            }
        }
        var (time, parts) = (time_t(seconds), tm())
        gmtime_r(&time, &parts)
        put(Int(parts.tm_year) + 1900, 0, 4)
        put(Int(parts.tm_mon) + 1, 5, 2)
        put(Int(parts.tm_mday), 8, 2)
        put(Int(parts.tm_hour), 11, 2)
        put(Int(parts.tm_min), 14, 2)
        put(Int(parts.tm_sec), 17, 2)
        return text
    }
}
