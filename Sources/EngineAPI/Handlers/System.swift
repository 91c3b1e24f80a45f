import Actors
import Foundation
import HTTP
import NIOCore
import OCI
import Registry

/// The engine as a whole.
enum System {
    /// The commit of the source and the time of the build are not part of the binary.
    private static let unknownBuild = "n/a"

    static func ping(_ call: Call) async throws -> Response {
        Response(
            headers: [
                "Builder-Version": "1", "Swarm": "inactive", "Cache-Control": "no-cache, no-store, must-revalidate",
                "Pragma": "no-cache", "Content-Type": "text/plain; charset=utf-8",
            ],
            body: .bytes(call.request.method == .head ? ByteBuffer() : ByteBuffer(string: "OK")))
    }

    static func version(_ call: Call) async throws -> Response {
        let host = call.engine.host
        let versions = EngineAPI.versions
        let details: JSON = [
            "ApiVersion": .string("\(versions.upperBound)"), "Arch": .string(goArchitecture(host.architecture)),
            "BuildTime": .string(unknownBuild), "Experimental": "false", "GitCommit": .string(unknownBuild),
            "GoVersion": "", "KernelVersion": .string(host.kernelVersion),
            "MinAPIVersion": .string("\(versions.lowerBound)"), "Os": "linux",
        ]
        return Call.json([
            "Platform": ["Name": "Docker in Swift"],
            "Components": [["Name": "Engine", "Version": .string(Engine.version), "Details": details]],
            "Version": .string(Engine.version), "ApiVersion": .string("\(versions.upperBound)"),
            "MinAPIVersion": .string("\(versions.lowerBound)"), "GitCommit": .string(unknownBuild), "GoVersion": "",
            "Os": "linux", "Arch": .string(goArchitecture(host.architecture)),
            "KernelVersion": .string(host.kernelVersion), "BuildTime": .string(unknownBuild),
        ])
    }

    static func info(_ call: Call) async throws -> Response {
        var options = ListOptions()
        options.all = true
        let states = try await call.engine.containers.list(options).map(\.record.state.status)
        let images = try await call.engine.images.list().count
        let running = states.count { $0 == .running || $0 == .restarting }
        let paused = states.count { $0 == .paused }
        return Call.json(
            InfoWire.value(
                call.engine,
                counts: InfoWire.Counts(
                    containers: states.count, running: running, paused: paused,
                    stopped: states.count - running - paused, images: images,
                    volumeDrivers: await call.engine.volumes.driverNames())))
    }

    static func goArchitecture(_ machine: String) -> String {
        switch machine {
        case "x86_64": "amd64"
        case "aarch64": "arm64"
        default: machine
        }
    }

    static func login(_ call: Call) async throws -> Response {
        let bytes = try await call.request.body.collect(bytesMax: 64 << 10)
        let decoded: Credentials?
        do throws(RegistryError) { decoded = try Credentials.decode(json: Array(bytes.readableBytesView)) } catch {
            throw EngineError(.invalidParameter, "invalid JSON: credentials are an object of strings")
        }
        guard let credentials = decoded else {
            throw EngineError(.invalidParameter, "no username or password was given")
        }
        let token = try await call.engine.images.checkAuth(
            serverAddress: credentials.serverAddress, credentials: credentials)
        return Call.json(["Status": "Login Succeeded", "IdentityToken": .string(token ?? "")])
    }

    // MARK: Events

    static func events(_ call: Call) async throws -> Response {
        let filter = try EventFilter(call.filters())
        let since = try call.time("since")?.nanosecondsSince1970
        let until = try call.time("until")?.nanosecondsSince1970
        if let since, let until, until < since {
            throw EngineError(
                .invalidParameter,
                "`since` time (\(call.text("since") ?? "")) cannot be after `until` time (\(call.text("until") ?? ""))")
        }
        let events = call.engine.events
        return Response(
            headers: ["Content-Type": "application/json"],
            body: .stream { writer in
                let (past, future) = await events.subscribe(since: since, until: until)
                for event in past where filter.matches(event) { try await writer.write(EventWire.line(event)) }
                try await untilTime(until) {
                    for await event in future where filter.matches(event) {
                        if let until, event.time > until { return }
                        try await writer.write(EventWire.line(event))
                    }
                }
            })
    }

    /// Runs `body` until it ends or the clock reads `time` (nanoseconds since 1970).
    private static func untilTime(_ time: Int64?, _ body: @escaping @Sendable () async throws -> Void) async throws {
        guard let time else { return try await body() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await body() }
            group.addTask {
                let (rest, isPast) = time.subtractingReportingOverflow(Timestamp.now().nanosecondsSince1970)
                // Cancelled: the other side ended first.
                try? await Task.sleep(for: .nanoseconds(isPast ? 0 : max(0, rest)))
            }
            try await group.next()
            group.cancelAll()
        }
    }

    // MARK: Disk usage

    static func diskUsage(_ call: Call) async throws -> Response {
        let wanted = Set(call.request.query.all("type"))
        func wants(_ type: String) -> Bool { wanted.isEmpty || wanted.contains(type) }
        let images = try await call.engine.images.list()
        var options = ListOptions()
        options.all = true
        let containers = wants("container") ? try await call.engine.containers.list(options) : []
        let containerSizes = await Containers.sizes(of: containers, call.engine)
        var volumes: [JSON] = []
        for volume in wants("volume") ? try await call.engine.volumes.knownVolumes() : [] {
            guard let usage = await call.engine.volumes.usage(volume.name) else { continue }
            volumes.append(Volumes.wire(VolumeView(volume), usage: usage))
        }
        let networks = await networkIDs(call.engine)
        let sizes = await call.engine.layers.sizes(of: images.map(\.record.config.rootfs.diffIDs))
        return Call.json([
            "LayersSize": .int(sizes.total),
            "Images": wants("image")
                ? .array(zip(images, sizes.shared).map { ImageWire.summary($0, shared: $1) }) : nil,
            "Containers": wants("container")
                ? .array(
                    containers.map { ContainerSummary.value($0, containerSizes[$0.record.id], networks: networks) })
                : nil,
            "Volumes": wants("volume") ? .array(volumes) : nil,
            "BuildCache": [],
        ])
    }

    static func networkIDs(_ engine: Engine) async -> [String: String] {
        await engine.networks.identifiers()
    }
}
