import Glibc

/// Messages of nfnetlink (linux/netfilter/nfnetlink.h, nf_tables.h). Their numbers are big-endian.
extension NetlinkMessage {
    /// The subsystems that are used here, by their number.
    enum Subsystem: UInt16 {
        case batch = 0
        case connections = 1
        case tables = 10
    }

    init(
        _ subsystem: Subsystem, _ kind: UInt16, family: UInt8, _ flags: Flags, _ object: String, resource: UInt16 = 0
    ) {
        self.init(subsystem.rawValue << 8 | kind, flags, object)
        append(family)
        append(UInt8(0))  // version
        append(resource.bigEndian)
    }

    /// A big-endian number.
    mutating func number(_ type: UInt16, _ value: UInt32) { attribute(type, value.bigEndian) }

    /// An attribute made of attributes, marked as such.
    mutating func tree(_ type: UInt16, _ body: (inout Self) -> Void) { nested(type | Self.nestedFlag, body) }

    /// NLA_F_NESTED
    private static let nestedFlag: UInt16 = 0x8000
}

/// Names and shapes of what is in one table of the family `inet`, and the messages that make and change them.
struct PacketTable: Sendable {
    /// NFPROTO_INET, NFPROTO_IPV4 and NFPROTO_IPV6.
    static let inet: UInt8 = 1
    static let ipv4: UInt8 = 2
    static let ipv6: UInt8 = 10

    let name: String
    var family = Self.inet

    /// The kinds of message (enum nf_tables_msg_types).
    enum Kind {
        static let newTable: UInt16 = 0
        static let deleteTable: UInt16 = 2
        static let newChain: UInt16 = 3
        static let getChain: UInt16 = 4
        static let deleteChain: UInt16 = 5
        static let newRule: UInt16 = 6
        static let deleteRule: UInt16 = 8
        static let newSet: UInt16 = 9
        static let getSet: UInt16 = 10
        static let deleteSet: UInt16 = 11
        static let newElement: UInt16 = 12
        static let deleteElement: UInt16 = 14
        static let getGeneration: UInt16 = 16
    }

    /// A field of a set's key or of a map's value: its number among nft(8)'s types and its bytes, padded to four.
    enum Field: UInt32 {
        case address4 = 7
        case address6 = 8
        case transport = 12
        case port = 13
        case interface = 41

        var bytes: UInt32 {
            switch self {
            case .address6, .interface: 16
            case .address4, .transport, .port: 4
            }
        }
    }

    /// A set, or with a value a map; a hash table in the kernel.
    struct NamedSet: Sendable {
        let name: String
        let key: [Field]
        var value: [Field] = []
    }

    struct Element: Sendable, Hashable {
        let key: [UInt8]
        var value: [UInt8] = []
    }

    /// A chain; without a hook other chains jump to it.
    struct Chain: Sendable {
        /// enum nf_inet_hooks
        enum Hook: UInt32 { case prerouting, input, forward, output, postrouting }

        let name: String
        var kind = "filter"
        var hook: Hook?
        var priority: Int32 = 0
    }

    // MARK: Messages

    /// Asks which generation of rules the kernel has: answered wherever nf_tables is.
    static func generation() -> NetlinkMessage {
        NetlinkMessage(.tables, Kind.getGeneration, family: 0, [], "nf_tables")
    }

    func create() -> NetlinkMessage { message(Kind.newTable, .create, "table \(name)") }

    func remove() -> NetlinkMessage { message(Kind.deleteTable, [], "table \(name)") }

    func create(_ set: NamedSet) -> NetlinkMessage {
        var message = message(Kind.newSet, .create, "set \(set.name)")
        message.attribute(2, set.name)
        if !set.value.isEmpty { message.number(3, 0x8) }  // NFTA_SET_FLAGS: NFT_SET_MAP
        message.number(4, Self.type(set.key))
        message.number(5, set.key.reduce(0) { $0 + $1.bytes })
        if !set.value.isEmpty {
            message.number(6, Self.type(set.value))
            message.number(7, set.value.reduce(0) { $0 + $1.bytes })
        }
        message.number(10, 1)  // NFTA_SET_ID: must be there; only nameless sets are found by it
        if set.key == [.interface] {
            // NFTA_SET_USERDATA: names are in the host's byte order. Without it nft(8) lists them as "", and what it lists
            // cannot be loaded again.
            message.attribute(13, [0, 4] + Swift.withUnsafeBytes(of: UInt32(1), [UInt8].init))
        }
        return message
    }

    func remove(_ set: NamedSet) -> NetlinkMessage {
        var message = message(Kind.deleteSet, [], "set \(set.name)")
        message.attribute(2, set.name)
        return message
    }

    /// nft(8)'s number of a concatenation: six bits for each field.
    private static func type(_ fields: [Field]) -> UInt32 { fields.reduce(0) { $0 << 6 | $1.rawValue } }

    /// Adds elements; one that is there with the same value is no error, one with another value is.
    func add(_ elements: [Element], to set: String) -> [NetlinkMessage] {
        self.elements(Kind.newElement, .create, elements, set)
    }

    /// Removes elements; one that is not there is an error.
    func remove(_ elements: [Element], from set: String) -> [NetlinkMessage] {
        self.elements(Kind.deleteElement, [], elements.map { Element(key: $0.key) }, set)
    }

    func removeElements(of set: NamedSet) -> NetlinkMessage {
        var message = message(Kind.deleteElement, [], "set \(set.name)")
        message.attribute(2, set.name)
        return message
    }

    /// Elements in one message: a list's length has 16 bits, an element at most 76 bytes.
    private static let elementsMax = 800

    private func elements(
        _ kind: UInt16, _ flags: NetlinkMessage.Flags, _ elements: [Element], _ set: String
    ) -> [NetlinkMessage] {
        stride(from: 0, to: elements.count, by: Self.elementsMax).map { start in
            var message = message(kind, flags, "element of set \(set)")
            message.attribute(2, set)
            message.tree(3) { list in  // NFTA_SET_ELEM_LIST_ELEMENTS
                for element in elements[start...].prefix(Self.elementsMax) {
                    list.tree(1) { item in
                        item.tree(1) { $0.attribute(1, element.key) }  // NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE
                        if !element.value.isEmpty { item.tree(2) { $0.attribute(1, element.value) } }
                    }
                }
            }
            return message
        }
    }

    func create(_ chain: Chain) -> NetlinkMessage {
        var message = message(Kind.newChain, .create, "chain \(chain.name)")
        message.attribute(3, chain.name)
        if let hook = chain.hook {
            message.tree(4) {
                $0.number(1, hook.rawValue)
                $0.number(2, UInt32(bitPattern: chain.priority))
            }
            message.attribute(7, chain.kind)
        }
        return message
    }

    func remove(_ chain: Chain) -> NetlinkMessage {
        var message = message(Kind.deleteChain, [], "chain \(chain.name)")
        message.attribute(3, chain.name)
        return message
    }

    func removeRules(of chain: Chain) -> NetlinkMessage {
        var message = message(Kind.deleteRule, [], "rules of chain \(chain.name)")
        message.attribute(2, chain.name)
        return message
    }

    func append(_ rule: PacketRule) -> NetlinkMessage {
        var message = message(Kind.newRule, [.create, .append], "rule of chain \(rule.chain): \(rule.comment)")
        message.attribute(2, rule.chain)
        message.tree(4) { list in  // NFTA_RULE_EXPRESSIONS
            for expression in rule.expressions { list.tree(1) { expression.append(to: &$0) } }
        }
        // NFTA_RULE_USERDATA: nft(8) shows the text of type 0 as the rule's comment.
        message.attribute(7, [0, UInt8(rule.comment.utf8.count + 1)] + Array(rule.comment.utf8) + [0])
        return message
    }

    func listSets() -> NetlinkMessage { message(Kind.getSet, .dump, "sets of table \(name)") }

    func listChains() -> NetlinkMessage { message(Kind.getChain, .dump, "chains of table \(name)") }

    /// The name of the set that an answer to ``listSets()`` is about; nil when it is another table's.
    func setName(in reply: NetlinkReply) -> String? { objectName(in: reply, 2) }

    /// The same of ``listChains()``, whose answers are about all tables.
    func chainName(in reply: NetlinkReply) -> String? { objectName(in: reply, 3) }

    private func objectName(in reply: NetlinkReply, _ type: UInt16) -> String? {
        let attributes = reply.attributes(after: 4)
        guard reply.payload.first == family, attributes[1]?.netlinkName == name else { return nil }
        return attributes[type]?.netlinkName
    }

    private func message(_ kind: UInt16, _ flags: NetlinkMessage.Flags, _ object: String) -> NetlinkMessage {
        var message = NetlinkMessage(.tables, kind, family: family, flags, object)
        message.attribute(1, name)
        return message
    }
}

extension NetlinkMessage.Flags {
    /// NLM_F_APPEND
    static let append = Self(rawValue: 0x800)
}
