import Glibc
import Kernel
import Volumes

/// Turns what users ask to be mounted into mount points, and makes the volumes that are named for the first time.
struct MountRequests: Sendable {
    private let world: ContainerStore.Surroundings

    init(_ world: ContainerStore.Surroundings) { self.world = world }

    /// `-v`: `/path`, `name:/path[:options]` or `/host:/path[:options]`.
    func bind(_ text: String) async throws -> ContainerRecord.MountPoint {
        try await point(try Self.checked { () throws(VolumeError) in try MountSpec(volumeFlag: text) })
    }

    /// `--mount`; the options of a tmpfs are read off the record at the start.
    func mount(_ mount: Mount) async throws -> ContainerRecord.MountPoint {
        let spec = try Self.checked { () throws(VolumeError) in try MountSpec(try Self.request(mount)) }
        var point = try await point(
            spec, options: mount.volumeOptions?.driverConfig?.options ?? [:], labels: mount.volumeOptions?.labels ?? [:]
        )
        if mount.type == "volume" { point.mode = "z" }
        return point
    }

    /// A volume for a path that nobody named.
    func anonymous(_ destination: String) async throws -> ContainerRecord.MountPoint { try await bind(destination) }

    /// Volume errors as the engine's.
    static func checked<Value>(_ body: () throws(VolumeError) -> Value) throws -> Value {
        do throws(VolumeError) { return try body() } catch { throw engineError(error) }
    }

    static func engineError(_ error: VolumeError) -> EngineError {
        switch error.code {
        case .invalid: EngineError(.invalidParameter, error.message)
        case .notFound: EngineError(.notFound, error.message)
        case .conflict: EngineError(.conflict, error.message)
        case .system: EngineError(.system, error.message)
        }
    }

    private static func request(_ mount: Mount) throws(VolumeError) -> MountRequest {
        var request = try MountRequest(type: mount.type ?? "", target: mount.target ?? "")
        request.source = mount.source ?? ""
        request.readOnly = mount.readOnly ?? false
        request.bindPropagation = mount.bindOptions?.propagation.flatMap { $0.isEmpty ? nil : $0 }
        request.createMountpoint = mount.bindOptions?.createMountpoint ?? false
        request.hasVolumeOptions = mount.volumeOptions != nil
        request.hasTmpfsOptions = mount.tmpfsOptions != nil
        request.noCopy = mount.volumeOptions?.noCopy ?? false
        request.subpath = mount.volumeOptions?.subpath ?? ""
        request.driver = mount.volumeOptions?.driverConfig?.name.flatMap { $0.isEmpty ? nil : $0 }
        request.tmpfsSizeBytes = mount.tmpfsOptions?.sizeBytes
        request.tmpfsMode = mount.tmpfsOptions?.mode.flatMap { UInt32(exactly: $0) }
        return request
    }

    private func point(
        _ spec: MountSpec, options: [String: String] = [:], labels: [String: String] = [:]
    ) async throws -> ContainerRecord.MountPoint {
        switch spec.source {
        case .bind(let path):
            if !Files.exists(path) {
                guard spec.createsSource else {
                    throw EngineError(
                        .invalidParameter,
                        "invalid mount config for type \"bind\": bind source path does not exist: \(path)")
                }
                try Files.makeDirectories(path, mode: 0o755)
            }
            return ContainerRecord.MountPoint(
                type: "bind", source: path, destination: spec.target, mode: spec.mode, rw: !spec.readOnly,
                propagation: spec.propagation?.rawValue ?? "rprivate")
        case .tmpfs:
            return ContainerRecord.MountPoint(type: "tmpfs", source: "", destination: spec.target, rw: !spec.readOnly)
        case .anonymousVolume:
            return try await volume(nil, spec, options, labels)
        case .volume(let name):
            return try await volume(name.text, spec, options, labels)
        }
    }

    private func volume(
        _ name: String?, _ spec: MountSpec, _ options: [String: String], _ labels: [String: String]
    ) async throws -> ContainerRecord.MountPoint {
        let record = try await world.volumes.create(
            name: name, driver: spec.driver ?? "local", options: options, labels: labels, anonymous: name == nil)
        return ContainerRecord.MountPoint(
            type: "volume", name: record.name, source: record.mountpoint, destination: spec.target, driver: "local",
            mode: spec.mode.isEmpty ? "z" : spec.mode, rw: !spec.readOnly, anonymous: record.anonymous,
            copyUp: spec.copiesImageContent, subpath: spec.subpath)
    }
}
