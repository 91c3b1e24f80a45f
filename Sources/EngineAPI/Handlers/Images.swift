import Actors
import HTTP
import NIOCore
import OCI
import Registry

/// Images: what is here, and the ways in and out.
enum Images {
    static func list(_ call: Call) async throws -> Response {
        let images = try await call.engine.images.list(filters: try call.filters())
        guard call.flag("shared-size") else { return Call.json(.array(images.map { ImageWire.summary($0) })) }
        let shared = await call.engine.layers.sizes(of: images.map(\.record.config.rootfs.diffIDs)).shared
        return Call.json(.array(zip(images, shared).map { ImageWire.summary($0, shared: $1) }))
    }

    static func inspect(_ call: Call) async throws -> Response {
        let image = try await call.engine.images.image(call.id)
        // docker-compose 1 speaks any version and cannot recreate a container without them.
        let insists = call.request.headers["user-agent"]?.hasPrefix("docker-compose/1.") == true
        return Call.json(
            ImageWire.details(
                image, driver: call.engine.host.storageDriver, version: call.version,
                hasContainerConfig: insists || call.version < APIVersion(1, 45)))
    }

    static func history(_ call: Call) async throws -> Response {
        let items = try await call.engine.images.history(call.id)
        return Call.json(
            .array(
                items.map { item in
                    [
                        "Comment": .string(item.comment), "Created": .int(item.created),
                        "CreatedBy": .string(item.createdBy), "Id": .string(item.id), "Size": .int(item.size),
                        "Tags": item.tags.isEmpty ? nil : JSON(item.tags),
                    ]
                }))
    }

    static func tag(_ call: Call) async throws -> Response {
        guard let repository = call.text("repo") else {
            throw EngineError(.invalidParameter, "invalid reference format")
        }
        try await call.engine.images.tag(call.id, repository: repository, tag: call.text("tag") ?? "")
        return Response(201)
    }

    static func remove(_ call: Call) async throws -> Response {
        let removed = try await call.engine.images.remove(call.id, force: call.flag("force"))
        return Call.json(.array(removed.map(ImageWire.removed)))
    }

    static func prune(_ call: Call) async throws -> Response {
        let result = try await call.engine.images.prune(filters: try call.filters())
        return Call.json([
            "ImagesDeleted": result.removed.isEmpty ? nil : .array(result.removed.map(ImageWire.removed)),
            "SpaceReclaimed": .int(result.spaceReclaimed),
        ])
    }

    static func search(_ call: Call) async throws -> Response {
        let limit = try searchLimit(call)
        let filters = try call.filters()
        try Filter.check(filters, known: ["is-automated", "is-official", "stars"])
        // As Docker Hub: nothing is automated any more.
        let isAutomated = try Filter.truth(filters, "is-automated", default: false)
        let isOfficial = try Filter.truth(filters, "is-official", default: false)
        let stars = try (filters["stars"] ?? []).map { text in
            guard let count = Int(text) else {
                throw EngineError(.invalidParameter, "invalid filter 'stars=\(text.printable)'")
            }
            return count
        }
        let results =
            isAutomated
            ? []
            : try await call.engine.images.search(
                call.text("term") ?? "", limit: limit, withTags: call.flag("tags"), credentials: call.credentials)
        let kept = results.filter { result in
            (filters["is-official"] == nil || result.isOfficial == isOfficial)
                && result.starCount >= stars.max() ?? .min
        }
        return Call.json(.array(kept.map(found)))
    }

    private static func found(_ result: RegistryClient.SearchResult) -> JSON {
        var members: [(String, JSON)] = [
            ("star_count", .int(Int64(result.starCount))), ("is_official", .bool(result.isOfficial)),
            ("name", .string(result.name)), ("is_automated", false), ("description", .string(result.description)),
        ]
        // Asked for by our client alone.
        if let tags = result.tags { members.append(("tags", .array(tags.map { .string($0) }))) }
        return .object(members)
    }

    /// How many results a search is to have, as Docker bounds it.
    private static func searchLimit(_ call: Call) throws -> Int {
        guard let text = call.text("limit") else { return 25 }
        guard let limit = Int(text), limit >= 0 else {
            throw EngineError(.invalidParameter, "invalid limit specified: \(text.printable)")
        }
        guard limit <= 100 else {
            throw EngineError(.invalidParameter, "limit \(limit) is outside the range of [1, 100]")
        }
        return limit == 0 ? 25 : limit
    }

    static func distribution(_ call: Call) async throws -> Response {
        let reference = try Reference(call.id).tagged
        let image = try await call.engine.images.resolveRemote(reference, credentials: call.credentials)
        return Call.json([
            "Descriptor": [
                "mediaType": .string(image.mediaType), "digest": .string("\(image.digest)"), "size": .int(image.size),
            ],
            "Platforms": .array(image.platforms.map(ImageWire.platform)),
        ])
    }

    // MARK: Pull, import and push

    static func create(_ call: Call) async throws -> Response {
        let platform = try call.platform()
        if let source = call.text("fromSrc") { return try await importTar(call, source, platform) }
        guard let name = call.text("fromImage") else {
            throw EngineError(.invalidParameter, "fromImage or fromSrc is required")
        }
        let tag = call.text("tag")
        let text = tag.map { $0.contains(":") ? "\(name)@\($0)" : "\(name):\($0)" } ?? name
        var request = PullRequest(try Reference(text), platform: platform, credentials: call.credentials)
        // Docker pulls every tag when the reference has none.
        request.allTags = request.reference.tag == nil && request.reference.digest == nil
        request.trace = call.flag("trace")
        return try await Progress.response(call.engine.images.pull(request))
    }

    private static func importTar(_ call: Call, _ source: String, _ platform: Platform?) async throws -> Response {
        guard source == "-" else {
            throw EngineError(.invalidParameter, "cannot import from a URL: download it and give its content")
        }
        let (engine, repository, tag) = (call.engine, call.text("repo") ?? "", call.text("tag") ?? "")
        let (message, changes) = (call.text("message") ?? "", call.request.query.all("changes"))
        let id = try await PipeTransfer.receive(call.request.body) { reader in
            try await engine.images.importImage(
                from: reader, repository: repository, tag: tag, message: message, changes: changes, platform: platform)
        }
        return Call.json(["status": .string("\(id)")])
    }

    static func push(_ call: Call) async throws -> Response {
        var text = call.id
        if let tag = call.text("tag") { text += ":\(tag)" }
        var request = PushRequest(try Reference(text), credentials: call.credentials)
        request.allTags = request.reference.tag == nil
        return try await Progress.response(call.engine.images.push(request))
    }

    // MARK: Archives

    static func save(_ call: Call) async throws -> Response {
        let names = call.id.isEmpty ? call.request.query.all("names") : [call.id]
        guard !names.isEmpty else { throw EngineError(.invalidParameter, "no image was named") }
        let stream = try await call.engine.images.save(names)
        return Response(
            headers: ["Content-Type": "application/x-tar"], body: .stream { try await stream.send(to: $0) })
    }

    static func load(_ call: Call) async throws -> Response {
        let (images, body, isQuiet) = (call.engine.images, call.request.body, call.flag("quiet", default: true))
        return Response(
            headers: ["Content-Type": "application/json"],
            body: .stream { writer in
                try await Progress.reporting(writer) {
                    try await PipeTransfer.receive(body) { reader in
                        try await Progress.send(images.load(from: reader), to: writer) { !isQuiet || $0.isStream }
                    }
                }
            })
    }
}
