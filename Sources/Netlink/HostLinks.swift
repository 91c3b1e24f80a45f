import Glibc
import Kernel

/// The interfaces of the host's namespace: bridges, and parents of macvlan interfaces.
final class HostLinks: @unchecked Sendable {  // made and used on the thread of `HostNetworks` alone
    /// Written on every interface of ours, so that a later run of the same daemon knows it.
    let alias: String
    private var socket: NetlinkSocket

    /// A bridge or parent that is there, and whether this call has made it.
    struct Made: Sendable {
        let link: Link
        let isNew: Bool
    }

    /// Moves the calling thread into the host's namespace for good.
    init(hostNamespace: String?, alias: String) throws(NetworkError) {
        self.alias = alias
        do throws(SystemError) {
            if let hostNamespace { try NetworkNamespace.enter(OwnedFD.open(hostNamespace, O_RDONLY)) }
            socket = try NetlinkSocket()
        } catch {
            throw NetworkError("enter the host's network namespace", error)
        }
    }

    // MARK: What is there

    func all() throws(NetworkError) -> [Link] {
        try doing("list interfaces") { () throws(SystemError) in
            try socket.query(RouteMessages.allLinks()).compactMap(RouteMessages.link(in:))
        }
    }

    func link(named name: String) throws(NetworkError) -> Link? {
        try doing("look for interface \(name)") { () throws(SystemError) in try find(name) }
    }

    private func find(_ name: String) throws(SystemError) -> Link? {
        do throws(SystemError) {
            return try socket.query(RouteMessages.link(named: name)).lazy.compactMap(RouteMessages.link(in:)).first
        } catch  where error.code == ENODEV {
            return nil
        }
    }

    /// What the host reaches by other interfaces than `ours`: destinations of its routes, and its own addresses.
    func used(except ours: Set<Int32>) throws(NetworkError) -> [IPSubnet] {
        try doing("list routes and addresses") { () throws(SystemError) in
            let routes = try socket.query(RouteMessages.allRoutes()).compactMap(RouteMessages.route(in:))
            let addresses = try socket.query(RouteMessages.allAddresses()).compactMap(RouteMessages.address(in:))
            return routes.filter { !ours.contains($0.interface) }.map(\.destination)
                + addresses.filter { !ours.contains($0.index) && !$0.address.isLinkLocal }
                .compactMap { IPSubnet(containing: $0.address, prefixLength: $0.prefixLength) }
        }
    }

    /// The first address of an interface that is not of the link alone.
    func address(of link: Link, _ family: IPAddress.Family) throws(NetworkError) -> InterfaceAddress? {
        try doing("list addresses") { () throws(SystemError) in
            try socket.query(RouteMessages.allAddresses()).compactMap(RouteMessages.address(in:)).first {
                $0.index == link.index && $0.address.family == family && !$0.address.isLinkLocal
            }
        }
    }

    /// True when the host has no interface of that name (any more).
    func isGone(_ name: String) -> Bool {
        do throws(SystemError) {
            return try find(name) == nil
        } catch {
            return false  // it counts as there, and the next round asks again
        }
    }

    // MARK: Bridges

    /// Makes the bridge of a network or takes over the one that is there, with the network's addresses and no others.
    func ensureBridge(_ plan: NetworkPlan) throws(NetworkError) -> Made {
        let name = plan.interface
        let present = try link(named: name)
        if let present, present.kind != "bridge" {
            throw NetworkError(
                .invalid, "interface \(name) exists and is no bridge", remedy: "remove it or choose another bridge name"
            )
        }
        do throws(NetworkError) {
            return try doing("make the bridge \(name)") { () throws(SystemError) in
                let mtu = plan.mtu == 0 ? nil : plan.mtu
                if present == nil {
                    let gateway = plan.ipv4?.gateway ?? plan.ipv6?.gateway ?? .any4
                    try socket.transact([
                        RouteMessages.createBridge(name, MACAddress(for: gateway), mtu: mtu ?? Self.mtu)
                    ])
                }
                guard let bridge = try find(name) else { throw SystemError("netlink", ENODEV, "interface \(name)") }
                try configure(bridge, plan)
                if !plan.icc, Self.filtersBridged { try socket.transact([RouteMessages.filterBridged(bridge.index)]) }
                try socket.transact([
                    RouteMessages.bringUp(bridge.index, mtu: mtu, alias: present == nil ? alias : nil)
                ])
                return Made(link: bridge, isNew: present == nil)
            }
        } catch {
            if present == nil { remove(name) }
            throw error
        }
    }

    private static let mtu: UInt32 = 1500

    /// The bridge's parameters and addresses.
    private func configure(_ bridge: Link, _ plan: NetworkPlan) throws(SystemError) {
        if plan.ipv6 != nil {
            for (name, value) in [("disable_ipv6", "0"), ("accept_ra", "0"), ("accept_dad", "0")] {
                try NetworkNamespace.set("ipv6/conf/\(bridge.name)/\(name)", value)
            }
        }
        let present = try socket.query(RouteMessages.allAddresses()).compactMap(RouteMessages.address(in:))
            .filter { $0.index == bridge.index && !($0.address.isLinkLocal && $0.address.family == .v6) }
        var wanted: [InterfaceAddress] = []
        for part in plan.families {
            guard let gateway = part.gateway, !(plan.inhibitGateway4 && gateway.family == .v4) else { continue }
            wanted.append(
                InterfaceAddress(index: bridge.index, address: gateway, prefixLength: part.subnet.prefixLength))
        }
        try socket.transact(present.filter { !wanted.contains($0) }.map(RouteMessages.removeAddress))
        try socket.transact(
            wanted.filter { !present.contains($0) }.map {
                RouteMessages.addAddress($0.address, prefixLength: $0.prefixLength, to: bridge.index)
            })
    }

    // MARK: Parents of macvlan interfaces

    /// The parent of a macvlan network: one of the host's, a VLAN of one, or a dummy link of the network's own.
    func ensureParent(_ name: String, of plan: NetworkPlan) throws(NetworkError) -> Made {
        if let present = try link(named: name) { return Made(link: present, isNew: false) }
        let request = name == plan.dummyParent ? RouteMessages.createDummy(name) : try vlan(name)
        do throws(NetworkError) {
            return try doing("make the parent interface \(name)") { () throws(SystemError) in
                do throws(SystemError) {
                    try socket.transact([request])
                } catch  where error.code == EOPNOTSUPP && name == plan.dummyParent {
                    try makePair(name, peer: "dp-\(name.dropFirst(3))")
                }
                guard let link = try find(name) else { throw SystemError("netlink", ENODEV, "interface \(name)") }
                try socket.transact([RouteMessages.bringUp(link.index, alias: alias)])
                return Made(link: link, isNew: true)
            }
        } catch {
            remove(name)
            throw error
        }
    }

    /// A link that leads nowhere but to its own end, which answers nobody.
    private func makePair(_ name: String, peer: String) throws(SystemError) {
        try socket.transact([RouteMessages.createPair(name, peer: peer)])
        try NetworkNamespace.set("ipv4/conf/\(peer)/arp_ignore", "8")
        do throws(SystemError) {
            try NetworkNamespace.set("ipv6/conf/\(peer)/disable_ipv6", "1")
        } catch  where error.code == ENOENT {
            // A kernel without IPv6 has nothing to turn off.
        }
        guard let end = try find(peer) else { throw SystemError("netlink", ENODEV, "interface \(peer)") }
        try socket.transact([RouteMessages.bringUp(end.index)])
    }

    /// The request that makes `eth0.50`.
    private func vlan(_ name: String) throws(NetworkError) -> NetlinkMessage {
        guard let dot = name.lastIndex(of: "."), let number = UInt16(name[name.index(after: dot)...]) else {
            throw NetworkError(.invalid, "the requested parent interface \(name) was not found on the Docker host")
        }
        guard (1...4094).contains(number) else {
            throw NetworkError(.invalid, "vlan id must be between 1-4094, received: \(number)")
        }
        let master = String(name[..<dot])
        guard let parent = try link(named: master) else {
            throw NetworkError(.invalid, "failed to find master interface \(master) on the Docker host")
        }
        return RouteMessages.createVLAN(name, parent: parent.index, number: number)
    }

    // MARK: Removal

    /// Removes an interface by name; one that is gone already is no loss, and one that stays is met again.
    func remove(_ name: String) {
        do throws(SystemError) {
            guard let link = try find(name) else { return }
            try socket.transact([RouteMessages.remove(link.index, name)])
        } catch {
        }
    }

    /// Removes interfaces; those that are gone already are no loss.
    ///
    /// - Returns: the names removed.
    func remove(_ links: [Link]) throws(NetworkError) -> [String] {
        var removed: [String] = []
        for link in links {
            do throws(SystemError) {
                try socket.transact([RouteMessages.remove(link.index, link.name)])
                removed.append(link.name)
            } catch  where error.code == ENODEV {
                continue  // its namespace ended meanwhile
            } catch {
                throw NetworkError("remove interface \(link.name)", error)
            }
        }
        return removed
    }

    // MARK: Parameters

    /// Lets the host pass packets between interfaces.
    func forward(_ family: IPAddress.Family) throws(NetworkError) {
        try doing("let packets pass between networks") { () throws(SystemError) in
            guard family == .v6 else { return try NetworkNamespace.set("ipv4/ip_forward", "1") }
            if try NetworkNamespace.get("ipv6/conf/all/forwarding") == "1" { return }
            // A router takes no advertisements of others; where the host lives by them, it goes on doing so.
            for name in try Files.list("/proc/sys/net/ipv6/conf") where name != "all" {
                guard try NetworkNamespace.get("ipv6/conf/\(name)/accept_ra") == "1" else { continue }
                try NetworkNamespace.set("ipv6/conf/\(name)/accept_ra", "2")
            }
            try NetworkNamespace.set("ipv6/conf/all/forwarding", "1")
        }
    }

    /// True where bridged packets can pass the IP rules (module br_netfilter).
    static var filtersBridged: Bool { Files.exists("/proc/sys/net/bridge/bridge-nf-call-iptables") }

    /// Lets the host reach published ports by `::1`.
    func routeLoopback6(to bridge: Int32) throws(NetworkError) {
        try doing("let the host reach published ports by ::1") { () throws(SystemError) in
            try socket.transact([RouteMessages.setLoopbackRoute6(by: bridge)])
        }
    }

    /// Lets the host reach published ports by 127.0.0.1. Only when rules guard the loopback from the bridge.
    func routeLoopback(to bridge: String) throws(NetworkError) {
        try doing("let the host reach published ports by 127.0.0.1") { () throws(SystemError) in
            try NetworkNamespace.set("ipv4/conf/\(bridge)/route_localnet", "1")
        }
    }
}

extension NetworkPlan {
    /// The link of our own that is the parent of a macvlan network without another.
    var dummyParent: String { "dm-\(id.prefix(12))" }

    /// The parent of a macvlan network's interfaces; nil for a bridge.
    var parent: String? {
        guard case .macvlan(let parent, _) = driver else { return nil }
        return parent.isEmpty || isInternal ? dummyParent : parent
    }
}
