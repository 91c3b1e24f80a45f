package import Netlink

/// Settings of networks that hold where nobody says otherwise: `daemon.json` and the daemon's flags, resolved.
package struct NetworkDefaults: Sendable {
    /// `default-address-pools`; nil: Docker's.
    package var pools: [HostNetworks.Pool]?
    /// Bytes of the largest packet (`mtu`); 0: 1500.
    package var mtu: UInt32 = 0
    /// Where ports are published that name no address (`ip`).
    package var bindAddress = IPAddress.any4
    /// Name servers, search domains and options of containers (`dns`, `dns-search`, `dns-opts`).
    package var dns: [String] = []
    package var dnsSearch: [String] = []
    package var dnsOptions: [String] = []

    // The default bridge.

    /// Its address with prefix length (`bip`); nil: of the first free pool.
    package var bridgeAddress: String?
    /// Where its containers' addresses are taken from (`fixed-cidr`).
    package var fixedCIDR: String?
    /// `ipv6`, with `fixed-cidr-v6` for its subnet.
    package var ipv6 = false
    package var fixedCIDRv6: String?
    /// `icc`: its containers may talk to each other.
    package var icc = true
    /// `ip-masq`: its containers reach beyond the host.
    package var masquerade = true

    package init() {}

    /// What a container asks of its resolver: its own settings, each in place of the general one.
    func resolver(for host: HostConfig) -> HostResolver.Wanted {
        func first(_ own: [String]?, _ general: [String]) -> [String] {
            own.flatMap { $0.isEmpty ? nil : $0 } ?? general
        }
        return HostResolver.Wanted(
            servers: first(host.dns, dns), search: first(host.dnsSearch, dnsSearch),
            options: first(host.dnsOptions, dnsOptions))
    }

    /// - Throws: ``EngineError`` with the setting at fault.
    func defaultBridge(id: String, interface: String) throws -> NetworkRequest {
        let plan = NetworkPlan(
            id: id, name: "bridge", interface: interface, icc: icc, masquerade4: masquerade, masquerade6: masquerade,
            mtu: mtu, hostBinding4: bindAddress, isDefault: true)
        return NetworkRequest(plan, ipv4: try ipv4(), ipv6: try wantedIPv6())
    }

    private func ipv4() throws -> NetworkRequest.Wanted {
        let range = try fixedCIDR.map { try Self.subnet($0, "fixed-cidr") }
        guard let text = bridgeAddress else {
            guard let range else { return .automatic }
            return .explicit(AddressPlan(subnet: range))
        }
        guard let (address, length) = IPSubnet.parts(text), address.family == .v4,
            let subnet = IPSubnet(containing: address, prefixLength: length)
        else {
            throw EngineError.invalid("invalid bip \(text): want an address with its prefix, such as 172.17.0.1/16")
        }
        if let range, !subnet.contains(range) {
            throw EngineError.invalid("invalid fixed-cidr \(range): it is not within the bridge's subnet \(subnet)")
        }
        return .explicit(AddressPlan(subnet: subnet, gateway: address, range: range))
    }

    private func wantedIPv6() throws -> NetworkRequest.Wanted {
        guard ipv6 else { return .none }
        guard let fixedCIDRv6 else { return .automatic }
        return .explicit(AddressPlan(subnet: try Self.subnet(fixedCIDRv6, "fixed-cidr-v6")))
    }

    private static func subnet(_ text: String, _ setting: String) throws -> IPSubnet {
        guard let subnet = IPSubnet(text) else {
            throw EngineError.invalid("invalid \(setting) \(text): want a subnet, such as 10.0.0.0/24")
        }
        return subnet
    }

    /// What an inspection of the default bridge shows.
    func options(_ interface: String) -> [String: String] {
        [
            "com.docker.network.bridge.default_bridge": "true",
            "com.docker.network.bridge.enable_icc": "\(icc)",
            "com.docker.network.bridge.enable_ip_masquerade": "\(masquerade)",
            "com.docker.network.bridge.host_binding_ipv4": "\(bindAddress)",
            "com.docker.network.bridge.name": interface,
            "com.docker.network.driver.mtu": "\(mtu == 0 ? 1500 : mtu)",
        ]
    }
}
