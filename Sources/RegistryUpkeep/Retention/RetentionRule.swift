import OCI
package import RegistryStore

/// What stays of the tags and manifests of some repositories, as the configuration has it: an item of `retention`.
package struct RetentionRule: Sendable, Hashable, Decodable {
    let repositories: [NamePattern]
    let tags: [NamePattern]
    /// Tags that the rule leaves alone.
    let protected: [NamePattern]
    /// Of the tags that the rule is for, those that were pushed last.
    let keepLast: Int?
    /// Seconds.
    let keepPushedWithin: Int64?
    /// Seconds.
    let keepPulledWithin: Int64?
    /// Seconds after which a manifest goes that no tag and no index names.
    let untagged: Int64?

    package init(from decoder: any Decoder) throws {
        let members = try decoder.members([
            "repositories", "tags", "protected", "keepLast", "keepPushedWithin", "keepPulledWithin", "untagged",
        ])
        repositories =
            try members.decodeIfPresent(NamePatterns.self, forKey: "repositories")?.all ?? [NamePattern("*")]
        tags = try members.decodeIfPresent(NamePatterns.self, forKey: "tags")?.all ?? [NamePattern("*")]
        protected = try members.decodeIfPresent(NamePatterns.self, forKey: "protected")?.all ?? []
        keepLast = try members.decodeIfPresent(Int.self, forKey: "keepLast")
        keepPushedWithin = try members.decodeIfPresent(Span.self, forKey: "keepPushedWithin")?.seconds
        keepPulledWithin = try members.decodeIfPresent(Span.self, forKey: "keepPulledWithin")?.seconds
        untagged = try members.decodeIfPresent(Span.self, forKey: "untagged")?.seconds
        if let keepLast, keepLast < 1 {
            throw DecodingError.dataCorruptedError(
                forKey: "keepLast", in: members, debugDescription: "want 1 at least: a rule never empties a repository")
        }
        guard isForTags || untagged != nil else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: decoder.codingPath,
                    debugDescription:
                        "the rule keeps nothing: give keepLast, keepPushedWithin, keepPulledWithin or untagged"))
        }
    }

    /// Whether any tag may go by it.
    var isForTags: Bool { keepLast != nil || keepPushedWithin != nil || keepPulledWithin != nil }

    func isFor(tag: String) -> Bool { isForTags && tags.matches(tag) && !protected.matches(tag) }

    /// Why a tag goes; nil when it stays.
    ///
    /// - Parameter rank: 0 for the tag of the rule that was pushed last.
    func reason(_ rank: Int, pushed: Int64, pulled: Int64?, now: Int64) -> String? {
        var reasons: [String] = []
        if let keepLast {
            guard rank >= keepLast else { return nil }
            reasons.append("not of the last \(keepLast)")
        }
        if let keepPushedWithin {
            guard now - pushed > keepPushedWithin else { return nil }
            reasons.append("pushed \(Self.days(now - pushed)) ago")
        }
        if let keepPulledWithin {
            // A tag that was pushed a moment ago had no time to be pulled.
            guard now - max(pulled ?? 0, pushed) > keepPulledWithin else { return nil }
            reasons.append(pulled.map { "pulled \(Self.days(now - $0)) ago" } ?? "never pulled")
        }
        return reasons.joined(separator: ", ")
    }

    static func days(_ seconds: Int64) -> String {
        seconds >= 86400 ? "\(seconds / 86400)d" : seconds >= 3600 ? "\(seconds / 3600)h" : "\(seconds / 60)m"
    }
}
