/// The `until` filter of prunes: only what is older than that.
enum PruneAge {
    /// - Parameter text: seconds since 1970, RFC 3339, or a Go duration (`24h`, `1h30m`) before now.
    /// - Throws: ``EngineError`` `.invalidParameter`.
    static func time(_ text: String, now: Timestamp = .now()) throws -> Timestamp {
        if let time = Timestamp(text) { return time }
        if let seconds = Int64(text), seconds.magnitude < UInt64(Int64.max / 1_000_000_000) {
            return Timestamp(nanosecondsSince1970: seconds * 1_000_000_000)
        }
        guard let age = GoDuration.nanoseconds(text) else {
            throw EngineError.invalid("invalid filter 'until=\(text.printable)': want a time or a duration such as 24h")
        }
        return Timestamp(nanosecondsSince1970: now.nanosecondsSince1970 - age)
    }
}
