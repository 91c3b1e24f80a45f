import Isolation
import Kernel
import OCI

/// Probes of a container, one after the other, each an exec in it.
extension Container {
    /// Bytes of a probe's output that are kept, as many as Docker does.
    private static let outputBytesMax = 4096
    /// A monitor that was left by an earlier daemon tells at once what its process does.
    private static let greetingInterval = Duration.milliseconds(2)
    private static let greetingPolls = 500

    /// The container runs from now on, or again after a pause, or was found running.
    ///
    /// - Parameter isStart: it was started now: what is known of an earlier run counts no more.
    func beginHealthChecks(isStart: Bool = false) {
        guard let check = HealthCheck(record.config) else {
            record.state.health = nil
            return
        }
        if isStart || record.state.health == nil { noteHealth(.started, check) }
        let before = probing
        before?.cancel()
        probing = Task {
            // Its probe may take a moment to die.
            await before?.value
            await endLeftProbe()
            await probe(check)
        }
    }

    /// No probe begins any more, and the one that runs is killed.
    func endHealthChecks() {
        probing?.cancel()
        if let check = HealthCheck(record.config) { noteHealth(.interrupted, check) }
    }

    @discardableResult
    private func noteHealth(_ event: Health.Event, _ check: HealthCheck) -> Health.Status? {
        var health = record.state.health ?? Health()
        defer { record.state.health = health }
        return health.take(event, check)
    }

    /// The time between the container's start and `moment`.
    private func sinceStart(_ moment: Timestamp) -> Duration {
        guard let start = Timestamp(record.state.startedAt) else { return .zero }
        return .nanoseconds(moment.nanosecondsSince1970) - .nanoseconds(start.nanosecondsSince1970)
    }

    private func probe(_ check: HealthCheck) async {
        while !Task.isCancelled {
            let health = record.state.health ?? Health()
            guard (try? await Task.sleep(for: health.pause(check, sinceStart: sinceStart(.now())))) != nil else {
                return
            }
            let start = Timestamp.now()
            let run = HealthProbe(self, check, user: record.config.user ?? "", directory: paths.probe)
            probeID = run.exec.id
            await world.noteProbe?(run.exec)
            let (code, output) = await run.run(outputBytesMax: Self.outputBytesMax)
            probeID = nil
            // What an ended container's probe says says nothing.
            guard !Task.isCancelled else { return }
            let result = Health.Result(start: start.text, end: Timestamp.now().text, exitCode: code, output: output)
            let status = noteHealth(.probed(result, sinceStart: sinceStart(start)), check)
            persistLater()
            if let status { await publish("health_status: \(status.rawValue)") }
        }
    }

    /// Ends the probe that ran when an earlier daemon was killed.
    private func endLeftProbe() async {
        let directory = paths.probe
        guard await BlockingPool.shared.run({ Files.exists(directory) }) else { return }
        if let connection = await world.launcher.reconnect(directory: directory, isExec: true) {
            for _ in 0..<Self.greetingPolls where connection.process == nil {
                guard (try? await Task.sleep(for: Self.greetingInterval)) != nil else { break }
            }
            connection.killGroup()
            if connection.process != nil { _ = await connection.exited() }
            connection.abandon()
            await connection.monitorEnded()
        }
        // What cannot be removed goes with the container's run directory.
        await BlockingPool.shared.run { try? Files.removeTree(directory) }
    }
}

/// One run of a check's command, from its creation to its end.
struct HealthProbe {
    private let container: Container
    private let check: HealthCheck
    private let config: ExecConfig
    private let directory: String
    /// What it looks like from outside.
    let exec: Exec

    init(_ container: Container, _ check: HealthCheck, user: String, directory: String) {
        self.container = container
        self.check = check
        self.directory = directory
        var config = ExecConfig()
        config.cmd = check.command
        config.user = user
        self.config = config
        exec = Exec(container, config)
    }

    /// Runs the command; cancellation kills it. It has ended when this returns, however it did.
    ///
    /// - Returns: its exit code and its output; -1 and the reason where it did not run, or not to its end in time.
    func run(outputBytesMax: Int) async -> (exitCode: Int, output: String) {
        guard !check.command.isEmpty else { return (-1, "No exec command specified") }
        let result: (Int, String)
        do {
            let connection = try await container.prepareExec(exec.id, config, directory: directory)
            do { result = try await supervise(connection, outputBytesMax) } catch {
                connection.abandon()
                await connection.monitorEnded()
                throw error
            }
        } catch {
            let failure = ContainerSetup.failure(error)
            await exec.ended(failure.exitCode)
            result = (-1, failure.error.message)
        }
        let directory = directory
        await BlockingPool.shared.run {
            // What stays is removed before the next probe's monitor, or with the container's run directory.
            try? Files.removeTree(directory)
        }
        return result
    }

    private func supervise(
        _ connection: MonitorConnection, _ outputBytesMax: Int
    ) async throws -> (Int, String) {
        let output = try connection.captureOutput(bytesMax: outputBytesMax)
        try Task.checkCancellation()
        await container.publish("exec_start: \(check.command.joined(separator: " "))", ["execID": exec.id])
        await exec.began(connection, try await connection.start())
        let timer = Task {
            guard (try? await Task.sleep(for: check.timeout)) != nil else { return false }
            connection.killGroup()
            return true
        }
        let exit = await withTaskCancellationHandler {
            await connection.exited()
        } onCancel: {
            connection.killGroup()
        }
        timer.cancel()
        let isLate = await timer.value
        let text = await output.text()
        await exec.ended(Int(exit.exitCode))
        await connection.monitorEnded()
        await container.publish("exec_die", ["execID": exec.id, "exitCode": "\(exit.exitCode)"])
        return isLate ? (-1, check.timeoutMessage(text)) : (Int(exit.exitCode), text)
    }
}
