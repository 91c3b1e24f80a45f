import Kernel
import Netlink

/// A container comes to more networks, and leaves some.
extension Container {
    /// Joins a network: at once when it runs, else with its next start. Durable when this returns.
    ///
    /// - Throws: ``EngineError`` in Docker's words; nothing has changed then.
    package func connect(_ reference: String, _ asked: EndpointSettings) async throws {
        let network = try await world.networks.network(reference)
        guard !(record.hostConfig.networkMode ?? "").hasPrefix("container:") else { throw RequestedNetworks.sharing }
        let settings = try RequestedNetworks(world.networks)
            .joining(network, asked, others: Array(record.networks.keys))
        guard record.networks[network.name] == nil else {
            throw EngineError(
                .forbidden, "endpoint with name \(record.name) already exists in network \(network.name)")
        }
        // Reserved before anything is awaited: a second call for the network fails.
        record.networks[network.name] = settings
        do {
            if case .running = phase {
                let attachment = try await world.networks.connect(record, to: network)
                try take(attachment)
                if let joined = record.networks[network.name] { try files.add(joined, of: record) }
                try files.writeResolvConf(record, embedded: attachment.hasResolver)
            } else {
                try await abandonPrepared()
            }
            try await persist()
        } catch {
            record.networks[network.name] = nil
            if case .running = phase { await takeBack(network) }
            throw error
        }
    }

    /// Leaves a network: at once when it runs, else with its next start.
    ///
    /// - Parameter force: also when it is not on it.
    package func disconnect(_ reference: String, force: Bool) async throws {
        let network = try await world.networks.network(reference)
        guard network.name != "host" || record.networks["host"] == nil else {
            throw EngineError(.forbidden, "container cannot be disconnected from host network")
        }
        guard let settings = record.networks.removeValue(forKey: network.name) else {
            if force { return }
            throw EngineError(
                .forbidden, "container \(id) is not connected to network \(network.name)")
        }
        do {
            if case .running = phase {
                try take(try await world.networks.disconnect(record, from: network))
                try files.remove(settings, of: record)
            } else {
                try await abandonPrepared()
            }
            try await persist()
        } catch {
            if record.networks[network.name] == nil { record.networks[network.name] = settings }
            throw error
        }
    }

    private var files: NameFiles { NameFiles(paths: paths, defaults: world.configuration.network) }

    /// Takes up what the networks gave, for a daemon that starts again, too.
    private func take(_ attachment: Attachment) throws {
        for (name, settings) in attachment.networks where record.networks[name] != nil {
            record.networks[name] = settings
        }
        record.ports = attachment.ports
        try paths.store(attachment.kept)
    }

    /// Undoes a join that came only half of the way.
    private func takeBack(_ network: NetworkRecord) async {
        // It may not have come as far as the kernel.
        guard let attachment = try? await world.networks.disconnect(record, from: network) else { return }
        // The first failure is the one to tell.
        try? take(attachment)
    }

    /// What was prepared ahead of a start has the networks of before.
    ///
    /// - Throws: ``EngineError`` `.conflict` when somebody waits for the start already.
    private func abandonPrepared() async throws {
        let wasAhead = isAhead
        while case .preparing(let task) = phase {
            _ = try? await task.value
            await Task.yield()  // the one who began it takes it up first
        }
        switch phase {
        case .prepared where wasAhead && isAhead: await abandonAhead()
        case .prepared, .running, .preparing:
            throw EngineError(.conflict, "container \(id) is being started: try again when it runs")
        case .idle, .removed: break
        }
    }
}
