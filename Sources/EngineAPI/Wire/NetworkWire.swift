import Actors

/// What `GET /networks` and `GET /networks/{id}` answer.
enum NetworkWire {
    /// - Parameter members: the containers on it now; nil in a list, which does not tell them.
    static func value(_ network: NetworkRecord, members: [ContainerRecord]) -> JSON {
        [
            "Name": .string(network.name), "Id": .string(network.id), "Created": .string(network.created),
            "Scope": "local", "Driver": .string(network.driver), "EnableIPv4": .bool(network.enableIPv4),
            "EnableIPv6": .bool(network.enableIPv6),
            "IPAM": [
                "Driver": .string(network.ipam.driver ?? "default"),
                "Options": network.ipam.options.map { JSON($0) } ?? (network.isPredefined ? nil : [:]),
                "Config": (network.ipam.config ?? []).isEmpty
                    ? (network.isPredefined ? nil : []) : .array((network.ipam.config ?? []).map(pool)),
            ],
            "Internal": .bool(network.isInternal), "Attachable": .bool(network.isAttachable), "Ingress": false,
            "ConfigFrom": ["Network": .string(network.configFrom)], "ConfigOnly": .bool(network.isConfigOnly),
            "Containers": .object(members.map { ($0.id, member($0, network.name)) }),
            "Options": JSON(network.options), "Labels": JSON(network.labels),
        ]
    }

    private static func pool(_ pool: NetworkRecord.Pool) -> JSON {
        var value: JSON = [:]
        value.appendUnlessNull("Subnet", JSON(pool.subnet))
        value.appendUnlessNull("IPRange", JSON(pool.ipRange))
        value.appendUnlessNull("Gateway", JSON(pool.gateway))
        if let auxiliary = pool.auxiliary { value.append("AuxiliaryAddresses", JSON(auxiliary)) }
        return value
    }

    private static func member(_ container: ContainerRecord, _ network: String) -> JSON {
        let endpoint = container.networks[network]
        func text(_ address: String?, _ prefixLength: Int?) -> JSON {
            guard let address, !address.isEmpty else { return "" }
            return .string("\(address)/\(prefixLength ?? 0)")
        }
        return [
            "Name": .string(container.name), "EndpointID": .string(endpoint?.endpointID ?? ""),
            "MacAddress": .string(endpoint?.macAddress ?? ""),
            "IPv4Address": text(endpoint?.ipAddress, endpoint?.ipPrefixLength),
            "IPv6Address": text(endpoint?.globalIPv6Address, endpoint?.globalIPv6PrefixLength),
        ]
    }
}
