package import Kernel
import Volumes

/// What this engine does with volumes beyond Docker's: copies, other names, other labels, protection.
extension VolumeRegistry {
    // MARK: Labels and protection

    /// Gives a volume the labels `labels`, in place of all it had.
    package func update(_ name: String, labels: [String: String]) async throws -> VolumeRecord {
        try await holding(name) {
            guard var record = volumes[name] else { throw EngineError.noSuchVolume(name) }
            record.labels = labels
            // Shown, never stored: see ``VolumeRecord/shownLabels``.
            if record.anonymous { record.labels[VolumeRecord.anonymousLabel] = nil }
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

    static func checkLocal(_ record: VolumeRecord, _ verb: String) throws {
        guard record.driver != local else { return }
        throw EngineError(
            .conflict,
            "\(verb) \(record.name): the volume belongs to driver \(record.driver): only volumes of the local driver can be"
        )
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
        try Self.checkLocal(old, "rename")
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

    /// What a copy of a volume is to be.
    package struct Copy: Sendable {
        package var name: String
        /// nil for the source's.
        package var labels: [String: String]?

        package init(_ name: String, labels: [String: String]? = nil) {
            self.name = name
            self.labels = labels
        }
    }

    /// Makes a new volume with everything that `source` holds: all of it or none. A caller that is cancelled stops it.
    ///
    /// - Parameters:
    ///   - move: told of the bytes.
    ///   - isMeasured: everything is looked at first, so that the total is known.
    ///   - pause: pauses who writes to the source, when the copy begins; they go on when it is read.
    /// - Throws: ``EngineError`` `.conflict` when the name is taken, or the source has a file system of its own.
    func clone(
        _ source: String, to copy: Copy, _ move: BulkMove, isMeasured: Bool,
        pause: @Sendable () async -> [Container]
    ) async throws -> VolumeRecord {
        let name: VolumeName
        do throws(VolumeError) { name = try VolumeName(copy.name) } catch {
            throw EngineError(.invalidParameter, "clone \(source): \(error.message)")
        }
        // The source's lock is free meanwhile, so that two copies never wait for each other.
        let record = try await using(source, for: "copy to \(name)") { path in
            if isMeasured {
                move.set(total: try await move.run { try TreeSteps.measure(try OwnedFD.quietTree(path), $0).bytes })
            }
            return try await holding(name.text) {
                let original = try volume(source)
                try checkClone(original, name)
                let paused = await pause()
                let staged = await stage(original, name, move)
                // Also for a client that has left. Ended or removed meanwhile: nothing to continue.
                await Task { for container in paused { try? await container.unpause() } }.value
                return try await store(try staged.get(), like: original, copy)
            }
        }
        await events.publish(.volume, "create", name.text, ["driver": record.driver, "source": source])
        return record
    }

    private func checkClone(_ original: VolumeRecord, _ target: VolumeName) throws {
        try Self.checkLocal(original, "clone")
        guard volumes[target.text] == nil else {
            throw EngineError(
                .conflict, "clone \(original.name): a volume \(target) exists already: choose another name")
        }
        guard original.options["type"] == nil, original.options["size"] == nil else {
            throw EngineError(
                .conflict,
                "clone \(original.name): the volume has a file system of its own: create \(target) with its options and copy"
            )
        }
    }

    private func stage(
        _ original: VolumeRecord, _ target: VolumeName, _ move: BulkMove
    ) async -> Result<LocalVolumes.Staged, any Error> {
        let disk = disk
        do {
            let source = try VolumeName(original.name)
            return .success(try await move.run { try disk.stageClone(source, to: target, $0) })
        } catch { return .failure(Self.told(error, "clone \(original.name)")) }
    }

    private func store(
        _ staged: LocalVolumes.Staged, like original: VolumeRecord, _ copy: Copy
    ) async throws -> VolumeRecord {
        let disk = disk
        if Task.isCancelled {
            await BlockingPool.shared.run { disk.discard(staged) }
            throw CancellationError()
        }
        do {
            try await BlockingPool.shared.run { () throws(VolumeError) in try disk.publish(staged) }
        } catch { throw Self.told(error, "clone \(original.name)") }
        return try await store(
            try VolumeName(copy.name), labels: copy.labels ?? original.labelsOfCopies, options: original.options)
    }

    /// Containers that refer to a volume.
    func users(of name: String) -> [String] { (users[name] ?? []).sorted() }
}

extension VolumeRecord {
    /// A label that keeps a volume from being removed, by a prune or by name.
    package static let protectedLabel = "docker-swift.protected"

    var isProtected: Bool { labels[Self.protectedLabel].map { $0 != "false" } ?? false }
}

extension VolumeRecord {
    /// What marks a snapshot: the volume it was made of, and when.
    package static let snapshotOfLabel = "docker-swift.snapshot.of"
    package static let snapshotTimeLabel = "docker-swift.snapshot.time"
    /// A label that has containers mount a volume for reading alone.
    package static let readOnlyLabel = "docker-swift.read-only"

    /// A snapshot's copy is a volume like any other: what it was made of can be brought back by it.
    var labelsOfCopies: [String: String] {
        let marks = [Self.snapshotOfLabel, Self.snapshotTimeLabel, Self.readOnlyLabel]
        return labels.filter { !marks.contains($0.key) }
    }

    var isReadOnly: Bool { labels[Self.readOnlyLabel].map { $0 != "false" } ?? false }
}

extension ContainerStore {
    /// Copies a volume while the containers that use it stand still.
    ///
    /// - Parameter pause: false lets them go on: files that they write are copied as they are at some moment.
    package func cloneVolume(
        _ source: String, to copy: VolumeRegistry.Copy, pause: Bool, isMeasured: Bool = false, _ move: BulkMove
    ) async throws -> VolumeRecord {
        let volumes = world.volumes
        return try await volumes.clone(source, to: copy, move, isMeasured: isMeasured) {
            pause ? await self.pauseUsers(of: source) : []
        }
    }

    /// Makes a copy of a volume that stays as it is: named after it and the time where nothing else is said, marked with both,
    /// and only read by containers.
    package func snapshotVolume(
        _ source: String, name: String?, pause: Bool, isMeasured: Bool = false, _ move: BulkMove
    ) async throws -> VolumeRecord {
        var labels = try await world.volumes.volume(source).labels
        let time = Timestamp.now().text
        labels[VolumeRecord.snapshotOfLabel] = source
        labels[VolumeRecord.snapshotTimeLabel] = time
        labels[VolumeRecord.readOnlyLabel] = "true"
        // What keeps the original must not keep every copy.
        labels[VolumeRecord.protectedLabel] = nil
        let digits = time.filter(\.isNumber)
        let stamp = "\(digits.prefix(8))-\(digits.dropFirst(8).prefix(9))"
        return try await cloneVolume(
            source, to: VolumeRegistry.Copy(name ?? "\(source)-\(stamp)", labels: labels), pause: pause,
            isMeasured: isMeasured, move)
    }

    /// Pauses the containers that use a volume.
    private func pauseUsers(of volume: String) async -> [Container] {
        var paused: [Container] = []
        for id in await world.volumes.users(of: volume) {
            // One that ends, is paused or goes meanwhile writes nothing.
            guard let container = try? container(id), await container.isRunning else { continue }
            if (try? await container.pause()) != nil { paused.append(container) }
        }
        return paused
    }
}
