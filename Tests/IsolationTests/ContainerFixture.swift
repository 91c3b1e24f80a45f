import Glibc
import Isolation
import Kernel

/// A busybox root, a launcher, and directories that go away with it.
final class ContainerFixture: Sendable {
    let base: String
    let launcher: Launcher

    init() throws {
        base = "/var/tmp/isolation-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        for name in ["rootfs/bin", "rootfs/etc", "rootfs/tmp", "run"] {
            try Files.makeDirectories("\(base)/\(name)", mode: 0o755)
        }
        launcher = try Launcher(monitorPath: Self.monitorPath)
        let busybox = try Files.read("/bin/busybox")
        try Files.replace("\(base)/rootfs/bin/busybox", with: busybox, mode: 0o755)
        for applet in [
            "sh", "true", "false", "cat", "echo", "id", "ls", "sleep", "kill", "grep", "stat", "head", "tr", "env",
            "pwd", "touch", "wc", "dd", "ps", "readlink", "mount", "seq", "stty", "tty", "hostname",
        ] {
            symlink("busybox", "\(base)/rootfs/bin/\(applet)")
        }
        try write(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nuser:x:1000:1001::/home/user:/bin/sh\n1000:x:0:0::/:/bin/sh\nbad:x:zero:0::/:/bin/sh\n"
        )
        try write("etc/group", "root:x:0:\nusers:x:1001:\nextra:x:2000:user,other\n")
    }

    deinit { try? Files.removeTree(base) }

    /// Beside the test runner, where the build puts every executable.
    private static var monitorPath: String {
        var path = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &path, path.count - 1)
        let own = String(decoding: path[..<max(0, count)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return own[..<(own.lastIndex(of: "/") ?? own.startIndex)] + "/docker-monitor"
    }

    func write(_ path: String, _ text: String) throws {
        try Files.replace("\(base)/rootfs/\(path)", with: Array(text.utf8), mode: 0o644)
    }

    func spec(_ args: String...) -> ContainerSpec {
        let id = "test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        for name in ["upper", "work"] { try? Files.makeDirectories("\(base)/\(id)/\(name)", mode: 0o755) }
        var spec = ContainerSpec(
            id: id,
            rootfs: RootFilesystem(
                lowers: [base + "/rootfs"], upper: "\(base)/\(id)/upper", work: "\(base)/\(id)/work"),
            args: args)
        spec.env = ["PATH=/bin"]
        spec.cgroup.parent = "isolation-tests"
        return spec
    }

    struct Outcome {
        var out = ""
        var err = ""
        var record: ExitRecord
    }

    func directory(_ spec: ContainerSpec) -> String { "\(base)/run/\(spec.id)" }

    /// Runs a container to its end, with all it writes.
    func run(_ spec: ContainerSpec, input: String? = nil) async throws -> Outcome {
        let connection = try await launcher.prepare(spec, directory: directory(spec))
        return try await finish(connection, terminal: spec.terminal, input: input)
    }

    func finish(_ connection: MonitorConnection, terminal: Bool = false, input: String? = nil) async throws -> Outcome {
        defer { try? connection.cgroup?.remove() }
        let socket = try connection.openAttach(stdin: input != nil, stdout: true, stderr: true)
        _ = try await connection.start()
        let descriptor = socket.release()
        if let input {
            _ = input.utf8.withContiguousStorageIfAvailable { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            shutdown(descriptor, Int32(SHUT_WR))
        }
        let bytes = try await BlockingPool.shared.run { () throws(SystemError) in
            try OwnedFD(adopting: descriptor).readAll(bytesMax: 64 << 20)
        }
        var outcome = Outcome(record: await connection.exited())
        await connection.monitorEnded()
        guard !terminal else {
            outcome.out = String(decoding: bytes, as: UTF8.self)
            return outcome
        }
        var rest = bytes[...]
        var streams: [[UInt8]] = [[], []]
        while rest.count >= 8 {
            let header = Array(rest.prefix(8))
            let count = header[4...].reduce(0) { $0 << 8 | Int($1) }
            streams[header[0] == 2 ? 1 : 0].append(contentsOf: rest.dropFirst(8).prefix(count))
            rest = rest.dropFirst(8 + count)
        }
        outcome.out = String(decoding: streams[0], as: UTF8.self)
        outcome.err = String(decoding: streams[1], as: UTF8.self)
        return outcome
    }
}
