import Netlink

/// The networks a new container asks for, looked up and checked; or one that an existing container is to join.
struct RequestedNetworks: Sendable {
    /// The most networks of one container.
    private static let countMax = 128
    /// The most aliases or links in one network.
    private static let namesMax = 1024

    private let networks: NetworkStore

    init(_ networks: NetworkStore) { self.networks = networks }

    /// The settings of every network by its name, with its id.
    ///
    /// - Throws: ``EngineError`` `.notFound` for a network that does not exist, else `.invalidParameter` in Docker's words.
    func settings(_ request: CreateRequest, mode: String) async throws -> [String: EndpointSettings] {
        guard !mode.hasPrefix("container:") else {
            let addresses = request.endpoints.values.map(\.macAddress) + [request.config.macAddress]
            for address in addresses { try Self.check(macAddress: address, isOwn: false) }
            guard request.endpoints.isEmpty else { throw Self.sharing }
            return [:]
        }
        // Without a default bridge its containers cannot start, which they tell then.
        let isDefault = Self.isDefault(mode) || mode == "bridge"
        guard let first = try isDefault ? await networks.defaultBridge : await networks.network(mode) else {
            try Self.check(macAddress: request.config.macAddress, isOwn: true)
            return [:]
        }
        var result: [String: EndpointSettings] = [:]
        guard request.endpoints.count <= Self.countMax else {
            throw EngineError.invalid("a container has at most \(Self.countMax) networks")
        }
        for (reference, asked) in request.endpoints.sorted(by: { $0.key < $1.key }) {
            let network = Self.isDefault(reference) ? first : try await networks.network(reference)
            guard network.id == first.id || ![first.name, network.name].contains(where: Self.isSolitary) else {
                throw [first.name, network.name].contains("none") ? Self.solitary : Self.sharing
            }
            result[network.name] = try settings(asked, network)
        }
        if result[first.name] == nil { result[first.name] = try settings(EndpointSettings(), first) }
        let isOwn = !Self.isSolitary(first.name)
        try Self.check(macAddress: request.config.macAddress, isOwn: isOwn)
        if isOwn, let address = request.config.macAddress, !address.isEmpty {
            let other = result[first.name]?.wantedMACAddress
            guard other == nil || other == address else {
                throw EngineError.invalid(
                    "the container-wide MAC address must match the endpoint-specific MAC address for the main network, "
                        + "or be left empty")
            }
            result[first.name]?.wantedMACAddress = address
        }
        return result
    }

    /// The settings of one network that a container with these joins.
    func joining(_ network: NetworkRecord, _ asked: EndpointSettings, others: [String]) throws -> EndpointSettings {
        if network.name == "none" || others.contains("none") { throw Self.solitary }
        if network.name == "host" || others.contains("host") { throw Self.sharing }
        guard others.count < Self.countMax else {
            throw EngineError.invalid("a container has at most \(Self.countMax) networks")
        }
        return try settings(asked, network)
    }

    private static let solitary = EngineError.invalid(
        "container cannot be connected to multiple networks with one of the networks in private (none) mode")
    static let sharing = EngineError.invalid(
        "container sharing network namespace with another container or host cannot be connected to any other network")

    private static func isDefault(_ name: String) -> Bool { ["", "default"].contains(name) }

    /// True for those that a container has alone or not at all.
    private static func isSolitary(_ name: String) -> Bool { ["host", "none"].contains(name) }

    private static func check(macAddress: String?, isOwn: Bool) throws {
        guard let address = macAddress, !address.isEmpty else { return }
        guard isOwn else { throw EngineError.invalid("conflicting options: mac-address and the network mode") }
        guard MACAddress(address) != nil else {
            throw EngineError.invalid("invalid MAC address: \(address.printable)")
        }
    }

    // MARK: One network

    /// Only what a client may ask for is taken over.
    private func settings(_ asked: EndpointSettings, _ network: NetworkRecord) throws -> EndpointSettings {
        guard !network.isConfigOnly else {
            throw EngineError(
                .forbidden,
                "configuration network \"\(network.name)\" cannot be used for containers: create one from it")
        }
        var settings = EndpointSettings()
        settings.networkID = network.id
        settings.gatewayPriority = asked.gatewayPriority
        if let address = asked.macAddress, !address.isEmpty {
            guard !Self.isSolitary(network.name) else {
                throw EngineError.invalid("conflicting options: mac-address and the network mode")
            }
            guard MACAddress(address) != nil else {
                throw EngineError.invalid("invalid MAC address: \(address.printable)")
            }
            settings.wantedMACAddress = address
            settings.macAddress = address
        }
        if let option = (asked.driverOpts ?? [:]).keys.sorted().first {
            throw EngineError.invalid("driver option \(option.printable) of an endpoint is not supported: leave it out")
        }
        try names(asked, network, &settings)
        try addresses(asked, network, &settings)
        return settings
    }

    private func names(_ asked: EndpointSettings, _ network: NetworkRecord, _ settings: inout EndpointSettings) throws {
        let (aliases, links) = (asked.aliases ?? [], asked.links ?? [])
        guard aliases.isEmpty || network.hasNames else {
            throw EngineError.invalid("network-scoped alias is supported only for containers in user defined networks")
        }
        guard aliases.count <= Self.namesMax, links.count <= Self.namesMax else {
            throw EngineError.invalid("an endpoint has at most \(Self.namesMax) aliases and links")
        }
        for alias in aliases where !HostName.isName(alias, bytesMax: HostName.domainBytesMax) {
            throw EngineError.invalid("invalid network alias: \"\(alias.printable)\"")
        }
        for link in links { _ = try ContainerLink(link) }
        settings.aliases = aliases.isEmpty ? nil : aliases
        settings.links = links.isEmpty ? nil : links
    }

    private func addresses(
        _ asked: EndpointSettings, _ network: NetworkRecord, _ settings: inout EndpointSettings
    ) throws {
        guard let config = asked.ipamConfig else { return }
        guard (config.linkLocalIPs ?? []).isEmpty else {
            throw EngineError.invalid(
                "link-local addresses of an endpoint are not supported: leave out --link-local-ip")
        }
        let wanted = [(config.ipv4Address, IPAddress.Family.v4), (config.ipv6Address, .v6)].compactMap {
            text, family in text.flatMap { $0.isEmpty ? nil : ($0, family) }
        }
        guard !wanted.isEmpty else { return }
        guard network.hasNames else {
            throw EngineError.invalid("user specified IP address is supported on user defined networks only")
        }
        guard network.hasConfiguredSubnet else {
            throw EngineError.invalid(
                "user specified IP address is supported only when connecting to networks with user configured subnets")
        }
        for (text, family) in wanted {
            guard let address = IPAddress(text), address.family == family else {
                throw EngineError.invalid("invalid \(family == .v4 ? "IPv4" : "IPv6") address: \(text.printable)")
            }
            guard network.plan?[family]?.subnet.contains(address) == true else {
                throw EngineError.invalid(
                    "invalid config for network \(network.name): invalid endpoint settings:\n"
                        + "no configured subnet or ip-range contain the IP address \(address)")
            }
        }
        settings.ipamConfig = config
    }
}

extension NetworkRecord {
    /// True for networks of users', whose containers find each other by name and may have addresses by number.
    var hasNames: Bool { !isPredefined }
}
