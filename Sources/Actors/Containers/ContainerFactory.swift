import Glibc
import Isolation
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
        request.hostConfig.logConfig = (request.hostConfig.logConfig ?? LogConfig())
            .over(world.configuration.logDefaults)
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
        record.hostConfig.normalize(hasPrivateCgroups: world.launcher.hierarchies.isUnified)
        record.networks = networks
        record.mounts = try await ContainerMounts(world).points(of: record)
        if request.hasShallowReadOnly {
            for index in record.mounts.indices where record.mounts[index].type == "bind" && !record.mounts[index].rw {
                record.mounts[index].readOnlyNonRecursive = true
            }
        }
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

    // MARK: Copy-up

    /// Copies the image's content at a mount point into a new, empty volume: all of it or nothing.
    private func copyUp(_ record: ContainerRecord) async throws {
        let wanting = record.mounts.filter { $0.type == "volume" && $0.copyUp && $0.subpath == nil }
        guard !wanting.isEmpty else { return }
        let lower = try await world.layers.acquire(record.diffIDs)
        do {
            for point in try await world.volumes.mount(wanting, for: record.id) {
                try await world.volumes.fill(point, from: lower)
            }
        } catch {
            await world.volumes.unmount(wanting, for: record.id)
            await world.layers.release(record.diffIDs)
            throw error
        }
        await world.volumes.unmount(wanting, for: record.id)
        await world.layers.release(record.diffIDs)
    }
}

extension HostConfig {
    /// Fills in what Docker shows for members that were left out.
    ///
    /// - Parameter hasPrivateCgroups: containers have a cgroup namespace of their own unless asked otherwise.
    mutating func normalize(hasPrivateCgroups: Bool) {
        if (networkMode ?? "").isEmpty { networkMode = "default" }
        if (restartPolicy?.name ?? "").isEmpty {
            var policy = RestartPolicy()
            policy.name = "no"
            policy.maximumRetryCount = 0
            restartPolicy = policy
        }
        if shmSize ?? 0 == 0 { shmSize = Self.shmBytesDefault }
        if (ipcMode ?? "").isEmpty { ipcMode = "private" }
        if (cgroupnsMode ?? "").isEmpty { cgroupnsMode = hasPrivateCgroups ? "private" : "host" }
        if let memory, memory > 0, memorySwap ?? 0 == 0 { memorySwap = memory > .max / 2 ? .max : memory * 2 }
        if (runtime ?? "").isEmpty { runtime = "runc" }
    }

    /// Size of `/dev/shm`, as in Docker: 64 MiB.
    static let shmBytesDefault: Int64 = 64 << 20
}
