import Glibc
import Isolation
import Kernel
import Netlink
import OCI

/// Brings up what a start needs, and takes it down again when a part fails.
struct ContainerSetup: Sendable {
    private let world: ContainerStore.Surroundings
    private let paths: ContainerPaths
    /// Finds the containers whose namespaces are shared.
    private let resolve: @Sendable (String) async throws -> Container

    init(
        _ world: ContainerStore.Surroundings, _ paths: ContainerPaths,
        resolve: @escaping @Sendable (String) async throws -> Container
    ) {
        self.world = world
        self.paths = paths
        self.resolve = resolve
    }

    /// A monitor that listens, and where the container is on its networks.
    struct Result: Sendable {
        let connection: MonitorConnection
        var networks: [String: EndpointSettings]
        var ports: [String: [PortBindingRequest]]
        /// With the directories where drivers have mounted volumes.
        var mounts: [ContainerRecord.MountPoint]
        /// With `--network none`: the namespace, held until the container has ended.
        var empty: EmptyNamespace?
    }

    func prepare(_ record: ContainerRecord) async throws -> Result {
        let roots = try await acquire(record.images)
        do {
            var record = record
            record.mounts = try await world.volumes.mount(record.mounts, for: record.id)
            for point in record.mounts { try MountSources.check(point, root: world.configuration.dataRoot) }
            try Files.makeDirectories(paths.run)
            var (joined, sharer) = try await joined(record.hostConfig)
            if let sharer {
                record.config.hostname = sharer.config.hostname
                record.config.domainname = sharer.config.domainname
            }
            let place = try await network(record, joined)
            let links = try await linked(record)
            joined.variables = links.flatMap { $0.variables(record) }
            try await writeFiles(record, place, links)
            let spec = try LaunchSpec(world, paths).container(
                record, roots: roots, network: place.mode, joined: joined)
            let connection = try await world.launcher.prepare(spec, directory: paths.run)
            return Result(
                connection: connection, networks: place.networks, ports: place.ports, mounts: record.mounts,
                empty: place.empty)
        } catch {
            await world.networks.detach(record)
            await world.volumes.unmount(record.mounts, for: record.id)
            for image in record.images { await world.layers.release(image.diffIDs) }
            throw error
        }
    }

    /// Mounts the images a container needs, or joins their mounts: all or none.
    ///
    /// - Returns: the root directories in the same order.
    private func acquire(_ images: [ContainerRecord.MountPoint.Image]) async throws -> [String] {
        var roots: [String] = []
        do { for image in images { roots.append(try await world.layers.acquire(image.diffIDs)) } } catch {
            for image in images.prefix(roots.count) { await world.layers.release(image.diffIDs) }
            throw error
        }
        return roots
    }

    /// What is shared with other containers, and the record of the one whose network it is.
    private func joined(_ host: HostConfig) async throws -> (LaunchSpec.Joined, ContainerRecord?) {
        func pid(_ mode: String?) async throws -> Int32? {
            guard let mode, mode.hasPrefix("container:") else { return nil }
            let other = try await resolve(String(mode.dropFirst("container:".count)))
            do { return try await other.running().process.pid } catch {
                throw EngineError(
                    .conflict,
                    "cannot join namespace of a non running container: "
                        + "container \(other.id) is not running: start it first"
                )
            }
        }
        if let mode = host.ipcMode, mode.hasPrefix("container:") {
            try await checkShared(String(mode.dropFirst("container:".count)))
        }
        var joined = LaunchSpec.Joined(
            network: try await pid(host.networkMode), ipc: try await pid(host.ipcMode), pid: try await pid(host.pidMode)
        )
        let owner = try await networkOwner(host)
        joined.files = owner.map { ContainerPaths(world.configuration, id: $0.id) }
        return (joined, owner)
    }

    /// - Throws: ``EngineError`` when the container's IPC namespace is its own alone.
    private func checkShared(_ reference: String) async throws {
        let other = try await resolve(reference).snapshot().record
        guard ["private", "none"].contains(other.hostConfig.ipcMode ?? "private") else { return }
        throw EngineError.invalid(
            "failed to join IPC namespace: container \(other.id): non-shareable IPC "
                + "(hint: use IpcMode:shareable for the donor container)")
    }

    /// The container that has the network this one shares: the last of a chain in which each shares that of the next.
    private func networkOwner(_ host: HostConfig) async throws -> ContainerRecord? {
        var owner: ContainerRecord?
        var mode = host.networkMode ?? ""
        while mode.hasPrefix("container:") {
            let next = try await resolve(String(mode.dropFirst("container:".count))).snapshot().record
            guard next.id != owner?.id else { break }
            owner = next
            mode = next.hostConfig.networkMode ?? ""
        }
        return owner
    }

    // MARK: Network

    private struct Place {
        var mode: NetworkMode
        var networks: [String: EndpointSettings]
        var ports: [String: [PortBindingRequest]] = [:]
        var empty: EmptyNamespace?
        var hasResolver = false
    }

    private func network(_ record: ContainerRecord, _ joined: LaunchSpec.Joined) async throws -> Place {
        if let pid = joined.network { return Place(mode: .namespace("/proc/\(pid)/ns/net"), networks: record.networks) }
        switch record.hostConfig.networkMode {
        case "host": return Place(mode: .host, networks: record.networks)
        case "none":
            let empty = await world.networks.empty.take()
            return Place(mode: empty.map { .namespace($0.path) } ?? .none, networks: record.networks, empty: empty)
        default: break
        }
        let attachment = try await world.networks.attach(record)
        try paths.store(attachment.kept)
        return Place(
            mode: .namespace(attachment.namespacePath), networks: attachment.networks, ports: attachment.ports,
            hasResolver: attachment.hasResolver)
    }

    private func writeFiles(_ record: ContainerRecord, _ place: Place, _ links: [LinkedContainer]) async throws {
        guard !(record.hostConfig.networkMode ?? "").hasPrefix("container:") else { return }
        var record = record
        record.networks = place.networks
        let extra = try await extraHosts(record) + links.flatMap(\.hosts)
        try NameFiles(paths: paths, defaults: world.configuration.network)
            .write(record, extra: extra, embedded: place.hasResolver)
    }

    /// Names of `--add-host` with their addresses.
    ///
    /// - Throws: ``EngineError`` when the bridge's address is asked for and there is no bridge.
    private func extraHosts(_ record: ContainerRecord) async throws -> [HostsFile.Entry] {
        var result: [HostsFile.Entry] = []
        for text in record.hostConfig.extraHosts ?? [] {
            let extra = try ExtraHost(text)
            var address = extra.address
            if address == ExtraHost.gateway {
                guard let gateway = try await world.networks.hostGateway() else {
                    throw EngineError.invalid(
                        "unable to derive the IP value for host-gateway: the default bridge is disabled")
                }
                address = "\(gateway)"
            }
            result.append(HostsFile.Entry(address: address, names: [extra.name]))
        }
        return result
    }

    /// The neighbours on the default bridge that links name; other networks answer them by name.
    private func linked(_ record: ContainerRecord) async throws -> [LinkedContainer] {
        guard record.networks["bridge"] != nil else { return [] }
        var result: [LinkedContainer] = []
        for link in record.hostConfig.links ?? [] { result.append(try await linked(record, link)) }
        return result
    }

    private func linked(_ record: ContainerRecord, _ text: String) async throws -> LinkedContainer {
        let link = try ContainerLink(text)
        let target = try await resolve(link.target).snapshot().record
        guard target.state.status.hasProcess else {
            throw EngineError(
                .conflict,
                "Cannot link to a non running container: /\(target.name) AS /\(record.name)/\(link.alias)")
        }
        guard let settings = target.networks["bridge"] else {
            throw EngineError(
                .invalidParameter,
                "Cannot link to \(target.name), as it does not belong to the default network")
        }
        return LinkedContainer(alias: link.alias, target: target, settings: settings)
    }

    /// What links tell in the environment of a process that joins the container now: of neighbours that still run.
    func linkVariables(_ record: ContainerRecord) async -> [String] {
        guard record.networks["bridge"] != nil else { return [] }
        var result: [String] = []
        for link in record.hostConfig.links ?? [] {
            guard let neighbour = try? await linked(record, link) else { continue }
            result += neighbour.variables(record)
        }
        return result
    }

    // MARK: Failure

    /// What a failed start tells: Docker's error and the exit code it leaves.
    static func failure(_ error: any Error) -> (error: EngineError, exitCode: Int) {
        switch error {
        case let error as LaunchError:
            let isUsers = [.commandNotFound, .commandNotExecutable, .invalid].contains(error.kind)
            return (EngineError(isUsers ? .invalidParameter : .system, error.message), Int(error.exitCode))
        case let error as NetworkError:
            return (EngineError(.system, "failed to set up container networking: \(error)"), 128)
        default:
            return (EngineError.wrapping(error), 128)
        }
    }
}
