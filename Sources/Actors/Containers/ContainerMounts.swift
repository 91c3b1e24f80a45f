import Kernel
import Volumes

/// Every mount of a new container, one a destination, with Docker's precedence.
struct ContainerMounts: Sendable {
    private let world: ContainerStore.Surroundings

    init(_ world: ContainerStore.Surroundings) { self.world = world }

    /// The mounts, sorted by destination. Everything asked for is checked before a volume or a directory is made.
    ///
    /// What `-v` and `--mount` ask for wins over what `--volumes-from` brings, the last source over the first, and both over
    /// what the image declares.
    func points(of record: ContainerRecord) async throws -> [ContainerRecord.MountPoint] {
        let host = record.hostConfig
        let inMemory = Set((host.tmpfs ?? [:]).keys.map(MountRequests.cleaned))
        var points: [String: ContainerRecord.MountPoint] = [:]
        for source in host.volumesFrom ?? [] {
            for point in try await inherited(source) where !inMemory.contains(point.destination) {
                points[point.destination] = point
            }
        }
        var asked: [MountRequests.Asked] = []
        let requests = MountRequests(world, driver: host.volumeDriver)
        for bind in host.binds ?? [] { asked.append(try requests.flag(bind)) }
        for mount in host.mounts ?? [] { asked.append(try requests.mount(mount)) }
        var taken = inMemory
        for item in asked where !taken.insert(item.spec.target).inserted {
            throw EngineError(.invalidParameter, "Duplicate mount point: \(item.spec.target)")
        }
        taken.formUnion(points.keys)
        for path in (record.config.volumes ?? [:]).keys.sorted() {
            let item = try requests.declared(path)
            if taken.insert(item.spec.target).inserted { asked.append(item) }
        }
        for item in asked { points[item.spec.target] = try await requests.point(item, container: record.id) }
        for point in points.values where point.type == "volume" {
            if let name = point.name { try await world.volumes.refer(name, container: record.id) }
        }
        return points.values.sorted { $0.destination < $1.destination }
    }

    /// The mounts of another container: `NAME[:MODE]`, where MODE knows access and labels only.
    private func inherited(_ source: String) async throws -> [ContainerRecord.MountPoint] {
        let (reference, readOnly) = try MountRequests.checked { () throws(VolumeError) in
            try MountSpec.volumesFrom(source)
        }
        let record: ContainerRecord
        do { record = await (try await world.resolve(reference)).snapshot().record } catch let error as EngineError {
            // "Not found" would have the client pull the image.
            throw EngineError(.invalidParameter, error.message)
        }
        return record.mounts.map { point in
            var point = point
            if readOnly { point.rw = false }
            point.copyUp = false
            return point
        }
    }
}
