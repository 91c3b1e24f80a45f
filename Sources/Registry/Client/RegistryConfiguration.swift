import OCI

/// How registries are reached: endpoints, trust, limits and patience. A value; the client never changes it.
package struct RegistryConfiguration: Sendable {
    /// Mirrors by domain, in the order they are asked before the domain's own registry.
    package var mirrors: [String: [RegistryEndpoint]]
    /// Host names, with their port if they have one, that may be reached without verified TLS.
    private let insecureHosts: Set<String>
    private let insecureNetworks: [CIDR]
    /// Holds `<host[:port]>/{*.crt,*.cert,*.key}`: extra roots and client certificates.
    package var certificateDirectory: String
    package var userAgent: String
    package var limits = Limits()
    package var patience = Patience()

    /// Most bytes taken from a peer, by kind of message.
    package struct Limits: Sendable {
        /// What registries themselves accept (distribution's manifest limit is 4 MiB).
        package var manifestBytesMax = 4 << 20
        package var configBytesMax = 8 << 20
        package var tokenBytesMax = 64 << 10
        package var headerBytesMax = 64 << 10
        /// Body of an error reply that is read for its message.
        package var errorBytesMax = 64 << 10
        package var tagsPageBytesMax = 4 << 20
        /// A hundred results, each with a description that indexes cut at a few hundred bytes.
        package var searchBytesMax = 1 << 20
        /// Tags of one repository, over all pages.
        package var tagsMax = 200_000
        /// Children of one index that are looked at.
        package var indexChildrenMax = 10_000
        /// Index inside an index: OCI allows nesting, honest images use one level.
        package var indexDepthMax = 2
        package var redirectsMax = 5
        /// Bytes asked of the kernel in one read: below 256 KiB the calls cost more than the copy.
        package var receiveBytes = 256 << 10
        /// Bytes read from the source of an upload at once.
        package var uploadChunkBytes = 1 << 20
        /// Blobs up to this size go up in one request.
        package var monolithicBytesMax: Int64 = 1 << 20
    }

    /// Time-outs and retries.
    package struct Patience: Sendable {
        package var connect: Duration = .seconds(15)
        /// Longest silence inside of a reply.
        package var idle: Duration = .seconds(30)
        /// Longest wait for the reply to an upload, which some registries spend hashing it.
        package var uploadReply: Duration = .seconds(300)
        /// A whole small exchange: manifest, token, tags.
        package var exchange: Duration = .seconds(60)
        /// Tries in a row without progress, the first included.
        package var attempts = 5
        /// First pause between tries; doubles each time, with up to half of it taken off at random.
        package var pause: Duration = .milliseconds(250)
        package var pauseMax: Duration = .seconds(10)
        /// Longest `Retry-After` that is waited for; a longer one is the caller's decision.
        package var retryAfterMax: Duration = .seconds(30)
        /// Fewer bytes than this between two failures are no progress: a peer that drips cannot hold a pull for ever.
        package var progressBytes: Int64 = 64 << 10
    }

    /// - Parameters:
    ///   - mirrors: `registry-mirrors` of daemon.json: URLs, for Docker Hub.
    ///   - insecureRegistries: `insecure-registries`: `host`, `host:port` or CIDR. Addresses of 127.0.0.0/8 and ::1, and
    ///     the name `localhost`, are always insecure.
    /// - Throws: `RegistryError` (`invalid`) in Docker's words for a malformed entry.
    package init(
        mirrors: [String] = [], insecureRegistries: [String] = [], certificateDirectory: String = "/etc/docker/certs.d",
        userAgent: String = "docker-swift"
    ) throws(RegistryError) {
        var hosts: Set<String> = ["localhost"]
        var networks = ["127.0.0.0/8", "::1/128"].compactMap(CIDR.init)
        for entry in insecureRegistries {
            if entry.contains("://") {
                throw RegistryError(
                    .invalid, "insecure registry \(entry) should not contain '://'",
                    remedy: "give host[:port] or a CIDR")
            }
            if let network = CIDR(entry) {
                networks.append(network)
            } else if Location.hostAndPort(Substring(entry)) != nil {
                hosts.insert(entry.lowercased())
            } else {
                throw RegistryError(
                    .invalid, "insecure registry \(entry) is not valid: invalid host \"\(entry)\"",
                    remedy: "give host[:port] or a CIDR")
            }
        }
        insecureHosts = hosts
        insecureNetworks = networks
        self.certificateDirectory = certificateDirectory
        self.userAgent = userAgent
        self.mirrors = [:]
        var hub: [RegistryEndpoint] = []
        for mirror in mirrors { hub.append(try endpoint(mirror: mirror)) }
        if !hub.isEmpty { self.mirrors[Reference.defaultDomain] = hub }
    }

    /// Reads the URL of a mirror.
    ///
    /// - Throws: `RegistryError` (`invalid`) unless it is `http(s)://host[:port]` and nothing more.
    package func endpoint(mirror text: String) throws(RegistryError) -> RegistryEndpoint {
        guard !text.contains("@") else {
            throw RegistryError(
                .invalid, "invalid mirror: username/password not allowed in URI \(OCIError.quoted(text))")
        }
        guard let location = Location(text) else {
            throw RegistryError(
                .invalid, "invalid mirror: \(OCIError.quoted(text)) is not a valid URI",
                remedy: "give http(s)://host[:port]")
        }
        guard location.target == "/", !text.contains("#") else {
            throw RegistryError(
                .invalid, "invalid mirror: path, query, or fragment at end of the URI \(OCIError.quoted(text))")
        }
        let insecure = isInsecure(location.authority) || location.scheme == .http
        return RegistryEndpoint(
            host: location.host, port: location.port == location.scheme.defaultPort ? nil : location.port,
            scheme: location.scheme, isInsecure: insecure, isMirror: true)
    }

    /// True when `authority` (`host` or `host:port`) may be reached without verified TLS: decided by what was configured
    /// and by literal addresses, never by asking DNS, which an attacker may answer.
    package func isInsecure(_ authority: String) -> Bool {
        guard let (host, port) = Location.hostAndPort(Substring(authority)) else { return false }
        let name = host.contains(":") ? "[\(host)]" : host
        if insecureHosts.contains(port.map { "\(name):\($0)" } ?? name) || host == "localhost" { return true }
        guard let address = IPAddress(host) else { return false }
        return insecureNetworks.contains { $0.contains(address) }
    }

    /// The registry itself of a domain: `docker.io` is served by `registry-1.docker.io`.
    ///
    /// - Throws: `RegistryError` (`invalid`) when `domain` is no host.
    package func origin(of domain: String) throws(RegistryError) -> RegistryEndpoint {
        let authority = domain == Reference.defaultDomain ? Self.hubHost : domain
        guard let (host, port) = Location.hostAndPort(Substring(authority)) else {
            throw RegistryError(
                .invalid, "invalid registry host \(OCIError.quoted(domain))", remedy: "give host[:port]")
        }
        return RegistryEndpoint(host: host, port: port, scheme: nil, isInsecure: isInsecure(authority), isMirror: false)
    }

    /// Where to pull from `domain`, in the order to try: its mirrors, then the registry itself.
    package func endpoints(for domain: String) throws(RegistryError) -> [RegistryEndpoint] {
        (mirrors[domain] ?? []) + [try origin(of: domain)]
    }

    private static let hubHost = "registry-1.docker.io"
}

/// One server that speaks the distribution protocol for some repository.
package struct RegistryEndpoint: Sendable, Hashable, CustomStringConvertible {
    /// Lower case, without brackets.
    package let host: String
    package let port: Int?
    /// As configured; `nil` means https, or what answers where the endpoint is insecure.
    let scheme: Location.Scheme?
    /// May be reached by unverified TLS or plain HTTP.
    package let isInsecure: Bool
    /// A copy of the origin: it gets no credentials, and its failure moves on to the next endpoint.
    package let isMirror: Bool

    func location(_ scheme: Location.Scheme, _ target: String) -> Location {
        Location(scheme: scheme, host: host, port: port, target: target)
    }

    /// Schemes to try, in order. A secure endpoint has one: a failure of TLS never falls back.
    var schemes: [Location.Scheme] {
        if let scheme { return [scheme] }
        return isInsecure ? [.https, .http] : [.https]
    }

    /// Names its directory of certificates.
    var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port.map { "\(name):\($0)" } ?? name
    }

    package var description: String { "\((scheme ?? .https).rawValue)://\(authority)" }
}
