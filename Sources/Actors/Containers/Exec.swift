import Isolation
package import Kernel

/// What `POST /containers/{id}/exec` asks for.
package struct ExecConfig: Sendable, Hashable {
    package var attachStdin = false
    package var attachStdout = true
    package var attachStderr = true
    package var tty = false
    package var env: [String] = []
    package var cmd: [String] = []
    package var privileged = false
    package var user = ""
    package var workingDir = ""
    /// What a client at its terminal sends to leave it; empty for the usual keys.
    package var detachKeys: [UInt8] = []

    package init() {}
}

/// An exec instance as an inspection shows it.
package struct ExecState: Sendable {
    package let id: String
    package let containerID: String
    package let running: Bool
    package let exitCode: Int?
    package let pid: Int32
    package let config: ExecConfig
    /// False until it was started once.
    package let wasStarted: Bool
    /// It has ended and is forgotten soon.
    package let canRemove: Bool
}

/// Owns one further process in a running container.
package actor Exec {
    private enum Phase {
        case created
        case starting
        case running(MonitorConnection, StartedProcess)
        case ended(Int)
    }

    package nonisolated let id = Identifier.random()
    package nonisolated let containerID: String
    private let container: Container
    private let config: ExecConfig
    private var phase = Phase.created
    private var lastPID: Int32 = 0
    private var canRemove = false
    /// A client that saw its streams end asks at once for the exit code, which may be a moment behind.
    private static let inspectPolls = 20
    private static let inspectInterval = Duration.milliseconds(5)
    /// How long a new size waits for the start, as in Docker.
    private static let startPatience = Duration.seconds(10)

    init(_ container: Container, _ config: ExecConfig) {
        self.container = container
        containerID = container.id
        self.config = config
    }

    private var isToCome: Bool {
        switch phase {
        case .created, .starting: true
        case .running, .ended: false
        }
    }

    /// Executes the command.
    ///
    /// - Returns: a socket with the process's streams; nil when `detach` is on.
    /// - Throws: ``EngineError``: `.conflict` when it was started before or the container does not run.
    package func start(detach: Bool, rows: Int = 0, columns: Int = 0) async throws -> OwnedFD? {
        switch phase {
        case .created: break
        case .starting, .running:
            throw EngineError(.conflict, "Error: Exec command \(id) is already running")
        case .ended: throw EngineError(.conflict, "Error: Exec command \(id) has already run")
        }
        phase = .starting
        do {
            let connection = try await container.prepareExec(id, config, rows: rows, columns: columns)
            let streams: OwnedFD? =
                detach
                ? nil
                : try connection.openAttach(
                    stdin: config.attachStdin, stdout: config.attachStdout, stderr: config.attachStderr)
            await container.publish("exec_start: \(config.cmd.joined(separator: " "))", ["execID": id])
            let process = try await connection.start()
            lastPID = process.pid
            phase = .running(connection, process)
            Task { await self.finished(connection) }
            return streams
        } catch {
            let failure = ContainerSetup.failure(error)
            phase = .ended(failure.exitCode)
            await container.forget(exec: id)
            container.discardExec(id)
            throw failure.error
        }
    }

    // MARK: Probes of health checks, which run by themselves

    func began(_ connection: MonitorConnection, _ process: StartedProcess) {
        lastPID = process.pid
        phase = .running(connection, process)
    }

    func ended(_ exitCode: Int) { phase = .ended(exitCode) }

    private func finished(_ connection: MonitorConnection) async {
        let exit = await connection.exited()
        guard case .running = phase else { return }
        phase = .ended(Int(exit.exitCode))
        await container.forget(exec: id)
        await connection.monitorEnded()
        container.discardExec(id)
        await container.publish("exec_die", ["execID": id, "exitCode": "\(exit.exitCode)"])
    }

    /// The container's end ends its execs.
    func containerEnded() {
        switch phase {
        case .ended: break
        default: phase = .ended(137)
        }
    }

    /// A client has left the terminal by its keys; the process goes on.
    package func detached() async { await container.publish("exec_detach", ["execID": id]) }

    /// - Returns: whether the instance had ended already when this was last asked: then nobody needs it any more.
    func markRemovable() -> Bool {
        defer { if case .ended = phase { canRemove = true } }
        return canRemove
    }

    /// - Throws: ``EngineError``: `.conflict` when it has ended, `.system` when nobody starts it in ten seconds.
    package func resize(rows: Int, columns: Int) async throws {
        // As Docker: a client that has asked for the start knows no better than to send the size at once.
        let end = ContinuousClock.now + Self.startPatience
        while isToCome {
            guard ContinuousClock.now < end else {
                throw EngineError(.system, "timeout waiting for exec session ready")
            }
            try await Task.sleep(for: Self.inspectInterval)
        }
        guard case .running(let connection, _) = phase else {
            throw EngineError(.conflict, "exec process is not running")
        }
        let size = try TerminalSize(rows, columns)
        connection.resize(rows: size.rows, columns: size.columns)
    }

    package func inspect() async -> ExecState {
        for _ in 0..<Self.inspectPolls {
            guard case .running = phase, (try? await Task.sleep(for: Self.inspectInterval)) != nil else { break }
        }
        var isRunning = false
        var exitCode: Int?
        var wasStarted = true
        switch phase {
        case .created: wasStarted = false
        case .starting, .running: isRunning = true
        case .ended(let code): exitCode = code
        }
        return ExecState(
            id: id, containerID: containerID, running: isRunning, exitCode: exitCode, pid: lastPID, config: config,
            wasStarted: wasStarted, canRemove: canRemove)
    }
}
