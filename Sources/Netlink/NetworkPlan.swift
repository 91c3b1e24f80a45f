/// The addresses of one family of one network.
package struct AddressPlan: Sendable, Hashable, Codable {
    package var subnet: IPSubnet
    /// Set in every completed plan: ``HostNetworks/create(_:)`` picks the subnet's first free address for nil.
    package var gateway: IPAddress?
    /// Where addresses are taken from that nobody asked for by number (`--ip-range`); nil: the whole subnet.
    package var range: IPSubnet?
    /// Addresses that are never given to a container, by their names (`--aux-address`).
    package var auxiliary: [String: IPAddress]

    package init(
        subnet: IPSubnet, gateway: IPAddress? = nil, range: IPSubnet? = nil, auxiliary: [String: IPAddress] = [:]
    ) {
        self.subnet = subnet
        self.gateway = gateway
        self.range = range
        self.auxiliary = auxiliary
    }
}

/// How the interfaces of one macvlan parent see each other (ip-link(8)).
package enum MacvlanMode: UInt32, Sendable, Hashable, Codable, CaseIterable {
    // linux/if_link.h
    case `private` = 1
    case vepa = 2
    case bridge = 4
    case passthru = 8

    /// As in `macvlan_mode`: "bridge".
    package var name: String {
        switch self {
        case .private: "private"
        case .vepa: "vepa"
        case .bridge: "bridge"
        case .passthru: "passthru"
        }
    }

    package init?(_ name: some StringProtocol) {
        guard let mode = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = mode
    }
}

/// One network as the kernel must have it: completed by ``HostNetworks/create(_:)``, kept durably by the caller, and handed
/// back to ``HostNetworks/restore(_:)`` by the next run.
package struct NetworkPlan: Sendable, Hashable, Codable {
    package enum Driver: Sendable, Hashable, Codable {
        case bridge
        /// - `parent`: an interface of the host, or `eth0.50` for a VLAN of one; empty: a dummy link of our own.
        case macvlan(parent: String, mode: MacvlanMode)
    }

    /// 64 hexadecimal digits.
    package var id: String
    package var name: String
    package var driver: Driver
    /// The bridge: "docker0", "br-0123456789ab"; empty in a request for the latter, and for macvlan.
    package var interface: String
    /// nil: no IPv4.
    package var ipv4: AddressPlan?
    /// nil: no IPv6.
    package var ipv6: AddressPlan?
    /// No default route, no translation, nothing in or out.
    package var isInternal: Bool
    /// Containers of the network may talk to each other.
    package var icc: Bool
    package var masquerade4: Bool
    package var masquerade6: Bool
    /// Bytes of the largest packet; 0: 1500.
    package var mtu: UInt32
    /// Where a port is published that names no address (`com.docker.network.bridge.host_binding_ipv4`).
    package var hostBinding4: IPAddress
    /// The bridge gets no IPv4 address (`com.docker.network.bridge.inhibit_ipv4`).
    package var inhibitGateway4: Bool
    /// The network of containers that name none: no embedded DNS server.
    package var isDefault: Bool
    /// What interfaces of containers are called, before their number (`com.docker.network.container_iface_prefix`).
    package var containerPrefix: String

    package init(
        id: String, name: String, driver: Driver = .bridge, interface: String = "", ipv4: AddressPlan? = nil,
        ipv6: AddressPlan? = nil, isInternal: Bool = false, icc: Bool = true, masquerade4: Bool = true,
        masquerade6: Bool = true, mtu: UInt32 = 0, hostBinding4: IPAddress = .any4, inhibitGateway4: Bool = false,
        isDefault: Bool = false, containerPrefix: String = "eth"
    ) {
        self.id = id
        self.name = name
        self.driver = driver
        self.interface = interface
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.isInternal = isInternal
        self.icc = icc
        self.masquerade4 = masquerade4
        self.masquerade6 = masquerade6
        self.mtu = mtu
        self.hostBinding4 = hostBinding4
        self.inhibitGateway4 = inhibitGateway4
        self.isDefault = isDefault
        self.containerPrefix = containerPrefix
    }

    /// The families the network has, with their addresses.
    package var families: [AddressPlan] { [ipv4, ipv6].compactMap(\.self) }

    package subscript(family: IPAddress.Family) -> AddressPlan? {
        get { family == .v4 ? ipv4 : ipv6 }
        set { if family == .v4 { ipv4 = newValue } else { ipv6 = newValue } }
    }
}

/// What ``HostNetworks/create(_:)`` is asked for.
package struct NetworkRequest: Sendable, Hashable {
    /// What is wanted of one family.
    package enum Wanted: Sendable, Hashable {
        case none
        /// A subnet of the pools.
        case automatic
        /// This subnet; without a gateway its first free address is that.
        case explicit(AddressPlan)
    }

    /// Everything but the addresses; its `ipv4` and `ipv6` are not looked at.
    package var plan: NetworkPlan
    package var ipv4: Wanted
    package var ipv6: Wanted

    package init(_ plan: NetworkPlan, ipv4: Wanted = .automatic, ipv6: Wanted = .none) {
        self.plan = plan
        self.ipv4 = ipv4
        self.ipv6 = ipv6
    }
}
