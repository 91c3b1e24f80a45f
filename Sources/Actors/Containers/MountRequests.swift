import Glibc
import Kernel
import OCI
import Volumes

/// Turns what users ask to be mounted into mount points, and makes the volumes that are named for the first time.
struct MountRequests: Sendable {
    private let world: ContainerStore.Surroundings
    /// Of volumes that name none (`--volume-driver`).
    private let driver: String?

    init(_ world: ContainerStore.Surroundings, driver: String?) {
        self.world = world
        self.driver = driver.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// One mount that was asked for, checked; nothing of it exists yet.
    struct Asked: Sendable {
        var spec: MountSpec
        var type: String
        var options: [String: String] = [:]
        var labels: [String: String] = [:]
        /// What `docker inspect` shows as its mode.
        var mode: String
    }

    /// `-v`: `name:/path[:options]`, `/host:/path[:options]` or `/path`.
    func flag(_ text: String) throws -> Asked {
        let spec = try Self.checked { () throws(VolumeError) in try MountSpec(volumeFlag: text, driver: driver) }
        let isBind = if case .bind = spec.source { true } else { false }
        let mode = spec.mode.isEmpty && !isBind ? Self.volumeMode : spec.mode
        return Asked(spec: spec, type: isBind ? "bind" : "volume", mode: mode)
    }

    /// `--mount`; the options of a tmpfs are read off the record at the start.
    func mount(_ mount: Mount) throws -> Asked {
        let spec = try Self.checked { () throws(VolumeError) in try MountSpec(try Self.request(mount)) }
        if case .bind(let path) = spec.source, !spec.createsSource, !Files.exists(path) { throw Self.noSource(path) }
        return Asked(
            spec: spec, type: mount.type ?? "", options: mount.volumeOptions?.driverConfig?.options ?? [:],
            labels: mount.volumeOptions?.labels ?? [:], mode: mount.type == "volume" ? Self.volumeMode : "")
    }

    /// A volume for a path that the image or `-v /path` declares.
    func declared(_ path: String) throws -> Asked {
        var spec = try Self.checked { () throws(VolumeError) in try MountSpec(anonymousAt: path) }
        spec.driver = driver
        return Asked(spec: spec, type: "volume", mode: "")
    }

    /// What Docker shows for a volume of the local driver that was asked for without a mode.
    private static let volumeMode = "z"

    static func cleaned(_ path: String) -> String { MountSpec.cleaned(path) }

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

    static func noSource(_ path: String) -> EngineError {
        EngineError(
            .invalidParameter, "invalid mount config for type \"bind\": bind source path does not exist: \(path)")
    }

    private static func request(_ mount: Mount) throws(VolumeError) -> MountRequest {
        var request = try MountRequest(type: mount.type ?? "", target: mount.target ?? "")
        request.source = mount.source ?? ""
        request.readOnly = mount.readOnly ?? false
        request.hasBindOptions = mount.bindOptions != nil
        request.bindPropagation = mount.bindOptions?.propagation.flatMap { $0.isEmpty ? nil : $0 }
        request.createMountpoint = mount.bindOptions?.createMountpoint ?? false
        request.nonRecursive = mount.bindOptions?.nonRecursive ?? false
        request.readOnlyNonRecursive = mount.bindOptions?.readOnlyNonRecursive ?? false
        request.readOnlyForceRecursive = mount.bindOptions?.readOnlyForceRecursive ?? false
        request.hasVolumeOptions = mount.volumeOptions != nil
        request.hasTmpfsOptions = mount.tmpfsOptions != nil
        request.hasImageOptions = mount.imageOptions != nil
        request.noCopy = mount.volumeOptions?.noCopy ?? false
        request.subpath = mount.volumeOptions?.subpath ?? mount.imageOptions?.subpath ?? ""
        request.driver = mount.volumeOptions?.driverConfig?.name.flatMap { $0.isEmpty ? nil : $0 }
        request.tmpfsSizeBytes = mount.tmpfsOptions?.sizeBytes
        request.tmpfsMode = mount.tmpfsOptions?.mode.flatMap { UInt32(exactly: $0) }
        request.tmpfsOptions = mount.tmpfsOptions?.options ?? []
        return request
    }

    // MARK: Mount points

    /// Makes what a mount needs: a volume, or the directory of a bind.
    func point(_ asked: Asked, container: String) async throws -> ContainerRecord.MountPoint {
        let spec = asked.spec
        switch spec.source {
        case .bind(let path): return try bind(path, asked)
        case .tmpfs:
            return ContainerRecord.MountPoint(type: "tmpfs", source: "", destination: spec.target, rw: !spec.readOnly)
        case .image(let reference): return try await image(reference, spec, container)
        case .anonymousVolume: return try await volume(nil, asked, container)
        case .volume(let name): return try await volume(name.text, asked, container)
        }
    }

    private func bind(_ path: String, _ asked: Asked) throws -> ContainerRecord.MountPoint {
        let spec = asked.spec
        if !Files.exists(path) {
            guard spec.createsSource else { throw Self.noSource(path) }
            do throws(SystemError) { try Files.makeDirectories(path, mode: 0o755) } catch {
                throw EngineError(.system, "error while creating mount source path '\(path)': \(error)")
            }
        }
        var point = ContainerRecord.MountPoint(
            type: "bind", source: path, destination: spec.target, mode: asked.mode, rw: !spec.readOnly,
            propagation: try propagation(of: path, asked: spec.propagation))
        if spec.createsSource { point.createsSource = true }
        if !spec.recursive { point.nonRecursive = true }
        if !spec.recursiveReadOnly { point.readOnlyNonRecursive = true }
        return point
    }

    /// A bind that shows the engine's own directory must follow the host's mounts: it would otherwise keep every mount of a
    /// container below it busy.
    private func propagation(of path: String, asked: MountSpec.Propagation?) throws -> String {
        let root = world.configuration.dataRoot
        func isInside(_ path: String, _ directory: String) -> Bool {
            path == directory || path.hasPrefix(directory == "/" ? directory : directory + "/")
        }
        guard isInside(root, path) || isInside(path, root) else { return asked?.rawValue ?? "rprivate" }
        guard let asked else { return "rslave" }
        guard [.rslave, .rshared].contains(asked) else {
            throw EngineError(
                .invalidParameter,
                "invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount source is within "
                    + "the daemon root, daemon root: \"\(root)\", bind mount source: \"\(path)\", propagation: \"\(asked.rawValue)\""
            )
        }
        return asked.rawValue
    }

    private func image(_ reference: String, _ spec: MountSpec, _ container: String) async throws
        -> ContainerRecord.MountPoint
    {
        let image: ImageSnapshot
        do { image = try await world.images.image(reference) } catch let error as EngineError {
            // "Not found" would have the client pull the container's image.
            throw EngineError(.invalidParameter, "invalid mount config for type \"image\": \(error.message)")
        }
        let diffIDs = image.record.config.rootfs.diffIDs
        await world.images.use(image.record.id, chain: diffIDs, container: container)
        var point = ContainerRecord.MountPoint(
            type: "image", source: reference, destination: spec.target, rw: false, subpath: spec.subpath)
        point.image = .init(id: image.record.id, diffIDs: diffIDs)
        return point
    }

    private func volume(
        _ name: String?, _ asked: Asked, _ container: String
    ) async throws -> ContainerRecord.MountPoint {
        let spec = asked.spec
        let record = try await world.volumes.create(
            name: name, driver: spec.driver ?? "", options: asked.options, labels: asked.labels,
            anonymous: name == nil, for: container)
        return ContainerRecord.MountPoint(
            type: "volume", name: record.name, source: record.mountpoint, destination: spec.target,
            driver: record.driver, mode: asked.mode, rw: !spec.readOnly && !record.isReadOnly, anonymous: name == nil,
            copyUp: spec.copiesImageContent && !record.isReadOnly, subpath: spec.subpath)
    }
}
