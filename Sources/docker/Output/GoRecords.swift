/// What Docker's Go types add to the JSON they are sent as, where templates can tell: names of their own, members that are
/// left out when they say nothing, and how a record is printed.
enum GoRecords {
    /// A Go structure, recognized by its members.
    struct Record: Sendable {
        struct Field: Sendable {
            let name: String
            /// The field's name in Go when it is another.
            var goName: String?
            /// What it is when it is not sent.
            var zero: JSON = .string("")

            func isNamed(_ wanted: String) -> Bool { name == wanted || goName == wanted }
        }

        let fields: [Field]
        /// Members without which it is something else.
        let marks: Set<String>

        func matches(_ members: [JSON.Member]) -> Bool {
            members.allSatisfy { member in fields.contains { $0.name == member.name } }
                && marks.isSubset(of: Set(members.map(\.name)))
        }
    }

    static let records: [Record] = [
        // IPAM, and one of its pools
        Record(
            fields: [.init(name: "Driver"), .init(name: "Options", zero: [:]), .init(name: "Config", zero: [])],
            marks: ["Driver", "Config"]),
        Record(
            fields: [
                .init(name: "Subnet"), .init(name: "IPRange"), .init(name: "Gateway"),
                .init(name: "AuxiliaryAddresses", goName: "AuxAddress", zero: [:]),
            ], marks: ["Subnet"]),
        // ConfigReference
        Record(fields: [.init(name: "Network")], marks: ["Network"]),
        // EndpointResource: a network's container
        Record(
            fields: ["Name", "EndpointID", "MacAddress", "IPv4Address", "IPv6Address"].map { .init(name: $0) },
            marks: ["Name", "EndpointID", "IPv6Address"]),
        // EndpointIPAMConfig
        Record(
            fields: [
                .init(name: "IPv4Address"), .init(name: "IPv6Address"), .init(name: "LinkLocalIPs", zero: []),
            ], marks: []),
        // PortBinding
        Record(fields: [.init(name: "HostIp", goName: "HostIP"), .init(name: "HostPort")], marks: ["HostPort"]),
    ]

    private static func record(of members: [JSON.Member]) -> Record? {
        members.isEmpty ? nil : records.first { $0.matches(members) }
    }

    /// A member by its name in Go, or what a record has where it was not sent; nil for neither.
    static func member(_ name: String, of value: JSON) -> JSON? {
        if name == "ID", let id = value["Id"] { return id }
        if name == "APIVersion", let version = value["ApiVersion"] { return version }
        if isNetwork(value), let zero = networkZeros[name] { return zero }
        guard let field = record(of: value.members)?.fields.first(where: { $0.isNamed(name) }) else { return nil }
        return value[field.name] ?? field.zero
    }

    /// The fields' texts in braces; nil when this is no record.
    static func text(_ members: [JSON.Member], _ shown: (JSON) -> String) -> String? {
        guard let record = record(of: members) else { return nil }
        let values = record.fields.map { field -> JSON in
            let sent = members.first { $0.name == field.name }?.value ?? .null
            return sent == .null ? field.zero : sent
        }
        return "{" + values.map(shown).joined(separator: " ") + "}"
    }

    /// An element of a map as it is printed: those of a set of ports or paths have no fields.
    static func element(_ member: JSON.Member, _ shown: (JSON) -> String) -> String {
        member.name.contains("/") && member.value == .object([]) ? "{}" : shown(member.value)
    }

    /// What daemons send of networks of a swarm alone.
    private static let networkZeros: [String: JSON] = ["Peers": [], "Services": [:]]

    static func isNetwork(_ value: JSON) -> Bool { value["IPAM"] != nil && value["EnableIPv6"] != nil }

    /// A value as Docker's types hold it: maps, whose keys users choose, have them in order.
    static func typed(_ value: JSON, name: String = "") -> JSON {
        switch value {
        case .object(var members):
            for index in members.indices {
                members[index].value = typed(members[index].value, name: members[index].name)
            }
            if TemplateEvaluator.maps.contains(name) { members.sort { $0.name < $1.name } }
            return name.isEmpty ? network(.object(members)) : .object(members)
        case .array(let elements): return .array(elements.map { typed($0, name: "element") })
        default: return value
        }
    }

    /// A network as Docker's type holds it: with the members that older daemons do not send.
    private static func network(_ sent: JSON) -> JSON {
        guard isNetwork(sent), case .object(var members) = sent, sent["EnableIPv4"] == nil,
            let index = members.firstIndex(where: { $0.name == "EnableIPv6" })
        else { return sent }
        members.insert(.init(name: "EnableIPv4", value: false), at: index)
        return .object(members)
    }
}
