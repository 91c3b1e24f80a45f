import struct Crypto.HMAC
import struct Crypto.SHA256
import struct Crypto.SymmetricKey
package import OCI
import Registry
package import RegistryStore

/// Servers that have the blobs of some repositories and are trusted with nothing: an item of `redirects` of the configuration
/// file.
package struct RedirectRule: Sendable, Hashable, Decodable {
    let repositories: [NamePattern]
    /// Base URLs of the servers, without a slash at their ends.
    let servers: [Server]
    /// Clients are sent to them for blobs.
    let redirects: Bool
    /// Clients that know of such servers are told of them with manifests.
    let advertises: Bool
    /// Bytes of the smallest blob that a client is sent elsewhere for.
    let bytesMin: Int64
    /// Signs URLs, so that a server can refuse those that are not from here.
    private let secret: String?

    /// A server of ``servers``.
    struct Server: Sendable, Hashable {
        /// Without a slash at its end.
        let url: String
        /// What `url` has behind the host; empty, or begins with a slash.
        let path: String
        /// As `X-Docker-Endpoints` has it: its host where it is reached by https, else its URL.
        let endpoint: String

        /// Bytes of a URL: all of a rule have to fit into the head of an answer that stock clients and proxies take.
        private static let bytesMax = 256

        /// - Returns: nil for what is no `http(s)://host[:port][/path]`, with a path of letters that need no escape.
        init?(_ text: String) {
            let text = text.hasSuffix("/") ? String(text.dropLast()) : text
            guard text.utf8.count <= Self.bytesMax, let location = Location(text), !text.contains("#") else {
                return nil
            }
            path = location.target == "/" ? "" : location.target
            guard path.utf8.allSatisfy(Self.isPlain), !path.contains("//") else { return nil }
            url = "\(location.scheme.rawValue)://\(location.authority)\(path)"
            endpoint = location.scheme == .https ? location.authority + path : url
        }

        private static func isPlain(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "-._~/".utf8.contains(byte)
            }
        }
    }

    /// Servers of a rule: clients try no more.
    private static let serversMax = 16
    /// How long a signed URL is good for: longer than the slowest client takes to begin.
    private static let validity: Int64 = 20 * 60

    package init(from decoder: any Decoder) throws {
        let members = try decoder.members(["repositories", "to", "advertise", "redirect", "smallest", "secret"])
        repositories =
            try members.decodeIfPresent(NamePatterns.self, forKey: "repositories")?.all ?? [NamePattern("*")]
        redirects = try members.decodeIfPresent(Bool.self, forKey: "redirect") ?? true
        advertises = try members.decodeIfPresent(Bool.self, forKey: "advertise") ?? false
        bytesMin = try members.decodeIfPresent(ByteAmount.self, forKey: "smallest")?.bytes ?? 0
        secret = try members.decodeIfPresent(String.self, forKey: "secret")
        servers = try (try members.decodeIfPresent([String].self, forKey: "to") ?? []).map { text in
            guard let server = Server(text) else {
                throw DecodingError.dataCorruptedError(
                    forKey: "to", in: members,
                    debugDescription:
                        "\(OCIError.quoted(text)) is no server: want http(s)://host[:port][/path], without a query")
            }
            return server
        }
        func refuse(_ key: NamedKey, _ reason: String) -> DecodingError {
            DecodingError.dataCorruptedError(forKey: key, in: members, debugDescription: reason)
        }
        guard servers.count <= Self.serversMax, Set(servers).count == servers.count else {
            throw refuse("to", "want at most \(Self.serversMax) servers, each once")
        }
        guard servers.isEmpty != (redirects || advertises) else {
            throw refuse("to", servers.isEmpty ? "no server is named" : "nobody is told of these servers")
        }
        if let reason = adviceProblem { throw refuse("advertise", reason) }
        if secret == "" { throw refuse("secret", "it is empty") }
    }

    /// Why clients cannot be told of the servers; nil where they can, or are not.
    private var adviceProblem: String? {
        guard advertises else { return nil }
        if secret != nil { return "clients cannot sign: a server that is told of needs no secret" }
        let paths = servers.map(\.path).filter { !$0.isEmpty }
        if redirects, !paths.isEmpty {
            return "a path belongs to URLs in a redirect, and to repositories' names otherwise: want servers without"
        }
        let wrong = paths.first { (try? RepositoryName($0.dropFirst() + "/name")) == nil }
        return wrong.map { "\(OCIError.quoted($0)) cannot begin a repository's name" }
    }

    /// URLs of a blob, first the one that a client is sent to. They begin at a server that the digest chooses: all get their
    /// part, each the same blobs every time.
    ///
    /// - Parameter now: seconds since 1970.
    func urls(
        of digest: Digest, in repository: RepositoryName, now: Int64
    ) -> [(server: Server, url: String)] {
        let first = Int(digest.hex.prefix(Self.choosingDigits), radix: 16) ?? 0
        return servers.indices.map { index in
            let server = servers[(first + index) % servers.count]
            let target = "/v2/\(repository)/blobs/\(digest)"
            let query = signature(server.path + target, expires: now + Self.validity)
            return (server, server.url + target + query)
        }
    }

    /// Digits of a digest that choose a server.
    private static let choosingDigits = 8

    /// The query that proves where a URL is from; empty where there is no secret.
    private func signature(_ path: String, expires: Int64) -> String {
        guard let secret else { return "" }
        let code = HMAC<SHA256>.authenticationCode(
            for: Array("\(path)\n\(expires)".utf8), using: SymmetricKey(data: Array(secret.utf8)))
        return "?expires=\(expires)&signature=\(Digest.hex(code))"
    }
}

/// `redirects` of the configuration file: the first rule of a repository is the one that counts.
package struct RedirectRules: Sendable, Hashable, Decodable {
    private let all: [RedirectRule]

    /// Rules that are looked through for each blob.
    private static let countMax = 256

    package init() { all = [] }

    package init(from decoder: any Decoder) throws {
        all = try decoder.singleValueContainer().decode([RedirectRule].self)
        guard all.count <= Self.countMax else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "want at most \(Self.countMax) rules"))
        }
    }

    func rule(for repository: RepositoryName) -> RedirectRule? {
        guard !all.isEmpty else { return nil }
        let name = repository.description
        return all.first { $0.repositories.matches(name) }
    }
}
