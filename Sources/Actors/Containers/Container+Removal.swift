/// The end of a container's life.
extension Container {
    /// Ends the container's life; its record is gone when this returns.
    ///
    /// - Throws: ``EngineError`` `.conflict` while it runs and `force` is off.
    func remove(force: Bool, volumes: Bool) async throws {
        if case .removed = phase { throw EngineError.noSuchContainer(id) }
        if case .running(let connection, _) = phase {
            guard force else {
                let state = record.state.status == .paused ? "paused" : "running"
                throw EngineError(
                    .conflict,
                    "cannot remove container \"\(record.name)\": container is \(state): stop the container before removing or force remove"
                )
            }
            record.stoppedByUser = true
            record.hostConfig.restartPolicy = nil
            if record.state.status == .paused { try await unpause() }
            try signal(9, connection)
            _ = try await wait(.notRunning)
        }
        pendingRestart?.cancel()
        if case .removed = phase { return }
        let last = phase
        phase = .removed
        endAhead()
        if case .prepared(let ready) = last { await abandon(ready) }
        let id = id
        do {
            try await world.database.write(makesRoom: true) { try $0.removeContainer(id) }
        } catch is StateDatabase.DiskFull {
            // Even what was kept for this is used up: the container's own files are the room.
            await paths.empty()
            try await world.database.write(makesRoom: true) { try $0.removeContainer(id) }
        }
        // A driver is not asked to remove what it still has mounted.
        if record.mounts.contains(where: \.isByDriver) { await tornDown() }
        await world.volumes.forget(
            container: id, removing: volumes ? record.mounts.filter(\.anonymous).compactMap(\.name) : [])
        await world.images.unuse(container: id)
        await publish("destroy")
        wake(WaitResult(exitCode: record.state.exitCode, error: nil)) { _ in true }
        discard()
    }

    /// Removes the container's files and groups in the background.
    func discard() { paths.discard(after: teardown, LaunchSpec.cgroup(of: record, world)) }
}
