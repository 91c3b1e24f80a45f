import Isolation
import Kernel
import Logging

/// What a start needs, brought up when it is asked for, or ahead of that.
extension Container {
    /// Brings up the monitor with everything the process needs, once.
    func prepare() async throws -> ContainerSetup.Result {
        endAhead()
        return try await prepareOnce()
    }

    private func prepareOnce() async throws -> ContainerSetup.Result {
        switch phase {
        case .prepared(let ready): return ready
        case .running(let connection, _):
            return ContainerSetup.Result(
                connection: connection, networks: record.networks, ports: record.ports, mounts: record.mounts)
        case .preparing(let task): return try await task.value
        case .removed: throw EngineError.noSuchContainer(id)
        case .idle: break
        }
        let record = record
        let setup = ContainerSetup(world, paths, resolve: world.resolve)
        let teardown = teardown
        let task = Task {
            await teardown?.value
            return try await setup.prepare(record)
        }
        phase = .preparing(task)
        noteWrites()
        do {
            let result = try await task.value
            empty = result.empty
            if case .preparing = phase { phase = .prepared(result) }
            if case .removed = phase {
                await abandon(result)
                discard()
                throw EngineError.noSuchContainer(id)
            }
            return result
        } catch {
            if case .preparing = phase { phase = .idle }
            throw error
        }
    }

    /// Begins to bring up the monitor of a new container, while its record is being stored: a start follows nearly every
    /// creation within milliseconds. What nobody has asked for after a moment is given back; what fails is told by the
    /// start, which tries again.
    func prepareAhead() {
        guard case .idle = phase, canPrepareAhead, world.ahead.take() else { return }
        isAhead = true
        let (logger, id) = (world.logger, id)
        Task {
            do { _ = try await prepareOnce() } catch {
                logger.debug("cannot prepare ahead", metadata: ["container": "\(id)", "error": "\(error)"])
            }
            // Cancelled with the daemon, which lets go of everything that is prepared.
            try? await Task.sleep(for: Self.aheadLifetime)
            await abandonAhead()
        }
    }

    /// - Returns: false when it had ended already.
    @discardableResult
    func endAhead() -> Bool {
        guard isAhead else { return false }
        isAhead = false
        world.ahead.give()
        return true
    }

    /// How long a monitor waits for a start that may not come.
    private static let aheadLifetime = Duration.seconds(2)

    /// Only what takes nothing that others may want or wait for: ports, addresses by number, namespaces of others, files that
    /// may come late, and other drivers' volumes.
    private var canPrepareAhead: Bool {
        let host = record.hostConfig
        return (host.portBindings ?? [:]).isEmpty && host.publishAllPorts != true
            && ![host.networkMode, host.ipcMode, host.pidMode].contains { $0?.hasPrefix("container:") == true }
            && (host.links ?? []).isEmpty && record.networks.values.allSatisfy { $0.ipamConfig == nil }
            && !record.mounts.contains { $0.type == "bind" || $0.isByDriver }
    }

    /// Gives back what was prepared and not asked for.
    func abandonAhead() async {
        guard endAhead(), case .prepared(let ready) = phase else { return }
        phase = .idle
        await abandon(ready)
    }

    func abandon(_ ready: ContainerSetup.Result) async {
        ready.connection.abandon()
        await release(ready.connection)
    }
}
