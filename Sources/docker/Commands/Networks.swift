/// The path of a network, its name escaped.
private func networkPath(_ name: String) throws(CLIError) -> String {
    guard !name.trimmed.isEmpty else { throw CLIError("invalid network name or ID: value is empty") }
    return "/networks/" + escaped(name)
}

/// `docker network ls`.
struct ListNetworks: Command {
    static let usage = "network ls [OPTIONS]"
    @Option("-f --filter", "Provide filter values (e.g. \"driver=bridge\")") var filter = Filters()
    @Option("--format", Help.listFormat) var format: String?
    @Flag("--no-trunc", "Do not truncate the output") var noTrunc = false
    @Flag("-q --quiet", "Only display network IDs") var quiet = false

    func run(_ settings: Settings) throws(CLIError) {
        let list = try settings.client().call("GET", "/networks" + query([("filters", filter.encoded)]))
        let format = settings.format(format, "networksFormat", quiet: quiet)
        let networks = list.elements.sorted { NaturalOrder.isAscending($0.text("Name"), $1.text("Name")) }
        let rows = networks.map(row)
        let listing = Listing(
            standard: "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
            headers: ["ID": "NETWORK ID", "IPv4": "IPV4", "IPv6": "IPV6"], identifier: "ID",
            rowType: "*network.networkContext",
            raw: (
                "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n", "network_id: {{.ID}}"
            ),
            methods: Labels.methods(rows, networks, by: "ID"))
        print(try listing.render(rows, format: format, quiet: quiet), terminator: "")
    }

    private func row(_ network: JSON) -> JSON {
        func flag(_ name: String) -> JSON { .string(String(network.flag(name))) }
        let id = network.text("Id")
        return [
            "CreatedAt": .string(Times.goString(rfc3339: network.text("Created"))),
            "Driver": .string(network.text("Driver")), "ID": .string(noTrunc ? id : Short.id(id)),
            "IPv4": flag("EnableIPv4"), "IPv6": flag("EnableIPv6"), "Internal": flag("Internal"),
            "Labels": .string(Labels.text(network["Labels"])), "Name": .string(network.text("Name")),
            "Scope": .string(network.text("Scope")),
        ]
    }
}

/// `docker network create`.
struct CreateNetwork: Command {
    static let usage = "network create [OPTIONS] NETWORK"
    @Flag("--attachable", "Enable manual container attachment") var attachable = false
    @Option("--aux-address", "Auxiliary IPv4 or IPv6 addresses used by Network driver (default map[])") var auxAddress =
        KeyValueMap()
    @Option("--config-from", "The network from which to copy the configuration") var configFrom = ""
    @Flag("--config-only", "Create a configuration only network") var configOnly = false
    @Option("-d --driver", "Driver to manage the Network (default \"bridge\")") var driver = "bridge"
    @Option("--gateway", "IPv4 or IPv6 Gateway for the master subnet") var gateway = CommaList()
    @Flag("--ingress", "Create swarm routing-mesh network") var ingress = false
    @Flag("--internal", "Restrict external access to the network") var isInternal = false
    @Option("--ip-range", "Allocate container ip from a sub-range") var ipRange = CommaList()
    @Option("--ipam-driver", "IP Address Management Driver (default \"default\")") var ipamDriver = "default"
    @Option("--ipam-opt", "Set IPAM driver specific options (default map[])") var ipamOpt = KeyValueMap()
    @Option("--ipv4", "Enable or disable IPv4 address assignment (default true)") var ipv4 = Choice()
    @Option("--ipv6", "Enable or disable IPv6 address assignment") var ipv6 = Choice()
    @Option("--label", "Set metadata on a network") var label = CheckedList<LabelRule>()
    @Option("-o --opt", "Set driver specific options (default map[])") var opt = KeyValueMap()
    @Option("--scope", "Control the network's scope") var scope = ""
    @Option("--subnet", "Subnet in CIDR format that represents a network segment") var subnet = CommaList()
    @Argument var name: String

    func run(_ settings: Settings) throws(CLIError) {
        let plan = try AddressPlan(
            subnets: subnet.values, ranges: ipRange.values, gateways: gateway.values, reserved: auxAddress.values)
        let client = try settings.client()
        try client.negotiate()
        say(try client.call("POST", "/networks/create", body(plan, client)).text("Id"))
    }

    private func body(_ plan: AddressPlan, _ client: Client) -> JSON {
        let ipam: JSON = [
            "Driver": .string(ipamDriver), "Options": JSON(map: ipamOpt.values), "Config": plan.config,
        ]
        return CreateBody.object([
            // Older daemons take a second network of the same name unless they are told not to.
            ("CheckDuplicate", client.speaksLess(than: 44) ? true : nil), ("Name", .string(name)),
            ("Driver", .string(driver)), ("Scope", .string(scope)),
            ("EnableIPv4", ipv4.value.map { .bool($0) }), ("EnableIPv6", ipv6.value.map { .bool($0) }), ("IPAM", ipam),
            ("Internal", .bool(isInternal)), ("Attachable", .bool(attachable)), ("Ingress", .bool(ingress)),
            ("ConfigOnly", .bool(configOnly)),
            ("ConfigFrom", configFrom.isEmpty ? .null : ["Network": .string(configFrom)]),
            ("Options", JSON(map: opt.values)), ("Labels", JSON(map: KeyValues.map(label.values))),
        ])
    }
}

/// `docker network connect`.
struct ConnectNetwork: Command {
    static let usage = "network connect [OPTIONS] NETWORK CONTAINER"
    @Option("--alias", "Add network-scoped alias for the container") var alias = CommaList()
    @Option("--driver-opt", "driver options for the network") var driverOpt = CommaList()
    @Option(
        "--gw-priority",
        "Highest gw-priority provides the default gateway. Accepts positive and negative values.")
    var gwPriority: Int64 = 0
    @Option("--ip", "IPv4 address (e.g., \"172.30.100.104\")") var ip = ""
    @Option("--ip6", "IPv6 address (e.g., \"2001:db8::33\")") var ip6 = ""
    @Option("--link", "Add link to another container") var link = CheckedList<LinkRule>()
    @Option("--link-local-ip", "Add a link-local address for the container") var linkLocalIP = CommaList()
    @Argument var network: String
    @Argument var container: String

    func run(_ settings: Settings) throws(CLIError) {
        var attachment = NetworkAttachment(target: network)
        attachment.aliases = alias.values
        attachment.links = link.values
        attachment.ip = ip
        attachment.ip6 = ip6
        attachment.linkLocalIPs = linkLocalIP.values
        attachment.gatewayPriority = gwPriority
        for text in driverOpt.values {
            guard let (key, value) = NetworkAttachment.driverOption(text) else {
                throw CLIError("invalid key/value pair format in driver options")
            }
            attachment.driverOptions[key] = value
        }
        let path = try networkPath(network)
        _ = try containerPath(container)
        let body: JSON = [
            "Container": .string(container), "EndpointConfig": CreateBody.object(attachment.settings),
        ]
        try settings.client().call("POST", path + "/connect", body)
    }
}

/// `docker network disconnect`.
struct DisconnectNetwork: Command {
    static let usage = "network disconnect [OPTIONS] NETWORK CONTAINER"
    @Flag("-f --force", "Force the container to disconnect from a network") var force = false
    @Argument var network: String
    @Argument var container: String

    func run(_ settings: Settings) throws(CLIError) {
        let path = try networkPath(network)
        _ = try containerPath(container)
        let body: JSON = ["Container": .string(container), "Force": .bool(force)]
        try settings.client().call("POST", path + "/disconnect", body)
    }
}

/// `docker network rm`.
struct RemoveNetworks: Command {
    static let usage = "network rm NETWORK [NETWORK...]"
    @Flag("-f --force", "Do not error if the network does not exist") var force = false
    @Argument var names: [String]

    private static let ingressWarning =
        "Before removing the routing-mesh network, make sure all the nodes in your swarm run the same docker engine "
        + "version. Otherwise, removal may not be effective and functionality of newly create ingress networks will "
        + "be impaired."

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        var isComplete = true
        for name in names {
            do throws(CLIError) {
                try remove(client, name)
            } catch  where force && error.status == 404 {
                continue
            } catch {
                complain(error.message)
                isComplete = false
            }
        }
        // The last line is Docker's.
        guard isComplete else { throw CLIError("exit status 1") }
    }

    private func remove(_ client: Client, _ name: String) throws(CLIError) {
        let path = try networkPath(name)
        // What cannot be looked up is still asked for: the refusal to remove it says why.
        let isIngress = (try? client.call("GET", path))?.flag("Ingress") ?? false
        guard !isIngress || Prune.confirmed(Self.ingressWarning) else { return }
        try client.call("DELETE", path)
        say(name)
    }
}

/// `docker network prune`.
struct PruneNetworks: Command {
    static let usage = "network prune [OPTIONS]"
    @Option("--filter", "Provide filter values (e.g. \"until=<timestamp>\")") var filter = Filters()
    @Flag("-f --force", "Do not prompt for confirmation") var force = false

    func run(_ settings: Settings) throws(CLIError) {
        let warning = "This will remove all custom networks not used by at least one container."
        guard force || Prune.confirmed(warning) else { return }
        try Prune.networks(try settings.client(), try Prune.filters(filter, settings))
    }
}
