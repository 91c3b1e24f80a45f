/// A rule of a chain: what a packet must be like, and what becomes of it. See nft(8).
struct PacketRule: Sendable {
    let chain: String
    /// Shown by `nft list`; at most 120 bytes.
    let comment: String
    let expressions: [RuleExpression]

    init(_ chain: PacketTable.Chain, _ comment: String, _ parts: [RuleExpression]...) {
        self.chain = chain.name
        self.comment = comment
        expressions = parts.flatMap { $0 }
    }
}

/// One step of a rule, as the kernel's small machine takes it: a name and attributes that speak of 4-byte registers.
struct RuleExpression: Sendable {
    enum Value: Sendable {
        case number(UInt32)
        case text(String)
        case data([UInt8])
        case verdict(Verdict)
    }

    /// Codes of enum nft_verdicts and of linux/netfilter.h.
    enum Verdict: Sendable {
        case accept, drop
        /// Leaves the chain: back to the one that jumped here, or accepted.
        case leave
        case jump(PacketTable.Chain)
        case go(PacketTable.Chain)

        var code: Int32 {
            switch self {
            case .drop: 0
            case .accept: 1
            case .jump: -3
            case .go: -4
            case .leave: -5
            }
        }
    }

    let name: String
    let attributes: [(type: UInt16, value: Value)]

    init(_ name: String, _ attributes: [(UInt16, Value)] = []) {
        self.name = name
        self.attributes = attributes
    }

    func append(to message: inout NetlinkMessage) {
        message.attribute(1, name)
        message.tree(2) { data in
            for attribute in attributes {
                switch attribute.value {
                case .number(let number): data.number(attribute.type, number)
                case .text(let text): data.attribute(attribute.type, text)
                case .data(let bytes): data.tree(attribute.type) { $0.attribute(1, bytes) }
                case .verdict(let verdict):
                    data.tree(attribute.type) { value in
                        value.tree(2) { Self.append(verdict, to: &$0) }
                    }
                }
            }
        }
    }

    private static func append(_ verdict: Verdict, to message: inout NetlinkMessage) {
        message.number(1, UInt32(bitPattern: verdict.code))
        if case .jump(let chain) = verdict { message.attribute(2, chain.name) }
        if case .go(let chain) = verdict { message.attribute(2, chain.name) }
    }
}

/// The parts that rules are made of.
extension [RuleExpression] {
    /// The first 4-byte register (NFT_REG32_00); a value of n bytes takes (n + 3) / 4 of them.
    private static var register: UInt32 { 8 }

    /// Keys of `meta` (enum nft_meta_keys).
    private enum Meta {
        static let incoming: UInt32 = 4
        static let incomingName: UInt32 = 6
        static let outgoingName: UInt32 = 7
        static let family: UInt32 = 15
        static let transport: UInt32 = 16
    }

    enum Side { case incoming, outgoing }
    enum End { case source, destination }

    // MARK: What a packet is like

    /// The interface it came in or goes out by is in the set, or is not.
    static func interface(_ side: Side, in set: PacketTable.NamedSet, _ isIn: Bool = true) -> Self {
        [
            meta(side == .incoming ? Meta.incomingName : Meta.outgoingName),
            lookup(set, isIn ? [] : [(5, .number(1))]),
        ]
    }

    /// The two interfaces are a pair of the set.
    static func interfaces(in set: PacketTable.NamedSet) -> Self {
        [meta(Meta.incomingName), meta(Meta.outgoingName, register + 4), lookup(set)]
    }

    /// No interface it came in by: made here, or bridged on its way out.
    static var withoutIncoming: Self { [meta(Meta.incoming), compare([0, 0, 0, 0])] }

    static func family(_ family: IPAddress.Family) -> Self {
        [meta(Meta.family), compare([family == .v4 ? PacketTable.ipv4 : PacketTable.ipv6])]
    }

    /// An end of it is 127.0.0.0/8 or ::1.
    static func loopback(_ end: End, _ family: IPAddress.Family) -> Self {
        let bytes = family == .v4 ? [127] : IPAddress(.v6, 1).bytes
        return Self.family(family) + [address(end, family, count: UInt32(bytes.count)), compare(bytes)]
    }

    /// An end of it is this address. In a table of the address's family.
    static func address(_ end: End, is address: IPAddress) -> Self {
        let bytes = address.bytes
        return [Self.address(end, address.family, count: UInt32(bytes.count)), compare(bytes)]
    }

    /// It is of this transport, and the port of an end of it is this.
    static func port(_ end: End, of transport: Transport, is port: UInt16) -> Self {
        [
            meta(Meta.transport), compare([transport.rawValue]),
            payload(base: 2, offset: offset(ofPort: end), count: 2, register), compare(bytes(port)),
        ]
    }

    /// What the host's routes say about an end of it (`fib`; a RTN_ number of linux/rtnetlink.h), for the incoming interface
    /// alone where that is asked.
    static func route(_ end: End, is kind: UInt32, _ isEqual: Bool = true, onIncoming: Bool = false) -> Self {
        let flags: UInt32 = (end == .source ? 1 : 2) | (onIncoming ? 8 : 0)
        return [
            RuleExpression("fib", [(1, .number(register)), (2, .number(3)), (3, .number(flags))]),
            compare(Swift.withUnsafeBytes(of: kind, [UInt8].init), isEqual),
        ]
    }

    /// Its connection has any of these bits (IPS_ of nf_conntrack_common.h).
    static func connection(has status: UInt32) -> Self { connection(2, has: status) }

    /// It goes on with a connection of which packets have passed both ways (`ct state established`).
    static var isEstablished: Self { connection(0, has: 2) }

    /// A value of `ct` (enum nft_ct_keys) has any of these bits.
    private static func connection(_ key: UInt32, has bits: UInt32) -> Self {
        let mask = Swift.withUnsafeBytes(of: bits, [UInt8].init)
        return [
            RuleExpression("ct", [(1, .number(register)), (2, .number(key))]),
            RuleExpression(
                "bitwise",
                [
                    (1, .number(register)), (2, .number(register)), (3, .number(4)), (4, .data(mask)),
                    (5, .data([0, 0, 0, 0])),
                ]),
            compare([0, 0, 0, 0], false),
        ]
    }

    /// It answers a packet that has passed.
    static var isReply: Self { [RuleExpression("ct", [(1, .number(register)), (2, .number(1))]), compare([1])] }

    // MARK: What becomes of it

    static func verdict(_ verdict: RuleExpression.Verdict) -> Self {
        [RuleExpression("immediate", [(1, .number(0)), (2, .verdict(verdict))])]
    }

    /// Goes out under the address of the outgoing interface.
    static var masquerade: Self { [RuleExpression("masq")] }

    /// Goes to the address and port that the map has for its transport and port, and for its destination with `addressed`.
    static func translate(by map: PacketTable.NamedSet, _ family: IPAddress.Family, addressed: Bool) -> Self {
        let words: UInt32 = family == .v4 ? 1 : 4
        let after = register + (addressed ? words : 0)
        var parts = Self.family(family)
        if addressed { parts.append(address(.destination, family, count: words * 4)) }
        return parts + [
            meta(Meta.transport, after),
            payload(base: 2, offset: 2, count: 2, after + 1),  // the transport header's destination port
            lookup(map, [(3, .number(register))]),
            RuleExpression(
                "nat",
                [
                    (1, .number(1)), (2, .number(UInt32(family == .v4 ? PacketTable.ipv4 : PacketTable.ipv6))),
                    (3, .number(register)), (5, .number(register + words)),
                ]),
        ]
    }

    /// Gets another port at an end of it, and the checksum that goes with it. UDP and TCP.
    static func rewritePort(_ end: End, of transport: Transport, to port: UInt16) -> Self {
        let checksum: UInt32 = transport == .udp ? 6 : 16
        return [
            RuleExpression("immediate", [(1, .number(register)), (2, .data(bytes(port)))]),
            RuleExpression(
                "payload",
                [
                    (5, .number(register)), (2, .number(2)), (3, .number(offset(ofPort: end))), (4, .number(2)),
                    (6, .number(1)), (7, .number(checksum)),  // NFT_PAYLOAD_CSUM_INET, and where
                ]),
        ]
    }

    // MARK: Expressions

    /// Where the transport header has the port.
    private static func offset(ofPort end: End) -> UInt32 { end == .source ? 0 : 2 }

    private static func bytes(_ port: UInt16) -> [UInt8] { [UInt8(port >> 8), UInt8(port & 255)] }

    private static func meta(_ key: UInt32, _ target: UInt32 = register) -> RuleExpression {
        RuleExpression("meta", [(1, .number(target)), (2, .number(key))])
    }

    private static func compare(_ bytes: [UInt8], _ isEqual: Bool = true) -> RuleExpression {
        RuleExpression("cmp", [(1, .number(register)), (2, .number(isEqual ? 0 : 1)), (3, .data(bytes))])
    }

    private static func lookup(
        _ set: PacketTable.NamedSet, _ more: [(UInt16, RuleExpression.Value)] = []
    ) -> RuleExpression {
        RuleExpression("lookup", [(1, .text(set.name)), (2, .number(register))] + more)
    }

    private static func address(_ end: End, _ family: IPAddress.Family, count: UInt32) -> RuleExpression {
        let offset: UInt32 =
            switch (family, end) {
            case (.v4, .source): 12
            case (.v4, .destination): 16
            case (.v6, .source): 8
            case (.v6, .destination): 24
            }
        return payload(base: 1, offset: offset, count: count, register)
    }

    private static func payload(base: UInt32, offset: UInt32, count: UInt32, _ target: UInt32) -> RuleExpression {
        RuleExpression(
            "payload", [(1, .number(target)), (2, .number(base)), (3, .number(offset)), (4, .number(count))])
    }
}
