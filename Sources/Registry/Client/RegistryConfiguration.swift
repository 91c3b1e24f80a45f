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
    /// Where hosts.toml is looked for, by the folder of a registry, in this order; empty reads none. Each operation reads it anew.
    package var hostDirectories: [String] = []
    /// Where certificates of hosts are.
    var certificateDirectories: [String] {
        [certificateDirectory] + hostDirectories.filter { $0 != certificateDirectory }
    }
    package var userAgent: String
    /// A preference (``SourceHeaders``) that goes with every request; nil for none.
    package var preference: String?
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
        /// Servers that are trusted with nothing, of one answer and of those that fail in one operation.
        package var sourcesMax = 16
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
        /// Longest silence of a server that is trusted with nothing, before its reply or inside: there are others.
        package var sourceIdle: Duration = .seconds(10)
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
    ///   - mirrors: `registry-mirrors` of daemon.json: URLs, for Docker Hub. They are trusted with what a tag names, as Docker
    ///     trusts them.
    ///   - sources: `layer-mirrors` of daemon.json: URLs by domain. They serve what a digest names and are trusted with nothing.
    ///   - insecureRegistries: `insecure-registries`: `host`, `host:port` or CIDR. Addresses of 127.0.0.0/8 and ::1, and
    ///     the name `localhost`, are always insecure.
    /// - Throws: `RegistryError` (`invalid`) in Docker's words for a malformed entry.
    package init(
        mirrors: [String] = [], sources: [String: [String]] = [:], insecureRegistries: [String] = [],
        certificateDirectory: String = "/etc/docker/certs.d", userAgent: String = "docker-swift"
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
        for (domain, urls) in sources {
            _ = try origin(of: domain)
            for url in urls { self.mirrors[domain, default: []].append(try endpoint(source: url)) }
        }
        for mirror in mirrors {
            self.mirrors[Reference.defaultDomain, default: []].append(try endpoint(mirror: mirror))
        }
    }

    /// Reads the URL of a mirror.
    ///
    /// - Throws: `RegistryError` (`invalid`) unless it is `http(s)://host[:port]` and nothing more.
    package func endpoint(mirror text: String) throws(RegistryError) -> RegistryEndpoint {
        let location = try location(ofMirror: text)
        guard location.target == "/" else {
            throw RegistryError(
                .invalid, "invalid mirror: path, query, or fragment at end of the URI \(OCIError.quoted(text))")
        }
        return endpoint(location, namePrefix: "", resolvesTags: true)
    }

    /// Reads the URL of a server that is trusted with nothing. Its path goes before the names of repositories:
    /// `https://mirror.example/ghcr.io` is asked for `ghcr.io/owner/name`.
    ///
    /// - Throws: `RegistryError` (`invalid`) unless it is `http(s)://host[:port][/path]`.
    package func endpoint(source text: String) throws(RegistryError) -> RegistryEndpoint {
        let location = try location(ofMirror: text)
        let path = location.target.split(separator: "/").joined(separator: "/")
        // The same letters as the names it goes before.
        guard path.isEmpty || (try? Reference("mirror.invalid/\(path)/name")) != nil else {
            throw RegistryError(
                .invalid, "invalid mirror: the path of \(OCIError.quoted(text)) cannot begin a repository's name")
        }
        return endpoint(location, namePrefix: path.isEmpty ? "" : path + "/", resolvesTags: false)
    }

    private func location(ofMirror text: String) throws(RegistryError) -> Location {
        guard !text.contains("@") else {
            throw RegistryError(
                .invalid, "invalid mirror: username/password not allowed in URI \(OCIError.quoted(text))")
        }
        guard let location = Location(text) else {
            throw RegistryError(
                .invalid, "invalid mirror: \(OCIError.quoted(text)) is not a valid URI",
                remedy: "give http(s)://host[:port]")
        }
        guard !text.contains("#"), !text.contains("?") else {
            throw RegistryError(
                .invalid, "invalid mirror: path, query, or fragment at end of the URI \(OCIError.quoted(text))")
        }
        return location
    }

    private func endpoint(_ location: Location, namePrefix: String, resolvesTags: Bool) -> RegistryEndpoint {
        let insecure = isInsecure(location.authority) || location.scheme == .http
        return RegistryEndpoint(
            host: location.host, port: location.port == location.scheme.defaultPort ? nil : location.port,
            scheme: location.scheme, isInsecure: insecure, isMirror: true, namePrefix: namePrefix,
            resolvesTags: resolvesTags)
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
    ///
    /// - Parameter hosts: what its hosts.toml says: its hosts take the place of `registry-mirrors`, as in Docker, and its
    ///   server that of the registry.
    func endpoints(for domain: String, hosts: RegistryHosts? = nil) throws(RegistryError) -> [RegistryEndpoint] {
        let mirrors = mirrors[domain] ?? []
        guard let hosts else { return mirrors + [try origin(of: domain)] }
        let named = try endpoints(hosts, for: domain)
        return mirrors.filter { named.count == 1 || !$0.resolvesTags } + named
    }

    /// Where to fetch what a digest names, in the order to try. Those that were asked in vain what a tag names, before the one
    /// that told it, are asked last.
    func endpoints(
        for domain: String, hosts: RegistryHosts? = nil, after teller: RegistryEndpoint
    ) throws(RegistryError) -> [RegistryEndpoint] {
        var all = try endpoints(for: domain, hosts: hosts)
        if !all.contains(teller) { all.insert(teller, at: 0) }
        let before = all.prefix { $0 != teller }
        let sorted =
            before.filter { !$0.resolvesTags } + all.dropFirst(before.count) + before.filter { $0.resolvesTags }
        return sorted.filter { $0.serves(.pull) }
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
    /// Stands before the names of repositories; empty, or ends in a slash.
    let namePrefix: String
    /// It is asked what a tag names. Others serve only what a digest names.
    package let resolvesTags: Bool
    /// Of a host that hosts.toml names.
    var settings: HostSettings?

    init(
        host: String, port: Int?, scheme: Location.Scheme?, isInsecure: Bool, isMirror: Bool, namePrefix: String = "",
        resolvesTags: Bool = true, settings: HostSettings? = nil
    ) {
        (self.host, self.port, self.scheme, self.isInsecure) = (host, port, scheme, isInsecure)
        (self.isMirror, self.namePrefix, self.settings) = (isMirror, namePrefix, settings)
        self.resolvesTags = resolvesTags && settings?.capabilities.contains(.resolve) != false
    }

    /// What it calls a repository.
    func name(of repository: String) -> String { namePrefix + repository }

    /// Where `path` of the protocol is.
    func location(_ scheme: Location.Scheme, _ path: String) -> Location {
        Location(scheme: scheme, host: host, port: port, target: settings?.target(of: path) ?? path)
    }

    /// Schemes to try, in order. A secure endpoint has one: a failure of TLS never falls back.
    var schemes: [Location.Scheme] {
        if let scheme { return [scheme] }
        return isInsecure ? [.https, .http] : [.https]
    }

    /// Scheme, host and port: what tells servers apart.
    var origin: String { "\((scheme ?? .https).rawValue)://\(authority)" }

    /// True for an address at its host and port.
    func isAt(_ location: Location) -> Bool {
        location.host == host && location.port == (port ?? location.scheme.defaultPort)
    }

    /// Names its directory of certificates.
    var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port.map { "\(name):\($0)" } ?? name
    }

    package var description: String {
        let root = settings.map { $0.root.hasSuffix("/v2") ? String($0.root.dropLast(3)) : $0.root } ?? ""
        let path = namePrefix.isEmpty ? root : "/\(namePrefix.dropLast())"
        return origin + path
    }
}
