import FoundationEssentials
package import OCI
import RegistryStore

/// `tokens` of the configuration file: a token service of the registry's own (`issue`), or whose tokens it takes.
package struct TokenSettings: Sendable, Hashable, Decodable {
    /// Whether the registry itself is the token service.
    var issues = false
    /// Where clients ask for tokens; nil for `/token` of the registry, by the name that a client knows it by.
    var realm: String?
    /// Who tokens are for.
    var service = "docker-registry"
    var issuer = "docker-registry"
    /// File with the keys of a token service (JWKS).
    var keySet: String?
    /// File with certificates (PEM): of a token service, or of the authority that has certified its keys.
    var certificates: String?
    /// How far the clocks may be apart.
    var leeway = Duration.seconds(60)
    /// How long a token is valid: what a push of an image may take between two of them.
    var lifetime = Duration.seconds(300)
    /// How long a client that has logged in may fetch tokens without the password.
    var refreshLifetime = Duration.seconds(30 * 86400)
    /// After how long another key signs.
    var rotation = Duration.seconds(30 * 86400)

    /// Shorter is not taken: clients take less for a minute.
    private static let lifetimeMin = Duration.seconds(60)

    package init(from decoder: any Decoder) throws {
        let members = try decoder.members([
            "issue", "realm", "service", "issuer", "jwks", "certificates", "leeway", "lifetime", "refresh", "rotate",
        ])
        func text(_ key: NamedKey) throws -> String? { try members.decodeIfPresent(String.self, forKey: key) }
        func duration(_ key: NamedKey) throws -> Duration? {
            try text(key).map { written in
                guard let value = TimeSpan.parse(written) else {
                    throw DecodingError.dataCorruptedError(
                        forKey: key, in: members, debugDescription: "want a number and s, m, h or d, such as 24h")
                }
                return value
            }
        }
        issues = try members.decodeIfPresent(Bool.self, forKey: "issue") ?? false
        realm = try text("realm")
        service = try text("service") ?? service
        issuer = try text("issuer") ?? issuer
        keySet = try text("jwks")
        certificates = try text("certificates")
        leeway = try duration("leeway") ?? leeway
        lifetime = try duration("lifetime") ?? lifetime
        refreshLifetime = try duration("refresh") ?? refreshLifetime
        rotation = try duration("rotate") ?? rotation
        if let problem {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: problem))
        }
    }

    private var problem: String? {
        let texts = [realm, service, issuer].compactMap { $0 }
        guard texts.allSatisfy({ $0.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c } }) else {
            return "realm, service and issuer have no blanks, quotes or backslashes"
        }
        if issues {
            guard keySet == nil, certificates == nil else {
                return "issue needs no jwks or certificates: a registry takes its own tokens, or another service's"
            }
            guard lifetime >= Self.lifetimeMin else { return "lifetime is at least 60s" }
        } else {
            guard realm != nil else { return "realm is missing: where do clients get tokens? Or say \"issue\": true" }
            guard keySet != nil || certificates != nil else {
                return "jwks or certificates is missing: whose tokens are to be taken?"
            }
        }
        return nil
    }
}
