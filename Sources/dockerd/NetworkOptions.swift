import Actors
import ArgumentParser
import Netlink

/// The daemon's flags of networks, with Docker's names.
struct NetworkOptions: ParsableArguments {
    /// Bytes of the smallest and the largest packet (RFC 791).
    private static let mtuRange = 68...65_535

    @Option(name: .customLong("bip"), help: "Address of the bridge, with its prefix length")
    var bip: String?
    @Option(name: .customLong("fixed-cidr"), help: "IPv4 subnet for fixed IPs")
    var fixedCIDR: String?
    @Option(name: .customLong("fixed-cidr-v6"), help: "IPv6 subnet for fixed IPs")
    var fixedCIDRv6: String?
    @Flag(name: .customLong("ipv6"), help: "Enable IPv6 networking on the default bridge")
    var ipv6 = false
    @Option(name: .customLong("icc"), help: "Enable inter-container communication on the default bridge: true or false")
    var icc: Bool?
    @Option(name: .customLong("ip-masq"), help: "Enable IP masquerading of the default bridge: true or false")
    var ipMasq: Bool?
    @Option(
        name: .customLong("ip"),
        help: "Host address that ports are published on by default; 127.0.0.1 keeps them from other hosts")
    var ip: String?
    @Option(name: .customLong("mtu"), help: "MTU of networks that have none of their own")
    var mtu: Int?
    @Option(
        name: .customLong("default-address-pool"),
        help: "Pool of the subnets of networks: base=10.10.0.0/16,size=24 (repeatable)")
    var pools: [String] = []
    @Option(name: .customLong("dns"), help: "Name server of containers (repeatable)")
    var dns: [String] = []
    @Option(name: .customLong("dns-search"), help: "Search domain of containers (repeatable)")
    var dnsSearch: [String] = []
    @Option(name: .customLong("dns-opt"), help: "Resolver option of containers (repeatable)")
    var dnsOptions: [String] = []

    /// What the flags and the file say together.
    ///
    /// - Throws: `DaemonFailure` with what to change.
    func resolve(_ file: DaemonFile) throws -> NetworkDefaults {
        var network = NetworkDefaults()
        network.bridgeAddress = bip ?? file.bip
        network.fixedCIDR = fixedCIDR ?? file.fixedCIDR
        network.fixedCIDRv6 = fixedCIDRv6 ?? file.fixedCIDRv6
        network.ipv6 = ipv6 || file.ipv6 == true
        network.icc = icc ?? file.icc ?? true
        network.masquerade = ipMasq ?? file.ipMasq ?? true
        if let text = ip ?? file.ip, !text.isEmpty {
            guard let address = IPAddress(text), address.family == .v4 else {
                throw DaemonFailure("invalid ip \(text): want an IPv4 address of this host, such as 127.0.0.1")
            }
            network.bindAddress = address
        }
        let bytes = mtu ?? file.mtu ?? 0
        guard bytes == 0 || Self.mtuRange.contains(bytes) else {
            throw DaemonFailure("invalid mtu \(bytes): want 68 to 65535 bytes")
        }
        network.mtu = UInt32(bytes)
        network.pools = try pools(file)
        network.dns = dns + (file.dns ?? [])
        for server in network.dns where IPAddress(server) == nil {
            throw DaemonFailure("invalid dns \(server): want the address of a name server")
        }
        network.dnsSearch = dnsSearch + (file.dnsSearch ?? [])
        network.dnsOptions = dnsOptions + (file.dnsOptions ?? [])
        return network
    }

    private func pools(_ file: DaemonFile) throws -> [HostNetworks.Pool]? {
        let listed = (file.defaultAddressPools ?? []).map { ("\($0.base)", "\($0.size)") } + pools.map(Self.parts)
        let result = try listed.map { base, size in
            guard let subnet = IPSubnet(base), let length = UInt8(size),
                (subnet.prefixLength...subnet.base.family.bits).contains(length)
            else {
                throw DaemonFailure(
                    "invalid default-address-pool base \(base) size \(size): want a subnet and the prefix length of its parts"
                )
            }
            return HostNetworks.Pool(subnet, size: length)
        }
        return result.isEmpty ? nil : result
    }

    /// `base=10.10.0.0/16,size=24`
    private static func parts(_ text: String) -> (String, String) {
        var values: [Substring: String] = [:]
        for field in text.split(separator: ",") {
            let pair = field.split(separator: "=", maxSplits: 1)
            if pair.count == 2 { values[pair[0]] = String(pair[1]) }
        }
        return (values["base"] ?? "", values["size"] ?? "")
    }
}
