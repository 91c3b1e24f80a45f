import Isolation
import Kernel
import Logging
import Netlink
import OCI

/// A container's record and what only the engine knows beside it.
package struct ContainerSnapshot: Sendable {
    package let record: ContainerRecord
    package let logPath: String
    package let directory: String
    /// Execs that have not ended, those of health checks too.
    package let execIDs: [String]
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
    var record: ContainerRecord { didSet { board.clear() } }
    private nonisolated let board = RecordBoard()
    var phase = Phase.idle
    var execs: [String: Exec] = [:]
    private var restart = RestartDecision()
    var pendingRestart: Task<Void, Never>?
    /// Ends when the last run's monitor and control groups are gone: its directory is free then.
    var teardown: Task<Void, Never>?
    /// The network namespace of a container without a network, while something may be in it.
    var empty: EmptyNamespace?
    /// Nobody has asked yet for what is prepared.
    var isAhead = false
    /// The container's health checks; ends when none runs any more.
    var probing: Task<Void, Never>?
    /// The exec of the check that runs now.
    var probeID: String?
    var isPersistPending = false
    /// The log's full files are being compressed.
    var compressing: Task<Void, Never>?
    /// Why the container could not be prepared for a client that attached before the start.
    var failedPreparation: (any Error)?
    /// Bytes of the writable layer as they are for certain, and how often it may have begun to change.
    var measuredBytes: Int64?
    var writes = 0
    private var startedAt = ContinuousClock.now
    var waiters: [Int: (WaitCondition, AsyncStream<WaitResult>.Continuation)] = [:]
    var nextWaiter = 0

    init(_ record: ContainerRecord, _ world: ContainerStore.Surroundings) {
        id = record.id
        self.record = record
        self.world = world
        paths = ContainerPaths(world.configuration, id: record.id)
    }
    // MARK: Look

    package func snapshot() -> ContainerSnapshot {
        ContainerSnapshot(
            record: record, logPath: logDriver?.kind == .jsonFile ? paths.logFiles(.jsonFile)?.path ?? "" : "",
            directory: paths.directory, execIDs: (Array(execs.keys) + (probeID.map { [$0] } ?? [])).sorted())
    }

    /// For lists, without waiting; nil when the record has changed since it was listed last.
    nonisolated var listed: ListedContainer? { board.current }

    /// For lists.
    func list() -> ListedContainer {
        let listed = ListedContainer(record)
        board.show(listed)
        return listed
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
        compressLog(of: ready.connection)
        Task { await self.finished(await ready.connection.exited()) }
        // Stopped in the very moment: it was not to start, so it ends, and as any other end does.
        if isRestart, Task.isCancelled { try signal(9, ready.connection) }
        startedAt = .now
        record.networks = ready.networks
        record.ports = ready.ports
        record.mounts = ready.mounts
        let health = record.state.health
        record.state = ContainerRecord.State(status: .running)
        record.state.health = health
        record.state.pid = process.pid
        record.state.startedAt = Timestamp.now().text
        beginHealthChecks(isStart: true)
        if RestartDecision.startsWithDaemon(record.hostConfig.restartPolicy, stoppedByUser: false) {
            // After a power cut the record alone tells that it is to run. It runs now, whatever becomes of the record.
            do { try await persist() } catch { noteUnstored(error) }
        } else {
            persistLater()
        }
        for point in record.mounts where point.type == "volume" {
            await world.events.publish(
                .volume, "mount", point.name ?? "",
                [
                    "driver": point.driver ?? "", "container": id, "destination": point.destination,
                    "read/write": "\(point.rw)", "propagation": point.propagation,
                ])
        }
        await publish("start")
    }

    /// Gives back what was prepared for a restart that is not wanted any more.
    private func giveUp(_ ready: ContainerSetup.Result) async {
        guard case .prepared = phase else { return }
        phase = .idle
        await abandon(ready)
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

    func finished(_ exit: ExitRecord) async {
        guard case .running(let connection, _) = phase else { return }
        endHealthChecks()
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
        probeID = nil
        if exit.oomKilled { await publish("oom") }
        await publish("die", ["exitCode": "\(exit.exitCode)", "execDuration": "\(ran.components.seconds)"])
        for point in record.mounts where point.type == "volume" {
            await world.events.publish(
                .volume, "unmount", point.name ?? "", ["driver": point.driver ?? "", "container": id])
        }
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

    func scheduleRestart(after pause: Duration) {
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
        let (logger, id, probing, volumes) = (world.logger, id, probing, world.volumes)
        let byDrivers = record.mounts.filter(\.isByDriver)
        teardown = Task {
            await connection.monitorEnded()
            // Before that the container's mounts keep a driver from letting go of its device.
            await volumes.unmount(byDrivers, for: id)
            await probing?.value
            guard let cgroup = connection.cgroup else { return }
            do { try await BlockingPool.shared.run { () throws(SystemError) in try cgroup.remove() } } catch {
                logger.warning("cannot remove control group", metadata: ["container": "\(id)", "error": "\(error)"])
            }
        }
        for image in record.images { await world.layers.release(image.diffIDs) }
        await world.volumes.unmount(record.mounts.filter { !$0.isByDriver }, for: record.id)
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
}
