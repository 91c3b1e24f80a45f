import Foundation
import Synchronization
import Testing

/// A registry on loopback and a daemon of its own in a directory of its own; everything goes when this does.
final class Lab: Sendable {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let binaries =
        ProcessInfo.processInfo.environment["DOCKER_SWIFT_BINARIES"] ?? root.appending(path: ".build/debug").path

    /// True where all controllers are in one tree of version 2.
    static let hasUnifiedControllers = FileManager.default.fileExists(atPath: "/sys/fs/cgroup/cgroup.controllers")

    let directory: String
    let registry: String
    /// Where the daemon keeps its state.
    let dataRoot: String
    /// What daemon.json holds.
    private let configuration: String
    /// A program and arguments that execute the daemon, whose command line follows.
    private let wrapper: [String]
    /// The default network's bridge; "none" where there is no such network.
    private let bridge: String
    private let registryProcess: Process
    private let daemon: Mutex<Process?>

    /// What a command printed and how it ended.
    struct Output: Sendable {
        let code: Int32
        let out: String
        let err: String
        /// Standard output without white space at its ends.
        var text: String { out.trimmingCharacters(in: .whitespacesAndNewlines) }
    }

    /// - Parameters:
    ///   - configuration: of the daemon, as daemon.json has it.
    ///   - dataRoot: nil for a directory of the lab's own.
    ///   - wrapper: what executes the daemon, such as unshare(1); empty for nothing.
    ///   - bridge: the default network's bridge, in the network namespace that the wrapper enters.
    ///   - usesOwnRegistry: our registry instead of Debian's docker-registry.
    init(
        configuration: String = "{}", dataRoot: String? = nil, wrapper: [String] = [], bridge: String = "none",
        usesOwnRegistry: Bool = false
    ) throws {
        directory =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/lab-\(UUID().uuidString.prefix(8))"
        self.configuration = configuration
        self.wrapper = wrapper
        self.bridge = bridge
        self.dataRoot = dataRoot ?? directory + "/root"
        try FileManager.default.createDirectory(atPath: directory + "/registry", withIntermediateDirectories: true)
        registry = "127.0.0.1:\(try Self.freePort())"
        let registryConfiguration = """
            version: 0.1
            log: {level: error, accesslog: {disabled: true}}
            storage: {filesystem: {rootdirectory: \(directory)/registry}}
            http: {addr: "\(registry)"}

            """
        try registryConfiguration.write(toFile: directory + "/registry.yml", atomically: true, encoding: .utf8)
        registryProcess = Process()
        registryProcess.executableURL = URL(
            filePath: usesOwnRegistry ? Self.binaries + "/docker-registry" : "/usr/bin/docker-registry")
        registryProcess.arguments =
            usesOwnRegistry
            ? ["serve", "--addr", registry, "--data", directory + "/registry"]
            : ["serve", directory + "/registry.yml"]
        registryProcess.environment = ["OTEL_TRACES_EXPORTER": "none"]
        registryProcess.standardOutput = FileHandle.nullDevice
        registryProcess.standardError = FileHandle.nullDevice
        try registryProcess.run()
        daemon = Mutex(nil)
        try startDaemon()
    }

    /// A port on loopback that nobody has, below those that the kernel gives to whoever asks for any.
    static func freePort() throws -> Int {
        for _ in 0..<100 {
            let port = Int.random(in: 10_000..<32_000)
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            defer { close(descriptor) }
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            let isFree = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                }
            }
            if isFree { return port }
        }
        throw LabFailure("no port is free")
    }

    deinit {
        _ = try? docker("rm", "-f", (try? docker("ps", "-aq").text.split(separator: "\n").map(String.init)) ?? [])
        daemon.withLock {
            $0?.terminate(); $0?.waitUntilExit()
        }
        registryProcess.terminate()
        registryProcess.waitUntilExit()
        let mounts = (try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)) ?? ""
        for line in mounts.split(separator: "\n").reversed() {
            let target = String(line.split(separator: " ")[4])
            if target.hasPrefix(directory) { _ = try? Self.run("/bin/umount", ["-l", target]) }
        }
        try? FileManager.default.removeItem(atPath: directory)
    }

    // MARK: Daemon

    func startDaemon() throws {
        let process = Process()
        let line = wrapper + [Self.binaries + "/dockerd"]
        process.executableURL = URL(filePath: line[0])
        process.arguments =
            line.dropFirst() + [
                "-H", "unix://\(directory)/docker.sock", "--data-root", dataRoot, "--exec-root", directory + "/run",
                "--bridge", bridge, "--config-file", directory + "/daemon.json", "--cgroup-parent", "docker-lab",
            ]
        try configuration.write(toFile: directory + "/daemon.json", atomically: true, encoding: .utf8)
        try Data().write(to: URL(filePath: directory + "/dockerd.log"))
        let log = FileHandle(forWritingAtPath: directory + "/dockerd.log") ?? .nullDevice
        process.standardOutput = log
        process.standardError = log
        try process.run()
        daemon.withLock { $0 = process }
        // A loaded machine may take long; a daemon that has ended answers never.
        for _ in 0..<1200 where process.isRunning {
            if try docker("version").code == 0 { return }
            usleep(50_000)
        }
        throw LabFailure(
            "the daemon does not answer: "
                + ((try? String(contentsOfFile: directory + "/dockerd.log", encoding: .utf8)) ?? ""))
    }

    /// The running daemon's process id; 0 when none runs.
    var daemonPID: Int32 { daemon.withLock { $0?.processIdentifier ?? 0 } }

    /// SIGKILL, as a crash would.
    func killDaemon() {
        daemon.withLock { process in
            guard let running = process else { return }
            kill(running.processIdentifier, SIGKILL)
            running.waitUntilExit()
            process = nil
        }
    }

    /// An image of busybox with all its applets and a user, and of what a shell script adds in its root.
    ///
    /// - Parameter options: of `docker import`.
    func makeImage(_ name: String, _ script: String, _ options: String = "") throws {
        let root = "\(directory)/\(name)"
        let made = try Self.run(
            "/bin/sh",
            [
                "-c",
                """
                set -e
                mkdir -p \(root)/bin \(root)/etc \(root)/tmp
                cd \(root)
                cp /bin/busybox bin/busybox
                for applet in $(busybox --list); do [ $applet = busybox ] || ln -s busybox bin/$applet; done
                printf 'root:x:0:0::/root:/bin/sh\\n' > etc/passwd
                \(script)
                tar -c . | \(Self.binaries)/docker import \(options) - \(name)
                """,
            ], environment: environment)
        guard made.code == 0 else { throw LabFailure("image \(name): \(made.err)") }
    }

    /// SIGTERM, as an operator ends it; how it ended, or nil when it has not within a minute.
    func endDaemon() -> (reason: Process.TerminationReason, status: Int32)? {
        guard let process = daemon.withLock({ $0 }) else { return nil }
        process.terminate()
        for _ in 0..<1200 where process.isRunning { usleep(50_000) }
        guard !process.isRunning else { return nil }
        daemon.withLock { $0 = nil }
        return (process.terminationReason, process.terminationStatus)
    }

    // MARK: Commands

    /// Our CLI against this lab's daemon.
    @discardableResult
    func docker(_ arguments: String..., input: String? = nil) throws -> Output {
        try Self.run(Self.binaries + "/docker", arguments, environment: environment, input: input)
    }

    @discardableResult
    func docker(_ first: String, _ second: String, _ rest: [String]) throws -> Output {
        try Self.run(Self.binaries + "/docker", [first, second] + rest, environment: environment)
    }

    var environment: [String: String] {
        [
            "DOCKER_HOST": "unix://\(directory)/docker.sock", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "DOCKER_CONFIG": directory + "/config",
        ]
    }

    static func run(
        _ path: String, _ arguments: [String], environment: [String: String]? = nil, input: String? = nil
    ) throws -> Output {
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        if let environment { process.environment = environment }
        let (out, err, inward) = (Pipe(), Pipe(), Pipe())
        process.standardOutput = out
        process.standardError = err
        process.standardInput = input == nil ? FileHandle.nullDevice : inward
        try process.run()
        if let input {
            inward.fileHandleForWriting.write(Data(input.utf8))
            try inward.fileHandleForWriting.close()
        }
        let errors = Mutex(Data())
        let reader = Thread { errors.withLock { $0 = err.fileHandleForReading.readDataToEndOfFile() } }
        reader.start()
        let output = out.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        while !reader.isFinished { usleep(1000) }
        return Output(
            code: process.terminationStatus, out: String(decoding: output, as: UTF8.self),
            err: errors.withLock { String(decoding: $0, as: UTF8.self) })
    }

    // MARK: Images

    /// The image of ``makeImage(_:)``, pulled by our daemon.
    ///
    /// - Returns: its reference.
    func pulledImage() throws -> String {
        try makeImage()
        let image = registry + "/box"
        let pulled = try docker("pull", image)
        guard pulled.code == 0 else { throw LabFailure("pull: \(pulled.err)") }
        return image
    }

    /// A busybox image of two layers in the registry: the program, and a directory whose content volumes copy.
    func makeImage(_ name: String = "box") throws {
        let layout = try makeLayout(name)
        for _ in 0..<100 {
            let copied = try Self.run(
                "/usr/bin/skopeo",
                [
                    "copy", "-q", "--dest-tls-verify=false", "oci:\(layout):latest",
                    "docker://\(registry)/\(name):latest",
                ])
            if copied.code == 0 { return }
            usleep(50_000)
        }
        throw LabFailure("skopeo cannot fill the registry")
    }

    /// The same image loaded from a file, for a daemon that does not reach the registry.
    ///
    /// - Returns: its reference.
    func loadedImage() throws -> String {
        let layout = try makeLayout("box")
        let archive = directory + "/box.tar"
        let packed = try Self.run(
            "/usr/bin/skopeo", ["copy", "-q", "oci:\(layout):latest", "docker-archive:\(archive):box:latest"])
        guard packed.code == 0 else { throw LabFailure(packed.err) }
        let loaded = try docker("load", "-q", "-i", archive)
        guard loaded.code == 0 else { throw LabFailure("load: \(loaded.err)") }
        return "box"
    }

    /// Makes the image's files and an OCI layout of them.
    ///
    /// - Returns: the layout's path.
    private func makeLayout(_ name: String) throws -> String {
        let source = directory + "/source"
        let files = FileManager.default
        try files.createDirectory(atPath: source + "/1/bin", withIntermediateDirectories: true)
        try files.createDirectory(atPath: source + "/1/etc", withIntermediateDirectories: true)
        try files.createDirectory(atPath: source + "/2/seed/sub", withIntermediateDirectories: true)
        try files.copyItem(atPath: "/bin/busybox", toPath: source + "/1/bin/busybox")
        for applet in [
            "sh", "echo", "cat", "ls", "sleep", "true", "id", "stat", "head", "yes", "kill", "dd", "wc", "test", "rm",
            "ln",
        ] {
            try files.createSymbolicLink(atPath: source + "/1/bin/\(applet)", withDestinationPath: "busybox")
        }
        try "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n".write(
            toFile: source + "/1/etc/passwd", atomically: true, encoding: .utf8)
        try "root:x:0:\nuser:x:1000:\n".write(toFile: source + "/1/etc/group", atomically: true, encoding: .utf8)
        try "seeded\n".write(toFile: source + "/2/seed/sub/file", atomically: true, encoding: .utf8)
        let layout = directory + "/\(name).oci"
        let made = try Self.run(
            "/usr/bin/env",
            [
                "python3", Self.root.path + "/scripts/make-image", layout, "latest", #"["sh"]"#, source + "/1",
                source + "/2",
            ])
        guard made.code == 0 else { throw LabFailure(made.err) }
        return layout
    }
}

struct LabFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
