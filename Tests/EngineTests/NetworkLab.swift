import Foundation

/// A daemon in a network namespace of its own that plays the host, beside one that plays the world outside of it.
///
///     outside 198.51.100.2 ---- 198.51.100.1 host (daemon, bridges) ---- containers
///             2001:db8::2  ---- 2001:db8::1
final class NetworkLab: Sendable {
    let lab: Lab
    let image: String
    private let host: String
    private let outside: String

    static let hostAddress = "198.51.100.1"
    static let outsideAddress = "198.51.100.2"
    static let hostAddress6 = "2001:db8::1"
    static let outsideAddress6 = "2001:db8::2"

    init(configuration: String = "{}") throws {
        let name = "lab\(UUID().uuidString.prefix(8).lowercased())"
        (host, outside) = (name + "h", name + "o")
        for command in [
            "netns add \(host)", "netns add \(outside)", "-n \(host) link set lo up", "-n \(outside) link set lo up",
            "-n \(host) link add up0 type veth peer name up1 netns \(outside)", "-n \(host) link set up0 up",
            "-n \(outside) link set up1 up", "-n \(host) address add \(Self.hostAddress)/24 dev up0",
            "-n \(outside) address add \(Self.outsideAddress)/24 dev up1",
            "-n \(host) address add \(Self.hostAddress6)/64 dev up0 nodad",
            "-n \(outside) address add \(Self.outsideAddress6)/64 dev up1 nodad",
            "-n \(host) route add default via \(Self.outsideAddress)",
            "-n \(host) -6 route add default via \(Self.outsideAddress6)",
        ] {
            let ran = try Lab.run("/sbin/ip", command.split(separator: " ").map(String.init))
            guard ran.code == 0 else { throw LabFailure("ip \(command): \(ran.err)") }
        }
        lab = try Lab(
            configuration: configuration, wrapper: ["/usr/bin/nsenter", "--net=/run/netns/\(host)"], bridge: "docker0")
        image = try lab.loadedImage()
    }

    deinit {
        _ = try? lab.docker(
            "rm", "-f", (try? lab.docker("ps", "-aq").text.split(separator: "\n").map(String.init)) ?? [])
        for name in [host, outside] { _ = try? Lab.run("/sbin/ip", ["netns", "delete", name]) }
    }

    // MARK: Commands

    @discardableResult
    func docker(_ arguments: String...) throws -> Lab.Output { try docker(arguments) }

    @discardableResult
    func docker(_ arguments: [String]) throws -> Lab.Output {
        try Lab.run(Lab.binaries + "/docker", arguments, environment: lab.environment)
    }

    /// What a command that must succeed printed, without white space at its ends.
    ///
    /// - Throws: `LabFailure` with what it said otherwise.
    @discardableResult
    func must(_ arguments: String...) throws -> String {
        let ran = try docker(arguments)
        guard ran.code == 0 else { throw LabFailure("docker \(arguments.joined(separator: " ")): \(ran.err)") }
        return ran.text
    }

    /// A container of the image that sleeps.
    @discardableResult
    func sleeper(_ name: String, _ options: String..., command: [String] = ["sleep", "600"]) throws -> String {
        let ran = try docker(["run", "-d", "--name", name] + options + [image] + command)
        guard ran.code == 0 else { throw LabFailure("run \(name): \(ran.err)") }
        return ran.text
    }

    /// A busybox applet in a container.
    func applet(_ container: String, _ arguments: String...) throws -> Lab.Output {
        try docker(["exec", container, "/bin/busybox"] + arguments)
    }

    /// A command in the host's namespace, or in that outside of it.
    func onHost(_ arguments: String...) throws -> Lab.Output { try inside(host, arguments) }
    func onOutside(_ arguments: String...) throws -> Lab.Output { try inside(outside, arguments) }

    private func inside(_ namespace: String, _ arguments: [String]) throws -> Lab.Output {
        try Lab.run("/usr/bin/nsenter", ["--net=/run/netns/\(namespace)"] + arguments)
    }

    /// A process in one of the two namespaces, to be ended by the caller, by SIGKILL: it may have inherited a thread's
    /// blocked signals.
    func start(outside isOutside: Bool, _ arguments: String...) throws -> Process {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/nsenter")
        process.arguments = ["--net=/run/netns/\(isOutside ? outside : host)"] + arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }

    /// One value of an inspection.
    func inspect(_ object: String, _ template: String) throws -> String { try must("inspect", "-f", template, object) }

    func address(_ container: String, on network: String) throws -> String {
        try inspect(container, "{{(index .NetworkSettings.Networks \"\(network)\").IPAddress}}")
    }

    /// What a TCP server says, asked from a namespace; empty when it cannot be reached within two seconds.
    func fetch(outside isOutside: Bool, _ address: String, _ port: Int) throws -> String {
        try Self.fetch { try inside(isOutside ? outside : host, Self.client(address, port)) }
    }

    /// The same from a container.
    func fetch(from container: String, _ address: String, _ port: Int) throws -> String {
        try Self.fetch { try docker(["exec", container] + Self.client(address, port)) }
    }

    private static func client(_ address: String, _ port: Int) -> [String] {
        ["/bin/busybox", "timeout", "-s", "KILL", "2", "/bin/busybox", "nc", address, "\(port)"]
    }

    /// Asks again for a moment where nothing comes at once: a server that was just started may not listen yet.
    private static func fetch(_ ask: () throws -> Lab.Output) throws -> String {
        let start = ContinuousClock.now
        while true {
            let text = try ask().text
            if !text.isEmpty || ContinuousClock.now - start > .seconds(1) { return text }
            usleep(100_000)
        }
    }

    /// The command of a container that tells its name to whoever connects.
    static func server(_ port: Int, _ text: String) -> [String] {
        ["/bin/busybox", "nc", "-ll", "-p", "\(port)", "-e", "/bin/busybox", "echo", text]
    }
}
