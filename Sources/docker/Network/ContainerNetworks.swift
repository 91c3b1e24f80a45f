/// What a new container's `--network`, `--ip`, `--link` and their like mean together.
struct ContainerNetworks {
    private let options: ContainerOptions

    init(_ options: ContainerOptions) { self.options = options }

    /// HostConfig's NetworkMode: the first network.
    var mode: String { options.network.values.first?.target ?? "default" }

    /// Whether a network is asked to use an address of the user's for the container's network card.
    var nameHardwareAddresses: Bool {
        !options.macAddress.isEmpty || options.network.values.contains { !$0.macAddress.isEmpty }
    }

    /// NetworkingConfig: what is asked of each network. Flags outside of `--network` are about the first.
    func endpoints() throws(CLIError) -> JSON {
        var members: [JSON.Member] = []
        var hasUserDefined = false
        var hasOthers = false
        var seen: Set<String> = []
        let given = options.network.values
        for (index, value) in (given.isEmpty ? [NetworkAttachment(target: "default")] : given).enumerated() {
            let attachment = index == 0 ? try merged(value) : value
            if attachment.isUserDefined { hasUserDefined = true } else { hasOthers = true }
            try attachment.check()
            guard seen.insert(attachment.target).inserted else {
                throw CLIError("network \(attachment.target.goQuoted) is specified multiple times")
            }
            let settings = attachment.settings.filter { $0.1 != nil }
            // A single network that nothing is asked of is said by the mode alone.
            if given.count == 1, settings.isEmpty { continue }
            members.append(.init(name: attachment.target, value: CreateBody.object(settings)))
        }
        guard !hasUserDefined || !hasOthers else {
            throw CLIError(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes")
        }
        return ["EndpointsConfig": .object(members)]
    }

    /// The first network with the flags that are about it; one thing cannot be said in both places.
    private func merged(_ attachment: NetworkAttachment) throws(CLIError) -> NetworkAttachment {
        let o = options
        func conflict(_ flag: String, _ other: String) -> CLIError {
            CLIError("conflicting options: cannot specify both \(flag) and per-network \(other)")
        }
        func one(_ flag: String, _ outer: String, _ inner: String, _ other: String) throws(CLIError) -> String {
            guard outer.isEmpty || inner.isEmpty else { throw conflict(flag, other) }
            return outer.isEmpty ? inner : outer
        }
        func one(_ flag: String, _ outer: [String], _ inner: [String], _ other: String) throws(CLIError) -> [String] {
            guard outer.isEmpty || inner.isEmpty else { throw conflict(flag, other) }
            return outer.isEmpty ? inner : outer
        }
        var merged = attachment
        merged.aliases = try one("--network-alias", o.networkAlias, attachment.aliases, "alias")
        merged.ip = try one("--ip", o.ip, attachment.ip, "IPv4 address")
        merged.ip6 = try one("--ip6", o.ip6, attachment.ip6, "IPv6 address")
        merged.macAddress = try one("--mac-address", o.macAddress, attachment.macAddress, "MAC address")
        merged.linkLocalIPs = try one(
            "--link-local-ip", o.linkLocalIP, attachment.linkLocalIPs, "link-local IP addresses")
        // On the default bridge a link is the container's, not the endpoint's.
        if attachment.isUserDefined { merged.links = o.link.values }
        return merged
    }
}
