import Kernel
import Volumes

/// What this engine does with volumes beyond Docker's: copies, other names, other labels, protection.
extension VolumeRegistry {
    // MARK: Labels and protection

    /// Gives a volume the labels `labels`, in place of all it had.
    package func update(_ name: String, labels: [String: String]) async throws -> VolumeRecord {
        try await holding(name) {
            guard var record = volumes[name] else { throw EngineError.noSuchVolume(name) }
            record.labels = labels
            let changed = record
            try await database.write { try $0.put(.volumes, name, changed) }
            volumes[name] = changed
            await events.publish(.volume, "update", name, ["driver": changed.driver])
            return changed
        }
    }

    /// - Throws: ``EngineError`` `.conflict` for a volume whose label says that it is not to be removed.
    func checkUnprotected(_ record: VolumeRecord) throws {
        guard record.isProtected else { return }
        throw EngineError(
            .conflict,
            "remove \(record.name): volume is protected: take its label \(VolumeRecord.protectedLabel) away first")
    }

    // MARK: Other names

    /// Calls a volume that nobody refers to by another name, at once and for good.
    package func rename(_ name: String, to wanted: String) async throws {
        let target: VolumeName
        do throws(VolumeError) { target = try VolumeName(wanted) } catch {
            throw EngineError(.invalidParameter, "rename \(name): \(error.message)")
        }
        guard name != wanted else {
            throw EngineError(.invalidParameter, "rename \(name): the volume has that name already")
        }
        // In one order, so that two renames never wait for each other.
        try await holding(min(name, wanted)) {
            try await holding(max(name, wanted)) { try await move(name, to: target) }
        }
        await events.publish(.volume, "rename", wanted, ["oldName": name])
    }

    private func move(_ name: String, to target: VolumeName) async throws {
        guard let old = volumes[name] else { throw EngineError.noSuchVolume(name) }
        guard volumes[target.text] == nil else {
            throw EngineError(.conflict, "rename \(name): a volume \(target) exists already: choose another name")
        }
        let holders = (users[name] ?? []).sorted()
        guard holders.isEmpty else {
            throw EngineError(.conflict, "rename \(name): volume is in use - [\(holders.joined(separator: ", "))]")
        }
        var record = old
        record.name = target.text
        record.mountpoint = disk.dataPath(of: target)
        record.anonymous = false
        record.renamedFrom = name
        let begun = record
        try await database.write {
            try $0.remove(.volumes, name)
            try $0.put(.volumes, begun.name, begun)
        }
        try await endRename(&record)
        volumes[name] = nil
        volumes[target.text] = record
    }

    /// Ends renames that a crash has cut: for the start.
    func endRenames() async throws {
        for var record in volumes.values where record.renamedFrom != nil {
            try await endRename(&record)
            volumes[record.name] = record
        }
    }

    private func endRename(_ record: inout VolumeRecord) async throws {
        guard let old = record.renamedFrom else { return }
        let (disk, from, to) = (disk, try VolumeName(old), try VolumeName(record.name))
        try await BlockingPool.shared.run { () throws(VolumeError) in try disk.rename(from, to: to) }
        record.renamedFrom = nil
        let ended = record
        try await database.write { try $0.put(.volumes, ended.name, ended) }
    }

    // MARK: Copies

    /// Makes the new volume `target` with everything that `source` holds: all of it or none.
    ///
    /// Who writes to the source meanwhile must be held still by the caller.
    /// - Parameter labels: of the copy; nil for those of the source.
    /// - Throws: ``EngineError`` `.conflict` when there is a volume `target`, or the source has a file system of its own.
    package func clone(_ source: String, to target: String, labels: [String: String]?) async throws -> VolumeRecord {
        let name: VolumeName
        do throws(VolumeError) { name = try VolumeName(target) } catch {
            throw EngineError(.invalidParameter, "clone \(source): \(error.message)")
        }
        // Keeps the source from being removed; its lock is free, so that two copies never wait for each other.
        let holder = "copy to \(target) \(Identifier.random().prefix(12))"
        try await refer(source, container: holder)
        do {
            let record = try await holding(target) { try await copy(source, to: name, labels: labels) }
            await forget(container: holder, removing: [])
            await events.publish(.volume, "create", target, ["driver": record.driver, "source": source])
            return record
        } catch {
            await forget(container: holder, removing: [])
            throw error
        }
    }

    private func copy(_ source: String, to target: VolumeName, labels: [String: String]?) async throws -> VolumeRecord {
        let original = try volume(source)
        guard volumes[target.text] == nil else {
            throw EngineError(.conflict, "clone \(source): a volume \(target) exists already: choose another name")
        }
        guard original.options["type"] == nil, original.options["size"] == nil else {
            throw EngineError(
                .conflict,
                "clone \(source): the volume has a file system of its own: create \(target) with its options and copy")
        }
        let record = VolumeRecord(
            name: target.text, driver: original.driver, mountpoint: disk.dataPath(of: target),
            created: Timestamp.now().text, labels: labels ?? original.labels, options: original.options,
            anonymous: false)
        let (disk, from) = (disk, try VolumeName(source))
        do throws(VolumeError) {
            try await BlockingPool.shared.run { () throws(VolumeError) in try disk.clone(from, to: target) }
        } catch { throw MountRequests.engineError(error) }
        do { try await database.write { try $0.put(.volumes, record.name, record) } } catch {
            // Nobody knows it yet: the next start would find it.
            try? await BlockingPool.shared.run { () throws(VolumeError) in try disk.remove(target) }
            throw error
        }
        volumes[target.text] = record
        return record
    }

    /// Containers that refer to a volume.
    func users(of name: String) -> [String] { (users[name] ?? []).sorted() }
}

extension VolumeRecord {
    /// A label that keeps a volume from being removed, by a prune or by name.
    package static let protectedLabel = "docker-swift.protected"

    var isProtected: Bool { labels[Self.protectedLabel].map { $0 != "false" } ?? false }
}

extension ContainerStore {
    /// Copies a volume while the containers that use it stand still.
    ///
    /// - Parameter pause: false lets them go on: files that they write are copied as they are at some moment.
    package func cloneVolume(
        _ source: String, to target: String, labels: [String: String]?, pause: Bool
    ) async throws -> VolumeRecord {
        var paused: [Container] = []
        if pause {
            for id in await world.volumes.users(of: source) {
                // One that ends, is paused or goes meanwhile writes nothing.
                guard let container = try? container(id), await container.isRunning else { continue }
                if (try? await container.pause()) != nil { paused.append(container) }
            }
        }
        let result: Result<VolumeRecord, any Error>
        do { result = .success(try await world.volumes.clone(source, to: target, labels: labels)) } catch {
            result = .failure(error)
        }
        // Ended or removed meanwhile: nothing to continue.
        for container in paused { try? await container.unpause() }
        return try result.get()
    }
}
