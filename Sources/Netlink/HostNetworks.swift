import Kernel

/// Owns everything kernel-facing of all networks of one daemon: bridges and parents, addresses, namespaces, endpoints,
/// published ports, packet rules, and the sockets of the embedded DNS server.
///
/// It runs on a thread of its own inside the host's network namespace, so that neither netlink nor nftables ever blocks the
/// cooperative pool; namespaces and endpoints are made on a second thread.
package actor HostNetworks {
    /// Subnets that networks get which ask for none.
    package struct Pool: Sendable, Hashable, Codable {
        package var base: IPSubnet
        /// Prefix length of each network's subnet.
        package var size: UInt8

        package init(_ base: IPSubnet, size: UInt8) {
            self.base = base
            self.size = size
        }
    }

    package struct Configuration: Sendable, Hashable {
        /// The nftables table that is ours alone, in the family `inet`.
        package var table: String
        /// A network-namespace file (namespaces(7)) whose interfaces play the host; nil: the process's own.
        package var hostNamespace: String?
        /// `default-address-pools`, in the order in which they are tried.
        package var pools: [Pool]
        /// The same for all runs of one daemon and different for others: what it makes is marked with it, and its IPv6 pool
        /// is derived from it.
        package var seed: String
        /// Ready endpoints kept for the next starts on the default network; each holds an address.
        package var spareCount: Int

        package init(
            table: String = "docker_swift", hostNamespace: String? = nil, pools: [Pool]? = nil, seed: String,
            spareCount: Int = 4
        ) {
            self.table = table
            self.hostNamespace = hostNamespace
            self.pools = pools ?? Pool.defaults(seed: seed)
            self.seed = seed
            self.spareCount = spareCount
        }
    }

    /// A container's life here: reserved before the first suspension, so that a second attach of it fails.
    enum Slot {
        /// Told apart by a number: a container may be detached and attached again meanwhile.
        case attaching(UInt64)
        case attached(Attached)
    }

    struct Attached {
        var sandbox: Sandbox
        var prepared: PreparedNamespace
        var ports: [PortBinding] = []
    }

    package nonisolated let configuration: Configuration
    /// Why ports cannot be published and containers do not reach beyond the host; nil when they can.
    package nonisolated let translationFailure: NetworkError?

    private nonisolated let thread: NetworkThread
    let links: HostLinks
    let builder: NamespaceBuilder
    let firewall: Firewall?
    var ports: PortTable
    var networks: [String: ActiveNetwork] = [:]
    var slots: [String: Slot] = [:]
    var attachCount: UInt64 = 0
    /// Containers that are being connected or disconnected, and who waits for that.
    var changing: [String: [CheckedContinuation<Void, Never>]] = [:]
    /// The table has our rules: before, those of an earlier run stay.
    var isInstalled = false
    var monitor: RulesetMonitor?
    var refill: Task<Void, Never>?
    var retired = RetiredSandboxes()
    var retirement: Task<Void, Never>?
    var isClosed = false

    package nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// Starts without any network. Rules and ports of an earlier run stay until ``adopt(_:)``, which must be called once,
    /// after ``restore(_:)`` of every network.
    ///
    /// - Throws: `invalid` for a configuration that cannot be meant, `system` when the kernel refuses.
    package static func open(_ configuration: Configuration) async throws(NetworkError) -> HostNetworks {
        try NameCheck.table(configuration.table)
        let thread = try doing("start the thread of networks") { () throws(SystemError) in
            try NetworkThread(name: "networks")
        }
        do throws(NetworkError) {
            let alias = "docker-swift \(Self.mark(configuration.seed))"
            let links = try await thread.run { () throws(NetworkError) in
                let links = try HostLinks(hostNamespace: configuration.hostNamespace, alias: alias)
                try links.forward(.v4)
                return links
            }
            let builder = try await NamespaceBuilder.start(hostNamespace: configuration.hostNamespace)
            let rules = await thread.run { () throws(Never) in FirewallOpening(configuration.table) }
            let networks = HostNetworks(configuration, thread, links, builder, rules)
            try await networks.watch()
            return networks
        } catch {
            thread.stop()
            throw error
        }
    }

    private init(
        _ configuration: Configuration, _ thread: NetworkThread, _ links: HostLinks, _ builder: NamespaceBuilder,
        _ rules: FirewallOpening
    ) {
        self.configuration = configuration
        self.thread = thread
        self.links = links
        self.builder = builder
        firewall = rules.firewall
        ports = rules.ports
        translationFailure = rules.failure
    }

    deinit { thread.stop() }

    /// Sixteen hexadecimal digits of a seed.
    private static func mark(_ seed: String) -> String { String(Pool.hash(seed), radix: 16) }

    // MARK: Networks

    /// Makes a network: picks free subnets (no overlap with other networks of ours, nor with routes and addresses of the
    /// host), makes the bridge, its addresses and rules. Nothing is left when it throws.
    ///
    /// - Throws: `networkExists`, `invalid`, `poolOverlap`, `addressTaken`, `exhausted` or `system`.
    package func create(_ request: NetworkRequest) throws(NetworkError) -> NetworkPlan {
        var plan = request.plan
        if plan.driver == .bridge, plan.interface.isEmpty { plan.interface = "br-\(plan.id.prefix(12))" }
        try check(plan)
        guard request.ipv4 != .none || request.ipv6 != .none else {
            throw NetworkError(.invalid, "IPv4 or IPv6 must be enabled", remedy: "for network \(plan.name)")
        }
        var wanted4 = request.ipv4
        if wanted4 == .automatic, let present = try addresses(of: plan) { wanted4 = .explicit(present) }
        let isChosen = wanted4 == .automatic || request.ipv6 == .automatic
        let choice = SubnetChoice(
            networks: networks.values.flatMap { $0.plan.families.map(\.subnet) },
            host: isChosen ? try links.used(except: []) : [], pools: configuration.pools)
        plan.ipv4 = try choice.plan(wanted4, .v4)
        plan.ipv6 = try choice.plan(request.ipv6, .v6)
        try start(plan)
        return plan
    }

    /// Makes or takes over the network of an earlier run. A bridge that is there keeps its ports.
    ///
    /// - Throws: `networkExists`, `invalid` or `system`.
    package func restore(_ plan: NetworkPlan) throws(NetworkError) {
        try check(plan)
        guard isInstalled else {
            networks[plan.id] = ActiveNetwork(plan, on: try makeLink(plan).link)  // adopt enters its rules
            return
        }
        try start(plan)
    }

    /// Removes a network with its bridge, rules and spares.
    ///
    /// - Throws: `inUse` while containers are attached, `unknownNetwork` or `system`.
    package func remove(_ id: String) async throws(NetworkError) {
        let network = try network(id)
        guard network.members.isEmpty else {
            throw NetworkError(
                .inUse, "network \(network.plan.name) id \(id) has active endpoints",
                remedy: "disconnect or remove \(network.members.count == 1 ? "the container" : "its containers") first")
        }
        networks[id] = nil
        for spare in network.spares { retire([spare.endpoint], spare.prepared) }
        if let rules = network.rules, firewall != nil {
            try changeRules { firewall throws(NetworkError) in try firewall.remove(rules) }
        }
        let name = network.plan.parent ?? network.plan.interface
        let isShared = networks.values.contains { ($0.plan.parent ?? $0.plan.interface) == name }
        guard !isShared, let link = try links.link(named: name), link.alias == links.alias else { return }
        _ = try links.remove([link])
    }

    /// The addresses of a bridge that the host has already: they stay.
    private func addresses(of plan: NetworkPlan) throws(NetworkError) -> AddressPlan? {
        guard plan.driver == .bridge, let link = try links.link(named: plan.interface), link.kind == "bridge" else {
            return nil
        }
        guard let own = try links.address(of: link, .v4),
            let subnet = IPSubnet(containing: own.address, prefixLength: own.prefixLength), subnet.prefixLength <= 30
        else { return nil }
        return AddressPlan(subnet: subnet, gateway: own.address)
    }

    private func makeLink(_ plan: NetworkPlan) throws(NetworkError) -> HostLinks.Made {
        if plan.ipv6 != nil, plan.driver == .bridge { try links.forward(.v6) }
        guard let parent = plan.parent else { return try links.ensureBridge(plan) }
        return try links.ensureParent(parent, of: plan)
    }

    /// Makes the link of a network and enters it into the rules.
    private func start(_ plan: NetworkPlan) throws(NetworkError) {
        let made = try makeLink(plan)
        let network = ActiveNetwork(plan, on: made.link)
        networks[plan.id] = network
        guard let rules = network.rules, firewall != nil else { return }
        do throws(NetworkError) {
            try changeRules { firewall throws(NetworkError) in try firewall.add(rules) }
            try openLoopback(network)
        } catch {
            networks[plan.id] = nil
            if made.isNew { links.remove(made.link.name) }
            throw error
        }
    }

    /// Lets the host reach published ports by its loopback addresses. After the rules that guard those from the bridge.
    func openLoopback(_ network: ActiveNetwork) throws(NetworkError) {
        guard let firewall, case .port(let bridge) = network.attachment else { return }
        try links.routeLoopback(to: network.plan.interface)
        if network.plan.ipv6 != nil, firewall.translatesLoopback6 { try links.routeLoopback6(to: bridge) }
    }

    /// Refuses what the kernel would refuse later or, worse, accept, and what another network has.
    private func check(_ plan: NetworkPlan) throws(NetworkError) {
        try NameCheck.network(plan)
        guard networks[plan.id] == nil else {
            throw NetworkError(.networkExists, "network with id \(plan.id) already exists")
        }
        for other in networks.values.map(\.plan) {
            if plan.driver == .bridge, other.interface == plan.interface {
                throw NetworkError(
                    .networkExists,
                    "cannot create network \(plan.id) (\(plan.interface)): conflicts with network \(other.id) "
                        + "(\(other.interface)): networks have same bridge name")
            }
            guard case .macvlan(_, let mode) = plan.driver, case .macvlan(_, let otherMode) = other.driver,
                plan.parent == other.parent, mode == .passthru || otherMode == .passthru
            else { continue }
            throw NetworkError(
                .networkExists, "network \(other.name) is already using parent interface \(other.parent ?? "")")
        }
    }

    func network(_ id: String) throws(NetworkError) -> ActiveNetwork {
        guard let network = networks[id] else { throw NetworkError(.unknownNetwork, "network \(id) not found") }
        return network
    }

    // MARK: End

    /// Lets the spares go and waits for work in the background. Attached containers keep their networks.
    package func close() async {
        isClosed = true
        monitor = nil
        await refill?.value
        retirement?.cancel()
        await retirement?.value
        for id in networks.keys { networks[id]?.spares = [] }
    }
}
