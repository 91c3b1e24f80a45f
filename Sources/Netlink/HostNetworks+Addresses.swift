/// Addresses of endpoints: taken before anything is made, and given back when its interface is gone.
extension HostNetworks {
    /// How long an address is waited for whose last owner is just leaving. The kernel takes some ten milliseconds.
    private static let preferredPatience = Duration.milliseconds(300)
    private static let askedPatience = Duration.seconds(2)
    /// Between two looks whether an address is free.
    private static let pause = Duration.milliseconds(10)

    /// An endpoint with addresses taken for it. The container counts as one of the network's from now on.
    func reserve(
        _ request: EndpointRequest, for container: String, beside others: [Endpoint]
    ) async throws(NetworkError) -> Endpoint {
        let id = request.network
        _ = try network(id)
        networks[id]?.members.insert(container)
        var taken: [IPAddress] = []
        do throws(NetworkError) {
            for family in IPAddress.Family.allCases {
                if let address = try await address(family, request) { taken.append(address) }
            }
            let network = try network(id)
            return network.endpoint(
                taken, mac: request.mac, priority: request.gatewayPriority, interface: network.interface(beside: others)
            )
        } catch {
            networks[id]?.release(taken)
            networks[id]?.members.remove(container)
            throw error
        }
    }

    /// Gives back at once what no interface has (any more).
    func release(_ endpoints: [Endpoint], of container: String) {
        for endpoint in endpoints {
            networks[endpoint.network]?.members.remove(container)
            networks[endpoint.network]?.release(endpoint.addresses)
        }
    }

    private func address(
        _ family: IPAddress.Family, _ request: EndpointRequest
    ) async throws(NetworkError) -> IPAddress? {
        let id = request.network
        let network = try network(id)
        let asked = family == .v4 ? request.ipv4 : request.ipv6
        if let asked {
            guard network.mayBeAsked(asked), asked.family == family else {
                throw NetworkError(.addressOutside, "no configured subnet contains IP address \(asked)")
            }
            guard await take(asked, on: id, within: Self.askedPatience) else {
                throw NetworkError(
                    .addressTaken, "Address already in use", remedy: "pick another address than \(asked)")
            }
            return asked
        }
        guard network.has(family) else { return nil }
        let preferred = family == .v4 ? request.preferred4 : request.preferred6
        if let preferred, preferred.family == family, await take(preferred, on: id, within: Self.preferredPatience) {
            return preferred
        }
        if let address = networks[id]?.allocate(family) { return address }
        guard let address = await addressAfterRetirement(family, on: id) else {
            throw NetworkError(
                .exhausted,
                "no available \(family.name) addresses on this network's address pools: \(network.plan.name) (\(id))",
                remedy: "remove containers, or use a network with a wider subnet")
        }
        return address
    }

    /// Takes this address, also from a spare or from an endpoint that is leaving; false when somebody else has it.
    private func take(_ address: IPAddress, on id: String, within patience: Duration) async -> Bool {
        guard networks[id]?.mayBeAsked(address) == true else { return false }
        if networks[id]?.reserve(address) == true { return true }
        if let index = networks[id]?.spares.firstIndex(where: { $0.endpoint.addresses.contains(address) }),
            let spare = networks[id]?.spares.remove(at: index)
        {
            retire([spare.endpoint], spare.prepared)
        }
        let end = ContinuousClock.now + patience
        while retired.holds(address, on: id), ContinuousClock.now < end {
            retireBatch()
            if networks[id]?.reserve(address) == true { return true }
            // A cancelled caller gives up waiting sooner, with the same answer.
            try? await Task.sleep(for: Self.pause)
        }
        return networks[id]?.reserve(address) ?? false
    }

    /// With every address in use: waits for those of spares and of ended containers.
    private func addressAfterRetirement(_ family: IPAddress.Family, on id: String) async -> IPAddress? {
        if let spare = networks[id]?.spares.popLast() { retire([spare.endpoint], spare.prepared) }
        let end = ContinuousClock.now + Self.askedPatience
        while !retired.isEmpty, ContinuousClock.now < end, !Task.isCancelled {
            retireBatch()
            if let address = networks[id]?.allocate(family) { return address }
            try? await Task.sleep(for: Self.pause)
        }
        return networks[id]?.allocate(family)
    }

    /// Notes that containers come to these networks: spares are worth it.
    func use(_ endpoints: [Endpoint]) {
        for endpoint in endpoints {
            networks[endpoint.network]?.isUsed = true
            networks[endpoint.network]?.failsSpares = false
        }
        startRefill()
    }

    // MARK: Retirement

    /// Lets a namespace go, and after it the addresses of its endpoints.
    ///
    /// - Parameter container: whose it was; nil for a spare.
    func retire(_ endpoints: [Endpoint], _ prepared: PreparedNamespace?, of container: String? = nil) {
        if let container { for endpoint in endpoints { networks[endpoint.network]?.members.remove(container) } }
        retired.add(endpoints, prepared)
        guard retirement == nil else { return }
        retirement = Task {
            while !Task.isCancelled, let pause = retired.pause {
                // A cancelled pause ends the loop above; nothing else can fail in it.
                try? await Task.sleep(for: pause)
                retireBatch()
            }
            retirement = nil
        }
    }

    /// One round: closes namespaces, then frees the addresses of those whose interfaces are gone.
    func retireBatch() {
        retired.closeBatch()
        for endpoint in retired.finished(isGone: links.isGone, remove: links.remove(_:)) {
            networks[endpoint.network]?.release(endpoint.addresses)
        }
    }

    // MARK: Spares

    /// Spares of a network that has been used, beside the default one.
    private static let userSpares = 2
    /// Spares of all networks together.
    private static let sparesMax = 32

    func startRefill() {
        guard refill == nil, !isClosed, isInstalled, nextToFill() != nil else { return }
        refill = Task {
            await fillSpares()
            refill = nil
        }
    }

    /// A network that lacks spares.
    private func nextToFill() -> String? {
        guard networks.values.reduce(0, { $0 + $1.spares.count }) < Self.sparesMax else { return nil }
        return networks.first { $0.value.spares.count < spareTarget(of: $0.value) }?.key
    }

    /// At most an eighth of the subnet waits unused.
    private func spareTarget(of network: ActiveNetwork) -> Int {
        guard network.isBridge, !network.failsSpares else { return 0 }
        let wanted = network.plan.isDefault ? configuration.spareCount : network.isUsed ? Self.userSpares : 0
        return min(wanted, network.capacity / 8)
    }

    private func fillSpares() async {
        while !isClosed, let id = nextToFill(), let network = networks[id] {
            var taken: [IPAddress] = []
            for family in IPAddress.Family.allCases where network.has(family) {
                if let address = networks[id]?.allocate(family) { taken.append(address) }
            }
            let endpoint = network.endpoint(taken, mac: nil, priority: 0, interface: network.interface(beside: []))
            let isComplete = IPAddress.Family.allCases.allSatisfy { endpoint.address($0) != nil || !network.has($0) }
            do throws(NetworkError) {
                guard isComplete else { throw NetworkError(.exhausted, "no address for a spare") }
                let prepared = try await builder.build(
                    try plans([endpoint]), arranged([endpoint]).routes, resolver: !network.plan.isDefault)
                guard networks[id] != nil else {
                    retire([endpoint], prepared)  // removed meanwhile
                    continue
                }
                networks[id]?.spares.append(ActiveNetwork.Spare(endpoint: endpoint, prepared: prepared))
            } catch {
                networks[id]?.release(taken)
                networks[id]?.failsSpares = true  // an attach that finds no spare builds its own and reports the reason
            }
        }
    }
}
