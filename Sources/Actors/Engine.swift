import Isolation
import Kernel
import LayerFS
package import Logging
package import Registry

/// Where the engine keeps things and how it behaves: `daemon.json` and the daemon's flags, resolved.
package struct EngineConfiguration: Sendable {
    /// Durable state; `--data-root`.
    package var dataRoot = "/var/lib/docker-swift"
    /// Sockets, mounts and process state of this boot; `--exec-root`.
    package var execRoot = "/var/run/docker-swift"
    /// The `docker-monitor` executable.
    package var monitorPath = ""
    /// Parent of container control groups; `--cgroup-parent`.
    package var cgroupParent = "docker"
    /// How layers are mounted: `erofs`, `directory`, or nil for the best that works here.
    package var storageDriver: String?
    /// `false`: no bridge network is made (`--bridge none`).
    package var bridgeEnabled = true
    package var bridgeName = "docker0"
    package var network = NetworkDefaults()
    package var registry: RegistryConfiguration
    /// Layers downloaded at once, over all pulls (`max-concurrent-downloads`).
    package var concurrentDownloads = 3
    package var concurrentUploads = 5
    /// Compressed layers are kept after a pull so that a push sends the same bytes.
    package var keepBlobs = true
    package var labels: [String] = []
    /// Of containers that ask for no log driver, or for this one.
    package var logDefaults = LogConfig()
    package var debug = false
    /// What containers get that ask for none; nil for the daemon's own.
    package var descriptors: DescriptorLimit?

    package init(registry: RegistryConfiguration) { self.registry = registry }
}

/// Descriptors that a process may have open. A program may take a high soft limit as the number to try: it gets the daemon's
/// first one, as from Docker, and not what the daemon has raised it to for itself.
package struct DescriptorLimit: Sendable, Hashable {
    package let soft: Int
    package let hard: Int

    package init(soft: Int, hard: Int) {
        self.soft = soft
        self.hard = hard
    }
}

/// The engine: every store, wired. Actors own what each member names.
package struct Engine: Sendable {
    /// Version of this engine.
    package static let version = "0.1.0"

    package let configuration: EngineConfiguration
    package let containers: ContainerStore
    package let images: ImageStore
    package let layers: LayerStore
    package let volumes: VolumeRegistry
    package let networks: NetworkStore
    package let events: EventLog
    package let host: HostFacts

    /// Opens the stores and finds again what runs.
    ///
    /// - Throws: ``EngineError`` when a store cannot be opened.
    package static func open(_ configuration: EngineConfiguration, logger: Logger) async throws -> Engine {
        let start = Timestamp.now()
        do { _ = try LogDriver(configuration.logDefaults) } catch {
            throw EngineError(.invalidParameter, "failed to set log opts: \(error)")
        }
        try Files.makeDirectories(configuration.dataRoot, mode: 0o711)
        try Files.makeDirectories(configuration.execRoot, mode: 0o700)
        let lock = try StoreLock.take(configuration.dataRoot)
        let database = try StateDatabase.open(configuration.dataRoot + "/state.db")
        let events = EventLog()
        let layers = try await LayerStore(configuration, database, logger: logger)
        let images = ImageStore(configuration, database, layers, events, logger: logger)
        var opened: VolumeRegistry?
        do {
            let volumes = try await VolumeRegistry(configuration, database, events, logger: logger)
            opened = volumes
            let networks = try await NetworkStore(configuration, database, events, logger: logger)
            let containers = ContainerStore(
                try ContainerStore.Surroundings(
                    configuration: configuration, database: database, images: images, layers: layers, volumes: volumes,
                    networks: networks, events: events, logger: logger, lock: lock))
            let engine = Engine(
                configuration: configuration, containers: containers, images: images, layers: layers, volumes: volumes,
                networks: networks, events: events, host: HostFacts(configuration, driver: layers.driverName))
            try await containers.restore()
            Task(priority: .background) { await images.sweep(before: start) }
            return engine
        } catch {
            await opened?.shutdown()
            await images.shutdown()
            throw error
        }
    }

    /// Ends what belongs to the daemon alone; containers and their monitors go on.
    package func shutdown() async {
        await containers.shutdown()
        await networks.shutdown()
        await volumes.shutdown()
        await images.shutdown()
    }
}
