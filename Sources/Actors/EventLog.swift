import Glibc

/// One thing that happened, in the members the Engine API shows.
package struct Event: Sendable, Hashable {
    package enum Kind: String, Sendable {
        case container, image, volume, network, daemon
    }
    package let kind: Kind
    /// `create`, `start`, `die`, ...
    package let action: String
    /// Id or name of the object.
    package let id: String
    package let attributes: [String: String]
    /// Nanoseconds since 1970.
    package let time: Int64
}

/// Publishes what happens to whoever listens, and remembers the latest events for `--since`.
package actor EventLog {
    /// Events remembered, as many as Docker does.
    private static let tailMax = 256
    /// Events a slow listener may fall behind before it loses the oldest.
    private static let backlogMax = 1024

    private var tail: [Event] = []
    private var listeners: [Int: AsyncStream<Event>.Continuation] = [:]
    private var nextListener = 0

    /// Records an event and hands it to every listener.
    package func publish(_ kind: Event.Kind, _ action: String, _ id: String, _ attributes: [String: String] = [:]) {
        let event = Event(
            kind: kind, action: action, id: id, attributes: attributes, time: Timestamp.now().nanosecondsSince1970)
        tail.append(event)
        if tail.count > Self.tailMax { tail.removeFirst(tail.count - Self.tailMax) }
        for listener in listeners.values { listener.yield(event) }
    }

    /// What happened, and what will.
    ///
    /// - Parameters:
    ///   - since: the first moment of interest in nanoseconds since 1970; nil for the first there is.
    ///   - until: the last one; nil with a nil `since` means that nothing old is wanted.
    package func subscribe(since: Int64? = nil, until: Int64? = nil) -> (past: [Event], future: AsyncStream<Event>) {
        let (stream, continuation) = AsyncStream<Event>.makeStream(bufferingPolicy: .bufferingNewest(Self.backlogMax))
        let isOldWanted = since != nil || until != nil
        let past = isOldWanted ? tail.filter { $0.time >= since ?? .min && $0.time <= until ?? .max } : []
        let number = nextListener
        nextListener += 1
        listeners[number] = continuation
        continuation.onTermination = { _ in Task { await self.drop(number) } }
        return (past, stream)
    }

    private func drop(_ number: Int) { listeners[number] = nil }
}

/// A moment of the real-time clock, and Docker's way to write it.
package struct Timestamp: Sendable, Hashable, Comparable {
    package let nanosecondsSince1970: Int64

    package init(nanosecondsSince1970: Int64) { self.nanosecondsSince1970 = nanosecondsSince1970 }

    package static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(nanosecondsSince1970: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    package var seconds: Int64 { nanosecondsSince1970 / 1_000_000_000 }

    /// RFC 3339 in UTC with up to nine digits of fraction: `2026-01-02T03:04:05.123456789Z`.
    package var text: String {
        var seconds = time_t(nanosecondsSince1970.quotientFloored(1_000_000_000))
        let nanoseconds = nanosecondsSince1970 - Int64(seconds) * 1_000_000_000
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let date = "\(Int(parts.tm_year) + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
        let time = "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
        guard nanoseconds != 0 else { return "\(date)T\(time)Z" }
        var fraction = String(repeating: "0", count: 9 - "\(nanoseconds)".count) + "\(nanoseconds)"
        while fraction.hasSuffix("0") { fraction.removeLast() }
        return "\(date)T\(time).\(fraction)Z"
    }

    /// Parses RFC 3339, with any fraction and offset; nil for anything else, and for times that nanoseconds in 64 bits do not
    /// reach (before 1677 and after 2262), such as Go's zero time.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        func number(_ range: Range<Int>) -> Int? {
            guard range.upperBound <= bytes.count else { return nil }
            var value = 0
            for byte in bytes[range] {
                guard (0x30...0x39).contains(byte) else { return nil }
                value = value * 10 + Int(byte - 0x30)
            }
            return value
        }
        guard bytes.count >= 20, let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19),
            (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61
        else { return nil }
        var index = 19
        var nanoseconds: Int64 = 0
        if bytes[index] == 0x2e {
            var scale: Int64 = 100_000_000
            index += 1
            while index < bytes.count, (0x30...0x39).contains(bytes[index]) {
                nanoseconds += Int64(bytes[index] - 0x30) * scale
                scale /= 10
                index += 1
            }
        }
        var offset: Int64 = 0
        guard index < bytes.count else { return nil }
        if bytes[index] == 0x2b || bytes[index] == 0x2d {
            guard let hours = number(index + 1..<index + 3), let minutes = number(index + 4..<index + 6) else {
                return nil
            }
            offset = Int64(hours * 3600 + minutes * 60) * (bytes[index] == 0x2b ? 1 : -1)
        }
        var parts = tm()
        parts.tm_year = Int32(year - 1900)
        parts.tm_mon = Int32(month - 1)
        parts.tm_mday = Int32(day)
        parts.tm_hour = Int32(hour)
        parts.tm_min = Int32(minute)
        parts.tm_sec = Int32(second)
        let (whole, isFar) = (Int64(timegm(&parts)) - offset).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, isFarther) = whole.addingReportingOverflow(nanoseconds)
        guard !isFar, !isFarther else { return nil }
        nanosecondsSince1970 = sum
    }

    package static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.nanosecondsSince1970 < right.nanosecondsSince1970
    }
}

extension Int64 {
    /// Division that rounds towards negative infinity; `divisor` is positive.
    fileprivate func quotientFloored(_ divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}
