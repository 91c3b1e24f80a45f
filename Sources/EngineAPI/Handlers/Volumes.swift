import Actors
import HTTP

/// Named data that outlives containers.
enum Volumes {
    static func list(_ call: Call) async throws -> Response {
        let volumes = try await call.engine.volumes.list(filters: try call.filters())
        return Call.json(["Volumes": .array(volumes.map { wire($0) }), "Warnings": nil])
    }

    static func create(_ call: Call) async throws -> Response {
        let body = try await call.body(VolumeCreateBody.self)
        let volume = try await call.engine.volumes.create(
            name: body.name, driver: body.driver ?? "local", options: body.driverOpts ?? [:],
            labels: body.labels ?? [:],
            anonymous: (body.name ?? "").isEmpty)
        return Call.json(wire(volume), status: 201)
    }

    static func inspect(_ call: Call) async throws -> Response {
        Call.json(wire(try await call.engine.volumes.volume(call.id)))
    }

    static func remove(_ call: Call) async throws -> Response {
        try await call.engine.volumes.remove(call.id, force: call.flag("force"))
        return Response(204)
    }

    // MARK: Beyond Docker's

    static func update(_ call: Call) async throws -> Response {
        let body = try await call.body(VolumeLabelsBody.self)
        guard let labels = body.labels else {
            throw EngineError(.invalidParameter, "update \(call.id): can only update labels: give Labels")
        }
        return Call.json(wire(try await call.engine.volumes.update(call.id, labels: labels)))
    }

    static func clone(_ call: Call) async throws -> Response {
        let body = try await call.optionalBody(VolumeLabelsBody.self)
        let volume = try await call.engine.containers.cloneVolume(
            call.id, to: try target(call), labels: body?.labels, pause: call.flag("pause", default: true))
        return Call.json(wire(volume), status: 201)
    }

    static func rename(_ call: Call) async throws -> Response {
        try await call.engine.volumes.rename(call.id, to: try target(call))
        return Response(204)
    }

    /// The query's `name`: what the new volume is called.
    private static func target(_ call: Call) throws -> String {
        guard let name = call.text("name") else {
            throw EngineError(.invalidParameter, "bad parameter: 'name' cannot be empty")
        }
        return name
    }

    static func prune(_ call: Call) async throws -> Response {
        var filters = try call.filters()
        // Before 1.42 named volumes went too.
        if call.version < APIVersion(1, 42), filters["all"] == nil { filters["all"] = ["true"] }
        let result = try await call.engine.volumes.prune(filters: filters)
        return Call.json(["VolumesDeleted": JSON(result.deleted), "SpaceReclaimed": JSON(result.spaceReclaimed)])
    }

    static func wire(_ volume: VolumeRecord, usage: (size: Int64, references: Int)? = nil) -> JSON {
        let labels = volume.shownLabels
        var value: JSON = [
            "CreatedAt": .string(volume.created), "Driver": .string(volume.driver),
            "Labels": labels.isEmpty ? nil : JSON(labels), "Mountpoint": .string(volume.mountpoint),
            "Name": .string(volume.name), "Options": volume.options.isEmpty ? nil : JSON(volume.options),
            "Scope": "local",
        ]
        if let usage { value.append("UsageData", ["RefCount": JSON(usage.references), "Size": JSON(usage.size)]) }
        return value
    }
}
