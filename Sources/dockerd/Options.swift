import Actors
import ArgumentParser
import Glibc
import Registry

/// The daemon's flags, with Docker's names.
struct Options: ParsableArguments {
    @Option(
        name: [.customShort("H"), .customLong("host")],
        help: "Daemon socket to listen on: unix:///path, fd:// or tcp://host:port (repeatable)")
    var hosts: [String] = []
    @OptionGroup var listeners: ListenerOptions
    @Option(name: .customLong("config-file"), help: "Daemon configuration file")
    var configFile: String?
    @Option(name: .customLong("data-root"), help: "Directory of persistent state")
    var dataRoot: String?
    @Option(name: .customLong("exec-root"), help: "Directory of sockets, mounts and process state")
    var execRoot: String?
    @Option(name: [.customShort("p"), .customLong("pidfile")], help: "Path of the process id file")
    var pidfile: String?
    @Option(name: [.customShort("b"), .customLong("bridge")], help: "Bridge of the default network, or none")
    var bridge: String?
    @OptionGroup var network: NetworkOptions
    @Option(
        name: [.customShort("s"), .customLong("storage-driver")],
        help: "erofs or directory; the best that works by default")
    var storageDriver: String?
    @Option(name: .customLong("cgroup-parent"), help: "Parent control group of all containers")
    var cgroupParent: String?
    @Option(name: .customLong("registry-mirror"), help: "Preferred registry mirror of Docker Hub (repeatable)")
    var registryMirrors: [String] = []
    @Option(
        name: .customLong("registry-hosts"),
        help: "Directory of HOST/hosts.toml, read before /etc/docker/certs.d")
    var registryHosts: String?
    @Option(name: .customLong("insecure-registry"), help: "Registry to reach without verified TLS (repeatable)")
    var insecureRegistries: [String] = []
    @Option(name: .customLong("max-concurrent-downloads"), help: "Layers downloaded at once")
    var maxConcurrentDownloads: Int?
    @Option(name: .customLong("max-concurrent-uploads"), help: "Layers uploaded at once")
    var maxConcurrentUploads: Int?
    @Option(name: .customLong("keep-blobs"), help: "Keep compressed layers for pushing: auto or never")
    var keepBlobs: String?
    @Option(name: .customLong("log-driver"), help: "Default driver for container logs: json-file, local or none")
    var logDriver: String?
    @Option(name: .customLong("log-opt"), help: "Default log driver option key=value (repeatable)")
    var logOptions: [String] = []
    @Option(name: .customLong("monitor"), help: "Path of docker-monitor; beside this executable by default")
    var monitor: String?
    @Flag(name: [.customShort("D"), .customLong("debug")], help: "Log more")
    var debug = false

    static let configFileDefault = "/etc/docker/daemon.json"
    static let hostDefault = "unix:///var/run/docker.sock"

    /// What the flags and the file say together.
    ///
    /// - Throws: `DaemonFailure` with what to change.
    func resolve() throws -> Resolved {
        let file = try DaemonFile.read(configFile ?? Self.configFileDefault, isDefault: configFile == nil)
        var registry: RegistryConfiguration
        do throws(RegistryError) {
            registry = try RegistryConfiguration(
                mirrors: registryMirrors + (file.registryMirrors ?? []), sources: file.layerMirrors ?? [:],
                insecureRegistries: insecureRegistries + (file.insecureRegistries ?? []),
                userAgent: "docker/\(Engine.version) (linux)")
        } catch { throw DaemonFailure("\(error)") }
        if let directory = registryHosts ?? file.registryHosts {
            registry.hostDirectories.append(try Self.absolute(directory))
        }
        registry.hostDirectories.append(registry.certificateDirectory)
        var engine = EngineConfiguration(registry: registry)
        engine.dataRoot = try Self.absolute(dataRoot ?? file.dataRoot ?? engine.dataRoot)
        engine.execRoot = try Self.absolute(execRoot ?? file.execRoot ?? engine.execRoot)
        engine.storageDriver = storageDriver ?? file.storageDriver
        engine.cgroupParent = cgroupParent ?? file.cgroupParent ?? engine.cgroupParent
        engine.bridgeEnabled = (bridge ?? file.bridge) != "none"
        if let name = bridge ?? file.bridge, name != "none", !name.isEmpty { engine.bridgeName = name }
        engine.network = try network.resolve(file)
        engine.concurrentDownloads = maxConcurrentDownloads ?? file.maxConcurrentDownloads ?? engine.concurrentDownloads
        engine.concurrentUploads = maxConcurrentUploads ?? file.maxConcurrentUploads ?? engine.concurrentUploads
        engine.keepBlobs = (keepBlobs ?? file.keepBlobs) != "never"
        engine.labels = file.labels ?? []
        engine.logDefaults = try logs(file)
        engine.debug = debug || file.debug == true
        engine.monitorPath = try monitor ?? Self.beside("docker-monitor")
        let listening = hosts + (file.hosts ?? [])
        return Resolved(
            engine: engine,
            listeners: try listeners.resolve(file, hosts: listening.isEmpty ? [Self.hostDefault] : listening),
            pidfile: pidfile ?? file.pidfile)
    }

    private func logs(_ file: DaemonFile) throws -> LogConfig {
        var config = LogConfig()
        config.type = logDriver ?? file.logDriver
        var options = file.logOptions ?? [:]
        for option in logOptions {
            let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2 else { throw DaemonFailure("invalid key/value pair format in '\(option)'") }
            options[parts[0]] = parts[1]
        }
        config.config = options
        return config
    }

    private static func absolute(_ path: String) throws -> String {
        guard path.hasPrefix("/") else {
            throw DaemonFailure("\(path) is not an absolute path: give one that starts with /")
        }
        return path
    }

    /// A file in the directory of this executable.
    private static func beside(_ name: String) throws -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        guard count > 0 else { throw DaemonFailure("cannot find \(name): give its path with --monitor") }
        let path = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let directory = path.split(separator: "/").dropLast().joined(separator: "/")
        return "/\(directory)/\(name)"
    }
}

/// What the daemon runs with.
struct Resolved {
    let engine: EngineConfiguration
    let listeners: [Listener]
    let pidfile: String?
}
