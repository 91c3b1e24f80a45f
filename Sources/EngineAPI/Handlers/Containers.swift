import Actors
import Foundation
import HTTP
import NIOCore
import OCI

/// Containers: what they are and their life.
enum Containers {
    // MARK: Look

    static func list(_ call: Call) async throws -> Response {
        var options = ListOptions()
        options.all = call.flag("all")
        options.limit = try call.int("limit").flatMap { $0 > 0 ? $0 : nil }
        options.filters = try call.filters()
        let containers = try await call.engine.containers.list(options)
        let sizes = call.flag("size") ? await sizes(of: containers, call.engine) : [:]
        let networks = await System.networkIDs(call.engine)
        return Call.json(.array(containers.map { ContainerSummary.value($0, sizes[$0.record.id], networks: networks) }))
    }

    /// By id: those of containers that run cost a walk over each writable layer.
    static func sizes(of containers: [ListedContainer], _ engine: Engine) async -> [String: ContainerSizes] {
        await withTaskGroup(of: (String, ContainerSizes?).self) { group in
            for id in containers.map(\.record.id) {
                // One that was removed meanwhile is listed without.
                group.addTask { (id, try? await engine.containers.container(id).sizes()) }
            }
            var sizes: [String: ContainerSizes] = [:]
            for await (id, found) in group { sizes[id] = found }
            return sizes
        }
    }

    static func inspect(_ call: Call) async throws -> Response {
        let container = try await call.container()
        let sizes = call.flag("size") ? try await container.sizes() : nil
        let networks = await System.networkIDs(call.engine)
        return Call.json(
            ContainerDetails.value(await container.snapshot(), sizes, engine: call.engine, networks: networks))
    }

    // MARK: Life

    static func create(_ call: Call) async throws -> Response {
        let body = try await call.body(CreateBody.self)
        let platform = try call.platform()
        var request = CreateRequest(
            name: call.text("name"), config: body.config, hostConfig: body.hostConfig ?? HostConfig(),
            endpoints: body.endpoints, platform: platform)
        try OlderClients.adjust(&request, call.version)
        let result: CreateResult
        do { result = try await call.engine.containers.create(request) } catch let error as EngineError {
            throw Self.refusal(error)
        }
        return Call.json(["Id": .string(result.id), "Warnings": JSON(result.warnings)], status: 201)
    }

    /// Clients pull the image when a creation answers 404, so whatever else is missing is an invalid parameter.
    private static func refusal(_ error: EngineError) -> EngineError {
        let isImage = error.message.hasPrefix("No such image") || error.message.hasPrefix("image with reference")
        return error.code == .notFound && !isImage ? EngineError(.invalidParameter, error.message) : error
    }

    static func start(_ call: Call) async throws -> Response {
        try await call.container().start()
        return Response(204)
    }

    static func stop(_ call: Call) async throws -> Response {
        try await call.container().stop(timeout: try call.seconds("t"), signal: call.text("signal"))
        return Response(204)
    }

    static func restart(_ call: Call) async throws -> Response {
        try await call.container().restart(timeout: try call.seconds("t"), signal: call.text("signal"))
        return Response(204)
    }

    static func kill(_ call: Call) async throws -> Response {
        try await call.container().kill(signal: call.text("signal"))
        return Response(204)
    }

    static func pause(_ call: Call) async throws -> Response {
        try await call.container().pause()
        return Response(204)
    }

    static func unpause(_ call: Call) async throws -> Response {
        try await call.container().unpause()
        return Response(204)
    }

    static func rename(_ call: Call) async throws -> Response {
        guard let name = call.text("name") else {
            throw EngineError(.invalidParameter, "Neither old nor new names may be empty")
        }
        try await call.engine.containers.rename(call.id, to: name)
        return Response(204)
    }

    static func update(_ call: Call) async throws -> Response {
        let changes = try await call.body(HostConfig.self)
        let warnings = try await call.container().update(changes)
        return Call.json(["Warnings": JSON(warnings)])
    }

    static func remove(_ call: Call) async throws -> Response {
        guard !call.flag("link") else {
            throw EngineError(.invalidParameter, "links are not removed from containers: remove the container")
        }
        try await call.engine.containers.remove(call.id, force: call.flag("force"), volumes: call.flag("v"))
        return Response(204)
    }

    static func prune(_ call: Call) async throws -> Response {
        let result = try await call.engine.containers.prune(filters: try call.filters())
        return Call.json([
            "ContainersDeleted": result.deleted.isEmpty ? nil : JSON(result.deleted),
            "SpaceReclaimed": JSON(result.spaceReclaimed),
        ])
    }

    /// The head goes out at once, when the waiter is in place: the client starts the container after it has seen it.
    static func wait(_ call: Call) async throws -> Response {
        let text = call.text("condition") ?? WaitCondition.notRunning.rawValue
        guard let condition = WaitCondition(rawValue: text) else {
            throw EngineError(.invalidParameter, "invalid condition: \"\(text)\"")
        }
        let results = try await call.container().waiter(condition)
        return Response(
            headers: ["Content-Type": "application/json"],
            body: .stream { writer in
                for await result in results {
                    var value: JSON = [:]
                    if let error = result.error { value.append("Error", ["Message": .string(error)]) }
                    value.append("StatusCode", JSON(result.exitCode))
                    var line = value.bytes
                    line.writeStaticString("\n")
                    return try await writer.write(line)
                }
                throw ConnectionClosed()
            })
    }

    // MARK: Processes and changes

    static func top(_ call: Call) async throws -> Response {
        let arguments = (call.text("ps_args") ?? "").split(separator: " ").map(String.init)
        let top = try await call.container().top(arguments: arguments)
        return Call.json([
            "Titles": JSON(top.titles), "Processes": .array(top.processes.map { JSON($0) }),
        ])
    }

    static func commit(_ call: Call) async throws -> Response {
        guard let name = call.text("container") else { throw EngineError(.invalidParameter, "no container was named") }
        var request = CommitRequest()
        request.repository = call.text("repo") ?? ""
        request.tag = call.text("tag") ?? ""
        request.comment = call.text("comment") ?? ""
        request.author = call.text("author") ?? ""
        request.pause = call.flag("pause", default: true)
        request.changes = call.request.query.all("changes").flatMap { $0.split(separator: "\n").map(String.init) }
        // An empty object changes nothing.
        request.config = (try await call.optionalBody(Config?.self) ?? nil).flatMap { $0 == Config() ? nil : $0 }
        let id = try await call.engine.containers.container(name).commit(request)
        return Call.json(["Id": .string("\(id)")], status: 201)
    }
}
