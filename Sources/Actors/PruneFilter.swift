import OCI

/// What a prune may remove: the filters of `docker … prune --filter`, which narrow it. One that is not known is refused:
/// a slip of the pen must not remove what it should have kept.
struct PruneFilter {
    private let filters: [String: [String]]
    private let limit: Timestamp?

    /// - Parameter known: the names that this kind of object has.
    /// - Throws: ``EngineError`` `.invalidParameter`.
    init(_ filters: [String: [String]], known: Set<String>) throws {
        try Filter.check(filters, known: known)
        self.filters = filters
        limit = try filters["until"]?.first.map { try PruneAge.time($0) }
    }

    /// - Parameter created: RFC 3339; what has no time counts as made just now.
    func allows(labels: [String: String], created: String?) -> Bool {
        guard Filter.labels(filters["label"], labels),
            Filter.lacksLabels(filters["label!"], labels)
        else { return false }
        return limit.map { (created.flatMap { Timestamp($0) } ?? .now()) < $0 } ?? true
    }
}

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
