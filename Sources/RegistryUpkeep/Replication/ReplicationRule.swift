import OCI
package import RegistryStore

/// A registry that gets a copy of what is pushed here, as the configuration has it: an item of `replication`.
package struct ReplicationRule: Sendable, Hashable, Decodable {
    /// `to` with its prefix, where it has no name of its own. What waits to be copied is kept by this name.
    package let name: String
    /// Host and port.
    let domain: String
    /// Whether it speaks plain HTTP.
    let isPlain: Bool
    /// Before the names of repositories; empty, or ends in a slash.
    let prefix: String
    let repositories: [NamePattern]
    let tags: [NamePattern]
    let username: String?
    let password: String?
    let deletes: Bool

    package init(from decoder: any Decoder) throws {
        let members = try decoder.members([
            "name", "repositories", "tags", "to", "prefix", "username", "password", "deletes",
        ])
        let to = try members.decode(String.self, forKey: "to")
        let parts = to.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count >= 3, parts[0] == "https:" || parts[0] == "http:", parts[1].isEmpty else {
            throw DecodingError.dataCorruptedError(
                forKey: "to", in: members, debugDescription: "want https://HOST[:PORT][/PREFIX]")
        }
        domain = String(parts[2])
        isPlain = parts[0] == "http:"
        let path = parts[3...].filter { !$0.isEmpty }.map(String.init)
        let more = try members.decodeIfPresent(String.self, forKey: "prefix") ?? ""
        let names = path + more.split(separator: "/").map(String.init)
        prefix = names.isEmpty ? "" : names.joined(separator: "/") + "/"
        // The same letters as the names it goes before; what is no host shows here, too.
        guard let probe = try? Reference("\(domain)/\(prefix)x"), probe.domain == domain else {
            throw DecodingError.dataCorruptedError(
                forKey: "to", in: members, debugDescription: "host, path and prefix begin no repository's name")
        }
        name = try members.decodeIfPresent(String.self, forKey: "name") ?? "\(domain)/\(prefix)"
        repositories =
            try members.decodeIfPresent(NamePatterns.self, forKey: "repositories")?.all ?? [NamePattern("*")]
        tags = try members.decodeIfPresent(NamePatterns.self, forKey: "tags")?.all ?? [NamePattern("*")]
        username = try members.decodeIfPresent(String.self, forKey: "username")
        password = try members.decodeIfPresent(String.self, forKey: "password")
        deletes = try members.decodeIfPresent(Bool.self, forKey: "deletes") ?? false
    }

    package var watch: Watches.Copy {
        Watches.Copy(name: name, repositories: repositories, tags: tags, deletes: deletes)
    }

    /// Seconds until what has failed is tried again.
    ///
    /// - Parameters:
    ///   - attempts: before this one.
    ///   - random: 0 to 1.
    static func pause(attempts: Int64, random: Double) -> Int64 {
        let longest = min(pauseFirst * Double(1 << min(attempts, 20)), pauseMax)
        return Int64((longest * (0.5 + random / 2)).rounded(.up))
    }

    private static let pauseFirst = 2.0
    private static let pauseMax = 600.0
}
