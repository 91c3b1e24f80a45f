import ArgumentParser
import Glibc
import HTTP
import Kernel
import Logging
import RegistryEngine
import RegistryMirror
import RegistryServer
import RegistryStore
import RegistryUpkeep
import ServerProcess

@main
enum Main {
    /// Signals are blocked while there is one thread, so that every later one inherits it.
    static func main() async {
        ProcessSettings.apply()
        await DockerRegistry.main()
    }
}

struct DockerRegistry: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "docker-registry", abstract: "A registry for container images and other OCI artifacts.",
        subcommands: [
            Serve.self, CollectGarbage.self, UserCommand.self, RobotCommand.self, GrantCommand.self, RevokeCommand.self,
            RightsCommand.self, QuotaCommand.self, MoveCommand.self,
        ] + UpkeepCommands.all, defaultSubcommand: Serve.self)
}

/// Opens the store and serves it until SIGTERM or SIGINT.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Serve the registry.",
        discussion: "Every option may be given by the environment, too: --gc-grace as DOCKER_REGISTRY_GC_GRACE.")

    @Option(name: .customLong("addr"), help: "Address to listen on, host:port; :5000 by default")
    var address: String?
    @Option(name: .customLong("data"), help: "Directory of all data; /var/lib/docker-registry by default")
    var data: String?
    @Option(name: .customLong("gc-grace"), help: "Keep blobs that no manifest names for this long; 24h by default")
    var grace: String?
    @Option(name: .customLong("gc-interval"), help: "Collect garbage this often; 10m by default")
    var interval: String?
    @Option(name: .customLong("upload-expiry"), help: "Forget uploads without a request for this long; 24h by default")
    var uploadExpiry: String?
    @Option(name: .customLong("config"), help: "File with everything that has no option of its own (JSON)")
    var configurationFile: String?
    @Flag(
        name: .customLong("from-engine"),
        help: "Serve the images of the engine at DOCKER_HOST (unix:///var/run/docker.sock by default), and take none")
    var isFromEngine = false
    @OptionGroup var access: AccessOptions
    @Flag(name: [.customShort("D"), .customLong("debug")], help: "Log more")
    var debug = false

    /// A fleet's clients keep theirs open between pulls.
    private static let connectionsMax = 16_384
    /// Of the descriptors. Most connections wait, and one that does not has a file or another connection beside it.
    private static let connectionsPercent = 60
    /// Bytes of one read from a socket: a hundred pushes at once hold three of them each.
    private static let readBytesMax = 64 << 10
    /// How long requests under way may go on after SIGTERM.
    private static let grace = Duration.seconds(5)

    func run() async throws {
        do { try await serve() } catch {
            StandardError.write("docker-registry: \(error)\n")
            throw ExitCode(1)
        }
    }

    private func configuration() throws -> Configuration {
        var configuration = try Configuration.read(ServeOptions.value(configurationFile, "CONFIG"))
        // Nobody changes anything then, rules neither.
        if try access.policy().isReadOnly { configuration.upkeep.retention = [] }
        guard try configuration.mirrors == nil || !servesEngine() else {
            throw ServeOptions.Failure("--from-engine and mirrors do not go together: let two registries serve them")
        }
        return configuration
    }

    private func servesEngine() throws -> Bool { try ServeOptions.flag(isFromEngine, "FROM_ENGINE") }

    /// nil where what is pushed is served.
    private func engine() throws -> EngineImages? {
        guard try servesEngine() else { return nil }
        let host = getenv("DOCKER_HOST").map { String(cString: $0) } ?? ""
        return try EngineImages(host.isEmpty ? EngineImages.defaultAddress : host)
    }

    private func settings(
        _ configuration: Configuration, isEncrypted: Bool, _ logger: Logger
    ) throws -> RegistryStore.Settings {
        var settings = RegistryStore.Settings(
            root: try ServeOptions.folder(ServeOptions.value(data, "DATA") ?? ServeOptions.defaultFolder))
        settings.grace = try ServeOptions.duration(grace, "gc-grace") ?? settings.grace
        settings.uploadExpiry = try ServeOptions.duration(uploadExpiry, "upload-expiry") ?? settings.uploadExpiry
        settings.watches = configuration.upkeep.watches
        settings.database = try configuration.database ?? ServeOptions.database()
        settings.database?.note = { logger.warning("\($0)") }
        settings.bucket = configuration.storage?.s3
        settings.note = { logger.error("\($0)") }
        settings.quotas = configuration.quotas ?? settings.quotas
        if isEncrypted { settings.scheme = "https" }
        return settings
    }

    private func serve() async throws {
        var logger = Logger(label: "docker-registry")
        logger.logLevel = try ServeOptions.flag(debug, "DEBUG") ? .debug : .info
        let (host, port) = try ServeOptions.address(ServeOptions.value(address, "ADDR") ?? ":5000")
        let configuration = try configuration()
        let tls = try access.tls()
        let settings = try settings(configuration, isEncrypted: tls != nil, logger)
        let interval = try ServeOptions.duration(self.interval, "gc-interval") ?? .seconds(600)
        // Before anything is touched: a registry that cannot listen leaves all as it is.
        let engine = try engine()
        let authenticator = try access.authenticator(configuration.tokens, logger)
        let socket = try ListeningSocket.tcp(host: host, port: port, tls: tls)
        let auditLog = try access.auditLog(logger)
        let store = try await BlockingPool.shared.run { () throws in try RegistryStore(settings) }
        try await store.countQuotas()
        try await store.openBucket()
        let upkeep = Upkeep(store, configuration.upkeep, logger: logger) { await auditLog?.add($0) }
        var api = RegistryAPI(
            store, access: try access.policy(), authenticator: authenticator, upkeep: upkeep, logger: logger)
        api.searchSettings = configuration.search ?? api.searchSettings
        api.redirects = configuration.redirects ?? api.redirects
        let mirrors = try configuration.mirrors.map {
            try Mirrors($0, store: store, folder: settings.root, logger: logger)
        }
        api.mirrors = mirrors
        api.engine = engine
        api.auditLog = auditLog
        var limits = Limits(
            descriptors: ProcessSettings.descriptors.hard, percent: Self.connectionsPercent,
            connections: Self.connectionsMax)
        limits.readBytesMax = Self.readBytesMax
        let server = HTTPServer([socket], service: api.service, limits: limits)
        // After the store: who has that has the folder, and the socket of before is nobody's.
        let admin = HTTPServer(
            [try ListeningSocket.unix(AdminClient.socket(in: settings.root), mode: 0o600)],
            service: AdminAPI(api).service)
        let signals = try SignalWatch()
        logger.info("the registry listens on \(socket.address), its data is in \(settings.root)")
        let log = logger
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask { try await admin.run() }
            group.addTask { await upkeep.run() }
            group.addTask { await Housekeeping(store: store, interval: interval, logger: log).run() }
            group.addTask { await SearchUpkeep(store: store, logger: log).run() }
            if let mirrors { group.addTask { await MirrorUpkeep(mirrors: mirrors, interval: interval).run() } }
            if let tls { group.addTask { await CertificateWatch(tls: tls, logger: log).run() } }
            group.addTask {
                await signals.wait()
                await server.shutdown(grace: Self.grace)
                await admin.shutdown(grace: .zero)
            }
            // The server or a signal ends it; the housekeeping goes on until then.
            try await group.next()
            group.cancelAll()
        }
        await engine?.close()
        await auditLog?.finish()
    }
}

/// Removes what nobody needs, now and then.
struct Housekeeping: Sendable {
    let store: RegistryStore
    let interval: Duration
    let logger: Logger

    /// Between two looks at all of a bucket: a request for a thousand objects.
    private static let bucketInterval = Duration.seconds(86400)

    /// Runs until it is cancelled. What fails is tried again the next time.
    func run() async {
        await tried("the sweep of files that a crash has left") {
            let count = try await store.sweep()
            if count > 0 { logger.info("\(count) files without a blob were removed") }
        }
        var swept: ContinuousClock.Instant?
        while (try? await Task.sleep(for: interval)) != nil {
            if swept.map({ .now - $0 > Self.bucketInterval }) ?? true {
                swept = .now
                await tried("the sweep of the bucket") {
                    let count = try await store.sweepBucket()
                    if count > 0 { logger.info("\(count) objects without a blob were removed") }
                }
            }
            await tried("the end of old uploads") {
                let count = try await store.expireUploads()
                if count > 0 { logger.info("\(count) uploads had no request for too long, and were ended") }
            }
            await tried("the collection of garbage") {
                let found = try await store.collectGarbage()
                if found.links > 0 || found.blobs > 0 {
                    logger.info("\(found.blobs) blobs (\(found.bytes) bytes) were removed that no manifest names")
                }
            }
        }
    }

    private func tried(_ what: String, _ body: () async throws -> Void) async {
        do { try await body() } catch { logger.error("\(what) failed: \(error)") }
    }
}
