import HTTP

/// Every operation of the API. The router and the tests read this table.
enum Endpoints {
    /// A handler that ends what it began though its client leaves: Ctrl-C on a `docker stop` does not stop half.
    private static func lasting(_ handler: @escaping Handler) -> Handler {
        { call in try await Task { try await handler(call) }.value }
    }

    static let all: [Endpoint] = system + containers + execs + images + volumes + networks + swarm + plugins

    static let system: [Endpoint] = [
        .init(.get, "/_ping", System.ping),
        .init(.head, "/_ping", System.ping),
        .init(.get, "/version", System.version),
        .init(.get, "/info", System.info),
        .init(.get, "/events", System.events),
        .init(.get, "/system/df", System.diskUsage),
        .init(.post, "/auth", System.login),
    ]

    static let containers: [Endpoint] = [
        .init(.get, "/containers/json", Containers.list),
        .init(.post, "/containers/create", lasting(Containers.create)),
        .init(.post, "/containers/prune", lasting(Containers.prune)),
        .init(.get, "/containers/{id}/json", Containers.inspect),
        .init(.delete, "/containers/{id}", lasting(Containers.remove)),
        .init(.post, "/containers/{id}/start", lasting(Containers.start)),
        .init(.post, "/containers/{id}/stop", lasting(Containers.stop)),
        .init(.post, "/containers/{id}/restart", lasting(Containers.restart)),
        .init(.post, "/containers/{id}/kill", lasting(Containers.kill)),
        .init(.post, "/containers/{id}/pause", lasting(Containers.pause)),
        .init(.post, "/containers/{id}/unpause", lasting(Containers.unpause)),
        .init(.post, "/containers/{id}/rename", lasting(Containers.rename)),
        .init(.post, "/containers/{id}/update", lasting(Containers.update)),
        .init(.post, "/containers/{id}/wait", Containers.wait),
        .init(.post, "/containers/{id}/resize", Containers.resize),
        .init(.post, "/containers/{id}/attach", Containers.attach),
        .init(.get, "/containers/{id}/logs", Containers.logs),
        .init(.get, "/containers/{id}/top", Containers.top),
        .init(.get, "/containers/{id}/stats", Containers.stats),
        .init(.get, "/containers/{id}/changes", Containers.changes),
        .init(.get, "/containers/{id}/export", Containers.export),
        .init(.head, "/containers/{id}/archive", Containers.statPath),
        .init(.get, "/containers/{id}/archive", Containers.getArchive),
        .init(.put, "/containers/{id}/archive", Containers.putArchive),
        .init(.post, "/commit", lasting(Containers.commit)),
    ]

    static let execs: [Endpoint] = [
        .init(.post, "/containers/{id}/exec", lasting(Execs.create)),
        .init(.post, "/exec/{id}/start", Execs.start),
        .init(.post, "/exec/{id}/resize", Execs.resize),
        .init(.get, "/exec/{id}/json", Execs.inspect),
    ]

    static let images: [Endpoint] = [
        .init(.get, "/images/json", Images.list),
        .init(.post, "/images/create", Images.create),
        .init(.post, "/images/load", Images.load),
        .init(.post, "/images/prune", lasting(Images.prune)),
        .init(.get, "/images/search", Images.search),
        .init(.get, "/images/get", Images.save),
        .init(.get, "/images/{name:.*}/get", Images.save),
        .init(.get, "/images/{name:.*}/json", Images.inspect),
        .init(.get, "/images/{name:.*}/history", Images.history),
        .init(.post, "/images/{name:.*}/tag", lasting(Images.tag)),
        .init(.post, "/images/{name:.*}/push", Images.push),
        .init(.delete, "/images/{name:.*}", lasting(Images.remove)),
        .init(.get, "/distribution/{name:.*}/json", Images.distribution, since: APIVersion(1, 30)),
        // Beyond Docker's: see ARCHITECTURE.md.
        .init(.get, "/content", Content.list),
        .init(.get, "/content/{name:.*}/manifests/{reference}", Content.manifest),
        .init(.get, "/content/{name:.*}/blobs/{digest}", Content.blob),
    ]

    static let volumes: [Endpoint] = [
        .init(.get, "/volumes", Volumes.list),
        .init(.post, "/volumes/create", lasting(Volumes.create)),
        .init(.post, "/volumes/prune", lasting(Volumes.prune)),
        .init(.get, "/volumes/{name}", Volumes.inspect),
        .init(.delete, "/volumes/{name}", lasting(Volumes.remove)),
        // Beyond Docker's: see ARCHITECTURE.md.
        .init(.post, "/volumes/import", Volumes.importArchive),
        .init(.post, "/volumes/restore", Volumes.restore),
        .init(.put, "/volumes/{name}", lasting(Volumes.update)),
        .init(.post, "/volumes/{name}/clone", Volumes.clone),
        .init(.post, "/volumes/{name}/snapshot", Volumes.snapshot),
        .init(.post, "/volumes/{name}/rename", lasting(Volumes.rename)),
        .init(.head, "/volumes/{name}/archive", Volumes.statPath),
        .init(.get, "/volumes/{name}/archive", Volumes.getArchive),
        .init(.put, "/volumes/{name}/archive", Volumes.putArchive),
        .init(.get, "/volumes/{name}/export", Volumes.export),
        .init(.post, "/volumes/{name}/backup", Volumes.backUp),
    ]

    static let networks: [Endpoint] = [
        .init(.get, "/networks", Networks.list),
        .init(.post, "/networks/create", lasting(Networks.create)),
        .init(.post, "/networks/prune", lasting(Networks.prune)),
        .init(.get, "/networks/{id}", Networks.inspect),
        .init(.delete, "/networks/{id}", lasting(Networks.remove)),
        .init(.post, "/networks/{id}/connect", lasting(Networks.connect)),
        .init(.post, "/networks/{id}/disconnect", lasting(Networks.disconnect)),
    ]

    /// Groups that belong to a swarm: clients see what a Docker outside of one answers.
    static let swarm: [Endpoint] =
        [
            .init(.post, "/swarm/init", Swarm.enter),
            .init(.post, "/swarm/join", Swarm.enter),
            .init(.post, "/swarm/leave", Swarm.leave),
        ] + ofManagers

    private static let ofManagers: [Endpoint] = ["swarm", "nodes", "services", "tasks", "secrets", "configs"].flatMap {
        group in
        [Method.get, .post, .delete].flatMap { method in
            [
                Endpoint(method, "/\(group)", Swarm.notManager),
                Endpoint(method, "/\(group)/{path:.*}", Swarm.notManager),
            ]
        }
    }

    static let plugins: [Endpoint] = [
        .init(.get, "/plugins", Plugins.list),
        .init(.get, "/plugins/privileges", Plugins.install),
        .init(.post, "/plugins/pull", Plugins.install),
        .init(.post, "/plugins/create", Plugins.install),
        .init(.get, "/plugins/{name:.*}/json", Plugins.notFound),
        .init(.post, "/plugins/{name:.*}/{action}", Plugins.notFound),
        .init(.delete, "/plugins/{name:.*}", Plugins.notFound),
    ]
}
