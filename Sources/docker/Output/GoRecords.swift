/// What Docker's Go types add to the JSON that they are shown as.
enum GoRecords {
    /// An object as it is shown whole: maps, whose keys users choose, have them in order.
    ///
    /// - Parameter root: the type that Docker holds it as.
    static func typed(_ value: JSON, _ root: String) -> JSON {
        GoTypes.sorted(root == GoTypes.roots["network"] ? network(value) : value, .record(root))
    }

    /// A network with the member that older daemons do not send.
    private static func network(_ sent: JSON) -> JSON {
        guard case .object(var members) = sent, sent["EnableIPv4"] == nil,
            let index = members.firstIndex(where: { $0.name == "EnableIPv6" })
        else { return sent }
        members.insert(.init(name: "EnableIPv4", value: false), at: index)
        return .object(members)
    }
}
