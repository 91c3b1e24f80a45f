package import OCI
import Volumes

/// What `POST /containers/create` asks for.
package struct CreateRequest: Sendable {
    package var name: String?
    package var config: Config
    package var hostConfig: HostConfig
    package var endpoints: [String: EndpointSettings]
    package var platform: Platform?
    /// Read-only binds leave what is mounted below them as it is, as clients before API 1.44 expect.
    package var hasShallowReadOnly = false

    package init(
        name: String?, config: Config, hostConfig: HostConfig, endpoints: [String: EndpointSettings] = [:],
        platform: Platform? = nil
    ) {
        self.name = name
        self.config = config
        self.hostConfig = hostConfig
        self.endpoints = endpoints
        self.platform = platform
    }
}

/// A container that was made, and what the user should know about it.
package struct CreateResult: Sendable {
    package let id: String
    package let warnings: [String]
}

/// How a container's configuration comes out of the request and its image (Docker's rules).
enum ConfigMerge {
    /// - Throws: ``EngineError`` `.invalidParameter` when nothing would run.
    static func merge(_ request: Config, _ image: ContainerConfig?, id: String) throws -> Config {
        var config = request
        let image = image ?? ContainerConfig()
        if (config.user ?? "").isEmpty { config.user = image.user ?? "" }
        if (config.workingDir ?? "").isEmpty { config.workingDir = image.workingDir ?? "" }
        config.env = environment(image.env ?? [], config.env ?? [])
        config.labels = (image.labels ?? [:]).merging(config.labels ?? [:]) { $1 }
        config.exposedPorts = union(image.exposedPorts, config.exposedPorts)
        config.volumes = union(image.volumes, config.volumes)
        if (config.stopSignal ?? "").isEmpty { config.stopSignal = image.stopSignal }
        if config.shell == nil { config.shell = image.shell }
        config.healthcheck = healthcheck(config.healthcheck, image.healthcheck)
        // An entry point of its own makes the image's command meaningless.
        if config.entrypoint == nil {
            if (config.cmd ?? []).isEmpty { config.cmd = image.cmd }
            config.entrypoint = image.entrypoint
        } else if config.entrypoint == [""] {
            config.entrypoint = nil
        }
        if (config.hostname ?? "").isEmpty { config.hostname = String(id.prefix(12)) }
        guard !((config.entrypoint ?? []) + (config.cmd ?? [])).isEmpty else {
            throw EngineError(.invalidParameter, "no command specified")
        }
        return config
    }

    /// The request's members, and the image's for those it leaves out.
    private static func healthcheck(
        _ request: ContainerConfig.Healthcheck?, _ image: ContainerConfig.Healthcheck?
    ) -> ContainerConfig.Healthcheck? {
        guard var check = request, let image else { return request ?? image }
        if check.test?.isEmpty ?? true { check.test = image.test }
        if check.interval ?? 0 == 0 { check.interval = image.interval }
        if check.timeout ?? 0 == 0 { check.timeout = image.timeout }
        if check.startPeriod ?? 0 == 0 { check.startPeriod = image.startPeriod }
        if check.startInterval ?? 0 == 0 { check.startInterval = image.startInterval }
        if check.retries ?? 0 == 0 { check.retries = image.retries }
        return check
    }

    private static func union(
        _ left: [String: ContainerConfig.Empty]?, _ right: [String: ContainerConfig.Empty]?
    ) -> [String: ContainerConfig.Empty]? {
        let both = (left ?? [:]).merging(right ?? [:]) { $1 }
        return both.isEmpty ? nil : both
    }

    /// The image's variables with those of the request in their place, then the request's others. `KEY` alone removes.
    static func environment(_ image: [String], _ request: [String]) -> [String] {
        func key(_ entry: String) -> Substring { entry.prefix { $0 != "=" } }
        var result = image
        for entry in request {
            let name = key(entry)
            if let index = result.firstIndex(where: { key($0) == name }) {
                result[index] = entry
            } else {
                result.append(entry)
            }
        }
        return result.filter { $0.contains("=") }
    }
}

/// Names of containers.
enum ContainerName {
    /// Longest name, in bytes; it becomes a DNS label and a file name.
    private static let bytesMax = 253

    /// - Throws: ``EngineError`` in Docker's words.
    static func check(_ name: String) throws {
        guard (try? VolumeName(name)) != nil, name.utf8.count <= bytesMax else {
            throw EngineError(
                .invalidParameter, "Invalid container name (\(name)), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        }
    }

    private static let adjectives = [
        "able", "amber", "bold", "brave", "bright", "calm", "clever", "cosmic", "crisp", "daring", "eager", "early",
        "fair", "fast", "fond", "gentle", "glad", "golden", "grand", "happy", "humble", "ideal", "jolly", "keen",
        "kind",
        "lively", "lucid", "lucky", "mellow", "merry", "neat", "nimble", "noble", "patient", "polite", "proud", "quick",
        "quiet", "rapid", "ready", "sharp", "silent", "sincere", "smart", "steady", "sunny", "swift", "tidy", "vivid",
        "warm",
    ]
    private static let nouns = [
        "albatross", "badger", "beaver", "bison", "crane", "curlew", "dolphin", "eagle", "falcon", "ferret", "finch",
        "fox", "gannet", "gecko", "heron", "hornbill", "ibex", "jackdaw", "kestrel", "kingfisher", "lark", "lynx",
        "marlin", "martin", "narwhal", "ocelot", "orca", "osprey", "otter", "owl", "panther", "pelican", "penguin",
        "plover",
        "puffin", "quail", "raven", "robin", "seal", "sparrow", "starling", "stork", "swallow", "tern", "thrush",
        "viper",
        "walrus", "whale", "wombat", "wren",
    ]

    /// A name nobody has: two words, then with a number when those are taken.
    static func generate(isTaken: (String) -> Bool) -> String {
        for _ in 0..<32 {
            let name = "\(adjectives.randomElement() ?? "swift")_\(nouns.randomElement() ?? "swift")"
            if !isTaken(name) { return name }
        }
        while true {
            let name =
                "\(adjectives.randomElement() ?? "swift")_\(nouns.randomElement() ?? "swift")\(Int.random(in: 10...99_999))"
            if !isTaken(name) { return name }
        }
    }
}
