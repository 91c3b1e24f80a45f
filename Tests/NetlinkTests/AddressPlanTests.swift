import Testing

@testable import Netlink

private func plan(
    _ subnet: String, gateway: String? = nil, range: String? = nil, auxiliary: [String: String] = [:]
) throws -> AddressPlan {
    AddressPlan(
        subnet: try #require(IPSubnet(subnet)), gateway: try gateway.map { try #require(IPAddress($0)) },
        range: try range.map { try #require(IPSubnet($0)) },
        auxiliary: try auxiliary.mapValues { try #require(IPAddress($0)) })
}

struct DualAddressPoolTests {
    @Test(
        arguments: [
            ("10.0.0.0/29", nil, ["10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"]),
            ("10.0.0.0/24", "10.0.0.8/30", ["10.0.0.8", "10.0.0.9", "10.0.0.10", "10.0.0.11"]),
            ("10.0.0.0/24", "10.0.0.252/30", ["10.0.0.252", "10.0.0.253", "10.0.0.254"]),
            ("fd00::/126", nil, ["fd00::2", "fd00::3"]),
        ] as [(String, String?, [String])])
    func `addresses come in order from the range, without the gateway's and auxiliary ones`(
        _ subnet: String, _ range: String?, _ expected: [String]
    ) throws {
        let gateway = subnet.hasPrefix("fd") ? "fd00::1" : "10.0.0.1"
        let auxiliary = subnet.hasPrefix("fd") ? [:] : ["router": "10.0.0.4"]
        var pool = AddressPool(try plan(subnet, gateway: gateway, range: range, auxiliary: auxiliary))
        var all: [String] = []
        while let address = pool.allocate() { all.append("\(address)") }
        #expect(all == expected)
    }

    @Test func `an address outside of the range can be asked for, and is never handed out unasked`() throws {
        var pool = AddressPool(try plan("10.0.0.0/24", gateway: "10.0.0.1", range: "10.0.0.8/31"))
        let asked = try #require(IPAddress("10.0.0.200"))
        let isTaken = pool.reserve(asked)
        pool.release(asked)
        let rest = (0..<3).map { _ in pool.allocate()?.description }
        #expect(isTaken && rest == ["10.0.0.8", "10.0.0.9", nil])
    }

    @Test(arguments: ["10.0.0.0/16", "fd00::/64", "::/0"])
    func `ten thousand addresses go round without a double, the longest free first`(_ subnet: String) throws {
        var pool = AddressPool(try plan(subnet))
        var held = (0..<10_000).compactMap { _ in pool.allocate() }
        #expect(Set(held).count == 10_000)
        let first = held.removeFirst()
        pool.release(first)
        pool.release(first)
        for address in held { pool.release(address) }
        let next = pool.allocate()
        #expect(next.map { !held.contains($0) && $0 != first } == true, "never-used ones come first")
    }

    @Test func `what is free longest comes back first`() throws {
        var pool = AddressPool(try plan("10.0.0.0/29"))
        let all = (0..<6).compactMap { _ in pool.allocate() }
        for address in all.reversed() { pool.release(address) }
        let again = (0..<7).map { _ in pool.allocate() }
        #expect(again == all.reversed() + [nil])
    }
}

struct DualSubnetChoiceTests {
    private func choice(networks: [String] = [], host: [String] = []) -> SubnetChoice {
        SubnetChoice(
            networks: networks.compactMap { IPSubnet($0) }, host: host.compactMap { IPSubnet($0) },
            pools: HostNetworks.Pool.defaults(seed: "seed"))
    }

    @Test(
        arguments: [
            ([], [], "172.17.0.0/16"), (["172.17.0.0/16"], [], "172.18.0.0/16"),
            ([], ["172.17.4.0/24"], "172.18.0.0/16"),
            ([], ["172.16.0.0/12"], "192.168.0.0/20"),
            (["192.168.32.0/20"], ["172.16.0.0/12", "192.168.0.0/24", "192.168.16.1/32"], "192.168.48.0/20"),
        ] as [([String], [String], String)])
    func `the first subnet that neither a network nor the host has is chosen`(
        _ networks: [String], _ host: [String], _ expected: String
    ) throws {
        let plan = try choice(networks: networks, host: host).plan(.automatic, .v4)
        #expect(plan?.subnet.description == expected && plan?.gateway == plan?.subnet.hosts.lowerBound)
    }

    @Test func `IPv6 subnets come from a unique local prefix that the seed decides`() throws {
        let first = try #require(try choice().plan(.automatic, .v6)?.subnet)
        let again = try choice(networks: [first.description]).plan(.automatic, .v6)?.subnet
        #expect(first.prefixLength == 64 && first.base.value >> 120 == 0xFD)
        #expect(again == IPSubnet(containing: IPAddress(.v6, first.base.value + 1 << 64), prefixLength: 64))
        #expect(HostNetworks.Pool.defaults(seed: "other").last != HostNetworks.Pool.defaults(seed: "seed").last)
    }

    @Test func `with every pool in use the error is Docker's`() throws {
        let error = #expect(throws: NetworkError.self) {
            try choice(networks: ["172.16.0.0/12", "192.168.0.0/16"]).plan(.automatic, .v4)
        }
        #expect(
            error?.code == .exhausted && error?.message == "all predefined address pools have been fully subnetted")
    }

    @Test(arguments: [
        (
            try? plan("10.0.0.0/24", gateway: "10.1.0.1"),
            "gateway 10.1.0.1: parent subnet 10.0.0.0/24 doesn't contain this address"
        ),
        (try? plan("10.0.0.0/24", gateway: "fd00::1"), "gateway fd00::1: parent subnet is an IPv4 block"),
        (
            try? plan("10.0.0.0/24", range: "10.0.1.0/28"),
            "ip-range 10.0.1.0/28: parent subnet 10.0.0.0/24 doesn't contain ip-range"
        ),
        (
            try? plan("10.0.0.0/24", range: "10.0.0.0/16"),
            "ip-range 10.0.0.0/16: CIDR block is bigger than its parent subnet 10.0.0.0/24"
        ),
        (
            try? plan("10.0.0.0/24", auxiliary: ["r": "10.1.0.9"]),
            "auxiliary address r: parent subnet 10.0.0.0/24 doesn't contain this address"
        ),
        (try? plan("10.0.0.0/32"), "subnet 10.0.0.0/32: it has no address for a container beside the gateway's"),
        (try? plan("fd00::/64"), "subnet fd00::/64: it is an IPv6 block"),
    ])
    func `what cannot be meant is refused in Docker's words`(_ plan: AddressPlan?, _ message: String) throws {
        let wanted = NetworkRequest.Wanted.explicit(try #require(plan))
        let error = #expect(throws: NetworkError.self) { try choice().plan(wanted, .v4) }
        #expect(error?.code == .invalid && error?.message == "invalid network config:\ninvalid \(message)")
    }

    @Test func `a subnet of another network is refused, one that the host routes is not`() throws {
        let wanted = NetworkRequest.Wanted.explicit(try plan("10.0.0.0/24"))
        let error = #expect(throws: NetworkError.self) { try choice(networks: ["10.0.0.128/25"]).plan(wanted, .v4) }
        #expect(error?.message == "invalid pool request: Pool overlaps with other one on this address space")
        #expect(try choice(host: ["10.0.0.0/8"]).plan(wanted, .v4)?.gateway == IPAddress("10.0.0.1"))
    }

    @Test(arguments: [("10.0.0.0", nil), ("10.0.0.9", "10.0.0.9")] as [(String, String?)])
    func `a gateway that is the network's own or an auxiliary address is taken`(_ gateway: String, _ aux: String?)
        throws
    {
        let wanted = NetworkRequest.Wanted.explicit(
            try plan("10.0.0.0/24", gateway: gateway, auxiliary: aux.map { ["r": $0] } ?? [:]))
        let error = #expect(throws: NetworkError.self) { try choice().plan(wanted, .v4) }
        #expect(error?.message == "failed to allocate gateway (\(gateway)): Address already in use")
    }
}
