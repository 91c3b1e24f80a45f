/// A container's place in one network, as the Engine API writes it.
package struct EndpointSettings: Sendable, Hashable, Codable {
    package var ipamConfig: EndpointIPAMConfig?
    package var links: [String]?
    package var aliases: [String]?
    package var macAddress: String?
    package var networkID: String?
    package var endpointID: String?
    package var gateway: String?
    package var ipAddress: String?
    package var ipPrefixLength: Int?
    package var ipv6Gateway: String?
    package var globalIPv6Address: String?
    package var globalIPv6PrefixLength: Int?
    package var driverOpts: [String: String]?
    package var dnsNames: [String]?
    /// The endpoint with the highest gives the default route.
    package var gatewayPriority: Int?
    /// What was asked for; `macAddress` is what it has.
    var wantedMACAddress: String?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case ipamConfig = "IPAMConfig"
        case links = "Links"
        case aliases = "Aliases"
        case macAddress = "MacAddress"
        case networkID = "NetworkID"
        case endpointID = "EndpointID"
        case gateway = "Gateway"
        case ipAddress = "IPAddress"
        case ipPrefixLength = "IPPrefixLen"
        case ipv6Gateway = "IPv6Gateway"
        case globalIPv6Address = "GlobalIPv6Address"
        case globalIPv6PrefixLength = "GlobalIPv6PrefixLen"
        case driverOpts = "DriverOpts"
        case dnsNames = "DNSNames"
        case gatewayPriority = "GwPriority"
        case wantedMACAddress = "DesiredMacAddress"
    }

    package init() {}
}

/// Addresses asked for.
package struct EndpointIPAMConfig: Sendable, Hashable, Codable {
    package var ipv4Address: String?
    package var ipv6Address: String?
    package var linkLocalIPs: [String]?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case ipv4Address = "IPv4Address"
        case ipv6Address = "IPv6Address"
        case linkLocalIPs = "LinkLocalIPs"
    }

    package init() {}
}
