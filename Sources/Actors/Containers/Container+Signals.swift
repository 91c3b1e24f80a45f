import Glibc
import Isolation
import Kernel

/// Ending, interrupting and freezing the process.
extension Container {
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
        endHealthChecks()
        do { try await BlockingPool.shared.run { try cgroup.setFrozen(true) } } catch {
            record.state.status = .running
            beginHealthChecks()
            throw EngineError.wrapping(error)
        }
        persistLater()
        await publish("pause")
    }

    package func unpause() async throws {
        guard record.state.status == .paused else { throw EngineError(.conflict, "Container \(id) is not paused") }
        let cgroup = try cgroup()
        try await BlockingPool.shared.run { try cgroup.setFrozen(false) }
        if record.state.status == .paused {
            record.state.status = .running
            beginHealthChecks()
        }
        persistLater()
        await publish("unpause")
    }

    /// A process that has ended already needs no signal: its exit is on its way here.
    func signal(_ number: Int32, _ connection: MonitorConnection) throws {
        do throws(SystemError) { try connection.signal(number) } catch  where error.code == ESRCH {}
    }
}
