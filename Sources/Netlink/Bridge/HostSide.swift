import Glibc
import Kernel

/// The host's side of a bridge network: its namespace, the bridge, and the packet rules.
///
/// `@unchecked Sendable`: made and used on the thread of the network that owns it, and nowhere else.
final class HostSide: @unchecked Sendable {
    let bridgeIndex: Int32
    let subnet: IPv4Subnet
    let gateway: IPv4Address
    /// Why there is no address translation; nil when there is.
    let firewallFailure: NetworkError?

    private let bridgeName: String
    private let firewall: BridgeFirewall?
    private var socket: NetlinkSocket

    /// Moves the calling thread into the host's namespace for good, and makes or takes over the bridge.
    init(_ configuration: BridgeConfiguration) throws(NetworkError) {
        bridgeName = configuration.bridgeName
        do throws(SystemError) {
            if let path = configuration.hostNamespace { try NetworkNamespace.enter(OwnedFD.open(path, O_RDONLY)) }
            socket = try NetlinkSocket()
        } catch {
            throw NetworkError("enter the host's network namespace", error)
        }
        (bridgeIndex, subnet, gateway) = try Self.ensureBridge(configuration, &socket)
        try doing("let packets pass between networks") { () throws(SystemError) in
            try NetworkNamespace.set("ipv4/ip_forward", "1")
        }
        var firewall: BridgeFirewall?
        var failure: NetworkError?
        do throws(NetworkError) {
            let opened = try BridgeFirewall(table: configuration.table)
            try opened.install(bridge: bridgeName, subnet: subnet)
            // After the rules that guard the loopback from the bridge.
            try doing("let the host reach published ports by 127.0.0.1") { [bridgeName] () throws(SystemError) in
                try NetworkNamespace.set("ipv4/conf/\(bridgeName)/route_localnet", "1")
            }
            firewall = opened
        } catch {
            failure = error
        }
        self.firewall = firewall
        firewallFailure = failure
    }

    /// Changes the published ports in one transaction.
    ///
    /// - Parameter all: every port published afterwards; used to restore the table when someone else has flushed it.
    func map(_ mappings: [BridgePortMapping], _ change: BridgeFirewall.Change, all: () -> [BridgePortMapping])
        throws(NetworkError)
    {
        guard let firewall else {
            throw firewallFailure ?? NetworkError(.translationUnavailable, "nftables is not there")
        }
        do throws(NetworkError) {
            try firewall.map(mappings, change)
        } catch {
            try firewall.install(bridge: bridgeName, subnet: subnet)
            try firewall.map(all(), .replace)
        }
    }

    /// True when the host has no interface of that name (any more).
    func isInterfaceGone(_ name: String) -> Bool {
        // On any other failure the interface counts as there, and the next round asks again.
        (try? socket.query(BridgeMessages.link(named: name))).map(\.isEmpty) ?? isMissing(name)
    }

    private func isMissing(_ name: String) -> Bool { if_nametoindex(name) == 0 && errno == ENODEV }

    /// Removes an interface by name; one that is gone already is no loss, and one that stays is met again.
    func removeInterface(_ name: String) {
        guard
            let link = try? socket.query(BridgeMessages.link(named: name)).lazy.compactMap(BridgeMessages.link(in:))
                .first
        else {
            return
        }
        try? socket.transact([BridgeMessages.remove(link)])
    }

    /// Removes the ports of the bridge that bear our kind of name and are not among `names`.
    ///
    /// - Returns: the names removed.
    func removePorts(except names: Set<String>) throws(NetworkError) -> [String] {
        let bridge = UInt32(bitPattern: bridgeIndex)
        let links = try doing("list interfaces") { () throws(SystemError) in try socket.query(BridgeMessages.allLinks())
        }
        let leftovers = links.compactMap(BridgeMessages.link(in:)).filter {
            $0.master == bridge && $0.kind == "veth" && BridgeEndpointPlan.isOurs($0.name) && !names.contains($0.name)
        }
        for link in leftovers {
            do throws(SystemError) {
                try socket.transact([BridgeMessages.remove(link)])
            } catch  where error.code == ENODEV {
                continue  // its namespace ended meanwhile
            } catch {
                throw NetworkError("remove interface \(link.name)", error)
            }
        }
        return leftovers.map(\.name)
    }

    // MARK: The bridge

    private static func ensureBridge(
        _ configuration: BridgeConfiguration, _ socket: inout NetlinkSocket
    ) throws(NetworkError) -> (index: Int32, subnet: IPv4Subnet, gateway: IPv4Address) {
        let name = configuration.bridgeName
        let links = try doing("list interfaces") { () throws(SystemError) in
            try socket.query(BridgeMessages.allLinks()).compactMap(BridgeMessages.link(in:))
        }
        let present = links.first { $0.name == name }
        if let present, present.kind != "bridge" {
            throw NetworkError(
                .invalid, "interface \(name) exists and is no bridge", remedy: "remove it or choose another bridge name"
            )
        }
        let addresses = try doing("list addresses") { () throws(SystemError) in
            try socket.query(BridgeMessages.allAddresses()).compactMap(BridgeMessages.address(in:))
        }
        let current = addresses.first { $0.index == present?.index }
        let routes = try doing("list routes") { () throws(SystemError) in
            try socket.query(BridgeMessages.allRoutes()).compactMap(BridgeMessages.route(in:))
        }
        let foreign = routes.filter { $0.interface != present?.index ?? -1 }.map(\.destination)
        let (subnet, gateway) = try configuration.choose(
            current: current.map { ($0.address, $0.prefixLength) }, routed: foreign)
        do throws(SystemError) {
            if present == nil {
                try socket.transact([
                    BridgeMessages.createBridge(name, MACAddress(for: gateway), mtu: configuration.mtu)
                ]
                )
            }
            guard
                let index = try socket.query(BridgeMessages.link(named: name)).lazy.compactMap(BridgeMessages.link(in:))
                    .first?.index
            else { throw SystemError("netlink", ENODEV, "interface \(name)") }
            var changes = [BridgeMessages.bringUp(index, mtu: configuration.mtu)]
            if current?.address != gateway || current?.prefixLength != subnet.prefixLength {
                if let current { changes.append(BridgeMessages.removeAddress(current)) }
                changes.append(BridgeMessages.addAddress(gateway, in: subnet, to: index))
            }
            try socket.transact(changes)
            return (index, subnet, gateway)
        } catch {
            throw NetworkError("make the bridge \(name)", error)
        }
    }
}

extension BridgeConfiguration {
    /// Refuses what the kernel would refuse later or, worse, accept.
    func validate() throws(NetworkError) {
        let bytes = bridgeName.utf8
        guard (1...15).contains(bytes.count), bridgeName != ".", bridgeName != "..",
            bytes.allSatisfy({
                (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "\"")
                    && $0 != UInt8(ascii: ":")
            })
        else {
            throw NetworkError(
                .invalid, "invalid bridge name \"\(bridgeName)\"", remedy: "use 1 to 15 letters, digits, - or _")
        }
        guard !table.isEmpty, table.utf8.count < 64, table.utf8.first.map({ !(0x30...0x39).contains($0) }) == true,
            table.utf8.allSatisfy({
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x5F
            })
        else {
            throw NetworkError(
                .invalid, "invalid nftables table name \"\(table)\"", remedy: "use letters, digits and _")
        }
        guard (68...65535).contains(mtu) else {
            throw NetworkError(.invalid, "invalid MTU \(mtu)", remedy: "use 68 to 65535 bytes")
        }
        guard case .fixed(let subnet, let gateway) = addressing else { return }
        guard subnet.prefixLength <= 30, subnet.hosts.contains(gateway) else {
            throw NetworkError(.invalid, "gateway \(gateway) is no host address of the subnet \(subnet)")
        }
    }

    /// The subnet and gateway to use.
    ///
    /// - Parameters:
    ///   - current: the address the bridge has already: with ``Addressing/firstFree(_:)`` it stays.
    ///   - routed: destinations the host reaches by other interfaces.
    func choose(
        current: (address: IPv4Address, prefixLength: UInt8)?, routed: [IPv4Subnet]
    ) throws(NetworkError) -> (IPv4Subnet, gateway: IPv4Address) {
        switch addressing {
        case .fixed(let subnet, let gateway):
            if let other = routed.first(where: subnet.overlaps) {
                throw NetworkError(
                    .subnetOverlap, "subnet \(subnet) of network \(name) overlaps with the route to \(other)",
                    remedy: "choose another subnet")
            }
            return (subnet, gateway)
        case .firstFree(let pools):
            if let current, current.prefixLength <= 30,
                let subnet = IPv4Subnet(containing: current.address, prefixLength: current.prefixLength)
            {
                return (subnet, current.address)
            }
            guard
                let subnet = pools.first(where: { pool in
                    pool.prefixLength <= 30 && !routed.contains { $0.overlaps(pool) }
                })
            else {
                throw NetworkError(
                    .subnetOverlap, "all predefined address pools have been fully subnetted",
                    remedy: "give network \(name) a subnet that the host does not route")
            }
            return (subnet, subnet.hosts.lowerBound)
        }
    }
}
