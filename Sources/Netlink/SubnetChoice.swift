/// Decides the subnets of a network: what may be asked for, and what is free. Pure; who calls it knows what is in use.
struct SubnetChoice {
    /// Subnets of our other networks.
    let networks: [IPSubnet]
    /// What the host reaches otherwise: destinations of its routes, and its own addresses.
    let host: [IPSubnet]
    /// In the order in which they are tried.
    let pools: [HostNetworks.Pool]

    /// The complete plan for one family; nil when none is wanted.
    ///
    /// - Throws: `exhausted`, `poolOverlap` or `invalid`, in Docker's words.
    func plan(_ wanted: NetworkRequest.Wanted, _ family: IPAddress.Family) throws(NetworkError) -> AddressPlan? {
        switch wanted {
        case .none: return nil
        case .automatic:
            let subnet = try free(family)
            return AddressPlan(subnet: subnet, gateway: subnet.hosts.lowerBound)
        case .explicit(let plan):
            try Self.check(plan, family)
            if networks.contains(where: plan.subnet.overlaps) {
                throw NetworkError(
                    .poolOverlap, "invalid pool request: Pool overlaps with other one on this address space",
                    remedy: "choose another subnet than \(plan.subnet)")
            }
            return try Self.completed(plan)
        }
    }

    // MARK: Choosing

    /// The first subnet of the pools that nobody uses. Jumps over each one in use at once.
    private func free(_ family: IPAddress.Family) throws(NetworkError) -> IPSubnet {
        let used = networks + host
        for pool in pools where pool.base.family == family {
            var index: UInt128 = 0
            while let candidate = pool.base.subnet(of: pool.size, at: index) {
                guard let other = used.first(where: candidate.overlaps) else { return candidate }
                guard other.last < pool.base.last else { break }
                index = ((other.last.value - pool.base.base.value) >> UInt128(family.bits - pool.size)) + 1
            }
        }
        throw NetworkError(
            .exhausted, "all predefined address pools have been fully subnetted",
            remedy: "remove networks, give this one a subnet, or set default-address-pools")
    }

    /// The plan with a gateway.
    private static func completed(_ plan: AddressPlan) throws(NetworkError) -> AddressPlan {
        var plan = plan
        if plan.gateway == nil {
            var pool = AddressPool(plan)
            plan.gateway = pool.allocate()
        }
        guard let gateway = plan.gateway, !plan.auxiliary.values.contains(gateway) else {
            let asked = plan.gateway.map(\.description) ?? ""
            throw NetworkError(.addressTaken, "failed to allocate gateway (\(asked)): Address already in use")
        }
        return plan
    }

    // MARK: Checking

    /// Docker's checks of what a user asks for.
    static func check(_ plan: AddressPlan, _ family: IPAddress.Family) throws(NetworkError) {
        let subnet = plan.subnet
        guard subnet.family == family else {
            throw invalid("subnet \(subnet)", "it is an \(subnet.family.name) block")
        }
        if subnet.base.isIPv4Mapped { throw invalid("subnet \(subnet)", "it is an IPv4-mapped IPv6 block") }
        if subnet.base.isMulticast || subnet.base.isLoopback || subnet.prefixLength == 0 {
            throw invalid("subnet \(subnet)", "containers cannot have its addresses")
        }
        guard subnet.hosts.upperBound > subnet.hosts.lowerBound else {
            throw invalid("subnet \(subnet)", "it has no address for a container beside the gateway's")
        }
        if let range = plan.range { try check(range: range, in: subnet) }
        if let gateway = plan.gateway {
            try check(gateway, in: subnet, "gateway \(gateway)")
            guard subnet.hosts.contains(gateway) else {
                throw NetworkError(
                    .addressTaken, "failed to allocate gateway (\(gateway)): Address already in use",
                    remedy: "the subnet's first and last address are no host's")
            }
        }
        var seen: Set<IPAddress> = []
        for (name, address) in plan.auxiliary.sorted(by: { $0.key < $1.key }) {
            try check(address, in: subnet, "auxiliary address \(name)")
            guard seen.insert(address).inserted else {
                throw NetworkError(
                    .addressTaken,
                    "failed to allocate secondary ip address (\(name):\(address)): Address already in use")
            }
        }
    }

    private static func check(range: IPSubnet, in subnet: IPSubnet) throws(NetworkError) {
        let object = "ip-range \(range)"
        guard range.family == subnet.family else {
            throw invalid(object, "parent subnet is an \(subnet.family.name) block")
        }
        guard range.prefixLength >= subnet.prefixLength else {
            throw invalid(object, "CIDR block is bigger than its parent subnet \(subnet)")
        }
        guard subnet.contains(range) else { throw invalid(object, "parent subnet \(subnet) doesn't contain ip-range") }
        guard range.last >= subnet.hosts.lowerBound, range.base <= subnet.hosts.upperBound else {
            throw invalid(object, "it has no address for a container")
        }
    }

    private static func check(_ address: IPAddress, in subnet: IPSubnet, _ object: String) throws(NetworkError) {
        guard address.family == subnet.family else {
            throw invalid(object, "parent subnet is an \(subnet.family.name) block")
        }
        guard subnet.contains(address) else {
            throw invalid(object, "parent subnet \(subnet) doesn't contain this address")
        }
    }

    private static func invalid(_ object: String, _ reason: String) -> NetworkError {
        NetworkError(.invalid, "invalid network config:\ninvalid \(object): \(reason)")
    }
}

extension IPAddress.Family {
    /// "IPv4", "IPv6".
    package var name: String { self == .v4 ? "IPv4" : "IPv6" }
}

extension HostNetworks.Pool {
    /// Docker's: 172.17.0.0/16 to 172.31.0.0/16 and 192.168.0.0/16 in parts of /20, then a unique local IPv6 prefix
    /// (RFC 4193) derived from `seed` in parts of /64.
    package static func defaults(seed: String) -> [HostNetworks.Pool] {
        let wide = IPSubnet("172.16.0.0/12")
        let private16 = (1...15).compactMap { wide?.subnet(of: 16, at: $0) }.map { HostNetworks.Pool($0, size: 16) }
        let private20 = IPSubnet("192.168.0.0/16").map { HostNetworks.Pool($0, size: 20) }
        let local = IPSubnet(containing: IPAddress(.v6, uniqueLocal(seed)), prefixLength: 48)
        return private16 + [private20, local.map { HostNetworks.Pool($0, size: 64) }].compactMap(\.self)
    }

    /// FNV-1a of 64 bits: spreads seeds, and guards nothing.
    static func hash(_ seed: String) -> UInt64 {
        seed.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }

    /// fd00::/8 and 40 bits of the seed's hash: the same in every run, and another on other hosts.
    private static func uniqueLocal(_ seed: String) -> UInt128 {
        let hash = hash(seed)
        return 0xFD << 120 | UInt128((hash ^ hash >> 24) & 0xFF_FFFF_FFFF) << 80
    }
}
