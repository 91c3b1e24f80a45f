/// A network that the kernel has, with its addresses, its containers, and namespaces made ahead for the next ones.
struct ActiveNetwork: Sendable {
    /// A namespace with one endpoint that waits for its container.
    struct Spare: Sendable {
        let endpoint: Endpoint
        let prepared: PreparedNamespace
    }

    let plan: NetworkPlan
    let attachment: InterfacePlan.Attachment
    /// The Ethernet address that the one interface of a passed-through parent has.
    private let sharedMAC: MACAddress?
    private var pools: [IPAddress.Family: AddressPool] = [:]
    /// Attached containers, and those that are being attached.
    var members: Set<String> = []
    var spares: [Spare] = []
    /// A container has been attached: there may be more.
    var isUsed = false
    /// The last spare could not be made: no other is tried until a container has been attached.
    var failsSpares = false

    /// - Parameter link: the bridge, or the parent of macvlan interfaces.
    init(_ plan: NetworkPlan, on link: Link) {
        self.plan = plan
        switch plan.driver {
        case .bridge:
            attachment = .port(bridge: link.index)
            sharedMAC = nil
        case .macvlan(_, let mode):
            attachment = .child(parent: link.index, mode)
            sharedMAC = mode == .passthru ? link.mac : nil
        }
        for part in plan.families { pools[part.subnet.family] = AddressPool(part) }
    }

    var isBridge: Bool { plan.driver == .bridge }

    /// What the packet rules must know; nil where there are none.
    var rules: NetworkRules? {
        guard isBridge else { return nil }
        return NetworkRules(
            bridge: plan.interface, isInternal: plan.isInternal, icc: plan.icc, masquerade4: plan.masquerade4,
            masquerade6: plan.masquerade6)
    }

    // MARK: Addresses

    func has(_ family: IPAddress.Family) -> Bool { pools[family] != nil }

    /// How many addresses there are for containers, of the family that has the fewest.
    var capacity: Int { pools.values.map(\.capacity).min() ?? 0 }

    mutating func allocate(_ family: IPAddress.Family) -> IPAddress? { pools[family]?.allocate() }

    mutating func reserve(_ address: IPAddress) -> Bool { pools[address.family]?.reserve(address) ?? false }

    func mayBeAsked(_ address: IPAddress) -> Bool { pools[address.family]?.mayBeAsked(address) ?? false }

    func isTaken(_ address: IPAddress) -> Bool { pools[address.family]?.isTaken(address) ?? false }

    mutating func release(_ addresses: [IPAddress]) {
        for address in addresses { pools[address.family]?.release(address) }
    }

    // MARK: Endpoints

    /// An endpoint with addresses that are taken for it.
    func endpoint(_ addresses: [IPAddress], mac: MACAddress?, priority: Int, interface: String) -> Endpoint {
        let ipv4 = addresses.first { $0.family == .v4 }
        let ipv6 = addresses.first { $0.family == .v6 }
        let digits = (0..<4).map { _ in UInt64.random(in: 0...UInt64.max) }.map { value in
            let text = String(value, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        return Endpoint(
            id: digits.joined(), network: plan.id, ipv4: ipv4, ipv6: ipv6,
            prefixLength4: ipv4.flatMap { _ in plan.ipv4?.subnet.prefixLength } ?? 0,
            prefixLength6: ipv6.flatMap { _ in plan.ipv6?.subnet.prefixLength } ?? 0,
            gateway4: ipv4.flatMap { _ in plan.isInternal ? nil : plan.ipv4?.gateway },
            gateway6: ipv6.flatMap { _ in plan.isInternal ? nil : plan.ipv6?.gateway },
            mac: sharedMAC ?? mac ?? MACAddress(for: ipv4 ?? ipv6 ?? .any4),
            hostInterface: isBridge ? InterfacePlan.hostInterface() : "", interface: interface,
            gatewayPriority: priority)
    }

    func interfacePlan(_ endpoint: Endpoint, alias: String) -> InterfacePlan {
        // Where bridged packets pass the IP rules, those keep containers apart, and published ports work between them.
        InterfacePlan(
            endpoint: endpoint, attachment: attachment, mtu: plan.mtu,
            isIsolated: !plan.icc && !HostLinks.filtersBridged, alias: alias)
    }

    /// The name of a container's next interface on this network: the first number that none of `others` has.
    func interface(beside others: [Endpoint]) -> String {
        let taken = Set(others.map(\.interface))
        return (0...others.count).lazy.map { "\(plan.containerPrefix)\($0)" }.first { !taken.contains($0) }
            ?? plan.containerPrefix
    }

    // MARK: Spares

    /// A spare for the request, taken out; nil where none fits.
    mutating func takeSpare(for request: EndpointRequest, resolver: Bool) -> Spare? {
        guard request.mac == nil else { return nil }
        let index = spares.firstIndex { spare in
            let (endpoint, asked4, asked6) = (
                spare.endpoint, request.ipv4 ?? request.preferred4, request.ipv6 ?? request.preferred6
            )
            return (spare.prepared.resolver != nil) == resolver && (asked4 == nil || asked4 == endpoint.ipv4)
                && (asked6 == nil || asked6 == endpoint.ipv6)
        }
        return index.map { spares.remove(at: $0) }
    }
}

extension Endpoint {
    var addresses: [IPAddress] { [ipv4, ipv6].compactMap(\.self) }

    func with(priority: Int) -> Endpoint {
        Endpoint(
            id: id, network: network, ipv4: ipv4, ipv6: ipv6, prefixLength4: prefixLength4,
            prefixLength6: prefixLength6, gateway4: gateway4, gateway6: gateway6, mac: mac,
            hostInterface: hostInterface, interface: interface, gatewayPriority: priority)
    }
}
