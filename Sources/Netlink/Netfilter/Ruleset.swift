/// The rules of our table; they name no network, no container and no port, and so never grow.
///
/// - `guard`: our bridges may have `route_localnet`, so nothing that comes in by one may claim to be, or reach, the loopback.
///   What comes to the loopback from elsewhere is not translated either.
/// - `forward`: first the operator's chain `user`, then what goes on with a connection whose first packet was let through.
///   Then who may talk: containers of one bridge, where its network lets them; containers to the outside; from outside what
///   is translated (a published port, or the answer to what was masqueraded), and nothing that is addressed to a container
///   itself.
/// - `input`: a container of an internal network reaches its bridge's address and no other of the host. The chain is there
///   while an internal network is: empty, it would cost every packet for the host as much as half of connection tracking.
struct Ruleset: Sendable {
    typealias NamedSet = PacketTable.NamedSet
    typealias Chain = PacketTable.Chain

    private static let bridges = NamedSet(name: "bridges", key: [.interface])
    /// Pairs of the same bridge, of networks whose containers may talk to each other.
    private static let talking = NamedSet(name: "talking", key: [.interface, .interface])
    private static let isolated = NamedSet(name: "internal", key: [.interface])
    private static let masquerade4 = NamedSet(name: "masquerade4", key: [.interface])
    private static let masquerade6 = NamedSet(name: "masquerade6", key: [.interface])
    private static let sets = [bridges, talking, isolated, masquerade4, masquerade6]

    private static let anywhere4 = NamedSet(
        name: "anywhere4", key: [.transport, .port], value: [.address4, .port])
    private static let anywhere6 = NamedSet(
        name: "anywhere6", key: [.transport, .port], value: [.address6, .port])
    private static let addressed4 = NamedSet(
        name: "addressed4", key: [.address4, .transport, .port], value: [.address4, .port])
    private static let addressed6 = NamedSet(
        name: "addressed6", key: [.address6, .transport, .port], value: [.address6, .port])
    private static let maps = [anywhere4, anywhere6, addressed4, addressed6]

    /// The operator's: made when it is missing, and never looked into.
    private static let user = Chain(name: "user")
    private static let publish = Chain(name: "publish")
    private static let inward = Chain(name: "inward")
    private static let early = Chain(name: "guard", hook: .prerouting, priority: -300)
    private static let prerouting = Chain(name: "prerouting", kind: "nat", hook: .prerouting, priority: -100)
    private static let output = Chain(name: "output", kind: "nat", hook: .output, priority: -100)
    private static let postrouting = Chain(name: "postrouting", kind: "nat", hook: .postrouting, priority: 100)
    private static let input = Chain(name: "input", hook: .input)
    private static let forward = Chain(name: "forward", hook: .forward)
    private static let chains = [publish, inward, early, prerouting, output, postrouting, forward, input]

    /// The chain that is the operator's.
    static let operatorsChain = user.name

    /// IPS_DST_NAT; with IPS_SRC_NAT: translated at all.
    private static let toElsewhere: UInt32 = 0x20
    private static let translated: UInt32 = 0x30
    /// RTN_UNICAST and RTN_LOCAL
    private static let unicast: UInt32 = 1
    private static let local: UInt32 = 2

    private let table: PacketTable
    private let rules: [PacketRule]

    init(table: String, translatesLoopback6: Bool) {
        self.table = PacketTable(name: table)
        rules = Self.translation(loopback6: translatesLoopback6) + Self.filter
    }

    private static func translation(loopback6: Bool) -> [PacketRule] {
        let here: [RuleExpression] = .route(.destination, is: local)
        let toBridges: [RuleExpression] = .interface(.outgoing, in: bridges)
        return [
            PacketRule(publish, "on one address", .translate(by: addressed4, .v4, addressed: true)),
            PacketRule(publish, "on one address", .translate(by: addressed6, .v6, addressed: true)),
            PacketRule(publish, "on every address", .translate(by: anywhere4, .v4, addressed: false)),
            PacketRule(publish, "on every address", .translate(by: anywhere6, .v6, addressed: false)),

            PacketRule(prerouting, "only the host reaches 127.0.0.1", .loopback(.destination, .v4), .verdict(.leave)),
            PacketRule(prerouting, "only the host reaches ::1", .loopback(.destination, .v6), .verdict(.leave)),
            PacketRule(prerouting, "published ports", here, .verdict(.jump(publish))),
        ]
            + (loopback6
                ? []
                : [PacketRule(output, "answers could not return", .loopback(.destination, .v6), .verdict(.leave))])
            + [
                PacketRule(output, "published ports, from the host", here, .verdict(.jump(publish))),

                PacketRule(
                    postrouting, "to the outside", .family(.v4), .interface(.incoming, in: masquerade4),
                    .interface(.outgoing, in: bridges, false), .masquerade),
                PacketRule(
                    postrouting, "to the outside", .family(.v6), .interface(.incoming, in: masquerade6),
                    .interface(.outgoing, in: bridges, false), .masquerade),
                PacketRule(
                    postrouting, "a container to a published port", .interface(.incoming, in: bridges), toBridges,
                    .connection(has: toElsewhere), .masquerade),
                PacketRule(
                    postrouting, "the same within a bridge (br_netfilter)", .withoutIncoming, toBridges,
                    .connection(has: toElsewhere), .route(.source, is: local, false), .masquerade),
                PacketRule(
                    postrouting, "from the host's 127.0.0.1", toBridges, .loopback(.source, .v4), .masquerade),
                PacketRule(postrouting, "from the host's ::1", toBridges, .loopback(.source, .v6), .masquerade),
            ]
    }

    private static var filter: [PacketRule] {
        let fromBridges: [RuleExpression] = .interface(.incoming, in: bridges)
        let ends: [([RuleExpression].End, IPAddress.Family)] = [
            (.destination, .v4), (.source, .v4), (.destination, .v6), (.source, .v6),
        ]
        return ends.map { end, family in
            // The address first: looking the interface up would cost every packet of the host more.
            PacketRule(early, "the loopback is the host's", .loopback(end, family), fromBridges, .verdict(.drop))
        } + [
            PacketRule(forward, "the operator's rules", .verdict(.jump(user))),
            // Looking two interfaces up costs more than all else a packet between neighbours meets here.
            PacketRule(forward, "goes on", .isEstablished, .verdict(.accept)),
            PacketRule(forward, "within a network", .interfaces(in: talking), .verdict(.accept)),
            PacketRule(forward, "out of internal networks", .interface(.incoming, in: isolated), .verdict(.drop)),
            PacketRule(forward, "into internal networks", .interface(.outgoing, in: isolated), .verdict(.drop)),
            PacketRule(forward, "into networks", .interface(.outgoing, in: bridges), .verdict(.go(inward))),
            PacketRule(forward, "to the outside", fromBridges, .verdict(.accept)),

            PacketRule(
                inward, "published, or answers", .connection(has: translated), .verdict(.accept)),
            PacketRule(
                inward, "answers without masquerading", .family(.v4), .interface(.outgoing, in: masquerade4, false),
                .isReply, .verdict(.accept)),
            PacketRule(
                inward, "answers without masquerading", .family(.v6), .interface(.outgoing, in: masquerade6, false),
                .isReply, .verdict(.accept)),
            PacketRule(inward, "not published", .verdict(.drop)),
        ]
    }

    // MARK: Changes

    /// The table with its rules and empty sets, and without the table that earlier versions had in the family `ip`.
    ///
    /// - Parameters:
    ///   - present: names of sets and chains to be made anew, because they are of another shape.
    ///   - confines: whether there are internal networks.
    func renew(insteadOf present: Set<String> = [], confines: Bool) -> [NetlinkMessage] {
        // Removing asks for something to be there; made twice is no error.
        let former = PacketTable(name: table.name, family: PacketTable.ipv4)
        let sets = Self.sets + Self.maps
        let oldChains = Self.chains.filter { present.contains($0.name) }
        var changes = [former.create(), former.remove(), table.create(), table.create(Self.user)]
        changes += oldChains.map(table.removeRules) + oldChains.map(table.remove)
        changes += sets.filter { present.contains($0.name) }.map(table.remove)
        changes += sets.map(table.create) + sets.map(table.removeElements)
        changes += Self.chains.map(table.create) + Self.chains.map(table.removeRules)
        return changes + rules.map(table.append) + confine(confines)
    }

    /// Begins to keep containers of internal networks to their bridge's address, or ends it.
    func confine(_ isOn: Bool) -> [NetlinkMessage] {
        guard isOn else { return [table.removeRules(of: Self.input), table.remove(Self.input)] }
        let rule = PacketRule(
            Self.input, "internal networks reach their bridge only", .interface(.incoming, in: Self.isolated),
            .route(.destination, is: Self.unicast, onIncoming: true), .verdict(.drop))
        return [table.create(Self.input), table.append(rule)]
    }

    func add(_ network: NetworkRules) -> [NetlinkMessage] {
        elements(of: network).flatMap { table.add([$0.element], to: $0.set.name) }
    }

    func remove(_ network: NetworkRules) -> [NetlinkMessage] {
        elements(of: network).flatMap { table.remove([$0.element], from: $0.set.name) }
    }

    private func elements(of network: NetworkRules) -> [(set: NamedSet, element: PacketTable.Element)] {
        let name = Array(network.bridge.utf8.prefix(15))
        let key = name + [UInt8](repeating: 0, count: 16 - name.count)
        var sets = [Self.bridges]
        if network.isInternal {
            sets.append(Self.isolated)
        } else {
            if network.masquerade4 { sets.append(Self.masquerade4) }
            if network.masquerade6 { sets.append(Self.masquerade6) }
        }
        let pair = network.icc ? [(Self.talking, PacketTable.Element(key: key + key))] : []
        return sets.map { ($0, PacketTable.Element(key: key)) } + pair
    }

    func add(_ mappings: [PortMapping]) -> [NetlinkMessage] {
        byMap(mappings).flatMap { table.add($0.elements, to: $0.map.name) }
    }

    func remove(_ mappings: [PortMapping]) -> [NetlinkMessage] {
        byMap(mappings).flatMap { table.remove($0.elements, from: $0.map.name) }
    }

    func removeAllMappings() -> [NetlinkMessage] { Self.maps.map(table.removeElements) }

    private func byMap(_ mappings: [PortMapping]) -> [(map: NamedSet, elements: [PacketTable.Element])] {
        var result: [String: [PacketTable.Element]] = [:]
        for mapping in mappings {
            // A port of one family on an address of the other is not for the kernel to translate.
            guard mapping.binding.hostAddress.family == mapping.address.family else { continue }
            result[Self.map(of: mapping.binding).name, default: []].append(Self.element(mapping))
        }
        return Self.maps.compactMap { map in result[map.name].map { (map, $0) } }
    }

    private static func map(of binding: PortBinding) -> NamedSet {
        switch (binding.hostAddress.family, binding.hostAddress.isUnspecified) {
        case (.v4, true): anywhere4
        case (.v4, false): addressed4
        case (.v6, true): anywhere6
        case (.v6, false): addressed6
        }
    }

    private static func element(_ mapping: PortMapping) -> PacketTable.Element {
        let binding = mapping.binding
        let address = binding.hostAddress.isUnspecified ? [] : binding.hostAddress.bytes
        return PacketTable.Element(
            key: address + [binding.transport.rawValue, 0, 0, 0] + padded(binding.hostPort),
            value: mapping.address.bytes + padded(binding.containerPort))
    }

    private static func padded(_ port: UInt16) -> [UInt8] { [UInt8(port >> 8), UInt8(port & 255), 0, 0] }
}
