import Glibc
import Kernel
import LayerFS
import OCI
import Volumes

/// Makes the record of a new container, and what must exist before its first start: volumes, directory, copy-up.
struct ContainerFactory: Sendable {
    private let world: ContainerStore.Surroundings

    init(_ world: ContainerStore.Surroundings) { self.world = world }

    func make(
        _ request: CreateRequest, image: ImageSnapshot, id: String, name: String
    ) async throws -> (record: ContainerRecord, warnings: [String]) {
        var config = try ConfigMerge.merge(request.config, image.record.config.config, id: id)
        var request = request
        if config.networkDisabled == true, ["", "default", "bridge"].contains(request.hostConfig.networkMode ?? "") {
            request.hostConfig.networkMode = "none"
        }
        let warnings = try await check(request, config)
        let networks = try await RequestedNetworks(world.networks)
            .settings(request, mode: request.hostConfig.networkMode ?? "")
        if request.hostConfig.networkMode == "host", (request.config.hostname ?? "").isEmpty {
            config.hostname = HostName.own
        }
        let diffIDs = image.record.config.rootfs.diffIDs
        await world.images.use(image.record.id, chain: diffIDs, container: id)
        let paths = ContainerPaths(world.configuration, id: id)
        try paths.make()
        let command = (config.entrypoint ?? []) + (config.cmd ?? [])
        var record = ContainerRecord(
            id: id, name: name, created: Timestamp.now().text, imageID: image.record.id,
            imageName: request.config.image ?? "", diffIDs: diffIDs, config: config, hostConfig: request.hostConfig,
            path: command[0], args: Array(command.dropFirst()), mounts: [], networks: [:], ports: [:], restartCount: 0,
            state: ContainerRecord.State(status: .created), stoppedByUser: false)
        record.hostConfig.normalize()
        record.networks = networks
        record.mounts = try await mounts(of: record)
        try await copyUp(record)
        return (record, warnings)
    }

    /// Nothing is made before all of this holds.
    private func check(_ request: CreateRequest, _ config: Config) async throws -> [String] {
        try ConfigCheck.check(request.config)
        let warnings = try HostConfigCheck.check(request.hostConfig, config)
        try NetworkCheck.conflicts(request)
        try await ConfinementCheck.check(request.hostConfig, world.launcher)
        return warnings + LaunchSpec.unheldLimits(request.hostConfig, world)
    }

    // MARK: Mounts

    /// Every mount of the container, one a destination: what was asked for by path wins over what the image declares.
    private func mounts(of record: ContainerRecord) async throws -> [ContainerRecord.MountPoint] {
        var points: [String: ContainerRecord.MountPoint] = [:]
        for source in record.hostConfig.volumesFrom ?? [] {
            for point in try await inherited(source) { points[point.destination] = point }
        }
        var asked: Set<String> = []
        func add(_ point: ContainerRecord.MountPoint) throws {
            guard asked.insert(point.destination).inserted else {
                throw EngineError(.invalidParameter, "Duplicate mount point: \(point.destination)")
            }
            points[point.destination] = point
        }
        for bind in record.hostConfig.binds ?? [] { try add(try await MountRequests(world).bind(bind)) }
        for mount in record.hostConfig.mounts ?? [] { try add(try await MountRequests(world).mount(mount)) }
        for destination in (record.config.volumes ?? [:]).keys.sorted() {
            guard points[destination] == nil, record.hostConfig.tmpfs?[destination] == nil else { continue }
            let point = try await MountRequests(world).anonymous(destination)
            points[point.destination] = point
        }
        for name in points.values.filter({ $0.type == "volume" }).compactMap(\.name) {
            try await world.volumes.refer(name, container: record.id)
        }
        return points.values.sorted { $0.destination < $1.destination }
    }

    /// The mounts of another container: `NAME[:ro|rw]`.
    private func inherited(_ source: String) async throws -> [ContainerRecord.MountPoint] {
        let parts = source.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let mode = parts.count == 2 ? parts[1] : ""
        guard ["", "ro", "rw", "z", "Z"].contains(mode) else {
            throw EngineError(.invalidParameter, "invalid mode for volumes-from: \"\(mode)\"")
        }
        let record = await (try await world.resolve(parts[0])).snapshot().record
        return record.mounts.map { point in
            var point = point
            if mode == "ro" { point.rw = false }
            point.copyUp = false
            return point
        }
    }

    // MARK: Copy-up

    /// Copies the image's content at a mount point into a new, empty volume: all of it or nothing.
    private func copyUp(_ record: ContainerRecord) async throws {
        let wanting = record.mounts.filter { $0.type == "volume" && $0.copyUp }
        guard !wanting.isEmpty else { return }
        let lower = try await world.layers.acquire(record.diffIDs)
        do {
            for point in wanting { try await world.volumes.fill(point, from: lower) }
        } catch {
            await world.layers.release(record.diffIDs)
            throw error
        }
        await world.layers.release(record.diffIDs)
    }
}

extension HostConfig {
    /// Fills in what Docker shows for members that were left out.
    mutating func normalize() {
        if (networkMode ?? "").isEmpty { networkMode = "default" }
        if (logConfig?.type ?? "").isEmpty {
            var config = LogConfig()
            config.type = "json-file"
            config.config = logConfig?.config ?? [:]
            logConfig = config
        }
        if (restartPolicy?.name ?? "").isEmpty {
            var policy = RestartPolicy()
            policy.name = "no"
            policy.maximumRetryCount = 0
            restartPolicy = policy
        }
        if shmSize ?? 0 == 0 { shmSize = Self.shmBytesDefault }
        if (ipcMode ?? "").isEmpty { ipcMode = "private" }
        if (cgroupnsMode ?? "").isEmpty { cgroupnsMode = "private" }
        if (runtime ?? "").isEmpty { runtime = "runc" }
    }

    /// Size of `/dev/shm`, as in Docker: 64 MiB.
    static let shmBytesDefault: Int64 = 64 << 20
}
