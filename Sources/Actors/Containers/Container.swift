import Glibc
import Isolation
package import Kernel
import LayerFS
import Logging
import Netlink
package import OCI

/// A container's record and what only the engine knows beside it.
package struct ContainerSnapshot: Sendable {
    package let record: ContainerRecord
    package let logPath: String
    package let directory: String
    package let execIDs: [String]
    /// Bytes of the writable layer and of everything, where they were asked for.
    package var sizeRw: Int64?
    package var sizeRootFs: Int64?
}

/// What `wait` waits for.
package enum WaitCondition: String, Sendable {
    case notRunning = "not-running"
    case nextExit = "next-exit"
    case removed
}

/// How a container ended.
package struct WaitResult: Sendable, Hashable {
    package let exitCode: Int
    package let error: String?
}

/// Owns one container: its record, its process, its waiters.
///
/// State changes happen before each suspension, so that two requests at once see one another.
package actor Container {
    /// What exists at each stage of a container's process.
    enum Phase {
        case idle
        /// The monitor is being brought up; who else needs it joins.
        case preparing(Task<ContainerSetup.Result, any Error>)
        /// The monitor listens and holds the container's streams; nothing runs yet.
        case prepared(ContainerSetup.Result)
        case running(MonitorConnection, StartedProcess)
        case removed
    }

    package nonisolated let id: String
    nonisolated let world: ContainerStore.Surroundings
    nonisolated let paths: ContainerPaths
    var record: ContainerRecord
    var phase = Phase.idle
    var execs: [String: Exec] = [:]
    private var restart = RestartDecision()
    private var pendingRestart: Task<Void, Never>?
    /// Ends when the last run's monitor and control groups are gone: its directory is free then.
    var teardown: Task<Void, Never>?
    /// The network namespace of a container without a network, while something may be in it.
    var empty: EmptyNamespace?
    /// Nobody has asked yet for what is prepared.
    var isAhead = false
    private var isPersistPending = false
    /// Why the container could not be prepared for a client that attached before the start.
    var failedPreparation: (any Error)?
    private var startedAt = ContinuousClock.now
    private var waiters: [Int: (WaitCondition, AsyncStream<WaitResult>.Continuation)] = [:]
    private var nextWaiter = 0

    init(_ record: ContainerRecord, _ world: ContainerStore.Surroundings) {
        id = record.id
        self.record = record
        self.world = world
        paths = ContainerPaths(world.configuration, id: record.id)
    }

    // MARK: Look

    package func snapshot() -> ContainerSnapshot {
        ContainerSnapshot(
            record: record, logPath: record.hostConfig.logConfig?.type == "none" ? "" : paths.log,
            directory: paths.directory, execIDs: execs.keys.sorted())
    }

    var name: String { record.name }

    package var isRunning: Bool {
        if case .running = phase { return true }
        return false
    }

    /// The monitor of the running process.
    ///
    /// - Throws: ``EngineError`` `.conflict` when nothing runs.
    func running() throws -> (connection: MonitorConnection, process: StartedProcess) {
        guard case .running(let connection, let process) = phase else {
            throw EngineError(.conflict, "container \(id) is not running")
        }
        return (connection, process)
    }

    // MARK: Start

    /// Starts the container's process; returns when it has been executed.
    ///
    /// - Throws: ``EngineError`` `.notModified` when it runs already, `.invalidParameter` with the runtime's words when
    ///   the program cannot be executed.
    package func start() async throws {
        pendingRestart?.cancel()
        pendingRestart = nil
        let before = (record.stoppedByUser, record.restartCount)
        (record.stoppedByUser, record.restartCount) = (false, 0)
        do { try await startProcess() } catch {
            (record.stoppedByUser, record.restartCount) = before
            throw error
        }
    }

    /// - Parameter isRestart: the restart policy's start, which a stop of the user's cancels.
    private func startProcess(isRestart: Bool = false) async throws {
        switch phase {
        case .running: throw EngineError(.notModified, "")
        case .removed: throw EngineError.noSuchContainer(id)
        default: break
        }
        if let failure = failedPreparation {
            failedPreparation = nil
            throw await failedToStart(failure)
        }
        let process: StartedProcess
        let ready: ContainerSetup.Result
        do {
            ready = try await prepare()
            if isRestart, Task.isCancelled { return await giveUp(ready) }
            process = try await ready.connection.start()
        } catch {
            throw await failedToStart(error)
        }
        if case .running = phase { throw EngineError(.notModified, "") }
        phase = .running(ready.connection, process)
        Task { await self.finished(await ready.connection.exited()) }
        // Stopped in the very moment: it was not to start, so it ends, and as any other end does.
        if isRestart, Task.isCancelled { try signal(9, ready.connection) }
        startedAt = .now
        record.networks = ready.networks
        record.ports = ready.ports
        record.state = ContainerRecord.State(status: .running)
        record.state.pid = process.pid
        record.state.startedAt = Timestamp.now().text
        if RestartDecision.startsWithDaemon(record.hostConfig.restartPolicy, stoppedByUser: false) {
            // After a power cut the record alone tells that it is to run. It runs now, whatever becomes of the record.
            do { try await persist() } catch { noteUnstored(error) }
        } else {
            persistLater()
        }
        await publish("start")
    }

    /// Gives back what was prepared for a restart that is not wanted any more.
    private func giveUp(_ ready: ContainerSetup.Result) async {
        guard case .prepared = phase else { return }
        phase = .idle
        await abandon(ready)
    }

    /// A process that has ended already needs no signal: its exit is on its way here.
    private func signal(_ number: Int32, _ connection: MonitorConnection) throws {
        do throws(SystemError) { try connection.signal(number) } catch  where error.code == ESRCH {}
    }

    private func failedToStart(_ error: any Error) async -> EngineError {
        // A failed preparation has cleaned up after itself.
        if case .prepared(let ready) = phase { await release(ready.connection) }
        phase = .idle
        let failure = ContainerSetup.failure(error)
        record.state.status = record.state.startedAt == ContainerRecord.State.never ? .created : .exited
        record.state.exitCode = failure.exitCode
        record.state.error = failure.error.message
        persistLater()
        if record.hostConfig.autoRemove == true, record.state.status == .created {
            await world.removeInBackground?(id)
        }
        return failure.error
    }

    // MARK: End

    private func finished(_ exit: ExitRecord) async {
        guard case .running(let connection, _) = phase else { return }
        await release(connection)
        phase = .idle
        let ran = ContinuousClock.now - startedAt
        record.state.status = .exited
        record.state.exitCode = Int(exit.exitCode)
        record.state.oomKilled = exit.oomKilled
        record.state.pid = 0
        record.state.finishedAt = Timestamp(nanosecondsSince1970: exit.finishedAt).text
        for exec in execs.values { await exec.containerEnded() }
        execs = [:]
        if exit.oomKilled { await publish("oom") }
        await publish("die", ["exitCode": "\(exit.exitCode)", "execDuration": "\(ran.components.seconds)"])
        let pause = restart.exited(
            policy: record.hostConfig.restartPolicy, code: Int(exit.exitCode), count: record.restartCount, ran: ran,
            stoppedByUser: record.stoppedByUser)
        if let pause {
            record.state.status = .restarting
            scheduleRestart(after: pause)
        }
        let result = WaitResult(exitCode: Int(exit.exitCode), error: nil)
        wake(result) { $0 != .removed }
        if pause == nil, record.hostConfig.autoRemove == true {
            await world.removeInBackground?(id)
        } else {
            persistLater()
        }
    }

    private func scheduleRestart(after pause: Duration) {
        pendingRestart = Task {
            // Cancelled by a stop, a removal or a start of the user's.
            guard (try? await Task.sleep(for: pause)) != nil, !Task.isCancelled else { return }
            record.restartCount += 1
            do { try await startProcess(isRestart: true) } catch {
                world.logger.warning("cannot restart", metadata: ["container": "\(id)", "error": "\(error)"])
            }
        }
    }

    /// Returns when nothing of the last run is mounted any more.
    func tornDown() async { await teardown?.value }

    func cgroup() throws -> Cgroup {
        _ = try running()
        return LaunchSpec.cgroup(of: record, world)
    }

    /// Gives back what `prepare` took.
    func release(_ connection: MonitorConnection) async {
        let (logger, id) = (world.logger, id)
        teardown = Task {
            await connection.monitorEnded()
            guard let cgroup = connection.cgroup else { return }
            do { try await BlockingPool.shared.run { () throws(SystemError) in try cgroup.remove() } } catch {
                logger.warning("cannot remove control group", metadata: ["container": "\(id)", "error": "\(error)"])
            }
        }
        await world.layers.release(record.diffIDs)
        if let empty { await world.networks.empty.retire(empty) }
        empty = nil
        await world.networks.detach(record)
        for name in record.networks.keys {
            let addresses = record.networks[name]?.addresses ?? []
            if !addresses.isEmpty { record.leases = (record.leases ?? [:]).merging([name: addresses]) { $1 } }
            record.networks[name]?.release()
        }
        record.ports = [:]
    }

    // MARK: Signals

    /// Ends the process: its stop signal, and after `timeout` seconds SIGKILL (-1: never).
    ///
    /// - Throws: ``EngineError`` `.notModified` when it does not run.
    package func stop(timeout: Int?, signal: String?) async throws {
        pendingRestart?.cancel()
        pendingRestart = nil
        record.stoppedByUser = true
        guard case .running(let connection, _) = phase else {
            if record.state.status == .restarting {
                record.state.status = .exited
                try await persist()
                return
            }
            throw EngineError(.notModified, "")
        }
        let number = try SignalName.number(signal ?? record.config.stopSignal ?? "SIGTERM")
        let seconds = min(timeout ?? record.config.stopTimeout ?? Self.stopSecondsDefault, Int(Int32.max))
        if record.state.status == .paused { try await unpause() }
        try self.signal(number, connection)
        if seconds >= 0, await !ended(within: .seconds(seconds)), case .running = phase {
            await publish("kill", ["signal": "9"])
            try self.signal(9, connection)
        }
        _ = try await wait(.notRunning)
        // Whoever stops a container relies on that a power cut does not start it again.
        if case .removed = phase {} else { try await persist(makesRoom: true) }
        await publish("stop")
    }

    /// Docker's grace between the stop signal and SIGKILL, in seconds.
    private static let stopSecondsDefault = 10

    private func ended(within limit: Duration) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask { (try? await self.wait(.notRunning)) != nil && !Task.isCancelled }
            group.addTask {
                try? await Task.sleep(for: limit)
                return false
            }
            let first = await group.next() ?? false
            group.cancelAll()
            return first
        }
    }

    package func kill(signal: String?) async throws {
        let number = try SignalName.number(signal.flatMap { $0.isEmpty ? nil : $0 } ?? "SIGKILL")
        guard case .running(let connection, _) = phase else {
            throw EngineError(.conflict, "Cannot kill container: \(record.name): container \(id) is not running")
        }
        if number == 9 { record.stoppedByUser = true }
        try self.signal(number, connection)
        if number == 9, record.state.status == .paused { try await unpause() }
        await publish("kill", ["signal": "\(number)"])
        if number == 9 { _ = try await wait(.notRunning) }
    }

    package func restart(timeout: Int?, signal: String?) async throws {
        if case .running = phase { try await stop(timeout: timeout, signal: signal) }
        try await start()
        await publish("restart")
    }

    package func pause() async throws {
        _ = try running()
        guard record.state.status != .paused else {
            throw EngineError(.conflict, "container \(id) is already paused")
        }
        let cgroup = try cgroup()
        record.state.status = .paused
        do { try await BlockingPool.shared.run { try cgroup.setFrozen(true) } } catch {
            record.state.status = .running
            throw EngineError.wrapping(error)
        }
        persistLater()
        await publish("pause")
    }

    package func unpause() async throws {
        guard record.state.status == .paused else { throw EngineError(.conflict, "Container \(id) is not paused") }
        let cgroup = try cgroup()
        try await BlockingPool.shared.run { try cgroup.setFrozen(false) }
        if record.state.status == .paused { record.state.status = .running }
        persistLater()
        await publish("unpause")
    }

    // MARK: Wait

    /// Sleeps until `condition` holds.
    ///
    /// - Throws: `CancellationError` when the caller gives up.
    package func wait(_ condition: WaitCondition) async throws -> WaitResult {
        for await result in waiter(condition) { return result }
        throw CancellationError()
    }

    /// Registers for `condition` at once: the result comes when it holds, and then the stream ends.
    package func waiter(_ condition: WaitCondition) -> AsyncStream<WaitResult> {
        let (stream, continuation) = AsyncStream<WaitResult>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let holdsNow =
            switch (condition, phase) {
            case (_, .removed): true
            case (.notRunning, .running): false
            case (.notRunning, _): true
            default: false
            }
        guard !holdsNow else {
            let error = record.state.error
            continuation.yield(WaitResult(exitCode: record.state.exitCode, error: error.isEmpty ? nil : error))
            continuation.finish()
            return stream
        }
        let number = nextWaiter
        nextWaiter += 1
        waiters[number] = (condition, continuation)
        continuation.onTermination = { _ in Task { await self.forget(waiter: number) } }
        return stream
    }

    private func forget(waiter number: Int) { waiters[number] = nil }

    private func wake(_ result: WaitResult, _ matching: (WaitCondition) -> Bool) {
        for (condition, continuation) in waiters.values where matching(condition) {
            continuation.yield(result)
            continuation.finish()
        }
    }

    // MARK: Removal

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
        let names = record.mounts.filter { $0.type == "volume" }.compactMap(\.name)
        await world.volumes.forget(container: id, names: names, removeAnonymous: volumes)
        await world.images.unuse(record.imageID, container: id)
        await publish("destroy")
        wake(WaitResult(exitCode: record.state.exitCode, error: nil)) { _ in true }
        discard()
    }

    /// Removes the container's files and groups in the background.
    func discard() { paths.discard(after: teardown, LaunchSpec.cgroup(of: record, world)) }

    /// Changes limits and the restart policy; members that are nil stay as they are.
    ///
    /// - Returns: warnings.
    package func update(_ changes: HostConfig) async throws -> [String] {
        var host = record.hostConfig
        host.memory = changes.memory ?? host.memory
        host.memorySwap = changes.memorySwap ?? host.memorySwap
        host.memoryReservation = changes.memoryReservation ?? host.memoryReservation
        host.nanoCpus = changes.nanoCpus ?? host.nanoCpus
        host.cpuShares = changes.cpuShares ?? host.cpuShares
        host.cpuPeriod = changes.cpuPeriod ?? host.cpuPeriod
        host.cpuQuota = changes.cpuQuota ?? host.cpuQuota
        host.cpusetCpus = changes.cpusetCpus ?? host.cpusetCpus
        host.cpusetMems = changes.cpusetMems ?? host.cpusetMems
        host.pidsLimit = changes.pidsLimit ?? host.pidsLimit
        host.blkioWeight = changes.blkioWeight ?? host.blkioWeight
        host.restartPolicy = changes.restartPolicy ?? host.restartPolicy
        let warnings = try HostConfigCheck.check(host, record.config) + LaunchSpec.unheldLimits(changes, world)
        if isRunning {
            let cgroup = try cgroup()
            let limits = LaunchSpec.cgroup(host, world.configuration).limits
            do { try await BlockingPool.shared.run { () throws(LaunchError) in try cgroup.apply(limits) } } catch {
                throw EngineError(.system, "Cannot update container \(id): \(error)")
            }
        }
        record.hostConfig = host
        try await persist()
        await publish("update")
        return warnings
    }

    func rename(to name: String) async throws {
        let old = record.name
        record.name = name
        do { try await persist() } catch {
            record.name = old
            throw error
        }
        await world.networks.renamed(record)
        await publish("rename", ["oldName": "/\(old)"])
    }

    // MARK: Record

    /// - Parameter makesRoom: also where the disk is full.
    func persist(makesRoom: Bool = false) async throws {
        let record = record
        try await world.database.write(makesRoom: makesRoom) { try $0.putContainer(record) }
    }

    /// Writes the record soon, without holding up the caller: what runs is found again from the monitors in any case.
    /// A container that starts, ends and goes within the delay costs no write.
    func persistLater() {
        guard !isPersistPending else { return }
        isPersistPending = true
        Task {
            // Cancelled with the daemon: then it is written at once.
            try? await Task.sleep(for: Self.persistDelay)
            isPersistPending = false
            if case .removed = phase { return }
            let record = record
            do { try await world.database.note { try $0.putContainer(record) } } catch { noteUnstored(error) }
        }
    }

    private func noteUnstored(_ error: any Error) {
        world.logger.error("cannot store container", metadata: ["container": "\(id)", "error": "\(error)"])
    }

    private static let persistDelay = Duration.milliseconds(50)

    func publish(_ action: String, _ more: [String: String] = [:]) async {
        var attributes = record.config.labels ?? [:]
        attributes["image"] = record.imageName
        attributes["name"] = record.name
        attributes.merge(more) { $1 }
        await world.events.publish(.container, action, id, attributes)
    }

    // MARK: Restore

    /// Takes up a container after a restart of the daemon.
    func adopt(_ found: ContainerFound) async {
        switch found {
        case .process(let connection, let process):
            phase = .running(connection, process)
            if record.state.status != .paused { record.state.status = .running }
            record.state.pid = process.pid
            // The daemon before ended before it could store the start, which was a moment before.
            if record.state.startedAt == ContainerRecord.State.never { record.state.startedAt = Timestamp.now().text }
            Task { await self.finished(await connection.exited()) }
        case .ended(let exit):
            record.state.exitCode = Int(exit.exitCode)
            record.state.oomKilled = exit.oomKilled
            record.state.finishedAt = Timestamp(nanosecondsSince1970: exit.finishedAt).text
            // Also when the daemon ended before it could store that the container ran.
            record.state.status = .running
            if record.state.startedAt == ContainerRecord.State.never {
                record.state.startedAt = record.state.finishedAt
            }
            await startWithDaemon(lost: false)
        case .nothing:
            await startWithDaemon(lost: true)
        }
    }

    /// - Parameter lost: how the last run ended is not known.
    private func startWithDaemon(lost: Bool) async {
        let wasRunning = [.running, .paused, .restarting].contains(record.state.status)
        if wasRunning {
            record.state.status = .exited
            record.state.pid = 0
            if lost {
                record.state.exitCode = 255
                record.state.finishedAt = Timestamp.now().text
            }
        }
        if wasRunning, record.hostConfig.autoRemove == true {
            await world.removeInBackground?(id)
            return
        }
        guard RestartDecision.startsWithDaemon(record.hostConfig.restartPolicy, stoppedByUser: record.stoppedByUser),
            record.state.status != .created
        else {
            if wasRunning { persistLater() }
            return
        }
        scheduleRestart(after: .zero)
    }
}
