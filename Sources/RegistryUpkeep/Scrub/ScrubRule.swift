import OCI
import RegistryStore

/// How often all blobs are read against their digests, as the configuration has it: `scrub`.
package struct ScrubRule: Sendable, Hashable, Decodable {
    /// Seconds from the begin of one pass to that of the next.
    let interval: Int64
    /// Bytes a second.
    let rate: Int64

    private static let usualInterval: Int64 = 7 * 86400
    private static let usualRate: Int64 = 50 << 20

    /// What a pass takes that an operator has asked for where nothing is configured.
    static let usual = ScrubRule(interval: usualInterval, rate: usualRate)

    private init(interval: Int64, rate: Int64) {
        self.interval = interval
        self.rate = rate
    }

    package init(from decoder: any Decoder) throws {
        let members = try decoder.members(["interval", "rate"])
        interval = try members.decodeIfPresent(Span.self, forKey: "interval")?.seconds ?? Self.usualInterval
        rate = try members.decodeIfPresent(ByteAmount.self, forKey: "rate")?.bytes ?? Self.usualRate
        guard interval > 0, rate > 0 else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "want an interval and a rate above 0"))
        }
    }
}

/// How far a pass has come, and what passes have found.
package struct ScrubStatus: Sendable, Hashable, Codable {
    /// The last blob that was read; nil while no pass is under way.
    package internal(set) var cursor: String?
    /// Of the pass that is under way, or of the last; seconds since 1970.
    package internal(set) var began: Int64?
    package internal(set) var ended: Int64?
    /// Of that pass.
    package internal(set) var blobs: Int64 = 0
    package internal(set) var bytes: Int64 = 0
    package internal(set) var damaged: Int64 = 0
    /// Of all passes.
    package internal(set) var damagedEver: Int64 = 0

    init() {}

    mutating func begin(now: Int64) {
        (cursor, began, ended) = ("", now, nil)
        (blobs, bytes, damaged) = (0, 0, 0)
    }

    mutating func end(now: Int64) { (cursor, ended) = (nil, now) }

    /// Whether a pass should begin.
    func isDue(_ rule: ScrubRule, now: Int64) -> Bool {
        guard cursor == nil else { return false }
        guard let began else { return true }
        return now - began >= rule.interval
    }
}
