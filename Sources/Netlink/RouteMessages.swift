import Glibc

/// The requests of rtnetlink(7) that networks of containers need.
enum RouteMessages {
    // linux/rtnetlink.h
    static let newLink: UInt16 = 16
    private static let deleteLink: UInt16 = 17
    private static let getLink: UInt16 = 18
    static let newAddress: UInt16 = 20
    private static let deleteAddress: UInt16 = 21
    private static let getAddress: UInt16 = 22
    static let newRoute: UInt16 = 24
    private static let deleteRoute: UInt16 = 25
    private static let getRoute: UInt16 = 26

    /// Attributes of linux/if_link.h.
    enum LinkAttribute {
        static let address: UInt16 = 1
        static let name: UInt16 = 3
        static let mtu: UInt16 = 4
        static let link: UInt16 = 5
        static let master: UInt16 = 10
        static let state: UInt16 = 16
        static let info: UInt16 = 18
        static let alias: UInt16 = 20
        static let namespace: UInt16 = 28
        static let infoKind: UInt16 = 1
        static let infoData: UInt16 = 2
    }

    private static let up: UInt32 = 1
    /// IFA_F_NODAD: used at once; that nobody else has the address is ours to know.
    private static let withoutDetection: UInt8 = 2

    // MARK: Interfaces

    /// A bridge. Its MAC is fixed: otherwise it changes with every port that comes or goes.
    static func createBridge(_ name: String, _ mac: MACAddress, mtu: UInt32) -> NetlinkMessage {
        var message = link(newLink, [.create, .exclusive], "interface \(name)")
        message.attribute(LinkAttribute.name, name)
        message.attribute(LinkAttribute.address, mac.bytes)
        message.attribute(LinkAttribute.mtu, mtu)
        message.nested(LinkAttribute.info) { $0.attribute(LinkAttribute.infoKind, "bridge") }
        return message
    }

    /// Lets packets within a bridge pass the IP rules (br_netfilter).
    static func filterBridged(_ index: Int32) -> NetlinkMessage {
        var message = link(newLink, [], "interface \(index)", index: index)
        message.nested(LinkAttribute.info) { info in
            info.attribute(LinkAttribute.infoKind, "bridge")
            info.nested(LinkAttribute.infoData) { data in
                data.attribute(36, [1])  // IFLA_BR_NF_CALL_IPTABLES
                data.attribute(37, [1])  // IFLA_BR_NF_CALL_IP6TABLES
            }
        }
        return message
    }

    /// An interface that leads nowhere: the parent of macvlan interfaces that see each other alone.
    static func createDummy(_ name: String) -> NetlinkMessage {
        var message = link(newLink, [.create, .exclusive], "interface \(name)")
        message.attribute(LinkAttribute.name, name)
        message.nested(LinkAttribute.info) { $0.attribute(LinkAttribute.infoKind, "dummy") }
        return message
    }

    /// A veth(4) pair whose ends both stay here: what does for a dummy link where the kernel has none.
    static func createPair(_ name: String, peer: String) -> NetlinkMessage {
        var message = link(newLink, [.create, .exclusive], "interface \(name)")
        message.attribute(LinkAttribute.name, name)
        message.nested(LinkAttribute.info) { info in
            info.attribute(LinkAttribute.infoKind, "veth")
            info.nested(LinkAttribute.infoData) { data in
                data.nested(1) { end in  // VETH_INFO_PEER
                    appendLinkHeader(&end)
                    end.attribute(LinkAttribute.name, peer)
                }
            }
        }
        return message
    }

    /// The part of `parent`'s traffic that is tagged with a VLAN's number (IEEE 802.1Q).
    static func createVLAN(_ name: String, parent: Int32, number: UInt16) -> NetlinkMessage {
        var message = link(newLink, [.create, .exclusive], "interface \(name)")
        message.attribute(LinkAttribute.name, name)
        message.attribute(LinkAttribute.link, UInt32(bitPattern: parent))
        message.nested(LinkAttribute.info) { info in
            info.attribute(LinkAttribute.infoKind, "vlan")
            info.nested(LinkAttribute.infoData) { data in
                data.attribute(1, withUnsafeBytes(of: number, Array.init))  // IFLA_VLAN_ID
            }
        }
        return message
    }

    /// A veth(4) pair: `name` here, a port of bridge `master`; `peer` in the namespace of descriptor `namespace`. Both down.
    static func createPair(
        _ name: String, master: Int32, mtu: UInt32, peer: String, peerMAC: MACAddress, namespace: CInt
    ) -> NetlinkMessage {
        var message = link(newLink, [.create, .exclusive], "interface \(name)")
        message.attribute(LinkAttribute.name, name)
        message.attribute(LinkAttribute.mtu, mtu)
        message.attribute(LinkAttribute.master, UInt32(bitPattern: master))
        message.nested(LinkAttribute.info) { info in
            info.attribute(LinkAttribute.infoKind, "veth")
            info.nested(LinkAttribute.infoData) { data in
                data.nested(1) { end in  // VETH_INFO_PEER
                    appendLinkHeader(&end)
                    end.attribute(LinkAttribute.name, peer)
                    end.attribute(LinkAttribute.address, peerMAC.bytes)
                    end.attribute(LinkAttribute.mtu, mtu)
                    end.attribute(LinkAttribute.namespace, UInt32(bitPattern: namespace))
                }
            }
        }
        return message
    }

    /// A macvlan interface of `parent`, made right in the namespace of descriptor `namespace`. Down.
    static func createMacvlan(
        _ name: String, parent: Int32, mode: MacvlanMode, mac: MACAddress, mtu: UInt32, namespace: CInt
    ) -> NetlinkMessage {
        var message = link(newLink, [.create, .exclusive], "interface \(name)")
        message.attribute(LinkAttribute.name, name)
        message.attribute(LinkAttribute.link, UInt32(bitPattern: parent))
        // A passed-through parent has its own address, which the interface shares.
        if mode != .passthru { message.attribute(LinkAttribute.address, mac.bytes) }
        if mtu != 0 { message.attribute(LinkAttribute.mtu, mtu) }
        message.attribute(LinkAttribute.namespace, UInt32(bitPattern: namespace))
        message.nested(LinkAttribute.info) { info in
            info.attribute(LinkAttribute.infoKind, "macvlan")
            info.nested(LinkAttribute.infoData) { $0.attribute(1, mode.rawValue) }  // IFLA_MACVLAN_MODE
        }
        return message
    }

    /// Brings a port of a bridge up and marks it, in hairpin mode: where bridged packets pass the IP rules
    /// (`bridge-nf-call-iptables`), a container that calls its own published port is answered by the port its packet came from.
    ///
    /// - Parameter isIsolated: the bridge passes nothing between this port and others like it.
    static func bringPortUp(_ name: String, alias: String, isIsolated: Bool) -> NetlinkMessage {
        var message = link(newLink, [], "interface \(name)", up: true)
        message.attribute(LinkAttribute.name, name)
        message.attribute(LinkAttribute.alias, alias)
        message.nested(LinkAttribute.info) { info in
            info.attribute(4, "bridge")  // IFLA_INFO_SLAVE_KIND
            info.nested(5) { port in  // IFLA_INFO_SLAVE_DATA
                port.attribute(4, [1])  // IFLA_BRPORT_MODE
                if isIsolated { port.attribute(33, [1]) }  // IFLA_BRPORT_ISOLATED
            }
        }
        return message
    }

    /// Brings an interface up; sets its MTU and its mark where they are given.
    static func bringUp(_ index: Int32, mtu: UInt32? = nil, alias: String? = nil) -> NetlinkMessage {
        var message = link(newLink, [], "interface \(index)", index: index, up: true)
        if let mtu { message.attribute(LinkAttribute.mtu, mtu) }
        if let alias { message.attribute(LinkAttribute.alias, alias) }
        return message
    }

    static func remove(_ index: Int32, _ name: String) -> NetlinkMessage {
        link(deleteLink, [], "interface \(name)", index: index)
    }

    /// Asks for one interface by its name; the answer is one message, or ENODEV.
    static func link(named name: String) -> NetlinkMessage {
        var message = link(getLink, [], "interface \(name)")
        message.attribute(LinkAttribute.name, name)
        return message
    }

    static func allLinks() -> NetlinkMessage { link(getLink, .dump, "interfaces") }

    // MARK: Addresses

    static func addAddress(_ address: IPAddress, prefixLength: UInt8, to index: Int32) -> NetlinkMessage {
        var message = addressMessage(newAddress, [.create, .exclusive], address, prefixLength, index)
        if address.family == .v4, prefixLength < 31,
            let subnet = IPSubnet(containing: address, prefixLength: prefixLength)
        {
            message.attribute(4, subnet.last.bytes)  // IFA_BROADCAST
        }
        return message
    }

    static func removeAddress(_ address: InterfaceAddress) -> NetlinkMessage {
        addressMessage(deleteAddress, [], address.address, address.prefixLength, address.index)
    }

    static func allAddresses() -> NetlinkMessage {
        var message = NetlinkMessage(getAddress, .dump, "addresses")
        message.append(UInt64(0))
        return message
    }

    // MARK: Routes

    /// Makes the default route, in the place of one that is there.
    static func setDefaultRoute(through gateway: IPAddress, from index: Int32) -> NetlinkMessage {
        var message = NetlinkMessage(newRoute, [.create, .replace], "default route through \(gateway)")
        appendDefaultRoute(&message, gateway.family)
        message.attribute(5, gateway.bytes)  // RTA_GATEWAY
        message.attribute(4, UInt32(bitPattern: index))  // RTA_OIF
        return message
    }

    /// Makes the kernel take packets for `::1` that come by this interface out of a translation.
    static func setLoopbackRoute6(by index: Int32) -> NetlinkMessage {
        var message = NetlinkMessage(newRoute, [.create, .replace], "route of ::1 by interface \(index)")
        // Family, all destination bits, no source bits, no TOS, table local, protocol boot, scope host, type local; no flags.
        for byte: UInt8 in [UInt8(AF_INET6), 128, 0, 0, 255, 3, 254, 2] { message.append(byte) }
        message.append(UInt32(0))
        message.attribute(1, IPAddress(.v6, 1).bytes)  // RTA_DST
        message.attribute(4, UInt32(bitPattern: index))  // RTA_OIF
        message.attribute(6, 2048)  // RTA_PRIORITY: after lo's own
        return message
    }

    static func removeDefaultRoute(_ family: IPAddress.Family) -> NetlinkMessage {
        var message = NetlinkMessage(deleteRoute, [], "default route of \(family.name)")
        appendDefaultRoute(&message, family)
        return message
    }

    static func allRoutes() -> NetlinkMessage {
        var message = NetlinkMessage(getRoute, .dump, "routes")
        message.append(UInt64(0))
        message.append(UInt32(0))
        return message
    }

    // MARK: Parts

    private static func number(_ family: IPAddress.Family) -> UInt8 { UInt8(family == .v4 ? AF_INET : AF_INET6) }

    private static func link(
        _ type: UInt16, _ flags: NetlinkMessage.Flags, _ object: String, index: Int32 = 0, up: Bool = false
    ) -> NetlinkMessage {
        var message = NetlinkMessage(type, flags, object)
        appendLinkHeader(&message, index: index, up: up)
        return message
    }

    /// `struct ifinfomsg`: family, padding, type, index, flags and which of them to change.
    private static func appendLinkHeader(_ message: inout NetlinkMessage, index: Int32 = 0, up: Bool = false) {
        message.append(UInt32(0))
        message.append(index)
        message.append(up ? Self.up : 0)
        message.append(up ? Self.up : 0)
    }

    /// `struct ifaddrmsg` and the address.
    private static func addressMessage(
        _ type: UInt16, _ flags: NetlinkMessage.Flags, _ address: IPAddress, _ prefixLength: UInt8, _ index: Int32
    ) -> NetlinkMessage {
        var message = NetlinkMessage(type, flags, "address \(address)/\(prefixLength)")
        let detection = address.family == .v6 ? withoutDetection : 0
        for byte in [number(address.family), prefixLength, detection, 0] { message.append(byte) }
        message.append(index)
        message.attribute(2, address.bytes)  // IFA_LOCAL
        message.attribute(1, address.bytes)  // IFA_ADDRESS
        return message
    }

    /// `struct rtmsg`: family, no destination or source bits, no TOS, table main, protocol boot, scope universe, type unicast.
    private static func appendDefaultRoute(_ message: inout NetlinkMessage, _ family: IPAddress.Family) {
        for byte: UInt8 in [number(family), 0, 0, 0, 254, 3, 0, 1] { message.append(byte) }
        message.append(UInt32(0))
    }
}
