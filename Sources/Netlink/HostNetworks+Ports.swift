/// Published ports, and the packet rules.
extension HostNetworks {
    /// Tries for a port that is free in both families.
    private static let pairTriesMax = 64

    /// Publishes ports of an attached container through the endpoints that give the default routes: all or none.
    ///
    /// - Returns: the bindings with their addresses and ports. Those of a family without such an endpoint on a bridge are
    ///   left out.
    /// - Throws: `portTaken`, `portsExhausted`, `notAttached`, `translationUnavailable`, `invalid` or `system`.
    @discardableResult
    package func publish(_ bindings: [PortBinding], for container: String) throws(NetworkError) -> [PortBinding] {
        var attached = try attached(container)
        guard !bindings.isEmpty else { return [] }
        guard firewall != nil else {
            throw translationFailure ?? NetworkError(.translationUnavailable, "nftables is not there")
        }
        let before = attached
        var taken: [PortBinding] = []
        do throws(NetworkError) {
            for binding in bindings { taken += try reserve(binding, for: attached) }
            attached.ports += taken
            slots[container] = .attached(attached)
            let added = mappings(taken, attached.sandbox)
            try changeRules { firewall throws(NetworkError) in try firewall.map(added, .add) }
            return taken
        } catch {
            slots[container] = .attached(before)
            for binding in taken { ports.release(binding) }
            throw error
        }
    }

    /// Takes back every published port of a container and leaves it attached.
    ///
    /// - Throws: `notAttached` or `system`; the ports are free in any case.
    package func unpublish(_ container: String) throws(NetworkError) {
        var attached = try attached(container)
        let before = attached
        attached.ports = []
        slots[container] = .attached(attached)
        unmap(before.ports, of: before)
    }

    /// The published ports of a container, in the order of their publication.
    package func ports(of container: String) -> [PortBinding] {
        guard case .attached(let attached) = slots[container] else { return [] }
        return attached.ports
    }

    // MARK: Host ports

    private func reserve(_ binding: PortBinding, for attached: Attached) throws(NetworkError) -> [PortBinding] {
        let container = attached.sandbox.container
        var binding = binding
        let target4 = target(.v4, attached.sandbox), target6 = target(.v6, attached.sandbox)
        guard binding.isAddressDefault else {
            guard let target = binding.hostAddress.family == .v4 ? target4 : target6 else { return [] }
            return [try ports.reserve(binding, for: container, at: target.address)]
        }
        binding.isAddressDefault = false
        guard let target4 else {
            guard let target6 else { return [] }
            binding.hostAddress = .any6
            return [try ports.reserve(binding, for: container, at: target6.address)]
        }
        binding.hostAddress = target4.network.plan.hostBinding4
        guard let target6, binding.hostAddress.isUnspecified else {
            return [try ports.reserve(binding, for: container, at: target4.address)]
        }
        return try reservePair(binding, for: container, at: target4.address, target6.address)
    }

    /// One port on every IPv4 address and on every IPv6 address.
    private func reservePair(
        _ binding: PortBinding, for container: String, at address4: IPAddress, _ address6: IPAddress
    ) throws(NetworkError) -> [PortBinding] {
        let isFixed = binding.hostPort != 0 && binding.hostPortEnd <= binding.hostPort
        // Held until the end, so that the next try is another port.
        var rejected: [PortBinding] = []
        defer { for binding in rejected { ports.release(binding) } }
        while true {
            let first = try ports.reserve(binding, for: container, at: address4)
            do throws(NetworkError) {
                var second = first
                second.hostAddress = .any6
                return [first, try ports.reserve(second, for: container, at: address6)]
            } catch {
                rejected.append(first)
                if isFixed || error.code != .portTaken || rejected.count == Self.pairTriesMax { throw error }
            }
        }
    }

    /// The address on a bridge that published ports of the family lead to.
    private func target(
        _ family: IPAddress.Family, _ sandbox: Sandbox
    ) -> (address: IPAddress, network: ActiveNetwork)? {
        guard let endpoint = sandbox.gatewayEndpoint(family), let address = endpoint.address(family),
            let network = networks[endpoint.network], network.isBridge
        else { return nil }
        return (address, network)
    }

    // MARK: Rules

    private func mappings(_ bindings: [PortBinding], _ sandbox: Sandbox) -> [PortMapping] {
        bindings.compactMap { binding in
            target(binding.hostAddress.family, sandbox).map { PortMapping(binding, $0.address) }
        }
    }

    /// Every published port, from the records.
    private var allMappings: [PortMapping] {
        slots.values.flatMap { slot -> [PortMapping] in
            guard case .attached(let attached) = slot else { return [] }
            return mappings(attached.ports, attached.sandbox)
        }
    }

    /// Takes ports off the rules and frees them.
    func unmap(_ bindings: [PortBinding], of attached: Attached) {
        guard !bindings.isEmpty else { return }
        for binding in bindings { ports.release(binding) }
        let gone = mappings(bindings, attached.sandbox)
        // The ports are free for us; a rule that could not be taken out is replaced with the next change, or by the monitor.
        try? changeRules { firewall throws(NetworkError) in try firewall.map(gone, .delete) }
    }

    /// Puts a changed sandbox into the records; where the gateway is another now, its ports lead there, in one transaction.
    func movePorts(from before: Sandbox, to attached: Attached) throws(NetworkError) {
        let container = attached.sandbox.container
        let former = slots[container]
        slots[container] = .attached(attached)
        guard mappings(attached.ports, before) != mappings(attached.ports, attached.sandbox) else { return }
        let all = allMappings
        do throws(NetworkError) {
            try changeRules { firewall throws(NetworkError) in try firewall.map(all, .replace) }
        } catch {
            slots[container] = former
            throw error
        }
    }

    /// Changes the rules. When that fails, somebody has changed them before us: everything is made again, from the records.
    func changeRules(_ change: (Firewall) throws(NetworkError) -> Void) throws(NetworkError) {
        guard let firewall else { return }
        guard isInstalled else { return try install() }
        do throws(NetworkError) {
            try change(firewall)
        } catch {
            try install()
        }
    }

    /// Watches for others that change our rules.
    func watch() throws(NetworkError) {
        guard let firewall else { return }
        monitor = try RulesetMonitor(table: configuration.table, ours: firewall.port) { [weak self] in
            Task { await self?.restoreRules() }
        }
    }

    /// Makes the rules again that somebody has changed.
    private func restoreRules() {
        guard isInstalled, !isClosed else { return }
        // What fails now is tried again with the next change, whoever makes it.
        try? install()
    }

    /// Makes all rules, from the records, in one transaction: packets to containers never meet a gap.
    func install() throws(NetworkError) {
        guard let firewall else { return }
        try firewall.install(networks.values.compactMap(\.rules), allMappings)
        isInstalled = true
    }
}
