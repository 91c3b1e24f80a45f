import Glibc
import Kernel
import Volumes

/// Owns `volumes/`: names, labels and who refers to what. A volume is never removed while a container refers to it.
package actor VolumeRegistry {
    private let disk: LocalVolumes
    private let database: StateDatabase
    private let events: EventLog
    private var volumes: [String: VolumeRecord] = [:]
    /// Containers, running or not, by the volume they refer to.
    private var users: [String: Set<String>] = [:]

    init(_ configuration: EngineConfiguration, _ database: StateDatabase, _ events: EventLog) async throws {
        disk = LocalVolumes(directory: configuration.dataRoot + "/volumes")
        self.database = database
        self.events = events
        try disk.sweep()
        for record in try await database.read({ try $0.all(.volumes, as: VolumeRecord.self) { _ in } }) {
            volumes[record.name] = record
        }
    }

    /// The volume `name`, made when it is not there; a volume without a name gets a random one.
    ///
    /// - Throws: ``EngineError`` for a bad name or driver, or a volume of that name with another driver.
    package func create(
        name: String?, driver: String = "local", options: [String: String] = [:], labels: [String: String] = [:],
        anonymous: Bool = false
    ) async throws -> VolumeRecord {
        guard driver.isEmpty || driver == "local" else {
            throw EngineError(
                .notFound, "error looking up volume plugin \(driver): plugin \"\(driver)\" not found")
        }
        let name = name.flatMap { $0.isEmpty ? nil : $0 } ?? Identifier.random()
        if let known = volumes[name] { return known }
        let volume: VolumeName
        do throws(VolumeError) { volume = try VolumeName(name) } catch {
            throw EngineError(.invalidParameter, "create \(name): \(error.message)")
        }
        if let option = options.keys.sorted().first {
            throw EngineError(
                .invalidParameter, "create \(name): invalid option: \"\(option)\": the local driver takes none yet")
        }
        let record = VolumeRecord(
            name: name, driver: "local", mountpoint: disk.dataPath(of: volume), created: Timestamp.now().text,
            labels: labels, options: options, anonymous: anonymous)
        volumes[name] = record
        do {
            let disk = disk
            try await BlockingPool.shared.run { () throws(VolumeError) in try disk.create(volume) }
            try await database.write { try $0.put(.volumes, name, record) }
        } catch {
            volumes[name] = nil
            throw error
        }
        await events.publish(.volume, "create", name, ["driver": "local"])
        return record
    }

    package func volume(_ name: String) throws -> VolumeRecord {
        guard let record = volumes[name] else { throw EngineError.noSuchVolume(name) }
        return record
    }

    /// Volumes that match `filters` (`name`, `label`, `driver`, `dangling`), by name.
    package func list(filters: [String: [String]] = [:]) throws -> [VolumeRecord] {
        for key in filters.keys where !["name", "label", "driver", "dangling"].contains(key) {
            throw EngineError(.invalidParameter, "invalid filter '\(key)'")
        }
        return volumes.values.filter { record in
            Filter.contains(filters["name"], in: record.name) && Filter.labels(filters["label"], record.labels)
                && Filter.equals(filters["driver"], record.driver)
                && Filter.flag(filters["dangling"], (users[record.name] ?? []).isEmpty)
        }.sorted { $0.name < $1.name }
    }

    /// Notes that a container refers to a volume.
    ///
    /// - Throws: ``EngineError`` when the volume is not there (any more).
    package func refer(_ name: String, container: String) throws {
        guard volumes[name] != nil else { throw EngineError.noSuchVolume(name) }
        users[name, default: []].insert(container)
    }

    /// The volumes a container refers to.
    func names(usedBy container: String) -> [String] { users.filter { $0.value.contains(container) }.keys.sorted() }

    /// Fills an empty volume with what the image has at its mount point.
    ///
    /// - Parameter image: the mounted image's root directory.
    func fill(_ point: ContainerRecord.MountPoint, from image: String) async throws {
        guard let name = point.name else { return }
        let disk = disk
        let volume = try VolumeName(name)
        let path = point.destination
        do {
            _ = try await BlockingPool.shared.run {
                try disk.copyUp(volume, from: try OwnedFD.open(image, O_RDONLY | O_DIRECTORY), path: path)
            }
        } catch let error as VolumeError {
            throw EngineError(.system, "failed to populate volume \(name): \(error.message)")
        }
    }

    /// Ends every reference of a container, and removes its anonymous volumes that nobody else uses when asked to.
    package func forget(container: String, names: [String], removeAnonymous: Bool) async {
        for name in names { users[name]?.remove(container) }
        guard removeAnonymous else { return }
        for name in names where (users[name] ?? []).isEmpty && volumes[name]?.anonymous == true {
            // A volume that cannot be removed stays listed: `docker volume prune` shows it again.
            try? await remove(name)
        }
    }

    /// Removes a volume and its data.
    ///
    /// - Throws: ``EngineError`` `.conflict` while a container refers to it, `.notFound` for an unknown name.
    package func remove(_ name: String, force: Bool = false) async throws {
        guard let record = volumes[name] else {
            if force { return }
            throw EngineError.noSuchVolume(name)
        }
        let holders = (users[name] ?? []).sorted()
        guard holders.isEmpty else {
            throw EngineError(
                .conflict, "remove \(name): volume is in use - [\(holders.joined(separator: ", "))]")
        }
        volumes[name] = nil
        users[name] = nil
        do {
            try await database.write(makesRoom: true) { try $0.remove(.volumes, name) }
        } catch {
            volumes[name] = record
            throw error
        }
        let disk = disk
        let volume = try VolumeName(name)
        try await BlockingPool.shared.run { () throws(VolumeError) in try disk.remove(volume) }
        await events.publish(.volume, "destroy", name, ["driver": record.driver])
    }

    /// Removes volumes no container refers to: anonymous ones, with filter `all` named ones too.
    package func prune(filters: [String: [String]]) async throws -> PruneResult {
        let all = Filter.isTrue(filters["all"])
        var result = PruneResult()
        for record in try list(filters: filters.filter { $0.key == "label" })
        where (users[record.name] ?? []).isEmpty && (all || record.anonymous) {
            let size = await usage(record.name)?.size ?? 0
            try await remove(record.name)
            result.deleted.append(record.name)
            result.spaceReclaimed += size
        }
        return result
    }

    /// Bytes on disk and number of containers that refer to the volume.
    package func usage(_ name: String) async -> (size: Int64, references: Int)? {
        guard let record = volumes[name], let volume = try? VolumeName(record.name) else { return nil }
        let disk = disk
        // A volume that cannot be read counts nothing.
        let size = await BlockingPool.shared.run { (try? disk.usage(of: volume)) ?? 0 }
        return (size, users[name]?.count ?? 0)
    }
}

/// What a prune removed.
package struct PruneResult: Sendable {
    package var deleted: [String] = []
    /// Bytes.
    package var spaceReclaimed: Int64 = 0
}
