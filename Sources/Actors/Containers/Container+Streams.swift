import Glibc
import Isolation
package import Kernel

extension Container {
    /// Which of the process's streams somebody wants.
    package struct Streams: Sendable {
        package var stdin: Bool
        package var stdout: Bool
        package var stderr: Bool

        package init(stdin: Bool, stdout: Bool, stderr: Bool) {
            self.stdin = stdin
            self.stdout = stdout
            self.stderr = stderr
        }
    }

    /// A socket with the process's streams: Docker's multiplexed frames, or raw bytes with a TTY. Works before the start.
    ///
    /// - Throws: ``EngineError`` `.conflict` while the container is paused or waits for its restart.
    package func attach(_ streams: Streams) async throws -> OwnedFD {
        guard let connection = try await attachable() else { return try SocketPair.ended() }
        let socket = try connection.openAttach(
            stdin: takesInput(streams), stdout: streams.stdout, stderr: streams.stderr)
        await publish("attach")
        return socket
    }

    /// The same, behind what the log has: each byte is in the one or comes from the other, a line that is being written perhaps
    /// not whole.
    ///
    /// - Throws: as ``attach(_:)`` and ``logs(_:)``.
    package func attach(
        _ streams: Streams, after log: LogOptions
    ) async throws -> (history: LogReader, socket: DescriptorBox) {
        guard let connection = try await attachable() else {
            return (try await logs(log), DescriptorBox(try SocketPair.ended()))
        }
        let (socket, logged): (DescriptorBox, Int64)
        do throws(SystemError) {
            (socket, logged) = try await connection.openTimedAttach(
                stdin: takesInput(streams), stdout: streams.stdout, stderr: streams.stderr)
        } catch {
            // Its monitor has just gone, and the log has everything.
            guard [ENOENT, ECONNREFUSED].contains(error.code) else { throw error }
            (socket, logged) = (DescriptorBox(try SocketPair.ended()), .max)
        }
        var log = log
        log.until = Timestamp(nanosecondsSince1970: logged)
        let history = try await logs(log)
        await publish("attach")
        return (history, socket)
    }

    private func takesInput(_ streams: Streams) -> Bool { streams.stdin && record.config.openStdin == true }

    /// - Returns: nil for one that cannot be prepared: the start that follows tells it; the client has nothing to read until then.
    private func attachable() async throws -> MonitorConnection? {
        switch record.state.status {
        case .paused:
            throw EngineError(.conflict, "container \(id) is paused, unpause the container before attach")
        case .restarting:
            throw EngineError(.conflict, "container \(id) is restarting, wait until the container is running")
        default: break
        }
        do { return try await prepare().connection } catch {
            failedPreparation = error
            return nil
        }
    }

    /// A client has left the terminal by its keys; the container goes on.
    package func detached() async { await publish("detach") }

    package func resize(rows: Int, columns: Int) throws {
        let size = try TerminalSize(rows, columns)
        try running().connection.resize(rows: size.rows, columns: size.columns)
    }

    // MARK: Exec

    func makeExec(_ config: ExecConfig) throws -> Exec {
        if record.state.status == .paused {
            throw EngineError(.conflict, "Container \(id) is paused, unpause the container before exec")
        }
        _ = try running()
        guard !config.cmd.isEmpty else { throw EngineError(.invalidParameter, "No exec command specified") }
        let exec = Exec(self, config)
        execs[exec.id] = exec
        return exec
    }

    func forget(exec id: String) { execs[id] = nil }

    /// Brings up the monitor of an exec.
    ///
    /// - Parameter directory: nil for one of the exec's own.
    func prepareExec(
        _ execID: String, _ config: ExecConfig, directory: String? = nil, rows: Int = 0, columns: Int = 0
    ) async throws -> MonitorConnection {
        let (_, process) = try running()
        let variables = await ContainerSetup(world, paths, resolve: world.resolve).linkVariables(record)
        let spec = try LaunchSpec(world, paths).exec(
            record, config, process: process, variables: variables, rows: rows, columns: columns)
        let directory = directory ?? execDirectory(execID)
        try Files.makeDirectories(directory)
        await publish("exec_create: \(config.cmd.joined(separator: " "))", ["execID": execID])
        return try await world.launcher.prepareExec(spec, directory: directory)
    }

    nonisolated func execDirectory(_ execID: String) -> String { "\(paths.run)/exec-\(execID.prefix(12))" }

    nonisolated func discardExec(_ execID: String) {
        let directory = execDirectory(execID)
        Task {
            await BlockingPool.shared.run {
                // Removed with the container's run directory at the latest.
                try? Files.removeTree(directory)
            }
        }
    }

    /// The daemon ends; the process and its monitor go on.
    func letGo() {
        probing?.cancel()
        if case .prepared(let ready) = phase { ready.connection.abandon() }
    }
}

extension TerminalSize {
    /// - Throws: ``EngineError`` `.invalidParameter` for a size no terminal has.
    init(_ rows: Int, _ columns: Int) throws {
        guard let rows = UInt16(exactly: rows), let columns = UInt16(exactly: columns) else {
            throw EngineError(.invalidParameter, "invalid resize height or width: \(rows)x\(columns)")
        }
        self.init(rows: rows, columns: columns)
    }
}
