import Kernel
import Logging
import Netlink

/// The kernel's side of the networks: opened once, with everything that is to be there.
extension NetworkStore {
    /// What the kernel has, made or taken over at first use.
    ///
    /// - Throws: ``EngineError`` when the host refuses all networking; one network that fails is told by ``kernel(for:)``.
    func kernel() async throws -> HostNetworks {
        if let opening { return try await opening.value }
        let task = Task { try await open() }
        opening = task
        do { return try await task.value } catch {
            opening = nil
            throw EngineError(.system, "cannot set up networks: \(error)")
        }
    }

    /// The same, for a container of these networks.
    ///
    /// - Throws: ``EngineError`` also when one of them could not be made.
    func kernel(for networks: [NetworkRecord]) async throws -> HostNetworks {
        let kernel = try await kernel()
        for network in networks {
            if let failure = failures[network.id] {
                throw EngineError(.system, "cannot set up network \(network.name): \(failure)")
            }
        }
        return kernel
    }

    /// Makes namespaces and bridges before the first container asks for them. A failure shows when one does.
    package func warmUp() async {
        await empty.warmUp()
        guard configuration.bridgeEnabled || !survivors.isEmpty || !plans().isEmpty else { return }
        do { _ = try await kernel() } catch { logger.error("\(error)") }
    }

    /// The address by which containers reach the host; nil without a default bridge.
    func hostGateway() async throws -> IPAddress? {
        guard configuration.bridgeEnabled else { return nil }
        _ = try await kernel()
        return try network("bridge").plan?.ipv4?.gateway
    }

    private func open() async throws -> HostNetworks {
        let kernel = try await HostNetworks.open(
            HostNetworks.Configuration(pools: configuration.network.pools, seed: configuration.dataRoot))
        if let failure = kernel.translationFailure { logger.error("ports cannot be published: \(failure)") }
        if configuration.bridgeEnabled { await openDefault(kernel) }
        for plan in plans() {
            do throws(NetworkError) { try await kernel.restore(plan) } catch {
                failures[plan.id] = error
                logger.error("cannot restore network", metadata: ["network": "\(plan.name)", "error": "\(error)"])
            }
        }
        for id in try await kernel.adopt(survivors).refused {
            logger.warning("container lost its address", metadata: ["container": "\(id)"])
        }
        for survivor in survivors { await serveAgain(survivor.container, kernel) }
        return kernel
    }

    private func openDefault(_ kernel: HostNetworks) async {
        do {
            let id = try network("bridge").id
            let request = try configuration.network.defaultBridge(id: id, interface: configuration.bridgeName)
            took(try await kernel.create(request), options: configuration.network.options(configuration.bridgeName))
        } catch {
            if let id = try? network("bridge").id { failures[id] = error }
            logger.error("cannot set up network bridge: \(error)")
        }
    }

    /// Says which containers outlived an earlier daemon, before anything is opened; they are in the tables at once.
    func adopt(_ found: [(record: ContainerRecord, sandbox: AdoptedSandbox)]) async {
        survivors = found.map(\.sandbox)
        for (record, sandbox) in found {
            for endpoint in sandbox.endpoints { await enter(record, endpoint) }
        }
    }

    /// Answers an adopted container's name queries again.
    private func serveAgain(_ container: String, _ kernel: HostNetworks) async {
        do {
            guard let sockets = try await kernel.resolverSockets(of: container) else { return }
            try await names.serve(container, sockets)
        } catch {
            logger.warning("cannot answer names", metadata: ["container": "\(container)", "error": "\(error)"])
        }
    }
}
