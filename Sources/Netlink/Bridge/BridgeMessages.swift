import Glibc

/// The requests of rtnetlink(7) that networks of containers need, and what is read of the answers.
enum BridgeMessages {
    // linux/rtnetlink.h
    private static let newLink: UInt16 = 16
    private static let deleteLink: UInt16 = 17
    private static let getLink: UInt16 = 18
    private static let newAddress: UInt16 = 20
    private static let deleteAddress: UInt16 = 21
    private static let getAddress: UInt16 = 22
    private static let newRoute: UInt16 = 24
    private static let getRoute: UInt16 = 26

    // linux/if_link.h
    private static let linkAddress: UInt16 = 1
    private static let linkName: UInt16 = 3
    private static let linkMTU: UInt16 = 4
    private static let linkMaster: UInt16 = 10
    private static let linkState: UInt16 = 16
    private static let linkInfo: UInt16 = 18
    private static let linkNamespace: UInt16 = 28
    private static let infoKind: UInt16 = 1
    private static let infoData: UInt16 = 2
    private static let vethPeer: UInt16 = 1

    private static let inet = UInt8(AF_INET)
    private static let up: UInt32 = 1
    /// Bytes of `ifinfomsg`, `ifaddrmsg` and `rtmsg`.
    private static let linkHeader = 16, addressHeader = 8, routeHeader = 12

    /// An interface as the kernel reports it.
    struct Link: Sendable {
        let index: Int32
        let name: String
        /// "bridge", "veth"; empty for a physical interface.
        let kind: String
        /// Index of the bridge it is a port of; 0 for none.
        let master: UInt32
        /// True when packets pass (RFC 2863 operational state "up").
        let isRunning: Bool
    }

    /// An IPv4 address of an interface.
    struct InterfaceAddress: Sendable {
        let index: Int32
        let address: IPv4Address
        let prefixLength: UInt8
    }

    /// A bridge that is up. Its MAC is fixed: otherwise it changes with every port that comes or goes.
    static func createBridge(_ name: String, _ mac: MACAddress, mtu: UInt32) -> NetlinkMessage {
        var message = link(newLink, [.create, .exclusive], "interface \(name)", up: true)
        message.attribute(linkName, name)
        message.attribute(linkAddress, mac.bytes)
        message.attribute(linkMTU, mtu)
        message.nested(linkInfo) { $0.attribute(infoKind, "bridge") }
        return message
    }

    /// A veth(4) pair: `name` here, a port of bridge `master`; `peer` in the namespace of descriptor `namespace`. Both down.
    static func createPair(
        _ name: String, master: Int32, mtu: UInt32, peer: String, peerMAC: MACAddress, namespace: CInt
    ) -> NetlinkMessage {
        var message = link(newLink, [.create, .exclusive], "interface \(name)", up: false)
        message.attribute(linkName, name)
        message.attribute(linkMTU, mtu)
        message.attribute(linkMaster, UInt32(bitPattern: master))
        message.nested(linkInfo) { info in
            info.attribute(infoKind, "veth")
            info.nested(infoData) { data in
                data.nested(vethPeer) { end in
                    appendLinkHeader(&end, index: 0, up: false)
                    end.attribute(linkName, peer)
                    end.attribute(linkAddress, peerMAC.bytes)
                    end.attribute(linkMTU, mtu)
                    end.attribute(linkNamespace, UInt32(bitPattern: namespace))
                }
            }
        }
        return message
    }

    /// Brings a port of a bridge up, in hairpin mode: where bridged packets pass the IP rules (`bridge-nf-call-iptables`), a
    /// container that calls its own published port is answered by the port its packet came from.
    static func bringPortUp(_ name: String) -> NetlinkMessage {
        var message = link(newLink, [], "interface \(name)", up: true)
        message.attribute(linkName, name)
        message.nested(linkInfo) { info in
            info.attribute(4, "bridge")  // IFLA_INFO_SLAVE_KIND
            info.nested(5) { $0.attribute(4, [1]) }  // IFLA_INFO_SLAVE_DATA, IFLA_BRPORT_MODE
        }
        return message
    }

    /// Brings an interface up, and sets its MTU when one is given.
    static func bringUp(_ index: Int32, mtu: UInt32? = nil) -> NetlinkMessage {
        var message = link(newLink, [], "interface \(index)", index: index, up: true)
        if let mtu { message.attribute(linkMTU, mtu) }
        return message
    }

    static func remove(_ link: Link) -> NetlinkMessage {
        Self.link(deleteLink, [], "interface \(link.name)", index: link.index, up: false)
    }

    static func addAddress(_ address: IPv4Address, in subnet: IPv4Subnet, to index: Int32) -> NetlinkMessage {
        var message = addressMessage(newAddress, [.create, .exclusive], address, subnet.prefixLength, index)
        if subnet.prefixLength < 31 { message.attribute(4, subnet.last.bytes) }  // IFA_BROADCAST
        return message
    }

    static func removeAddress(_ address: InterfaceAddress) -> NetlinkMessage {
        addressMessage(deleteAddress, [], address.address, address.prefixLength, address.index)
    }

    static func addDefaultRoute(through gateway: IPv4Address, from index: Int32) -> NetlinkMessage {
        var message = NetlinkMessage(newRoute, [.create, .exclusive], "default route through \(gateway)")
        // Family, no destination or source bits, no TOS, table main, protocol boot, scope universe, type unicast; no flags.
        for byte: UInt8 in [inet, 0, 0, 0, 254, 3, 0, 1] { message.append(byte) }
        message.append(UInt32(0))
        message.attribute(5, gateway.bytes)  // RTA_GATEWAY
        message.attribute(4, UInt32(bitPattern: index))  // RTA_OIF
        return message
    }

    /// Asks for one interface by its name; the answer is one message, or ENODEV.
    static func link(named name: String) -> NetlinkMessage {
        var message = link(getLink, [], "interface \(name)", up: false)
        message.attribute(linkName, name)
        return message
    }

    static func allLinks() -> NetlinkMessage { link(getLink, .dump, "interfaces", up: false) }

    static func allAddresses() -> NetlinkMessage {
        var message = NetlinkMessage(getAddress, .dump, "addresses")
        for byte: UInt8 in [inet, 0, 0, 0] { message.append(byte) }
        message.append(UInt32(0))
        return message
    }

    static func allRoutes() -> NetlinkMessage {
        var message = NetlinkMessage(getRoute, .dump, "routes")
        for byte: UInt8 in [inet, 0, 0, 0, 0, 0, 0, 0] { message.append(byte) }
        message.append(UInt32(0))
        return message
    }

    // MARK: Answers

    static func link(in reply: NetlinkReply) -> Link? {
        guard reply.type == newLink, let index: Int32 = reply.payload.number(at: 4) else { return nil }
        let attributes = reply.attributes(after: linkHeader)
        guard let name = attributes[linkName]?.netlinkName else { return nil }
        let kind = attributes[linkInfo]?.netlinkAttributes()[infoKind]?.netlinkName
        return Link(
            index: index, name: name, kind: kind ?? "", master: attributes[linkMaster]?.number(at: 0) ?? 0,
            isRunning: attributes[linkState]?.first == 6)
    }

    static func address(in reply: NetlinkReply) -> InterfaceAddress? {
        guard reply.type == newAddress, let prefixLength: UInt8 = reply.payload.number(at: 1),
            let index: Int32 = reply.payload.number(at: 4),
            let local: UInt32 = reply.attributes(after: addressHeader)[2]?.number(at: 0)  // IFA_LOCAL
        else { return nil }
        return InterfaceAddress(
            index: index, address: IPv4Address(UInt32(bigEndian: local)), prefixLength: prefixLength)
    }

    /// The destination of an IPv4 route and the interface it leaves by; nil for the default route.
    static func route(in reply: NetlinkReply) -> (destination: IPv4Subnet, interface: Int32)? {
        let attributes = reply.attributes(after: routeHeader)
        guard reply.type == newRoute, let length: UInt8 = reply.payload.number(at: 1), length > 0,
            let destination: UInt32 = attributes[1]?.number(at: 0),  // RTA_DST
            let subnet = IPv4Subnet(containing: IPv4Address(UInt32(bigEndian: destination)), prefixLength: length)
        else { return nil }
        return (subnet, attributes[4]?.number(at: 0) ?? 0)
    }

    // MARK: Parts

    private static func link(
        _ type: UInt16, _ flags: NetlinkMessage.Flags, _ object: String, index: Int32 = 0, up: Bool
    ) -> NetlinkMessage {
        var message = NetlinkMessage(type, flags, object)
        appendLinkHeader(&message, index: index, up: up)
        return message
    }

    /// `struct ifinfomsg`: family, padding, type, index, flags and which of them to change.
    private static func appendLinkHeader(_ message: inout NetlinkMessage, index: Int32, up: Bool) {
        message.append(UInt32(0))
        message.append(index)
        message.append(up ? Self.up : 0)
        message.append(up ? Self.up : 0)
    }

    private static func addressMessage(
        _ type: UInt16, _ flags: NetlinkMessage.Flags, _ address: IPv4Address, _ prefixLength: UInt8, _ index: Int32
    ) -> NetlinkMessage {
        var message = NetlinkMessage(type, flags, "address \(address)/\(prefixLength)")
        for byte: UInt8 in [inet, prefixLength, 0, 0] { message.append(byte) }
        message.append(index)
        message.attribute(2, address.bytes)  // IFA_LOCAL
        message.attribute(1, address.bytes)  // IFA_ADDRESS
        return message
    }
}
