import Actors
import HTTP

/// Networks: those that are always there, and users' own.
enum Networks {
    private static let filters: Set<String> = ["name", "id", "driver", "type", "scope", "label", "dangling"]

    static func list(_ call: Call) async throws -> Response {
        let filters = try call.filters()
        try Filter.check(filters, known: Self.filters)
        for type in filters["type"] ?? [] where !["builtin", "custom"].contains(type) {
            throw EngineError(.invalidParameter, "invalid filter: 'type'='\(type)'")
        }
        var used: Set<String> = []
        if filters["dangling"] != nil {
            var options = ListOptions()
            options.all = true
            used = Set(try await call.engine.containers.list(options).flatMap { $0.record.networks.keys })
        }
        let networks = await call.engine.networks.list().filter { network in
            Filter.contains(filters["name"], in: network.name) && Filter.hasPrefix(filters["id"], of: network.id)
                && Filter.equals(filters["driver"], network.driver) && Filter.equals(filters["scope"], "local")
                && Filter.equals(filters["type"], network.isPredefined ? "builtin" : "custom")
                && Filter.labels(filters["label"], network.labels)
                && Filter.flag(filters["dangling"], !network.isPredefined && !used.contains(network.name))
        }
        return Call.json(.array(networks.map { NetworkWire.value($0, members: []) }))
    }

    static func inspect(_ call: Call) async throws -> Response {
        let scope = call.text("scope") ?? "local"
        guard scope == "local" else { throw EngineError(.notFound, "network \(call.id) not found") }
        let network = try await call.engine.networks.inspect(call.id)
        let running = try await call.engine.containers.list().map(\.record)
        let members = running.filter { !($0.networks[network.name]?.endpointID ?? "").isEmpty }
        return Call.json(NetworkWire.value(network, members: members))
    }

    static func create(_ call: Call) async throws -> Response {
        let id = try await call.engine.networks.create(try await call.body(NetworkCreateRequest.self))
        return Call.json(["Id": .string(id), "Warning": ""], status: 201)
    }

    static func remove(_ call: Call) async throws -> Response {
        try await call.engine.networks.remove(call.id)
        return Response(204)
    }

    static func prune(_ call: Call) async throws -> Response {
        let removed = try await call.engine.networks.prune(filters: try call.filters())
        return Call.json(["NetworksDeleted": removed.isEmpty ? nil : JSON(removed)])
    }

    private struct ConnectBody: Decodable {
        let container: String?
        let settings: EndpointSettings?
        let force: Bool?

        enum CodingKeys: String, CodingKey {
            case container = "Container"
            case settings = "EndpointConfig"
            case force = "Force"
        }
    }

    static func connect(_ call: Call) async throws -> Response {
        let body = try await call.body(ConnectBody.self)
        let network = try await call.engine.networks.network(call.id)
        let container = try await call.engine.containers.container(body.container ?? "")
        try await container.connect(network.id, body.settings ?? EndpointSettings())
        return Response(200)
    }

    static func disconnect(_ call: Call) async throws -> Response {
        let body = try await call.body(ConnectBody.self)
        let network = try await call.engine.networks.network(call.id)
        let container = try await call.engine.containers.container(body.container ?? "")
        try await container.disconnect(network.id, force: body.force ?? false)
        return Response(200)
    }
}
