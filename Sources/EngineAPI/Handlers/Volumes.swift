import Actors
import HTTP
import Kernel
import LayerFS
import OCI
import VolumeDrivers

/// Named data that outlives containers.
enum Volumes {
    static func list(_ call: Call) async throws -> Response {
        let (volumes, warnings) = try await call.engine.volumes.list(filters: try call.filters())
        return Call.json([
            "Volumes": .array(volumes.map { wire($0) }), "Warnings": warnings.isEmpty ? nil : JSON(warnings),
        ])
    }

    static func create(_ call: Call) async throws -> Response {
        let body = try await call.body(VolumeCreateBody.self)
        let volume = try await call.engine.volumes.create(
            name: body.name, driver: body.driver ?? "", options: body.driverOpts ?? [:],
            labels: body.labels ?? [:],
            anonymous: (body.name ?? "").isEmpty)
        return Call.json(wire(try await call.engine.volumes.look(volume.name)), status: 201)
    }

    static func inspect(_ call: Call) async throws -> Response {
        let volume = try await call.engine.volumes.look(call.id)
        return Call.json(wire(volume, usage: call.flag("size") ? await call.engine.volumes.usage(call.id) : nil))
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
        return Call.json(wire(VolumeView(try await call.engine.volumes.update(call.id, labels: labels))))
    }

    static func clone(_ call: Call) async throws -> Response {
        let body = try await call.optionalBody(VolumeLabelsBody.self)
        let copy = VolumeRegistry.Copy(try target(call), labels: body?.labels)
        return try await copied(call) { containers, pause, isMeasured, move in
            try await containers.cloneVolume(call.id, to: copy, pause: pause, isMeasured: isMeasured, move)
        }
    }

    static func snapshot(_ call: Call) async throws -> Response {
        let name = call.text("name")
        return try await copied(call) { containers, pause, isMeasured, move in
            try await containers.snapshotVolume(call.id, name: name, pause: pause, isMeasured: isMeasured, move)
        }
    }

    /// Answers with the new volume or, where progress is wanted, with lines that tell it and end with the volume's name.
    private static func copied(
        _ call: Call,
        _ copy:
            @escaping @Sendable (ContainerStore, _ pause: Bool, _ isMeasured: Bool, BulkMove) async throws ->
            VolumeRecord
    ) async throws -> Response {
        let (containers, pause) = (call.engine.containers, call.flag("pause", default: true))
        guard call.flag("progress") else {
            return Call.json(wire(VolumeView(try await copy(containers, pause, false, BulkMove()))), status: 201)
        }
        return try await Progress.response(
            BulkMove.events("Cloning", call.id) { move, _ in
                let volume = try await copy(containers, pause, true, move)
                var name = TransferEvent(volume.name + "\n")
                name.isStream = true
                return [TransferEvent("Clone complete", id: call.id, current: move.done, total: move.done), name]
            })
    }

    static func rename(_ call: Call) async throws -> Response {
        try await call.engine.volumes.rename(call.id, to: try target(call))
        return Response(204)
    }

    /// Sends a volume's archive, or writes it to the file or pipe that the client names and tells how far that is.
    static func export(_ call: Call) async throws -> Response {
        let registry = call.engine.volumes
        var export = VolumeExport(call.id, isMeasured: call.flag("progress"))
        if let text = call.text("compress") {
            guard let compression = Compression(rawValue: text), [.identity, .gzip, .zstd].contains(compression) else {
                throw EngineError(.invalidParameter, "invalid compression \"\(text)\": want gzip or zstd")
            }
            export.compression = compression
        }
        export.offset = UInt64(max(0, try call.int("offset") ?? 0))
        export.began = try call.time("began").map { time in
            let (seconds, rest) = time.nanosecondsSince1970.quotientAndRemainder(dividingBy: 1_000_000_000)
            return NodeStatus.Moment(seconds: seconds, nanoseconds: UInt32(max(0, rest)))
        }
        let began = try await registry.beginExport(export)
        let fraction = String(began.nanoseconds + 1_000_000_000).dropFirst()
        let wanted = export
        var response: Response
        if let (file, _) = try await clientFile(call) {
            response = try await Progress.response(
                BulkMove.events("Exporting", call.id) { move, _ in
                    try await registry.export(wanted, to: file, move)
                    return [TransferEvent("Export complete", id: wanted.name, current: move.done, total: move.done)]
                })
        } else {
            let stream = try registry.exportStream(wanted)
            response = Response(
                headers: ["Content-Type": "application/x-tar"], body: .stream { try await stream.send(to: $0) })
        }
        response.headers.add("Docker-Volume-Began", "\(began.seconds).\(fraction)")
        return response
    }

    /// Fills a volume from the request's body, or from the file that the client names.
    static func importArchive(_ call: Call) async throws -> Response {
        let (registry, name) = (call.engine.volumes, try target(call))
        @Sendable func events(_ source: DescriptorBox, _ size: Int64?) -> Progress.Events {
            BulkMove.events("Importing", name) { move, _ in
                let volume = try await registry.importArchive(name, from: source, size: size, move)
                return [TransferEvent("Import complete", id: volume.name, current: move.done, total: move.done)]
            }
        }
        if let (file, status) = try await clientFile(call), status.kind == .file {
            return try await Progress.response(events(file, status.size))
        }
        let volume = try await PipeTransfer.receive(call.request.body) { reader in
            try await registry.importArchive(name, from: DescriptorBox(reader), BulkMove())
        }
        return Call.json(wire(VolumeView(volume)), status: 201)
    }

    /// Sends a volume to a registry.
    static func backUp(_ call: Call) async throws -> Response {
        let reference = try reference(call)
        guard reference.digest == nil else {
            throw EngineError(.invalidParameter, "backup \(call.id): cannot store under a digest: give NAME[:TAG]")
        }
        _ = try await call.engine.volumes.volume(call.id)
        return try await Progress.response(
            call.engine.backUp(BackupRequest(call.id, reference, credentials: call.credentials)))
    }

    /// Makes or fills a volume from a registry.
    static func restore(_ call: Call) async throws -> Response {
        let request = BackupRequest(try target(call), try reference(call), credentials: call.credentials)
        return try await Progress.response(call.engine.restore(request))
    }

    /// The query's `reference`: where a backup is.
    private static func reference(_ call: Call) throws -> Reference {
        guard let text = call.text("reference") else {
            throw EngineError(.invalidParameter, "bad parameter: 'reference' cannot be empty")
        }
        return try Reference(text).tagged
    }

    /// The client's own file that the query's `fd`, `pid` and `file` (device and inode) name.
    ///
    /// - Returns: nil when there is none, and when who connected is not the process that sent the request: something between
    ///   them has files of its own.
    private static func clientFile(_ call: Call) async throws -> (file: DescriptorBox, status: NodeStatus)? {
        guard let number = try call.int("fd").flatMap({ CInt(exactly: $0) }), let process = try call.int("pid"),
            let parts = call.text("file")?.split(separator: ":").map({ UInt64($0) }), parts.count == 2,
            let device = parts[0], let inode = parts[1], let peer = await call.request.peerProcess(),
            Int(peer.id) == process
        else { return nil }
        let identity = NodeStatus.Identity(device: device, inode: inode)
        guard let node = PeerFile(number: number, identity: identity).open(in: peer.id) else { return nil }
        let status = node.status
        return (DescriptorBox(node.take()), status)
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

    static func wire(_ view: VolumeView, usage: (size: Int64, references: Int)? = nil) -> JSON {
        let volume = view.record
        let labels = volume.shownLabels
        var value: JSON = [
            "CreatedAt": .string(volume.created), "Driver": .string(volume.driver),
            "Labels": labels.isEmpty ? nil : JSON(labels), "Mountpoint": .string(volume.mountpoint),
            "Name": .string(volume.name), "Options": volume.options.isEmpty ? nil : JSON(volume.options),
            "Scope": .string(view.scope),
        ]
        if let status = view.status { value.append("Status", JSON(status)) }
        if let usage { value.append("UsageData", ["RefCount": JSON(usage.references), "Size": JSON(usage.size)]) }
        return value
    }
}

extension JSON {
    /// What a volume's driver says about it, with sorted names.
    init(_ status: [String: JSONValue]) {
        self = .object(status.sorted { $0.key < $1.key }.map { ($0.key, JSON($0.value)) })
    }

    private init(_ value: JSONValue) {
        self =
            switch value {
            case .null: .null
            case .bool(let value): .bool(value)
            case .integer(let value): .int(value)
            case .number(let value): .double(value)
            case .string(let value): .string(value)
            case .array(let values): .array(values.map { JSON($0) })
            case .object(let members): JSON(members)
            }
    }
}
