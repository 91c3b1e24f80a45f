import Glibc
import Kernel

@testable import Netlink

/// A host with the packet rules alone: bridges and containers are made with ip(8), of both families.
///
/// The host is 203.0.113.1 and 2001:db8::1, and 203.0.113.3 and 2001:db8::3; the outside 203.0.113.2 and 2001:db8::2.
struct FirewallWorld {
    let host: Place
    let outside: Place
    let rules: RulesOwner

    /// - Parameter bridged: bridged packets pass the IP rules, as with the module br_netfilter.
    init(bridged: Bool = false) async throws {
        host = try await Place()
        outside = try await Place()
        let far = outside.namespace.path
        try await host.shell(
            """
            ip link add up0 type veth peer name up1 netns \(far)
            ip addr add 203.0.113.1/24 dev up0; ip addr add 203.0.113.3/24 dev up0
            ip addr add 2001:db8::1/64 dev up0 nodad; ip addr add 2001:db8::3/64 dev up0 nodad preferred_lft 0
            ip link set up0 up
            sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
            sysctl -w net.bridge.bridge-nf-call-iptables=\(bridged ? 1 : 0)
            sysctl -w net.bridge.bridge-nf-call-ip6tables=\(bridged ? 1 : 0)
            """)
        try await outside.shell(
            "ip addr add 203.0.113.2/24 dev up1; ip addr add 2001:db8::2/64 dev up1 nodad; ip link set up1 up")
        for family in IPAddress.Family.allCases { try await outside.settle(Self.host(family)) }
        rules = try await RulesOwner(host)
    }

    static func host(_ family: IPAddress.Family) -> IPAddress { address("203.0.113.1", "2001:db8::1", family) }
    static func second(_ family: IPAddress.Family) -> IPAddress { address("203.0.113.3", "2001:db8::3", family) }
    static func outside(_ family: IPAddress.Family) -> IPAddress { address("203.0.113.2", "2001:db8::2", family) }
    static func loopback(_ family: IPAddress.Family) -> IPAddress { IPAddress(family, family == .v4 ? 0x7F00_0001 : 1) }

    private static func address(_ four: String, _ six: String, _ family: IPAddress.Family) -> IPAddress {
        IPAddress(family == .v4 ? four : six) ?? .any(family)
    }

    /// A bridge `brN` with 172.30.N.1/24 and fd00:N::1/64, and its rules. Its own Ethernet address keeps it from taking that of
    /// its ports, which neighbours would have to learn anew.
    @discardableResult
    func network(_ number: Int, _ change: (inout NetworkRules) -> Void = { _ in }) async throws -> NetworkRules {
        try await host.shell(
            """
            ip link add br\(number) address 02:42:00:00:00:0\(number) type bridge
            ip addr add 172.30.\(number).1/24 dev br\(number); ip addr add fd00:\(number)::1/64 dev br\(number) nodad
            ip link set br\(number) up
            sysctl -w net.ipv4.conf.br\(number).route_localnet=1
            ip -6 route add local ::1/128 dev br\(number) table local metric 2048
            """)
        var network = NetworkRules(bridge: "br\(number)")
        change(&network)
        let rules = network
        try await self.rules.call { owner throws(NetworkError) in
            owner.networks.append(rules)
            try owner.firewall.add(rules)
        }
        return rules
    }

    /// A container 172.30.N.M and fd00:N::M on the bridge `brN`, whose links have settled.
    ///
    /// - Parameters:
    ///   - isolated: the bridge keeps it from its other ports of this kind.
    ///   - isInternal: its way beyond the bridge is closed, and cannot be waited for.
    func container(
        _ number: Int, _ member: Int, isolated: Bool = false, isInternal: Bool = false
    ) async throws -> Container {
        let place = try await Place()
        let name = "v\(number)x\(member)"
        try await host.shell(
            """
            ip link add \(name) type veth peer name eth0 netns \(place.namespace.path)
            ip link set \(name) master br\(number) up
            ip link set \(name) type bridge_slave hairpin on isolated \(isolated ? "on" : "off")
            """)
        try await place.shell(
            """
            ip addr add 172.30.\(number).\(member)/24 dev eth0; ip addr add fd00:\(number)::\(member)/64 dev eth0 nodad
            ip link set eth0 up
            ip route add default via 172.30.\(number).1; ip -6 route add default via fd00:\(number)::1
            """)
        let container = Container(
            place: place, v4: Self.address("172.30.\(number).\(member)", "", .v4),
            v6: Self.address("", "fd00:\(number)::\(member)", .v6))
        for family in IPAddress.Family.allCases {
            try await place.settle(Self.address("172.30.\(number).1", "fd00:\(number)::1", family))
            try await host.settle(container.address(family))
            // A default route of IPv6 may lead nowhere for the link's first second.
            if !isInternal { try await place.settle(Self.host(family)) }
        }
        return container
    }

    struct Container {
        let place: Place
        let v4, v6: IPAddress

        func address(_ family: IPAddress.Family) -> IPAddress { family == .v4 ? v4 : v6 }

        /// This container's port 80 as the host's port.
        func mapping(
            _ port: UInt16, on address: IPAddress, _ transport: Transport = .tcp
        ) -> PortMapping {
            PortMapping(
                PortBinding(hostAddress: address, hostPort: port, containerPort: 80, transport: transport),
                self.address(address.family))
        }
    }

    func publish(_ mappings: PortMapping...) async throws {
        try await rules.call { owner throws(NetworkError) in
            owner.mappings += mappings
            try owner.firewall.map(mappings, .add)
        }
    }

    func unpublish(_ mappings: PortMapping...) async throws {
        try await rules.call { owner throws(NetworkError) in
            owner.mappings.removeAll(where: mappings.contains)
            try owner.firewall.map(mappings, .delete)
        }
    }
}

/// The rules with what they were told, on the host's thread.
///
/// `@unchecked Sendable`: used in ``call(_:)`` alone, which runs on that thread.
final class RulesOwner: @unchecked Sendable {
    let host: Place
    private(set) var firewall: Firewall
    var networks: [NetworkRules] = []
    var mappings: [PortMapping] = []

    init(_ host: Place, table: String = "docker_swift") async throws {
        self.host = host
        firewall = try await Self.make(host, table).firewall
        try await call { owner throws(NetworkError) in try owner.firewall.install([], []) }
    }

    /// `@unchecked Sendable`: carries the value off the thread that made it, which does not look at it any more.
    private struct Made: @unchecked Sendable { let firewall: Firewall }

    private static func make(_ host: Place, _ table: String) async throws -> Made {
        try await host.run { () throws(SystemError) in
            Result { () throws(NetworkError) in Made(firewall: try Firewall(table: table)) }
        }.get()
    }

    @discardableResult
    func call<Value: Sendable>(_ body: @escaping @Sendable (RulesOwner) throws(NetworkError) -> Value) async throws
        -> Value
    {
        try await host.run { () throws(SystemError) in
            Result { () throws(NetworkError) in try body(self) }
        }.get()
    }

    /// What a start of the daemon does.
    func reinstall() async throws {
        try await call { owner throws(NetworkError) in
            try owner.firewall.install(owner.networks, owner.mappings)
        }
    }
}
