import Actors
import HTTP

/// The networks there are: bridge, host and none. Networks of users' own are refused by name.
enum Networks {
    static func list(_ call: Call) async throws -> Response {
        let filters = try call.filters()
        for key in filters.keys where !["name", "id", "driver", "type", "scope", "label", "dangling"].contains(key) {
            throw EngineError(.invalidParameter, "invalid filter '\(key)'")
        }
        let networks = await call.engine.networks.list().filter { network in
            Filter.contains(filters["name"], in: network.name) && Filter.hasPrefix(filters["id"], of: network.id)
                && Filter.equals(filters["driver"], network.driver) && Filter.equals(filters["scope"], "local")
                && Filter.equals(filters["type"], "builtin") && Filter.labels(filters["label"], [:])
                && !Filter.isTrue(filters["dangling"])
        }
        return Call.json(.array(networks.map { wire($0, members: []) }))
    }

    static func inspect(_ call: Call) async throws -> Response {
        let network = try await call.engine.networks.network(call.id)
        let running = try await call.engine.containers.list()
        return Call.json(wire(network, members: running.filter { $0.record.networks[network.name] != nil }))
    }

    /// None of the networks there are may go.
    static func prune(_ call: Call) async throws -> Response {
        for key in try call.filters().keys where !["until", "label", "label!"].contains(key) {
            throw EngineError(.invalidParameter, "invalid filter '\(key)'")
        }
        return Call.json(["NetworksDeleted": nil])
    }

    private struct CreateBody: Decodable {
        let name: String?
        enum CodingKeys: String, CodingKey { case name = "Name" }
    }

    static func create(_ call: Call) async throws -> Response {
        let name = try await call.body(CreateBody.self).name ?? ""
        guard !name.isEmpty else { throw EngineError(.invalidParameter, "invalid network name: name is empty") }
        if await call.engine.networks.list().contains(where: { $0.name == name }) {
            throw EngineError(.conflict, "network with name \(name) already exists")
        }
        throw EngineError(
            .notImplemented, "network \(name) cannot be created: only the networks bridge, host and none are supported")
    }

    static func remove(_ call: Call) async throws -> Response {
        let network = try await call.engine.networks.network(call.id)
        throw EngineError(.forbidden, "\(network.name) is a pre-defined network and cannot be removed")
    }

    private struct ConnectBody: Decodable {
        let container: String?
        enum CodingKeys: String, CodingKey { case container = "Container" }
    }

    /// `connect` and `disconnect`: a container keeps the network it was created with.
    static func reconnect(_ call: Call) async throws -> Response {
        let name = try await call.body(ConnectBody.self).container ?? ""
        let network = try await call.engine.networks.network(call.id)
        let container = await (try await call.engine.containers.container(name)).snapshot().record
        throw EngineError(
            .notImplemented,
            "container \(container.name) cannot be connected to or disconnected from network \(network.name): "
                + "create it anew with --network")
    }

    private static func wire(_ network: NetworkRecord, members: [ContainerSnapshot]) -> JSON {
        var pool: JSON = [:]
        if let subnet = network.subnet { pool.append("Subnet", .string(subnet)) }
        if let gateway = network.gateway { pool.append("Gateway", .string(gateway)) }
        return [
            "Name": .string(network.name), "Id": .string(network.id), "Created": .string(network.created),
            "Scope": "local", "Driver": .string(network.driver), "EnableIPv4": true, "EnableIPv6": false,
            "IPAM": [
                "Driver": "default", "Options": nil, "Config": network.subnet == nil ? nil : [pool],
            ],
            "Internal": false, "Attachable": false, "Ingress": false, "ConfigFrom": ["Network": ""],
            "ConfigOnly": false,
            "Containers": .object(members.map { ($0.record.id, member($0, network.name)) }),
            "Options": JSON(network.options), "Labels": [:],
        ]
    }

    private static func member(_ snapshot: ContainerSnapshot, _ network: String) -> JSON {
        let endpoint = snapshot.record.networks[network]
        let address = endpoint?.ipAddress ?? ""
        return [
            "Name": .string(snapshot.record.name), "EndpointID": .string(endpoint?.endpointID ?? ""),
            "MacAddress": .string(endpoint?.macAddress ?? ""),
            "IPv4Address": .string(address.isEmpty ? "" : "\(address)/\(endpoint?.ipPrefixLength ?? 0)"),
            "IPv6Address": "",
        ]
    }
}
