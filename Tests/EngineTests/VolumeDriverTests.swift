import Foundation
import Testing

/// Volumes of drivers beside the daemon, with Docker's own client.
@Suite(.serialized)
struct VolumeDriverTests {
    private static let stock = "/usr/local/bin/docker"
    private static let hasStock = FileManager.default.isExecutableFile(atPath: stock)

    /// A daemon in a mount namespace of its own, where `/run/docker/plugins` is a folder of the test, and a driver in it.
    final class Stage {
        let lab: Lab
        let folder: String
        private var driver: Process?

        init() throws {
            folder =
                (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/driver-\(UUID().uuidString.prefix(8))"
            try FileManager.default.createDirectory(atPath: folder + "/plugins", withIntermediateDirectories: true)
            lab = try Lab(wrapper: [
                "/usr/bin/unshare", "-m", "/bin/sh", "-c",
                "mount -t tmpfs tmpfs /run && mkdir -p /run/docker/plugins && mount --bind \"$0\" /run/docker/plugins && exec \"$@\"",
                folder + "/plugins",
            ])
            try startDriver()
        }

        deinit {
            try? behave("")
            endDriver()
            // The lab goes after this, and needs nothing of the driver.
            try? FileManager.default.removeItem(atPath: folder)
        }

        func startDriver() throws {
            let process = Process()
            process.executableURL = Lab.root.appending(path: "Tests/Support/volume-driver")
            process.arguments = [folder + "/plugins/fake.sock", folder]
            try process.run()
            driver = process
            guard soon(60, { FileManager.default.fileExists(atPath: folder + "/plugins/fake.sock") }) else {
                throw LabFailure("the driver does not listen")
            }
        }

        func endDriver() {
            // Its signals are blocked: a process begins with those of the thread that starts it.
            if let driver { kill(driver.processIdentifier, SIGKILL) }
            driver?.waitUntilExit()
            driver = nil
        }

        func behave(_ lines: String) throws {
            try lines.write(toFile: folder + "/mode", atomically: true, encoding: .utf8)
        }

        func docker(_ arguments: String...) throws -> Lab.Output {
            try Lab.run(VolumeDriverTests.stock, arguments, environment: lab.environment)
        }

        /// What the driver was asked, of these methods.
        func calls(_ methods: String...) throws -> [String] {
            try String(contentsOfFile: folder + "/calls", encoding: .utf8).split(separator: "\n").map(String.init)
                .filter { line in methods.contains { line.hasPrefix("VolumeDriver.\($0) ") } }
        }

        /// Ids that the driver has mounts for, over all volumes.
        func mounts() throws -> [String] {
            struct State: Decodable { let mounts: [String: [String]] }
            let data = try Data(contentsOf: URL(filePath: folder + "/state.json"))
            return try JSONDecoder().decode(State.self, from: data).mounts.values.flatMap { $0 }
        }
    }

    @Test(.enabled(if: hasStock)) func `a driver's volumes are made, listed, inspected, used and removed`() throws {
        let stage = try Stage()
        let image = try stage.lab.loadedImage()
        #expect(
            try stage.docker("volume", "create", "-d", "fake", "-o", "size=10G", "--label", "a=b", "data").text
                == "data")
        #expect(try stage.docker("volume", "create", "plain").code == 0)
        let listed = try stage.docker("volume", "ls", "--format", "{{.Driver}} {{.Name}} {{.Scope}}").text
        #expect(listed == "fake data global\nlocal plain local", "\(listed)")
        let inspected = try stage.docker(
            "volume", "inspect", "-f",
            "{{.Driver}} {{.Scope}} {{.Status.size}} {{.Status.options.size}} {{.Labels.a}} {{.CreatedAt}}", "data")
        #expect(inspected.text == "fake global 42 10G b 2026-01-02T03:04:05Z", "\(inspected)")
        #expect(try stage.docker("info", "-f", "{{.Plugins.Volume}}").text == "[local fake]")

        let wrote = try stage.docker(
            "run", "--name", "one", "--network", "none", "--mount", "type=volume,src=data,dst=/d,volume-driver=fake",
            image,
            "sh", "-c", "echo hello > /d/f")
        #expect(wrote.code == 0, "\(wrote)")
        let id = try stage.docker("inspect", "-f", "{{.Id}}", "one").text
        #expect(
            try stage.docker("inspect", "-f", "{{(index .Mounts 0).Driver}} {{(index .Mounts 0).Source}}", "one").text
                == "fake \(stage.folder)/volumes/data")
        #expect(soon(60) { (try? stage.mounts().isEmpty) == true })
        #expect(
            try stage.calls("Mount", "Unmount").suffix(2) == [
                "VolumeDriver.Mount data \(id)", "VolumeDriver.Unmount data \(id)",
            ])
        #expect(try String(contentsOfFile: stage.folder + "/volumes/data/f", encoding: .utf8) == "hello\n")
        // Two containers at once, each by its own id, and a volume that the driver had without the engine.
        let read = try stage.docker("run", "--rm", "--network", "none", "-v", "data:/d", image, "cat", "/d/f")
        #expect(read.text == "hello", "\(read)")
        let busy = try stage.docker("volume", "rm", "data")
        #expect(busy.code == 1 && busy.err.contains("remove data: volume is in use - [\(id)]"), "\(busy)")
        let twice = try stage.docker("volume", "create", "-d", "local", "data")
        #expect(twice.code == 1 && twice.err.contains("driver 'fake' already has volume 'data'"), "\(twice)")
        #expect(try stage.docker("rm", "one").code == 0)
        #expect(try stage.docker("volume", "prune", "-af").text.contains("data") == false)
        #expect(try stage.docker("volume", "rm", "data").code == 0)
        #expect(try stage.docker("volume", "ls", "-q").text == "")
        #expect(!FileManager.default.fileExists(atPath: stage.folder + "/volumes/data"))
        // `--volume-driver` for a volume without a name, which goes with its container.
        let anonymous = try stage.docker(
            "run", "--rm", "--network", "none", "--volume-driver", "fake", "-v", "/d", image, "sh", "-c",
            "echo x > /d/x")
        #expect(anonymous.code == 0, "\(anonymous)")
        #expect(
            soon(60) {
                (try? FileManager.default.contentsOfDirectory(atPath: stage.folder + "/volumes"))?.isEmpty == true
            })
    }

    @Test(.enabled(if: hasStock)) func `what a driver cannot do is told in Docker's words, and leaves no mount`() throws
    {
        let stage = try Stage()
        let image = try stage.lab.loadedImage()
        let missing = try stage.docker("volume", "create", "-d", "nope", "vol")
        #expect(
            missing.err.contains("create vol: error looking up volume plugin nope: plugin \"nope\" not found"),
            "\(missing)")
        try stage.behave("Create error\n")
        let refused = try stage.docker("volume", "create", "-d", "fake", "vol")
        #expect(refused.err.contains("create vol: the disk is on fire"), "\(refused)")
        try stage.behave("")
        #expect(try stage.docker("volume", "create", "-d", "fake", "vol").code == 0)
        for (mode, words) in [
            ("error", "the disk is on fire"), ("garbage", "is not the JSON that it should be"),
            ("outside", "which is no mountpoint"), ("die", "the connection ended before the answer"),
        ] {
            try stage.behave("Mount \(mode)\n")
            let run = try stage.docker("run", "--rm", "--network", "none", "-v", "vol:/x:nocopy", image, "true")
            #expect(
                run.code == 125 && run.err.contains("error while mounting volume ''") && run.err.contains(words),
                "\(run)")
            if mode == "die" {
                // The driver's process is gone, and comes again.
                stage.endDriver()
                try stage.startDriver()
            }
        }
        try stage.behave("")
        #expect(try stage.docker("ps", "-aq").text.isEmpty)
        #expect(try stage.docker("run", "--rm", "--network", "none", "-v", "vol:/x", image, "true").code == 0)
        #expect(soon(60) { (try? stage.mounts().isEmpty) == true })
        try stage.behave("List error\n")
        let listed = try stage.docker("volume", "ls")
        #expect(listed.out.contains("fake"), "\(listed)")
        try stage.behave("Remove error\n")
        #expect(try stage.docker("volume", "rm", "vol").err.contains("remove vol: the disk is on fire"))
        #expect(try stage.docker("volume", "rm", "-f", "vol").code == 0)
    }

    @Test(.enabled(if: hasStock)) func `mounts are balanced when the daemon is killed`() throws {
        let stage = try Stage()
        let image = try stage.lab.loadedImage()
        for name in ["stays", "ends"] {
            let run = try stage.docker(
                "run", "-d", "--name", name, "--network", "none", "--mount",
                "type=volume,src=\(name),dst=/d,volume-driver=fake", image, "sleep", "600")
            #expect(run.code == 0, "\(run)")
        }
        let ids = try ["stays", "ends"].map { try stage.docker("inspect", "-f", "{{.Id}}", $0).text }
        let pid = try stage.docker("inspect", "-f", "{{.State.Pid}}", "ends").text
        #expect(try stage.mounts().sorted() == ids.sorted())
        stage.lab.killDaemon()
        kill(try #require(pid_t(pid)), SIGKILL)
        try stage.lab.startDaemon()
        #expect(soon(60) { (try? stage.mounts()) == [ids[0]] }, "\((try? stage.mounts()) ?? [])")
        #expect(try stage.docker("inspect", "-f", "{{.State.Running}}", "stays").text == "true")
        #expect(try stage.docker("rm", "-f", "stays", "ends").code == 0)
        #expect(soon(60) { (try? stage.mounts().isEmpty) == true }, "\((try? stage.mounts()) ?? [])")
        #expect(try stage.docker("volume", "rm", "stays", "ends").code == 0)
        for id in ids {
            let calls = try stage.calls("Mount", "Unmount").filter { $0.hasSuffix(id) }
            #expect(
                calls.filter { $0.contains("Mount ") }.count == calls.filter { $0.contains("Unmount ") }.count,
                "\(calls)")
        }
    }
}
