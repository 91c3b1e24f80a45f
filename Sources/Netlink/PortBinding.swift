/// Transport protocols that can be published, by their number (RFC 790).
package enum Transport: UInt8, Sendable, Hashable, Codable, CaseIterable {
    case tcp = 6
    case udp = 17
    case sctp = 132

    /// "tcp", as in `8080/tcp` and in nftables.
    package var name: String {
        switch self {
        case .tcp: "tcp"
        case .udp: "udp"
        case .sctp: "sctp"
        }
    }
}

/// A port of the host that leads to a port of a container.
package struct PortBinding: Sendable, Hashable, Codable, CustomStringConvertible {
    /// ``IPAddress/any4`` or ``IPAddress/any6``: on every address of the host of that family.
    package var hostAddress: IPAddress
    /// 0: any free one of 32768...60999.
    package var hostPort: UInt16
    /// With `hostPort` the ends of a range of which the first free port is taken; 0: `hostPort` alone.
    package var hostPortEnd: UInt16
    package var containerPort: UInt16
    package var transport: Transport
    /// Nobody has asked for `hostAddress`: ``HostNetworks/publish(_:for:)`` puts the network's there, and where that is
    /// every IPv4 address, publishes on every IPv6 address too.
    package var isAddressDefault: Bool

    package init(
        hostAddress: IPAddress = .any4, hostPort: UInt16 = 0, hostPortEnd: UInt16 = 0, containerPort: UInt16,
        transport: Transport = .tcp, isAddressDefault: Bool = false
    ) {
        self.isAddressDefault = isAddressDefault
        self.hostAddress = hostAddress
        self.hostPort = hostPort
        self.hostPortEnd = hostPortEnd
        self.containerPort = containerPort
        self.transport = transport
    }

    package var description: String {
        "\(hostAddress.family == .v4 ? "\(hostAddress)" : "[\(hostAddress)]"):\(hostPort)->\(containerPort)/\(transport.name)"
    }
}
