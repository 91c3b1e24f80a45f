import OCI
import Registry
import RegistryStore

/// A registry that is mirrored, as the configuration file's `mirrors` has it.
package struct MirrorSettings: Sendable, Hashable, Decodable {
    /// What is served when the registry does not answer.
    package enum Staleness: Sendable, Hashable {
        case never, always
        /// As long as it did answer so recently.
        case within(Duration)
    }

    package var url: String
    package var username = ""
    package var password = ""
    /// How long what a tag names is not asked again.
    package var ttl = Duration.seconds(300)
    package var stale = Staleness.always
    /// Manifests that nobody asks for go after this.
    package var keep = Duration.seconds(30 * 86400)
    /// How long a blob may make no progress before those who wait for it are let go.
    package var stall = Duration.seconds(120)
    /// Names by which clients reach this mirror as if it were the registry (the `Host` of their requests).
    package var hosts: [String] = []
    /// Its TLS is not verified.
    package var isInsecure = false
    /// Of all that is kept; nil for any number.
    package var bytesMax: Int64?
    /// A larger blob is not fetched.
    package var blobBytesMax = blobBytesUsual

    /// Beyond every honest layer, and far below what would fill a disk at once.
    private static let blobBytesUsual: Int64 = 128 << 30

    private static let known: Set<String> = [
        "url", "username", "password", "ttl", "stale", "keep", "hosts", "insecure", "max-blob-bytes", "max-bytes",
        "stall",
    ]

    package init(url: String) { self.url = url }

    package init(from decoder: any Decoder) throws {
        let members = try decoder.members(Self.known)
        url = try members.decode(String.self, forKey: "url")
        username = try members.decodeIfPresent(String.self, forKey: "username") ?? username
        password = try members.decodeIfPresent(String.self, forKey: "password") ?? password
        ttl = try Self.span(members, "ttl") ?? ttl
        keep = try Self.span(members, "keep") ?? keep
        stall = try Self.span(members, "stall") ?? stall
        guard stall > .zero else {
            throw DecodingError.dataCorruptedError(forKey: "stall", in: members, debugDescription: "want 1s at least")
        }
        hosts = try members.decodeIfPresent([String].self, forKey: "hosts") ?? hosts
        isInsecure = try members.decodeIfPresent(Bool.self, forKey: "insecure") ?? isInsecure
        blobBytesMax = try members.decodeIfPresent(Int64.self, forKey: "max-blob-bytes") ?? blobBytesMax
        bytesMax = try members.decodeIfPresent(ByteAmount.self, forKey: "max-bytes")?.bytes
        if members.contains("stale") {
            if let isAlways = try? members.decode(Bool.self, forKey: "stale") {
                stale = isAlways ? .always : .never
            } else if let limit = try Self.span(members, "stale") {
                stale = .within(limit)
            }
        }
    }

    private static func span(
        _ members: KeyedDecodingContainer<NamedKey>, _ key: NamedKey
    ) throws -> Duration? {
        guard let text = try members.decodeIfPresent(String.self, forKey: key) else { return nil }
        guard let span = TimeSpan.parse(text) else {
            throw DecodingError.dataCorruptedError(
                forKey: key, in: members,
                debugDescription: "\(OCIError.quoted(text)): want a number and s, m, h or d, such as 24h")
        }
        return span
    }
}
