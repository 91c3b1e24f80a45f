import Isolation
import Kernel
import Logging

/// What is written of a container, and told.
extension Container {
    /// Changes limits and the restart policy; members that are nil, zero or empty stay as they are.
    ///
    /// - Returns: warnings.
    /// - Throws: ``EngineError`` `.conflict` for a change beside what is set, `.invalidParameter` for what cannot be, in
    ///   Docker's words.
    package func update(_ changes: HostConfig) async throws -> [String] {
        var host = record.hostConfig
        do { try host.change(by: changes) } catch {
            throw EngineError(error.code, "Cannot update container \(id): \(error.message)")
        }
        let warnings = try HostConfigCheck.check(host, record.config) + LaunchSpec.unheldLimits(changes, world)
        if isRunning {
            let cgroup = try cgroup()
            let limits = LaunchSpec.cgroup(host, world.configuration).limits
            do { try await BlockingPool.shared.run { () throws(LaunchError) in try cgroup.change(limits) } } catch {
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

    // MARK: Storing

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

    func noteUnstored(_ error: any Error) {
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
}
