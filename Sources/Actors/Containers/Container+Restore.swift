import Isolation
import OCI

/// A container after a restart of the daemon.
extension Container {
    /// Takes up a container after a restart of the daemon.
    func adopt(_ found: ContainerFound) async {
        switch found {
        case .process(let connection, let process):
            phase = .running(connection, process)
            compressLog(of: connection)
            if record.state.status != .paused { record.state.status = .running }
            record.state.pid = process.pid
            // The daemon before ended before it could store the start, which was a moment before.
            if record.state.startedAt == ContainerRecord.State.never { record.state.startedAt = Timestamp.now().text }
            if record.state.status == .running { beginHealthChecks() }
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
        let wasRunning = record.state.status.isActive
        if wasRunning {
            endHealthChecks()
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
