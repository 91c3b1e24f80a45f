import Actors

/// Body of `POST /containers/create`: a configuration with two more members.
struct CreateBody: Decodable {
    let config: Config
    let hostConfig: HostConfig?
    let endpoints: [String: EndpointSettings]

    private struct NetworkingConfig: Decodable {
        let endpoints: [String: EndpointSettings?]?
        enum CodingKeys: String, CodingKey { case endpoints = "EndpointsConfig" }
    }

    private enum CodingKeys: String, CodingKey {
        case hostConfig = "HostConfig"
        case networkingConfig = "NetworkingConfig"
        case entrypoint = "Entrypoint"
        case cmd = "Cmd"
    }

    init(from decoder: any Decoder) throws {
        config = try Config(from: decoder)
        let container = try decoder.container(keyedBy: CodingKeys.self)
        hostConfig = try container.decodeIfPresent(HostConfig.self, forKey: .hostConfig)
        let networking = try container.decodeIfPresent(NetworkingConfig.self, forKey: .networkingConfig)
        endpoints = (networking?.endpoints ?? [:]).compactMapValues { $0 ?? EndpointSettings() }
    }
}

/// Body of `POST /containers/{id}/exec`.
struct ExecCreateBody: Decodable {
    let attachStdin: Bool?
    let attachStdout: Bool?
    let attachStderr: Bool?
    let detachKeys: String?
    let tty: Bool?
    let env: [String]?
    let cmd: [String]?
    let privileged: Bool?
    let user: String?
    let workingDir: String?

    enum CodingKeys: String, CodingKey {
        case attachStdin = "AttachStdin"
        case attachStdout = "AttachStdout"
        case attachStderr = "AttachStderr"
        case detachKeys = "DetachKeys"
        case tty = "Tty"
        case env = "Env"
        case cmd = "Cmd"
        case privileged = "Privileged"
        case user = "User"
        case workingDir = "WorkingDir"
    }

    var config: ExecConfig {
        var config = ExecConfig()
        config.attachStdin = attachStdin ?? false
        config.attachStdout = attachStdout ?? false
        config.attachStderr = attachStderr ?? false
        config.tty = tty ?? false
        config.env = env ?? []
        config.cmd = cmd ?? []
        config.privileged = privileged ?? false
        config.user = user ?? ""
        config.workingDir = workingDir ?? ""
        return config
    }
}

/// Body of `POST /exec/{id}/start`.
struct ExecStartBody: Decodable {
    var detach: Bool?
    var tty: Bool?
    var consoleSize: [Int]?

    enum CodingKeys: String, CodingKey {
        case detach = "Detach"
        case tty = "Tty"
        case consoleSize = "ConsoleSize"
    }

    init() {}
}

/// Body of `PUT /volumes/NAME` and `POST /volumes/NAME/clone`.
struct VolumeLabelsBody: Decodable {
    let labels: [String: String]?

    enum CodingKeys: String, CodingKey { case labels = "Labels" }
}

/// Body of `POST /volumes/create`.
struct VolumeCreateBody: Decodable {
    let name: String?
    let driver: String?
    let driverOpts: [String: String]?
    let labels: [String: String]?

    enum CodingKeys: String, CodingKey {
        case name = "Name"
        case driver = "Driver"
        case driverOpts = "DriverOpts"
        case labels = "Labels"
    }
}
