import FoundationEssentials
import Glibc
import Kernel
import OCI
import TestServers

@testable import Registry

/// Patience of tests: many tries, no waiting.
func impatient(
    mirrors: [String] = [], insecure: [String] = [], certificates: String = "/nonexistent",
    idle: Duration = .seconds(3)
) throws -> RegistryConfiguration {
    var configuration = try RegistryConfiguration(
        mirrors: mirrors, insecureRegistries: insecure, certificateDirectory: certificates)
    configuration.patience.pause = .milliseconds(1)
    configuration.patience.connect = .seconds(3)
    configuration.patience.idle = idle
    configuration.patience.exchange = .seconds(20)
    return configuration
}

/// Runs `body` with a client that is closed afterwards.
func withClient<Value>(
    _ configuration: RegistryConfiguration, notice: @escaping @Sendable (String) -> Void = { _ in },
    _ body: (RegistryClient) async throws -> Value
) async throws -> Value {
    let client = RegistryClient(configuration, notice: notice)
    do {
        let value = try await body(client)
        await client.close()
        return value
    } catch {
        await client.close()
        throw error
    }
}

/// What `body` throws, as the registry's own error.
func failure(_ body: () async throws -> Void) async throws -> RegistryError? {
    do { try await body() } catch let error as RegistryError { return error }
    return nil
}

/// `count` bytes that differ everywhere and are the same each time.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 33)
    }
}

func descriptor(_ bytes: [UInt8], _ type: String = MediaType.ociLayer) -> Descriptor {
    Descriptor(mediaType: type, digest: .of(bytes, .sha256), size: Int64(bytes.count))
}

func json(_ value: some Encodable) throws -> [UInt8] { Array(try JSONEncoder().encode(value)) }

extension BlobStream {
    func collect() async throws -> (bytes: [UInt8], requestCount: Int) {
        var bytes: [UInt8] = []
        var iterator = makeAsyncIterator()
        while let chunk = try await iterator.next() { chunk.withUnsafeBytes { bytes.append(contentsOf: $0) } }
        return (bytes, iterator.requestCount)
    }
}

/// Debian's docker-registry, storing into a directory of its own, for as long as the value lives.
final class RealRegistry: Sendable {
    let port: Int
    private let directory: String
    private let process: pid_t
    var authority: String { "127.0.0.1:\(port)" }

    /// - Parameter user: `user` and `password` that it asks for.
    init(user: (name: String, password: String)? = nil) async throws {
        let base = ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp"
        let port = try FaultyServer.freePort()
        self.port = port
        let directory = "\(base)/registry-test-\(UInt64.random(in: 0...(.max)))"
        self.directory = directory
        try checked("mkdir", directory) { mkdir(directory, 0o700) }
        var config = """
            version: 0.1
            log: {level: error, accesslog: {disabled: true}}
            storage: {filesystem: {rootdirectory: \(directory)/data}, delete: {enabled: true}}
            http: {addr: "127.0.0.1:\(port)"}

            """
        if let user {
            let made = Self.spawn(
                ["/usr/bin/htpasswd", "-cbB", "\(directory)/users", user.name, user.password], log: "/dev/null")
            var status: CInt = 0
            waitpid(made, &status, 0)
            config += "auth: {htpasswd: {realm: test, path: \(directory)/users}}\n"
        }
        try Files.replace("\(directory)/config.yml", with: Array(config.utf8))
        process = Self.spawn(["/usr/bin/docker-registry", "serve", "\(directory)/config.yml"], log: "\(directory)/log")
        for _ in 0..<200 {
            if Self.isListening(port) { break }
            try await Task.sleep(for: .milliseconds(25))
        }
    }

    deinit {
        kill(process, SIGKILL)
        var status: CInt = 0
        waitpid(process, &status, 0)
        // A test directory that stays behind harms nothing.
        try? Files.removeTree(directory)
    }

    private static func isListening(_ port: Int) -> Bool {
        let probe = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(probe) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        address.sin_port = in_port_t(port).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(probe, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }

    private static func spawn(_ arguments: [String], log: String) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        var strings: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { strings.forEach { free($0) } }
        var pid: pid_t = 0
        posix_spawn(&pid, arguments[0], &actions, nil, &strings, environ)
        return pid
    }
}
