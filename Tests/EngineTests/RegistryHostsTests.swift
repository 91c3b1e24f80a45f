import Foundation
import Testing

/// Our daemon asks those whom hosts.toml names, told by Docker's own client where that is installed.
@Suite struct RegistryHostsTests {
    private let folder: ListenerTests.Folder
    private let lab: Lab

    init() throws {
        folder = try ListenerTests.Folder()
        lab = try Lab(configuration: #"{"registry-hosts": "\#(folder.path)"}"#)
    }

    private func docker(_ words: String...) throws -> Lab.Output {
        let path = OwnRegistryTests.hasStockClient ? "/usr/local/bin/docker" : Lab.binaries + "/docker"
        return try Lab.run(path, words, environment: lab.environment)
    }

    private func write(_ text: String, for name: String) throws {
        try FileManager.default.createDirectory(atPath: "\(folder.path)/\(name)", withIntermediateDirectories: true)
        try text.write(toFile: "\(folder.path)/\(name)/hosts.toml", atomically: true, encoding: .utf8)
    }

    private func log() throws -> String { try String(contentsOfFile: lab.directory + "/dockerd.log", encoding: .utf8) }

    /// A registry of ours that mirrors `reg.example`, which is at `upstream`, over TLS for clients with a certificate.
    private final class Mirror {
        let authority = "127.0.0.1:\(Int.random(in: 20_000...31_999))"
        private let process = Process()

        init(_ folder: String, of upstream: String) throws {
            let mirrors = #"{"mirrors": {"reg.example": {"url": "http://\#(upstream)"}}}"#
            try mirrors.write(toFile: folder + "/mirror.json", atomically: true, encoding: .utf8)
            process.executableURL = URL(filePath: Lab.binaries + "/docker-registry")
            process.arguments = [
                "serve", "--addr", authority, "--data", folder + "/mirror", "--config", folder + "/mirror.json",
                "--tlscert", folder + "/server.pem", "--tlskey", folder + "/server.key", "--tlscacert",
                folder + "/ca.pem",
            ]
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.runInterruptibly()
            let asked = [
                "-skf", "--cert", folder + "/client.pem", "--key", folder + "/client.key", "https://\(authority)/v2/",
            ]
            guard try soon(60, { try Lab.run("/usr/bin/curl", asked).code == 0 }) else {
                throw LabFailure("the mirror does not answer")
            }
        }

        deinit {
            process.terminate()
            process.waitUntilExit()
        }
    }

    @Test func `a mirror of any registry gives its images over TLS that the file vouches for`() throws {
        let own = try FaultyRegistry()
        try ListenerTests.makeCertificates(folder)
        let mirror = try Mirror(folder.path, of: own.authority)
        let image = "reg.example/library/hostile:good-plain"
        let hosts = { (fields: String) in
            "server = 'http://127.0.0.1:1'\n[host.'https://\(mirror.authority)']\n\(fields)"
        }
        try write(hosts(""), for: "reg.example")
        #expect(try docker("pull", image).code != 0)
        #expect(try log().contains("certificate signed by unknown authority"))
        #expect(try own.served().isEmpty)
        // The daemon goes on; the file is read again, its paths from its folder.
        try FileManager.default.copyItem(atPath: folder.path + "/ca.pem", toPath: folder.path + "/trusted.pem")
        try write(hosts("ca = '../trusted.pem'"), for: "reg.example")
        #expect(try docker("pull", image).code != 0, "it lets nobody in without a certificate")
        let client = "client = [['../client.pem', '../client.key']]\n"
        try write(hosts(client + "ca = '../trusted.pem'"), for: "reg.example")
        let pulled = try docker("pull", image)
        #expect(pulled.code == 0, "\(pulled.err)")
        #expect(try lab.docker("run", "--rm", ["--network", "none", image]).out == "ran\n")
        #expect(try !own.served().isEmpty, "the mirror knows by ns whose image it is")
        // The authority's files are read again too.
        try FileManager.default.removeItem(atPath: folder.path + "/trusted.pem")
        try FileManager.default.copyItem(atPath: folder.path + "/other.pem", toPath: folder.path + "/trusted.pem")
        #expect(try docker("pull", "reg.example/library/hostile:good-single").code != 0)
        try write(hosts(client + "skip_verify = true"), for: "reg.example")
        #expect(try docker("pull", "reg.example/library/hostile:good-single").code == 0)
    }

    @Test func `who is down or lies is named and passed over, and who serves bytes alone is asked for no tag`() throws {
        let (liar, mirror, own) = (try FaultyRegistry(), try FaultyRegistry(), try FaultyRegistry())
        let layer = try #require(try own.layers("good-single").first)
        try liar.obey([#"{"path": "\#(layer.digest)", "flip": true}"#])
        try mirror.obey([#"{"path": "good-single", "status": 404}"#])
        try write(
            """
            server = "http://\(own.authority)"
            [host."http://127.0.0.1:1"]
            [host."http://\(liar.authority)"]
            capabilities = ["pull"]
            [host."http://\(mirror.authority)/v2/copy"]
            override_path = true
            [host."http://\(mirror.authority)/v2/copy".header]
            x-key = "secret"
            """, for: "_default")
        let pulled = try docker("pull", "any.example:5000/library/hostile:good-single")
        #expect(pulled.code == 0, "\(pulled.err)")
        let asked = try liar.served()
        #expect(asked.contains { $0.target.contains(layer.digest) })
        #expect(!asked.contains { $0.target.contains("/manifests/good-single") })
        #expect(try own.served().contains { $0.target.contains("/manifests/good-single?ns=any.example%3A5000") })
        let copied = try mirror.served()
        #expect(copied.contains { $0.target.hasPrefix("/v2/copy/library/hostile/manifests/good-single?ns=") })
        #expect(copied.allSatisfy { $0.headers["x-key"] == "secret" })
        #expect(try (liar.served() + own.served()).allSatisfy { $0.headers["x-key"] == nil })
        for name in ["http://127.0.0.1:1", "http://\(liar.authority)", "http://\(mirror.authority)"] {
            #expect(try log().contains(name), "\(name) is not named")
        }
    }

    @Test func `pushes go to the first host that takes them`() throws {
        try lab.makeImage()
        #expect(try docker("pull", lab.registry + "/box").code == 0)
        try write(
            "[host.'http://127.0.0.1:1']\ncapabilities = ['pull']\n[host.'http://\(lab.registry)']", for: "reg.example")
        #expect(try docker("tag", lab.registry + "/box", "reg.example/team/app:1").code == 0)
        let pushed = try docker("push", "reg.example/team/app:1")
        #expect(pushed.code == 0, "\(pushed.err)")
        #expect(try docker("pull", lab.registry + "/team/app:1").code == 0)
    }

    @Test func `a file that is wrong stops the pull, which says where`() throws {
        let own = try FaultyRegistry()
        try write("server = \"http://\(own.authority)\"\ncapabilites = [\"pull\"]\n", for: own.authority)
        let pulled = try docker("pull", own.image("good-plain"))
        #expect(pulled.code != 0)
        #expect(
            pulled.err.contains("\(folder.path)/\(own.authority)/hosts.toml, line 2: \"capabilites\" is not known"),
            "\(pulled.err)")
        #expect(try own.served().isEmpty)
        try write("", for: own.authority)
        #expect(try docker("pull", own.image("good-plain")).code == 0)
    }
}
