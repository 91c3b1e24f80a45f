import Glibc
import Kernel
import OCI
import Synchronization
import TestServers
import Testing

@testable import Registry

/// Directories of hosts.toml, for as long as the value lives.
private final class HostsFolder: Sendable {
    let path: String

    init() throws {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/var/tmp"
        path = "\(base)/hosts-\(UInt32.random(in: .min ... .max))"
        try checked("mkdir") { mkdir(path, 0o700) }
    }

    deinit {
        // A test directory that stays behind harms nothing.
        try? Files.removeTree(path)
    }

    /// Writes a file in the folder of a registry; nil makes the folder alone.
    func write(_ text: String?, for name: String) throws {
        if !Files.exists("\(path)/\(name)") { try checked("mkdir") { mkdir("\(path)/\(name)", 0o700) } }
        guard let text else { return }
        try Files.replace("\(path)/\(name)/hosts.toml", with: Array(text.utf8))
    }

    func configuration() throws -> RegistryConfiguration {
        var configuration = try impatient()
        configuration.hostDirectories = [path]
        return configuration
    }
}

private let config = pattern(100)
private let layer = pattern(1000)
private let manifest = Manifest(
    mediaType: MediaType.ociManifest, config: descriptor(config, MediaType.ociConfig), layers: [descriptor(layer)])
private let manifestBytes = Result { try json(manifest) }
private let user = Credentials(username: "user", password: "hunter2")

/// Serves one image by any tag and by its digest, below `root`, under `team/app`.
private func serving(root: String = "/v2", lying: Bool = false) throws -> FaultyServer {
    let bytes = try manifestBytes.get()
    let digest = descriptor(bytes).digest
    return try FaultyServer { asked, answer in
        let path = asked.target.prefix { $0 != "?" }
        guard path.hasPrefix(root + "/team/app/") else { return answer.reply(404, [], Array("{}".utf8)) }
        let headers = ["Content-Type: \(MediaType.ociManifest)", "Docker-Content-Digest: \(digest)"]
        switch path.dropFirst(root.count + "/team/app/".count) {
        case "manifests/1", "manifests/\(digest)":
            if asked.method == "HEAD" {
                answer.send("HTTP/1.1 200 OK\r\nContent-Length: \(bytes.count)\r\n\(headers[1])\r\n\r\n")
            } else {
                answer.reply(200, headers, bytes)
            }
        case "blobs/\(descriptor(config).digest)":
            answer.reply(200, [], lying ? config.reversed() : config)
        default: answer.reply(404, [], Array("{}".utf8))
        }
    }
}

/// Pulls manifest and configuration of `domain/team/app:1`.
@discardableResult
private func pull(
    _ configuration: RegistryConfiguration, _ domain: String, suffix: String = ":1",
    notice: @escaping @Sendable (String) -> Void = { _ in }
) async throws -> ResolvedImage {
    try await withClient(configuration, notice: notice) { client in
        let reference = try Reference("\(domain)/team/app\(suffix)")
        let image = try await client.resolve(reference, platform: Platform("linux/amd64"), credentials: user)
        let bytes = try await client.fetchSmall(
            image.manifest.config, of: reference, from: image.endpoint, credentials: user)
        #expect(bytes == config)
        return image
    }
}

@Suite struct `hosts of a registry` {
    @Test(arguments: [
        ("reg.example", ["reg.example"]), ("reg.example:5000", ["reg.example_5000_", "reg.example:5000"]),
        ("[::1]", ["[::1]"]), ("[::1]:5000", ["[::1]_5000_", "[::1]:5000"]), ("..", []),
    ])
    func `are in folders of its name`(domain: String, names: [String]) {
        #expect(RegistryHosts.folderNames(domain) == names)
    }

    @Test func `are those of the first folder there is`() throws {
        let (first, second) = (try HostsFolder(), try HostsFolder())
        func found(_ domain: String) throws -> String? {
            try RegistryHosts.find(domain, in: [first.path, second.path])?.path
        }
        #expect(try found("a.example:5000") == nil)
        try second.write("", for: "_default")
        #expect(try found("a.example:5000") == nil, "an empty file says nothing")
        try second.write("server = 'b'", for: "_default")
        #expect(try found("a.example:5000") == second.path + "/_default/hosts.toml")
        try second.write("server = 'b'", for: "a.example:5000")
        #expect(try found("a.example:5000") == second.path + "/a.example:5000/hosts.toml")
        try second.write("server = 'b'", for: "a.example_5000_")
        #expect(try found("a.example:5000") == second.path + "/a.example_5000_/hosts.toml")
        try first.write("server = 'b'", for: "_default")
        #expect(try found("a.example:5000") == first.path + "/_default/hosts.toml")
        try first.write(nil, for: "a.example:5000")
        #expect(try found("a.example:5000") == nil, "a folder with certificates alone is the registry's, too")
        #expect(try found("a.example") == first.path + "/_default/hosts.toml")
    }

    @Test func `become endpoints in the file's order, the registry last`() throws {
        let folder = try HostsFolder()
        let text = """
            skip_verify = true
            [host."near.example/us"]
            capabilities = ["pull"]
            [host."http://plain.example:81"]
            dial_timeout = "1100ms"
            [host."http://either.example:81"]
            skip_verify = true
            [host."https://reg.example:443"]
            [host."https://reg.example:8443"]
            """
        try folder.write(text, for: "reg.example")
        var configuration = try RegistryConfiguration(
            mirrors: ["https://m.example"],
            sources: ["reg.example": ["https://s.example"], "docker.io": ["https://s.example"]])
        configuration.hostDirectories = [folder.path]
        func endpoints(_ domain: String) throws -> [RegistryEndpoint] {
            try configuration.endpoints(for: domain, hosts: RegistryHosts.find(domain, in: [folder.path]))
        }
        let all = try endpoints("reg.example")
        #expect(
            all.map(\.description) == [
                "https://s.example", "https://near.example/us", "http://plain.example:81", "https://either.example:81",
                "https://reg.example", "https://reg.example:8443", "https://reg.example",
            ])
        #expect(all.map(\.isMirror) == [true, true, true, true, false, true, false])
        #expect(all.map(\.isInsecure) == [false, false, true, true, false, false, true])
        #expect(all[3].schemes == [.https, .http] && all[6].schemes == [.https])
        #expect(all.map { $0.settings?.namespace != nil } == [false, true, true, true, false, true, false])
        #expect(all[2].settings?.connectSeconds == 2)
        #expect(
            all[1].location(.https, "/v2/a/tags/list?n=1").description
                == "https://near.example/us/v2/a/tags/list?n=1&ns=reg.example")
        // What was asked in vain for a tag is asked last for bytes; what serves bytes alone keeps its place.
        let after = try configuration.endpoints(
            for: "reg.example", hosts: RegistryHosts.find("reg.example", in: [folder.path]), after: all[4])
        #expect(after == [all[0], all[1], all[4], all[5], all[6], all[2], all[3]])

        // Hub: its hosts take the place of registry-mirrors, a server alone does not, and its nickname is itself.
        try folder.write("server = 'https://docker.io'", for: "docker.io")
        let hub = try endpoints("docker.io")
        #expect(
            hub.map(\.description) == ["https://s.example", "https://m.example", "https://registry-1.docker.io"])
        #expect(hub.last?.isMirror == false && hub.last?.settings?.namespace == nil)
        try folder.write("[host.'https://n.example']", for: "docker.io")
        #expect(
            try endpoints("docker.io").map(\.description)
                == ["https://s.example", "https://n.example", "https://registry-1.docker.io"])
    }

    @Test func `are asked in turn, with ns and their headers, without credentials`() async throws {
        let (mirror, own) = (try serving(root: "/api"), try serving())
        let folder = try HostsFolder()
        let gone = try FaultyServer.freePort()
        try folder.write(
            """
            server = "http://\(own.authority)"
            [host."http://127.0.0.1:\(gone)"]
            [host."http://\(mirror.authority)/api"]
            override_path = true
            [host."http://\(mirror.authority)/api".header]
            x-key = ["one", "two"]
            """, for: own.authority)
        let notices = Mutex<[String]>([])
        let image = try await pull(folder.configuration(), own.authority) { text in notices.withLock { $0.append(text) }
        }
        #expect(image.endpoint.description == "http://\(mirror.authority)/api")
        #expect(own.asked.isEmpty)
        #expect(mirror.asked.map { $0.target.hasSuffix("?ns=127.0.0.1%3A\(own.port)") } == [true, true])
        #expect(mirror.asked.allSatisfy { $0.headers["x-key"] != nil && $0.headers["authorization"] == nil })
        #expect(notices.withLock { $0.contains { $0.contains("127.0.0.1:\(gone)") } })

        // The next pull reads the file as it is then, and the registry itself is asked as ever.
        try folder.write("[host]", for: own.authority)
        #expect(try await pull(folder.configuration(), own.authority).endpoint.isMirror == false)
        #expect(own.asked.map { $0.target.contains("ns=") } == [false, false])
    }

    @Test func `that serve bytes alone are asked for no tag, and one that lies is named and passed over`() async throws
    {
        let (liar, own) = (try serving(lying: true), try serving())
        let folder = try HostsFolder()
        try folder.write(
            "[host.'http://\(liar.authority)']\ncapabilities = ['pull']", for: own.authority)
        let notices = Mutex<[String]>([])
        let image = try await pull(folder.configuration(), own.authority) { text in notices.withLock { $0.append(text) }
        }
        #expect(liar.asked.count == 1 && liar.asked[0].target.contains("/blobs/"))
        #expect(notices.withLock { $0.contains { $0.contains(liar.authority) && $0.contains("do not match") } })
        // By digest it is asked for everything.
        try await pull(folder.configuration(), own.authority, suffix: "@\(image.digest)")
        #expect(liar.asked.contains { $0.target.contains("/manifests/") })
    }

    @Test func `that tell a digest alone serve no byte`() async throws {
        let (teller, own) = (try serving(), try serving())
        let folder = try HostsFolder()
        try folder.write("[host.'http://\(teller.authority)']\ncapabilities = ['resolve']", for: own.authority)
        let image = try await pull(folder.configuration(), own.authority)
        #expect(teller.asked.map(\.method) == ["HEAD"])
        #expect(image.endpoint.isMirror == false)
        #expect(own.asked.first?.target == "/v2/team/app/manifests/\(image.digest)")
    }

    @Test func `get no pushes where the file has others for them, and none from nobody`() async throws {
        let folder = try HostsFolder()
        func target() async throws -> RegistryEndpoint {
            try await withClient(folder.configuration()) { try await $0.pushEndpoint(for: "reg.example") }
        }
        #expect(try await target().description == "https://reg.example")
        try folder.write(
            "[host.'https://a.example']\ncapabilities = ['pull']\n[host.'https://b.example']", for: "_default")
        let pushed = try await target()
        #expect(pushed.description == "https://b.example" && pushed.isMirror && pushed.settings?.namespace == nil)
        try folder.write("server = 'https://a.example'\ncapabilities = ['pull']", for: "_default")
        let error = try await failure { _ = try await target() }
        #expect(error?.code == .invalid)
        #expect(error?.description.contains("_default/hosts.toml: no host may be pushed to") == true)
        let untold = try await failure { try await pull(folder.configuration(), "reg.example") }
        #expect(untold?.message.contains("no host may be asked what a tag names") == true)
    }

    @Test(arguments: [
        ("server = 5", "hosts.toml, line 1: \"5\" is no value"),
        ("\nca = 'none.pem'", "line 2: cannot read "),
        ("ca = 'hosts.toml'", "line 1: hosts.toml has no certificate"),
        ("client = [['hosts.toml', '']]", "line 1: hosts.toml has no certificate"),
    ])
    func `in a file that is wrong stop the pull, which says where`(text: String, words: String) async throws {
        let own = try serving()
        let folder = try HostsFolder()
        try folder.write(text, for: own.authority)
        let error = try await failure { try await pull(folder.configuration(), own.authority) }
        #expect(error?.code == .invalid)
        #expect(error?.description.contains(folder.path + "/\(own.authority)/hosts.toml") == true)
        #expect(error?.description.contains(words) == true, "\(error as Any)")
        #expect(own.asked.isEmpty)
    }

    @Test func `get credentials where they are the registry itself, and only there`() async throws {
        let locked = { @Sendable (asked: FaultyServer.Asked, answer: FaultyServer.Answer) in
            guard asked.headers["authorization"] == user.basic else {
                return answer.reply(401, ["WWW-Authenticate: Basic realm=\"r\""])
            }
            let body = asked.target == "/v2/" ? [] : (try? manifestBytes.get()) ?? []
            answer.reply(200, ["Content-Type: \(MediaType.ociManifest)"], body)
        }
        let (mirror, own) = (try FaultyServer(locked), try FaultyServer(locked))
        let folder = try HostsFolder()
        try folder.write(
            "server = 'http://\(own.authority)'\n[header]\nx-key = 'v'\n[host.'http://\(mirror.authority)']",
            for: own.authority)
        try await withClient(folder.configuration()) { client in
            let image = try await client.resolve(
                Reference("\(own.authority)/team/app:1"), platform: Platform("linux/amd64"), credentials: user)
            #expect(!image.endpoint.isMirror)
            // A log-in is about the registry itself, reached as the file says.
            _ = try await client.checkAuth(serverAddress: own.authority, credentials: user)
        }
        #expect(!mirror.asked.isEmpty && mirror.asked.allSatisfy { $0.headers["authorization"] == nil })
        #expect(own.asked.contains { $0.headers["authorization"] == user.basic && $0.target == "/v2/" })
        #expect(own.asked.allSatisfy { $0.headers["x-key"] == "v" })
    }

    @Test func `in a file that is too large stop the pull`() throws {
        let folder = try HostsFolder()
        try folder.write(String(repeating: "#", count: HostsFile.bytesMax + 1), for: "a")
        let error = #expect(throws: RegistryError.self) { try RegistryHosts.find("a", in: [folder.path]) }
        #expect(error?.message.contains("file too large") == true)
    }

    @Test func `that do not answer cost no more than their dial_timeout`() async throws {
        // Two fill the queue of a listener that accepts nobody: what comes after is not answered.
        let (listener, port) = try FaultyServer.listen()
        defer { close(listener) }
        Glibc.listen(listener, 0)
        var waiting: [CInt] = []
        defer { for descriptor in waiting { close(descriptor) } }
        for _ in 0..<3 {
            let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
            waiting.append(descriptor)
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = in_port_t(port).bigEndian
            address.sin_addr.s_addr = inet_addr("127.0.0.1")
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        let own = try serving()
        let folder = try HostsFolder()
        try folder.write("[host.'http://127.0.0.1:\(port)']\ndial_timeout = '100ms'", for: own.authority)
        var configuration = try folder.configuration()
        configuration.patience.connect = .seconds(60)
        let start = ContinuousClock.now
        #expect(try await pull(configuration, own.authority).endpoint.isMirror == false)
        #expect((.milliseconds(900) ... .seconds(20)).contains(ContinuousClock.now - start))
    }
}
