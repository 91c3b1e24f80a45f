package import OCI

/// The `Config` of a container as the Engine API writes it: what runs, not how it is confined.
package struct Config: Sendable, Hashable, Codable {
    package var hostname: String?
    package var domainname: String?
    package var user: String?
    package var attachStdin: Bool?
    package var attachStdout: Bool?
    package var attachStderr: Bool?
    package var exposedPorts: [String: ContainerConfig.Empty]?
    package var tty: Bool?
    package var openStdin: Bool?
    package var stdinOnce: Bool?
    package var env: [String]?
    package var cmd: [String]?
    package var healthcheck: ContainerConfig.Healthcheck?
    package var argsEscaped: Bool?
    package var image: String?
    package var volumes: [String: ContainerConfig.Empty]?
    package var workingDir: String?
    package var entrypoint: [String]?
    package var networkDisabled: Bool?
    package var macAddress: String?
    package var onBuild: [String]?
    package var labels: [String: String]?
    package var stopSignal: String?
    package var stopTimeout: Int?
    package var shell: [String]?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case hostname = "Hostname"
        case domainname = "Domainname"
        case user = "User"
        case attachStdin = "AttachStdin"
        case attachStdout = "AttachStdout"
        case attachStderr = "AttachStderr"
        case exposedPorts = "ExposedPorts"
        case tty = "Tty"
        case openStdin = "OpenStdin"
        case stdinOnce = "StdinOnce"
        case env = "Env"
        case cmd = "Cmd"
        case healthcheck = "Healthcheck"
        case argsEscaped = "ArgsEscaped"
        case image = "Image"
        case volumes = "Volumes"
        case workingDir = "WorkingDir"
        case entrypoint = "Entrypoint"
        case networkDisabled = "NetworkDisabled"
        case macAddress = "MacAddress"
        case onBuild = "OnBuild"
        case labels = "Labels"
        case stopSignal = "StopSignal"
        case stopTimeout = "StopTimeout"
        case shell = "Shell"
    }

    package init() {}
}
