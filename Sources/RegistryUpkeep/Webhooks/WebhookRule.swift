import struct Crypto.HMAC
import struct Crypto.SHA256
import struct Crypto.SymmetricKey
import OCI
package import RegistryStore

/// Somebody who is told of changes, as the configuration has it: an item of `webhooks`.
package struct WebhookRule: Sendable, Hashable, Decodable {
    /// Its URL where it has no name of its own: it is shown and logged. What waits for it is kept by this name.
    package let name: String
    package let url: String
    /// Signs what is sent.
    let secret: String?
    /// Added to what is sent: what a receiver knows the registry by.
    let headers: [String: String]
    package let kinds: Set<RegistryEvent.Kind>
    package let repositories: [NamePattern]
    /// Of one delivery.
    let timeout: Duration

    /// What a hook is told that does not say. Pulls are many.
    private static let usualKinds: Set<RegistryEvent.Kind> = [.push, .delete, .mount]
    private static let usualTimeout = Duration.seconds(10)
    /// Seconds of one delivery: those behind it wait.
    private static let timeoutMax: Int64 = 300

    package init(from decoder: any Decoder) throws {
        let members = try decoder.members(["name", "url", "secret", "headers", "events", "repositories", "timeout"])
        url = try members.decode(String.self, forKey: "url")
        guard url.hasPrefix("https://") || url.hasPrefix("http://"), url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else {
            throw DecodingError.dataCorruptedError(
                forKey: "url", in: members, debugDescription: "want a URL that begins with https:// or http://")
        }
        name = try members.decodeIfPresent(String.self, forKey: "name") ?? url
        guard !name.contains("@"), !name.contains("?") else {
            throw DecodingError.dataCorruptedError(
                forKey: "name", in: members,
                debugDescription: "give it one without ? and @: its URL, which may have a secret, would be shown")
        }
        secret = try members.decodeIfPresent(String.self, forKey: "secret")
        headers = try members.decodeIfPresent([String: String].self, forKey: "headers") ?? [:]
        kinds = try members.decodeIfPresent(Set<RegistryEvent.Kind>.self, forKey: "events") ?? Self.usualKinds
        repositories =
            try members.decodeIfPresent(NamePatterns.self, forKey: "repositories")?.all ?? [NamePattern("*")]
        let span = try members.decodeIfPresent(Span.self, forKey: "timeout")
        if let span, !(1...Self.timeoutMax).contains(span.seconds) {
            throw DecodingError.dataCorruptedError(
                forKey: "timeout", in: members, debugDescription: "want 1s to \(Self.timeoutMax)s")
        }
        timeout = span?.duration ?? Self.usualTimeout
    }

    package var watch: Watches.Hook { Watches.Hook(name: name, kinds: kinds, repositories: repositories) }
}

/// What is sent: an envelope of events, and what proves who has sent it.
struct WebhookMessage: Sendable {
    static let mediaType = "application/vnd.docker.distribution.events.v2+json"

    let headers: [(name: String, value: String)]
    let body: [UInt8]

    /// - Parameters:
    ///   - entries: at least one.
    ///   - now: seconds since 1970.
    init(_ entries: [OutboxEntry], to rule: WebhookRule, now: Int64) {
        body = Array("{\"events\":[\(entries.map(\.event).joined(separator: ","))]}".utf8)
        // The same whenever the same is sent again.
        let delivery = "\(entries.first?.id ?? 0)-\(entries.last?.id ?? 0)"
        var headers = rule.headers.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) }
        headers += [
            ("Content-Type", Self.mediaType), ("X-Registry-Delivery", delivery), ("X-Registry-Timestamp", "\(now)"),
        ]
        if let secret = rule.secret {
            headers += [
                ("X-Hub-Signature-256", "sha256=" + Self.signature(body, secret)),
                // With what a copy of an old message would have to change.
                (
                    "X-Registry-Signature-256",
                    "sha256=" + Self.signature(Array("\(now).\(delivery).".utf8) + body, secret)
                ),
            ]
        }
        self.headers = headers
    }

    static func signature(_ bytes: [UInt8], _ secret: String) -> String {
        Digest.hex(HMAC<SHA256>.authenticationCode(for: bytes, using: SymmetricKey(data: Array(secret.utf8))))
    }
}
