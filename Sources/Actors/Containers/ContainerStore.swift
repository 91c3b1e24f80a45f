import Isolation
import Kernel
import LayerFS
import Logging
import Netlink
import OCI

/// Which containers a list shows.
package struct ListOptions: Sendable {
    package var all = false
    /// The newest so many, running or not.
    package var limit: Int?
    package var filters: [String: [String]] = [:]

    package init() {}
}

/// Owns which containers exist and what they are called; each container's own state belongs to its ``Container``.
package actor ContainerStore {
    /// What every container works with.
    struct Surroundings: Sendable {
        let configuration: EngineConfiguration
        let database: StateDatabase
        let images: ImageStore
        let layers: LayerStore
        let volumes: VolumeRegistry
        let networks: NetworkStore
        let events: EventLog
        let logger: Logger
        let lock: StoreLock
        let launcher: Launcher
        let directoryWatch: DirectoryWatch
        /// Containers whose monitors may wait for a start at once.
        let ahead = Allowance(16)
        /// Removes a container that asked for it (`--rm`) when it has ended.
        var removeInBackground: (@Sendable (String) async -> Void)?
        /// Lets a health check's run be looked at, as any exec.
        var noteProbe: (@Sendable (Exec) async -> Void)?
        /// Finds another container.
        var resolve: @Sendable (String) async throws -> Container = { throw EngineError.noSuchContainer($0) }

        init(
            configuration: EngineConfiguration, database: StateDatabase, images: ImageStore, layers: LayerStore,
            volumes: VolumeRegistry, networks: NetworkStore, events: EventLog, logger: Logger, lock: StoreLock
        ) throws {
            self.configuration = configuration
            self.database = database
            self.images = images
            self.layers = layers
            self.volumes = volumes
            self.networks = networks
            self.events = events
            self.logger = logger
            self.lock = lock
            launcher = try Launcher(monitorPath: configuration.monitorPath)
            directoryWatch = try DirectoryWatch(launcher.poller)
        }
    }

    var world: Surroundings
    private var containers: [String: Container] = [:]
    /// Name → id, reserved before anything is awaited.
    private var names: [String: String] = [:]
    private var execs: [String: Exec] = [:]
    private var execsSwept = ContinuousClock.now
    /// Of each container's health check, the newest last.
    private var probes: [String: [Exec]] = [:]

    init(_ world: Surroundings) { self.world = world }

    /// Lets containers find each other and ask for their own removal; before the first is made.
    private func connect() {
        world.resolve = { [weak self] in
            guard let self else { throw EngineError.noSuchContainer($0) }
            return try await self.container($0)
        }
        world.noteProbe = { [weak self] in await self?.note(probe: $0) }
        world.removeInBackground = { [weak self] id in Task { await self?.removeEnded(id) } }
    }

    // MARK: Look-up

    /// The container of a name, an id, or an unambiguous start of an id.
    package func container(_ reference: String) throws -> Container {
        let name = reference.hasPrefix("/") ? String(reference.dropFirst()) : reference
        if let container = containers[name] { return container }
        if let id = names[name], let container = containers[id] { return container }
        let found = name.isEmpty ? [] : containers.keys.filter { $0.hasPrefix(name) }
        if found.count == 1, let container = containers[found[0]] { return container }
        if found.count > 1 {
            throw EngineError(.invalidParameter, "Multiple IDs found with provided prefix: \(name)")
        }
        throw EngineError.noSuchContainer(reference)
    }

    /// Containers that match, newest first.
    package func list(_ options: ListOptions = ListOptions()) async throws -> [ListedContainer] {
        try ContainerFilter.check(options.filters)
        let showsAll =
            options.all || options.limit != nil || options.filters["status"] != nil || options.filters["exited"] != nil
        var all: [ListedContainer] = []
        all.reserveCapacity(containers.count)
        for container in containers.values {
            if let listed = container.listed { all.append(listed) } else { all.append(await container.list()) }
        }
        if !showsAll { all.removeAll { !$0.record.state.status.isActive } }
        let filter = options.filters.isEmpty ? nil : ContainerFilter(options.filters, all: all)
        let matching = (filter.map { all.filter($0.matches) } ?? all).sorted {
            $0.record.created == $1.record.created
                ? $0.record.id > $1.record.id : $0.record.created > $1.record.created
        }
        return options.limit.map { Array(matching.prefix(max(0, $0))) } ?? matching
    }

    // MARK: Create

    /// Makes a container: its record, its mounts, its directory. Durable when this returns.
    package func create(_ request: CreateRequest) async throws -> CreateResult {
        let image = try await world.images.image(request.config.image ?? "")
        if let wanted = request.platform {
            let config = image.record.config
            let found = Platform(os: config.os, architecture: config.architecture, variant: config.variant)
            guard found.matches(wanted) else {
                throw EngineError(
                    .notFound,
                    "image with reference \(request.config.image ?? "") was found but its platform (\(found)) does not match the specified platform (\(wanted))"
                )
            }
        }
        let id = Identifier.random()
        let name = try reserveName(request.name, id: id)
        do {
            let factory = ContainerFactory(world)
            let (record, warnings) = try await factory.make(request, image: image, id: id, name: name)
            let container = Container(record, world)
            await container.prepareAhead()
            do { try await container.persist() } catch {
                await container.abandonAhead()
                throw error
            }
            containers[id] = container
            if record.mounts.contains(where: \.anonymous) { await world.volumes.settle(container: id) }
            await container.publish("create")
            return CreateResult(id: id, warnings: warnings)
        } catch {
            names[name] = nil
            await world.images.unuse(container: id)
            await world.volumes.forgetUnmade(container: id)
            ContainerPaths(world.configuration, id: id).discard()
            throw error
        }
    }

    private func reserveName(_ wanted: String?, id: String) throws -> String {
        guard let wanted, !wanted.isEmpty else {
            let name = ContainerName.generate { names[$0] != nil }
            names[name] = id
            return name
        }
        let name = wanted.hasPrefix("/") ? String(wanted.dropFirst()) : wanted
        try ContainerName.check(name)
        if let holder = names[name] { throw Self.nameTaken(name, holder) }
        names[name] = id
        return name
    }

    private static func nameTaken(_ name: String, _ holder: String) -> EngineError {
        EngineError(
            .conflict,
            "Conflict. The container name \"/\(name)\" is already in use by container \"\(holder)\". "
                + "You have to remove (or rename) that container to be able to reuse that name.")
    }

    package func rename(_ reference: String, to wanted: String) async throws {
        let container = try container(reference)
        let name = wanted.hasPrefix("/") ? String(wanted.dropFirst()) : wanted
        try ContainerName.check(name)
        let old = await container.name
        guard name != old else {
            throw EngineError(.invalidParameter, "Renaming a container with the same name as its current name")
        }
        if let holder = names[name] { throw Self.nameTaken(name, holder) }
        names[name] = container.id
        do { try await container.rename(to: name) } catch {
            names[name] = nil
            throw error
        }
        names[old] = nil
    }

    // MARK: Remove

    package func remove(_ reference: String, force: Bool, volumes: Bool) async throws {
        let container = try container(reference)
        try await container.remove(force: force, volumes: volumes)
        await drop(container)
    }

    private func drop(_ container: Container) async {
        containers[container.id] = nil
        names = names.filter { $0.value != container.id }
        execs = execs.filter { $0.value.containerID != container.id }
        probes[container.id] = nil
    }

    private func removeEnded(_ id: String) async {
        guard containers[id] != nil else { return }
        do { try await remove(id, force: false, volumes: true) } catch {
            world.logger.warning("cannot remove container", metadata: ["container": "\(id)", "error": "\(error)"])
        }
    }

    /// Removes every container that does not run.
    package func prune(filters: [String: [String]]) async throws -> PruneResult {
        var result = PruneResult()
        var options = ListOptions()
        options.all = true
        let filter = try PruneFilter(filters, known: ["until", "label", "label!"])
        for record in try await list(options).map(\.record)
        where [.created, .exited, .dead].contains(record.state.status) {
            guard filter.allows(labels: record.config.labels ?? [:], created: record.created) else { continue }
            let size = await containers[record.id]?.writableBytes() ?? 0
            // One that was started or removed meanwhile is left alone.
            guard (try? await remove(record.id, force: false, volumes: false)) != nil else { continue }
            result.deleted.append(record.id)
            result.spaceReclaimed += size
        }
        return result
    }

    // MARK: Exec

    package func createExec(_ reference: String, _ config: ExecConfig) async throws -> String {
        let container = try container(reference)
        let exec = try await container.makeExec(config)
        execs[exec.id] = exec
        await forgetEndedExecs()
        return exec.id
    }

    /// How long the exit code of an exec can be asked for, at least.
    private static let execLifetime = Duration.seconds(300)

    private func forgetEndedExecs() async {
        guard ContinuousClock.now - execsSwept > Self.execLifetime else { return }
        execsSwept = .now
        for exec in execs.values where await exec.markRemovable() { execs[exec.id] = nil }
    }

    /// As many runs of a health check can be looked at as its results: it may have thousands in a short time.
    private static let probesMax = Health.resultsMax

    private func note(probe: Exec) {
        // A container that is being removed is not asked about any more.
        guard containers[probe.containerID] != nil else { return }
        probes[probe.containerID] = (probes[probe.containerID] ?? []).suffix(Self.probesMax - 1) + [probe]
    }

    package func exec(_ id: String) throws -> Exec {
        let found = execs[id] ?? probes.values.joined().first { $0.id == id }
        guard let exec = found else { throw EngineError(.notFound, "No such exec instance: \(id)") }
        return exec
    }

    // MARK: Life of the daemon

    /// Finds the containers of earlier runs again, and the processes that still live.
    func restore() async throws {
        connect()
        let logger = world.logger
        let records = try await world.database.read { transaction in
            try transaction.containers {
                logger.error("container record cannot be read", metadata: ["container": "\($0)"])
            }
        }
        for record in records {
            containers[record.id] = Container(record, world)
            names[record.name] = record.id
            for image in record.images {
                await world.images.use(image.id, chain: image.diffIDs, container: record.id)
            }
            for name in record.mounts.filter({ $0.type == "volume" }).compactMap(\.name) {
                do { try await world.volumes.refer(name, container: record.id) } catch {
                    logger.error(
                        "volume of a container is missing",
                        metadata: ["container": "\(record.id)", "volume": "\(name)"])
                }
            }
        }
        let (launcher, parent) = (world.launcher, world.configuration.cgroupParent)
        ContainerPaths.clearLeftovers(world.configuration, known: Set(containers.keys), logger) { id in
            Cgroup(hierarchies: launcher.hierarchies, parent: parent, id: id)
        }
        await adopt(records)
    }

    private func adopt(_ records: [ContainerRecord]) async {
        var found: [String: ContainerFound] = [:]
        let world = world
        await withTaskGroup(of: (String, ContainerFound).self) { group in
            for record in records { group.addTask { (record.id, await ContainerFound.look(record, world)) } }
            for await (id, result) in group { found[id] = result }
        }
        let survivors = records.compactMap { record -> (record: ContainerRecord, sandbox: AdoptedSandbox)? in
            guard case .process(_, let process) = found[record.id],
                var sandbox = ContainerPaths(world.configuration, id: record.id).sandbox()
            else { return nil }
            sandbox.namespacePath = "/proc/\(process.pid)/ns/net"
            return (record, sandbox)
        }
        await world.networks.adopt(survivors)
        for record in records {
            guard let container = containers[record.id] else { continue }
            if case .process = found[record.id] {
                await world.volumes.adopt(record.mounts, for: record.id)
                do { for image in record.images { _ = try await world.layers.acquire(image.diffIDs) } } catch {
                    world.logger.error(
                        "cannot mount image", metadata: ["container": "\(record.id)", "error": "\(error)"])
                }
            }
            await container.adopt(found[record.id] ?? .nothing)
        }
        await world.volumes.unmountUnused()
    }

    func shutdown() async {
        for container in containers.values { await container.letGo() }
    }
}

/// What an earlier daemon's container turned out to be.
enum ContainerFound {
    case process(MonitorConnection, StartedProcess)
    /// It ended while no daemon was there.
    case ended(ExitRecord)
    case nothing

    /// A monitor tells at once what its process does; one that has not within a second never will.
    private static let greetingInterval = Duration.milliseconds(2)
    private static let greetingPolls = 500

    static func look(_ record: ContainerRecord, _ world: ContainerStore.Surroundings) async -> ContainerFound {
        let paths = ContainerPaths(world.configuration, id: record.id)
        guard Files.exists(paths.run) else { return .nothing }
        let cgroup = LaunchSpec.cgroup(of: record, world)
        if let connection = await world.launcher.reconnect(directory: paths.run, cgroup: cgroup) {
            for _ in 0..<greetingPolls {
                if let process = connection.process { return .process(connection, process) }
                // Cancelled with the daemon's start.
                guard (try? await Task.sleep(for: greetingInterval)) != nil else { break }
                if Launcher.exitRecord(directory: paths.run) != nil { break }
            }
        }
        return Launcher.exitRecord(directory: paths.run).map { .ended($0) } ?? .nothing
    }
}

/// The filters of `docker ps`.
struct ContainerFilter {
    private static let known: Set<String> = [
        "ancestor", "before", "exited", "health", "id", "label", "name", "network", "since", "status", "volume",
        "is-task",
        "expose", "publish", "isolation",
    ]
    /// The health of what is not checked.
    private static let noHealth = "none"
    private let filters: [String: [String]]
    private let before: String?
    private let since: String?

    static func check(_ filters: [String: [String]]) throws {
        try Filter.check(filters, known: known)
        for status in filters["status"] ?? [] where ContainerRecord.State.Status(rawValue: status) == nil {
            throw EngineError(.invalidParameter, "invalid filter 'status=\(status)'")
        }
        for health in filters["health"] ?? [] where health != noHealth && Health.Status(rawValue: health) == nil {
            throw EngineError(.invalidParameter, "Unrecognised filter value for health: \(health.printable)")
        }
    }

    init(_ filters: [String: [String]], all: [ListedContainer]) {
        self.filters = filters
        func created(_ reference: String?) -> String? {
            guard let reference else { return nil }
            return all.first { $0.record.name == reference || $0.record.id.hasPrefix(reference) }?.record.created
        }
        before = created(filters["before"]?.first)
        since = created(filters["since"]?.first)
    }

    func matches(_ container: ListedContainer) -> Bool {
        let record = container.record
        return Filter.hasPrefix(filters["id"], of: record.id) && Filter.contains(filters["name"], in: "/" + record.name)
            && Filter.labels(filters["label"], record.config.labels ?? [:])
            && Filter.equals(filters["status"], record.state.status.rawValue)
            && Filter.equals(filters["health"], record.state.health?.status.rawValue ?? Self.noHealth)
            && Filter.equals(filters["exited"], "\(record.state.exitCode)")
            && (before.map { record.created < $0 } ?? true) && (since.map { record.created > $0 } ?? true)
            && matchesAny("ancestor") { ancestor in
                record.imageID.description == ancestor || record.imageID.hex.hasPrefix(ancestor)
                    || record.imageName == ancestor || record.imageName.hasPrefix(ancestor + ":")
            }
            && matchesAny("network") {
                record.networks.keys.contains($0) || record.networks.values.map(\.networkID).contains($0)
            }
            && matchesAny("volume") { volume in
                record.mounts.contains { $0.name == volume || $0.destination == volume || $0.source == volume }
            }
    }

    private func matchesAny(_ key: String, _ holds: (String) -> Bool) -> Bool {
        guard let wanted = filters[key], !wanted.isEmpty else { return true }
        return wanted.contains(where: holds)
    }
}
