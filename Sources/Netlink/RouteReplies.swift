import Glibc

/// An interface as the kernel reports it.
struct Link: Sendable {
    let index: Int32
    let name: String
    /// "bridge", "veth"; empty for a physical interface.
    let kind: String
    /// Index of the bridge it is a port of; 0 for none.
    let master: UInt32
    let mac: MACAddress?
    /// What whoever made it wrote on it.
    let alias: String
    /// The interface has been brought up.
    let isUp: Bool
    /// True when packets pass (RFC 2863 operational state "up").
    let isRunning: Bool
}

/// An address of an interface.
struct InterfaceAddress: Sendable, Hashable {
    let index: Int32
    let address: IPAddress
    let prefixLength: UInt8
}

extension RouteMessages {
    /// Bytes of `ifinfomsg`, `ifaddrmsg` and `rtmsg`.
    private static let linkHeader = 16, addressHeader = 8, routeHeader = 12
    /// The table of the host's own addresses and broadcasts (RT_TABLE_LOCAL).
    private static let localTable: UInt8 = 255

    static func link(in reply: NetlinkReply) -> Link? {
        guard reply.type == newLink, let index: Int32 = reply.payload.number(at: 4),
            let flags: UInt32 = reply.payload.number(at: 8)
        else { return nil }
        let attributes = reply.attributes(after: linkHeader)
        guard let name = attributes[LinkAttribute.name]?.netlinkName else { return nil }
        let kind = attributes[LinkAttribute.info]?.netlinkAttributes()[LinkAttribute.infoKind]?.netlinkName
        return Link(
            index: index, name: name, kind: kind ?? "", master: attributes[LinkAttribute.master]?.number(at: 0) ?? 0,
            mac: attributes[LinkAttribute.address].flatMap { MACAddress(bytes: $0) },
            alias: attributes[LinkAttribute.alias]?.netlinkName ?? "", isUp: flags & 1 != 0,
            isRunning: attributes[LinkAttribute.state]?.first == 6)
    }

    static func address(in reply: NetlinkReply) -> InterfaceAddress? {
        guard reply.type == newAddress, let prefixLength: UInt8 = reply.payload.number(at: 1),
            let index: Int32 = reply.payload.number(at: 4)
        else { return nil }
        let attributes = reply.attributes(after: addressHeader)
        // IFA_LOCAL, else IFA_ADDRESS: IPv6 has the latter alone.
        guard let bytes = attributes[2] ?? attributes[1], let address = IPAddress(bytes: bytes) else { return nil }
        return InterfaceAddress(index: index, address: address, prefixLength: prefixLength)
    }

    /// The destination of a route and the interface it leaves by; nil for a default route, and for what is no unicast route
    /// to elsewhere.
    static func route(in reply: NetlinkReply) -> (destination: IPSubnet, interface: Int32)? {
        let attributes = reply.attributes(after: routeHeader)
        guard reply.type == newRoute, let length: UInt8 = reply.payload.number(at: 1), length > 0,
            reply.payload.number(at: 4) != localTable,
            let address = attributes[1].flatMap({ IPAddress(bytes: $0) }),  // RTA_DST
            !address.isMulticast, !address.isLinkLocal,
            let subnet = IPSubnet(containing: address, prefixLength: length)
        else { return nil }
        return (subnet, attributes[4]?.number(at: 0) ?? 0)
    }
}
