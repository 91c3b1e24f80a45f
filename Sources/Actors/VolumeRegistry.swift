import Glibc
import Kernel
package import Volumes

/// Owns `volumes/`: names, labels and who refers to what. A volume is never removed while a container refers to it.
package actor VolumeRegistry {
    private let root: String
    private let database: StateDatabase
    private let events: EventLog
    private var volumes: [String: VolumeRecord] = [:]
    /// Containers, running or not, by the volume they refer to.
    private var users: [String: Set<String>] = [:]

    init(_ configuration: EngineConfiguration, _ database: StateDatabase, _ events: EventLog) async throws {
        root = configuration.dataRoot + "/volumes"
        self.database = database
        self.events = events
        // Others reach a volume's files only through a container or as root.
        try Files.makeDirectories(root, mode: 0o701)
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
        guard Self.isName(name) else {
            throw EngineError(
                .invalidParameter,
                "create \(name): \"\(name)\" includes invalid characters for a local volume name, only "
                    + "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path")
        }
        if let option = options.keys.sorted().first {
            throw EngineError(.invalidParameter, "create \(name): invalid option: \"\(option)\": the local driver takes none yet")
        }
        let record = VolumeRecord(
            name: name, driver: "local", mountpoint: "\(root)/\(name)/_data", created: Timestamp.now().text,
            labels: labels, options: options, anonymous: anonymous)
        volumes[name] = record
        do {
            try Files.makeDirectories(record.mountpoint, mode: 0o755)
            try Files.syncDirectory(of: record.mountpoint)
            try Files.syncDirectory(of: "\(root)/\(name)")
            try await database.write { try $0.put(.volumes, name, record) }
        } catch {
            volumes[name] = nil
            throw error
        }
        await events.publish(.volume, "create", name, ["driver": "local"])
        return record
    }

    /// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`
    package static func isName(_ name: String) -> Bool {
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        }
        guard let first = name.utf8.first, isAlphanumeric(first), (2...255).contains(name.utf8.count) else { return false }
        return name.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x5f || $0 == 0x2e || $0 == 0x2d }
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
            try await database.write { try $0.remove(.volumes, name) }
        } catch {
            volumes[name] = record
            throw error
        }
        let directory = "\(root)/\(name)"
        try await BlockingPool.shared.run { () throws(SystemError) in try Files.removeTree(directory) }
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
        guard let record = volumes[name] else { return nil }
        let size = await BlockingPool.shared.run { DiskUsage.bytes(below: record.mountpoint) }
        return (size, users[name]?.count ?? 0)
    }
}

/// What a prune removed.
package struct PruneResult: Sendable {
    package var deleted: [String] = []
    /// Bytes.
    package var spaceReclaimed: Int64 = 0
}
