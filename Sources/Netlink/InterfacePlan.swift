/// The interface of an endpoint, as ``NamespaceBuilder`` makes it.
struct InterfacePlan: Sendable {
    /// What it hangs on in the host's namespace.
    enum Attachment: Sendable, Hashable {
        /// A port of a bridge.
        case port(bridge: Int32)
        /// A macvlan interface of a parent.
        case child(parent: Int32, MacvlanMode)
    }

    let endpoint: Endpoint
    let attachment: Attachment
    /// 0: 1500 for a port, the parent's for a child.
    let mtu: UInt32
    /// The bridge passes nothing between this port and others like it.
    let isIsolated: Bool
    /// Written on what we make, so that a later run knows it.
    let alias: String

    /// What host interfaces of ours begin with; eight hexadecimal digits follow.
    private static let prefix = "veth"

    /// A new name for a host interface.
    static func hostInterface() -> String {
        let digits = String(UInt32.random(in: 0...UInt32.max), radix: 16)
        return prefix + String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// True for a name that ``hostInterface()`` could have given.
    static func isOurs(_ name: String) -> Bool {
        name.hasPrefix(prefix) && name.utf8.count == prefix.utf8.count + 8
            && name.dropFirst(prefix.count).allSatisfy { $0.isHexDigit && !$0.isUppercase }
    }
}

/// The default routes of a namespace.
struct DefaultRoutes: Sendable, Hashable {
    struct Route: Sendable, Hashable {
        let gateway: IPAddress
        /// By its name inside.
        let interface: String
    }

    var v4: Route?
    var v6: Route?

    subscript(family: IPAddress.Family) -> Route? { family == .v4 ? v4 : v6 }
}
