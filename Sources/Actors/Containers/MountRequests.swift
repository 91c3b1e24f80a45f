import Kernel
import Volumes

/// Turns what users ask to be mounted into mount points, and makes the volumes that are named for the first time.
struct MountRequests: Sendable {
    private let world: ContainerStore.Surroundings

    init(_ world: ContainerStore.Surroundings) { self.world = world }

    /// A destination as it is kept: absolute, without `.` and empty components.
    ///
    /// - Throws: ``EngineError`` in Docker's words for a relative path, `/`, or one that climbs.
    static func destination(_ path: String) throws -> String {
        guard path.hasPrefix("/") else {
            throw EngineError(.invalidParameter, "invalid mount config: invalid mount path: '\(path)' mount path must be absolute")
        }
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        guard !parts.isEmpty, !path.utf8.contains(0) else {
            throw EngineError(.invalidParameter, "invalid mount config: invalid specification: destination can't be '/'")
        }
        return "/" + parts.joined(separator: "/")
    }

    /// `-v`: `name:/path[:options]` or `/host:/path[:options]`.
    func bind(_ text: String) async throws -> ContainerRecord.MountPoint {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (2...3).contains(parts.count), !parts[0].isEmpty, !parts[1].isEmpty else {
            throw EngineError(.invalidParameter, "invalid volume specification: '\(text)'")
        }
        let options = try BindOptionList(parts.count == 3 ? parts[2] : "", in: text)
        let destination = try Self.destination(parts[1])
        guard parts[0].hasPrefix("/") else {
            return try await volume(parts[0], destination, mode: parts.count == 3 ? parts[2] : "z", rw: options.rw, copyUp: options.copies)
        }
        // `-v` makes a missing directory of the host; `--mount type=bind` does not.
        if !Files.exists(parts[0]) { try Files.makeDirectories(parts[0], mode: 0o755) }
        return ContainerRecord.MountPoint(
            type: "bind", source: parts[0], destination: destination, mode: parts.count == 3 ? parts[2] : "", rw: options.rw,
            propagation: options.propagation)
    }

    /// `--mount`; a tmpfs is no mount point of its own, it is read off the record at the start.
    func mount(_ mount: Mount) async throws -> ContainerRecord.MountPoint {
        let destination = try Self.destination(mount.target ?? "")
        let rw = mount.readOnly != true
        let source = mount.source ?? ""
        switch mount.type {
        case "bind":
            guard source.hasPrefix("/") else {
                throw EngineError(
                    .invalidParameter, "invalid mount config for type \"bind\": invalid mount path: '\(source)' mount path must be absolute")
            }
            if mount.bindOptions?.createMountpoint == true, !Files.exists(source) { try Files.makeDirectories(source, mode: 0o755) }
            guard Files.exists(source) else {
                throw EngineError(
                    .invalidParameter, "invalid mount config for type \"bind\": bind source path does not exist: \(source)")
            }
            return ContainerRecord.MountPoint(
                type: "bind", source: source, destination: destination, rw: rw,
                propagation: mount.bindOptions?.propagation.flatMap { $0.isEmpty ? nil : $0 } ?? "rprivate")
        case "volume":
            let options = mount.volumeOptions
            let driver = options?.driverConfig?.name ?? "local"
            let copies = options?.noCopy != true
            let record = try await world.volumes.create(
                name: source, driver: driver, options: options?.driverConfig?.options ?? [:], labels: options?.labels ?? [:],
                anonymous: source.isEmpty)
            return ContainerRecord.MountPoint(
                type: "volume", name: record.name, source: record.mountpoint, destination: destination, driver: "local",
                mode: "z", rw: rw, anonymous: record.anonymous, copyUp: copies, subpath: try subpath(options?.subpath))
        case "tmpfs":
            guard source.isEmpty else {
                throw EngineError(.invalidParameter, "invalid mount config for type \"tmpfs\": field Source must not be specified")
            }
            return ContainerRecord.MountPoint(type: "tmpfs", source: "", destination: destination, rw: rw)
        default:
            throw EngineError(.invalidParameter, "invalid mount config: mount type unknown: \"\(mount.type ?? "")\"")
        }
    }

    private func subpath(_ path: String?) throws -> String? {
        guard let path, !path.isEmpty else { return nil }
        guard !path.hasPrefix("/"), !path.split(separator: "/").contains("..") else {
            throw EngineError(.invalidParameter, "invalid mount config for type \"volume\": subpath must be a relative path within the volume")
        }
        return path
    }

    /// A volume for a path that nobody named.
    func anonymous(_ destination: String) async throws -> ContainerRecord.MountPoint {
        let record = try await world.volumes.create(name: nil, anonymous: true)
        return ContainerRecord.MountPoint(
            type: "volume", name: record.name, source: record.mountpoint, destination: destination, driver: "local",
            anonymous: true, copyUp: true)
    }

    private func volume(
        _ name: String, _ destination: String, mode: String, rw: Bool, copyUp: Bool
    ) async throws -> ContainerRecord.MountPoint {
        let record = try await world.volumes.create(name: name)
        return ContainerRecord.MountPoint(
            type: "volume", name: record.name, source: record.mountpoint, destination: destination, driver: "local",
            mode: mode, rw: rw, copyUp: copyUp)
    }
}

/// The options of `-v`, after the second colon.
private struct BindOptionList {
    var rw = true
    var copies = true
    var propagation = "rprivate"

    init(_ text: String, in whole: String) throws {
        for option in text.split(separator: ",") {
            switch option {
            case "ro": rw = false
            case "rw", "z", "Z", "consistent", "cached", "delegated", "copy": break
            case "nocopy": copies = false
            case "rprivate", "private", "rshared", "shared", "rslave", "slave": propagation = String(option)
            default:
                throw EngineError(.invalidParameter, "invalid volume specification: '\(whole)': invalid mode: \(text)")
            }
        }
    }
}
