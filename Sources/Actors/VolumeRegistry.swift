import Glibc
import Kernel
import Logging
import Volumes

/// Owns `volumes/`: names, labels and who refers to what. A volume is never removed while a container refers to it.
///
/// What changes a name on disk holds that name meanwhile, so that creations and removals of one name happen one after another
/// and those of others do not wait.
package actor VolumeRegistry {
    let disk: LocalVolumes
    let database: StateDatabase
    let events: EventLog
    let logger: Logger
    let drivers = VolumeDriverSet()
    var volumes: [String: VolumeRecord] = [:]
    /// Containers, running or not, by the volume they refer to.
    var users: [String: Set<String>] = [:]
    /// Volumes without a name that were made for a container which is not stored yet.
    private var unsettled: [String: Set<String>] = [:]
    /// Who has volumes mounted that are mounted only while somebody uses them.
    var mounters: [String: Set<String>] = [:]
    /// Where their drivers have mounted volumes that are used.
    var driverPaths: [String: String] = [:]
    /// Names that are being changed, with who waits for that in order.
    private var held: [String: [CheckedContinuation<Void, Never>]] = [:]

    init(_ configuration: EngineConfiguration, _ database: StateDatabase, _ events: EventLog, logger: Logger)
        async throws
    {
        disk = LocalVolumes(directory: configuration.dataRoot + "/volumes")
        self.database = database
        self.events = events
        self.logger = logger
        try disk.sweep()
        for record in try await database.read({ try $0.all(.volumes, as: VolumeRecord.self) { _ in } }) {
            volumes[record.name] = record
        }
        try await endRenames()
        try await adoptUnknown()
    }

    /// Directories that no row names are volumes too: a creation or a removal was cut, or the database was lost. Data is never
    /// removed without being asked.
    private func adoptUnknown() async throws {
        let (disk, known) = (disk, Set(volumes.keys))
        let found = try await BlockingPool.shared.run { () throws(VolumeError) in
            try disk.names().filter { !known.contains($0.text) }
        }
        for name in found {
            let record = VolumeRecord(
                name: name.text, driver: Self.local, mountpoint: disk.dataPath(of: name), created: Timestamp.now().text,
                labels: [:], options: [:], anonymous: Identifier.isOne(name.text))
            volumes[name.text] = record
            try await database.write { try $0.put(.volumes, name.text, record) }
        }
    }

    // MARK: One at a time

    /// Runs `body` while nobody else changes the volume `name`.
    func holding<Value: Sendable>(
        _ name: String, _ body: () async throws -> Value
    ) async rethrows -> Value {
        if held[name] == nil {
            held[name] = []
        } else {
            await withCheckedContinuation { held[name]?.append($0) }
        }
        defer {
            if held[name]?.isEmpty == false { held[name]?.removeFirst().resume() } else { held[name] = nil }
        }
        return try await body()
    }

    // MARK: Create

    /// The volume `name`, made when it is not there; a volume without a name gets a random one.
    ///
    /// - Parameter container: refers to the volume from now on.
    /// - Throws: ``EngineError`` for a bad name, driver or option, or a volume of that name with another driver.
    package func create(
        name: String?, driver: String = "local", options: [String: String] = [:], labels: [String: String] = [:],
        anonymous: Bool = false, for container: String? = nil
    ) async throws -> VolumeRecord {
        let name = name.flatMap { $0.isEmpty ? nil : $0 } ?? Identifier.random()
        let volume: VolumeName
        do throws(VolumeError) { volume = try VolumeName(name) } catch {
            throw EngineError(.invalidParameter, "create \(name.printable): \(error.message)")
        }
        return try await holding(name) {
            let isForeign = !driver.isEmpty && driver != Self.local
            var known = volumes[name]
            if known == nil, driver.isEmpty, !anonymous { known = try await adoptFromDriver(name) }
            if let known {
                guard driver.isEmpty || driver == known.driver else {
                    throw EngineError(
                        .conflict,
                        "create \(name): driver '\(known.driver)' already has volume '\(name)': volume name must be unique"
                    )
                }
                if let container { users[name, default: []].insert(container) }
                return known
            }
            var record = VolumeRecord(
                name: name, driver: isForeign ? driver : Self.local,
                mountpoint: isForeign ? "" : disk.dataPath(of: volume), created: Timestamp.now().text,
                labels: labels, options: options, anonymous: anonymous)
            if isForeign {
                record = try await createByDriver(record)
            } else {
                let parsed: LocalOptions
                do throws(VolumeError) { parsed = try LocalOptions(options) } catch {
                    throw EngineError(.invalidParameter, "create \(name): \(error.message)")
                }
                try await make(record, volume, parsed)
            }
            volumes[name] = record
            if let container {
                users[name, default: []].insert(container)
                if anonymous { unsettled[container, default: []].insert(name) }
            }
            await events.publish(.volume, "create", name, ["driver": record.driver])
            return record
        }
    }

    private func make(_ record: VolumeRecord, _ volume: VolumeName, _ options: LocalOptions) async throws {
        let disk = disk
        try await BlockingPool.shared.run { () throws(VolumeError) in try disk.create(volume, options) }
        do { try await database.write { try $0.put(.volumes, record.name, record) } } catch {
            // Empty, and nobody knows it: the next start would find it.
            try? await BlockingPool.shared.run { () throws(VolumeError) in try disk.remove(volume) }
            throw error
        }
    }

    // MARK: Look

    package func volume(_ name: String) throws -> VolumeRecord {
        guard let record = volumes[name] else { throw EngineError.noSuchVolume(name) }
        return record
    }

    /// The volumes that the engine knows and that match `filters` (`name`, `label`, `driver`, `dangling`), by name.
    package func knownVolumes(filters: [String: [String]] = [:]) throws -> [VolumeRecord] {
        try Filter.check(filters, known: ["name", "label", "driver", "dangling"])
        return try volumes.values.filter { try matches($0, filters) }.sorted { $0.name < $1.name }
    }

    func matches(_ record: VolumeRecord, _ filters: [String: [String]]) throws -> Bool {
        Filter.contains(filters["name"], in: record.name) && Filter.labels(filters["label"], record.shownLabels)
            && Filter.equals(filters["driver"], record.driver)
            && Filter.flag(filters["dangling"], (users[record.name] ?? []).isEmpty)
    }

    /// Bytes on disk and number of containers that refer to a volume of the local driver; nil for any other.
    package func usage(_ name: String) async -> (size: Int64, references: Int)? {
        guard let record = volumes[name], record.driver == Self.local, let volume = try? VolumeName(record.name) else {
            return nil
        }
        let disk = disk
        // A volume that cannot be read counts nothing.
        let size = await BlockingPool.shared.run { (try? disk.usage(of: volume)) ?? 0 }
        return (size, users[name]?.count ?? 0)
    }

    // MARK: Use by containers

    /// Notes that a container refers to a volume.
    ///
    /// - Throws: ``EngineError`` when the volume is not there (any more).
    package func refer(_ name: String, container: String) async throws {
        try await holding(name) {
            guard volumes[name] != nil else { throw EngineError.noSuchVolume(name) }
            users[name, default: []].insert(container)
        }
    }

    /// Fills an empty volume with what the image has at its mount point.
    ///
    /// - Parameter image: the mounted image's root directory.
    func fill(_ point: ContainerRecord.MountPoint, from image: String) async throws {
        guard let name = point.name else { return }
        let disk = disk
        let volume = try VolumeName(name)
        let path = point.destination
        let foreign = volumes[name]?.driver == Self.local ? nil : point.source
        try await holding(name) {
            let inUse = (users[name] ?? []).count > 1
            do {
                _ = try await BlockingPool.shared.run {
                    let root = try OwnedFD.open(image, O_RDONLY | O_DIRECTORY)
                    if let foreign { return try LocalVolumes.copyUp(into: foreign, from: root, path: path) }
                    return try disk.copyUp(volume, from: root, path: path, inUse: inUse)
                }
            } catch let error as VolumeError {
                throw EngineError(.system, "failed to populate volume \(name): \(error.message)")
            }
        }
    }

    /// The container is stored: its volumes are no more taken back with its creation.
    func settle(container: String) { unsettled[container] = nil }

    /// Ends every reference of a container that could not be made, and takes back the volumes that were made for it alone.
    func forgetUnmade(container: String) async {
        await forget(container: container, removing: Array(unsettled.removeValue(forKey: container) ?? []))
    }

    /// Ends every reference of a container, and removes the volumes `removing` that nobody else refers to.
    func forget(container: String, removing names: [String]) async {
        for name in users.keys where users[name]?.remove(container) != nil && users[name]?.isEmpty == true {
            users[name] = nil
        }
        // A volume that cannot be removed stays listed: `docker volume prune` shows it again.
        for name in names where volumes[name] != nil { try? await remove(name) }
    }

    // MARK: Mounts

    /// Mounts those volumes that are mounted only while somebody uses them.
    ///
    /// - Parameter user: a container's id, or another name for whoever unmounts them again.
    /// - Returns: the points, with the directories where drivers have mounted theirs.
    /// - Throws: ``EngineError`` in Docker's words; what was mounted is unmounted again then.
    func mount(_ points: [ContainerRecord.MountPoint], for user: String) async throws -> [ContainerRecord.MountPoint] {
        var points = points
        do {
            for (index, point) in points.enumerated() {
                if let name = point.name, let path = try await mount(name, for: user) { points[index].source = path }
            }
            return points
        } catch {
            await unmount(points, for: user)
            throw error
        }
    }

    /// - Returns: where the volume's driver has mounted it; nil for a volume of the local driver, whose place is known.
    private func mount(_ name: String, for user: String) async throws -> String? {
        if let record = volumes[name], record.driver != Self.local {
            return try await mountByDriver(record, for: user)
        }
        guard let options = try mountOptions(name) else { return nil }
        let (disk, volume) = (disk, try VolumeName(name))
        try await holding(name) {
            do {
                try await BlockingPool.shared.run { () throws(VolumeError) in try disk.mount(volume, options) }
            } catch let error as VolumeError { throw EngineError(.system, error.message) }
            mounters[name, default: []].insert(user)
        }
        return nil
    }

    /// Runs `body` with the path of a volume's content, which is mounted and not removed meanwhile.
    ///
    /// - Parameter purpose: what is shown to who wants to remove the volume.
    func using<Value: Sendable>(
        _ name: String, for purpose: String, _ body: (_ path: String) async throws -> Value
    ) async throws -> Value {
        let user = "\(purpose) \(Identifier.random().prefix(12))"
        try await refer(name, container: user)
        let result: Result<Value, any Error>
        do {
            let mounted = try await mount(name, for: user)
            result = .success(try await body(try mounted ?? volume(name).mountpoint))
        } catch { result = .failure(error) }
        await unmount(name, for: user)
        await forget(container: user, removing: [])
        return try result.get()
    }

    /// Options of a volume that is mounted only while it is used; nil for every other.
    func mountOptions(_ name: String) throws -> LocalOptions? {
        guard let record = volumes[name], record.driver == Self.local, !record.options.isEmpty else { return nil }
        do throws(VolumeError) {
            let options = try LocalOptions(record.options)
            return options.isMounted ? options : nil
        } catch { throw EngineError(.system, "volume \(name): \(error.message)") }
    }

    /// The container of `points` runs since before the daemon did, and has its volumes mounted.
    func adopt(_ points: [ContainerRecord.MountPoint], for container: String) {
        for point in points {
            guard let name = point.name, let record = volumes[name] else { continue }
            if record.driver != Self.local {
                driverPaths[name] = point.source
            } else if (try? mountOptions(name)) == nil {
                continue
            }
            mounters[name, default: []].insert(container)
        }
    }

    /// Ends what ``mount(_:for:)`` began; the last user's end unmounts a volume.
    func unmount(_ points: [ContainerRecord.MountPoint], for user: String) async {
        for point in points { if let name = point.name { await unmount(name, for: user) } }
    }

    private func unmount(_ name: String, for user: String) async {
        guard mounters[name]?.contains(user) == true else { return }
        if volumes[name]?.driver != Self.local { return await unmountByDriver(name, for: user) }
        await holding(name) {
            mounters[name]?.remove(user)
            guard mounters[name]?.isEmpty == true else { return }
            mounters[name] = nil
            await detach(name)
        }
    }

    /// Unmounts what a killed daemon left mounted for nobody. For the start, when what runs has been adopted.
    func unmountUnused() async {
        for name in volumes.keys.sorted() where (try? mountOptions(name)) != nil && mounters[name] == nil {
            await holding(name) { if mounters[name] == nil { await detach(name) } }
        }
        endLeftMounts()
    }

    private func detach(_ name: String) async {
        let disk = disk
        guard let volume = try? VolumeName(name) else { return }
        do {
            try await BlockingPool.shared.run { () throws(VolumeError) in try disk.unmount(volume) }
        } catch { logger.warning("cannot unmount volume", metadata: ["volume": "\(name)", "error": "\(error)"]) }
    }

    // MARK: Remove

    /// Removes a volume and its data.
    ///
    /// - Throws: ``EngineError`` `.conflict` while a container refers to it, `.notFound` for an unknown name.
    package func remove(_ name: String, force: Bool = false) async throws {
        try await holding(name) {
            guard let record = try await known(name) else {
                if force { return }
                throw EngineError.noSuchVolume(name)
            }
            let holders = (users[name] ?? []).sorted()
            guard holders.isEmpty else {
                throw EngineError(
                    .conflict, "remove \(name): volume is in use - [\(holders.joined(separator: ", "))]")
            }
            try checkUnprotected(record)
            guard record.driver == Self.local else {
                try await removeByDriver(record, force: force)
                await events.publish(.volume, "destroy", name, ["driver": record.driver])
                return
            }
            let disk = disk
            let volume = try VolumeName(name)
            // Left mounted by a daemon that was killed.
            if (try? mountOptions(name)) != nil { await detach(name) }
            if let mounted = try? disk.isMounted(volume), mounted {
                throw EngineError(
                    .conflict, "remove \(name): something is mounted at \(record.mountpoint): unmount it first")
            }
            try await database.write(makesRoom: true) { try $0.remove(.volumes, name) }
            volumes[name] = nil
            try await BlockingPool.shared.run { () throws(VolumeError) in try disk.remove(volume) }
            await events.publish(.volume, "destroy", name, ["driver": record.driver])
        }
    }

    /// Removes volumes of the local driver no container refers to: anonymous ones, with filter `all` named ones too.
    ///
    /// - Throws: ``EngineError`` for a filter there is not.
    package func prune(filters: [String: [String]]) async throws -> PruneResult {
        let filter = try PruneFilter(filters, known: ["all", "label", "label!"])
        let all = try Filter.truth(filters, "all", default: false)
        var result = PruneResult()
        for record in try knownVolumes()
        where record.driver == Self.local && (users[record.name] ?? []).isEmpty && (all || record.anonymous)
            && !record.isProtected
            && filter.allows(labels: record.shownLabels, created: record.created)
        {
            let size = await usage(record.name)?.size ?? 0
            do { try await remove(record.name) } catch let error as EngineError {
                // Somebody uses it now, or has removed it.
                guard [.conflict, .notFound].contains(error.code) else { throw error }
                continue
            }
            result.deleted.append(record.name)
            result.spaceReclaimed += size
        }
        await events.publish(.volume, "prune", "", ["reclaimed": "\(result.spaceReclaimed)"])
        return result
    }
}

/// What a prune removed.
package struct PruneResult: Sendable {
    package var deleted: [String] = []
    /// Bytes.
    package var spaceReclaimed: Int64 = 0
}

extension VolumeRecord {
    static let anonymousLabel = "com.docker.volume.anonymous"

    /// Its labels as clients see them: Docker marks what nobody named by one.
    package var shownLabels: [String: String] {
        anonymous ? labels.merging([Self.anonymousLabel: ""]) { own, _ in own } : labels
    }
}
