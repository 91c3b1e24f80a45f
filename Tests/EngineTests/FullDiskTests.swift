import Foundation
import Testing

/// A small ext4 of its own, on a loop device, for as long as the value lives.
final class SmallDisk: Sendable {
    let mount: String
    private let file: String

    init(mebibytes: Int) throws {
        let base =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/disk-\(UUID().uuidString.prefix(8))"
        (mount, file) = (base, base + ".img")
        try FileManager.default.createDirectory(atPath: mount, withIntermediateDirectories: true)
        try Data().write(to: URL(filePath: file))
        guard truncate(file, off_t(mebibytes << 20)) == 0 else { throw LabFailure("cannot make \(file)") }
        for command in [["/sbin/mkfs.ext4", "-q", "-m", "0", file], ["/bin/mount", "-o", "loop", file, mount]] {
            let ran = try Lab.run("/usr/bin/env", command)
            guard ran.code == 0 else { throw LabFailure("\(command[0]): \(ran.err)") }
        }
    }

    deinit {
        // What still uses it is gone with its lab; a test directory that stays behind harms nothing.
        _ = try? Lab.run("/bin/umount", ["-l", mount])
        try? FileManager.default.removeItem(atPath: mount)
        try? FileManager.default.removeItem(atPath: file)
    }

    /// Bytes that are free.
    func free() throws -> Int {
        let attributes = try FileManager.default.attributesOfFileSystem(forPath: mount)
        return (attributes[.systemFreeSize] as? NSNumber)?.intValue ?? 0
    }
}

/// What a daemon does when the disk under its state is full: says so, takes nothing, and goes on.
@Suite(.serialized, .enabled(if: geteuid() == 0, "mounting needs root"))
final class FullDataRootTests {
    let disk: SmallDisk
    let registry: FaultyRegistry
    let lab: Lab
    var image: String { registry.image("good-plain") }

    init() throws {
        disk = try SmallDisk(mebibytes: 48)
        registry = try FaultyRegistry()
        lab = try Lab(dataRoot: disk.mount)
    }

    private func expectRefusal(_ output: Lab.Output) {
        #expect(output.code != 0)
        #expect((output.err + output.out).contains("no space left on device"), "\(output.err)")
        #expect((output.err + output.out).contains("docker system prune"), "\(output.err)")
    }

    /// The daemon is the same, a small image comes and runs, and what it took is given back.
    private func expectHealth(_ daemon: Int32) throws {
        #expect(lab.daemonPID == daemon)
        #expect(try lab.names("layers/new").isEmpty)
        let pulled = try lab.docker("pull", image)
        #expect(pulled.code == 0, "\(pulled.err)")
        let ran = try lab.docker("run", "--rm", ["--network", "none", image])
        #expect(ran.out == "ran\n", "\(ran.err)")
    }

    @Test func `a pull that does not fit takes nothing and a small one works`() throws {
        let (daemon, free) = (lab.daemonPID, try disk.free())
        expectRefusal(try lab.docker("pull", registry.image("good-single")))
        #expect(try lab.docker("images", "-aq").text.isEmpty)
        #expect(try lab.partialBytes().isEmpty)
        #expect(try lab.names("layers/sha256").isEmpty)
        #expect(try disk.free() > free - 1 << 20)
        try expectHealth(daemon)
        expectRefusal(try lab.docker("pull", registry.image("good-large")))
        #expect(try lab.docker("images", "-q").text.split(separator: "\n").count == 1)
        try expectHealth(daemon)
    }

    @Test func `an archive that does not fit takes nothing`() throws {
        let archive = lab.directory + "/large.tar"
        let made = try Lab.run(
            "/usr/bin/skopeo",
            [
                "copy", "-q", "--src-tls-verify=false", "docker://" + registry.image("good-large"),
                "docker-archive:\(archive):large:1",
            ])
        try #require(made.code == 0, "\(made.err)")
        let (daemon, free) = (lab.daemonPID, try disk.free())
        expectRefusal(try lab.docker("load", "-i", [archive]))
        let tar = "dd if=/dev/urandom of=file bs=1M count=64 2> /dev/null && tar -cf file.tar file"
        #expect(try Lab.run("/bin/sh", ["-c", "cd \(lab.directory) && \(tar)"]).code == 0)
        expectRefusal(try lab.docker("import", lab.directory + "/file.tar", ["imported:1"]))
        #expect(try lab.docker("images", "-aq").text.isEmpty)
        #expect(try disk.free() > free - 1 << 20)
        try expectHealth(daemon)
    }

    @Test func `a commit that does not fit takes nothing and the container stays as it is`() throws {
        let daemon = lab.daemonPID
        try expectHealth(daemon)
        let filled = try lab.docker(
            "run", "--name",
            [
                "big", "--network", "none", image, "/bin/busybox", "dd", "if=/dev/urandom", "of=/big", "bs=1M",
                "count=24",
            ])
        try #require(filled.code == 0, "\(filled.err)")
        let free = try disk.free()
        expectRefusal(try lab.docker("commit", "big", "made:1"))
        #expect(try lab.docker("images", "-q").text.split(separator: "\n").count == 1)
        #expect(try disk.free() > free - 1 << 20)
        #expect(try lab.docker("diff", "big").out.contains("A /big\n"))
        #expect(try lab.docker("rm", "big").code == 0)
        try expectHealth(daemon)
    }

    @Test func `a file that does not fit into a container is told and the container goes on`() throws {
        let daemon = lab.daemonPID
        try expectHealth(daemon)
        try lab.docker("run", "-d", ["--name", "box", "--network", "none", image, "/bin/busybox", "sleep", "600"])
        let file = lab.directory + "/file"
        #expect(try Lab.run("/bin/dd", ["if=/dev/urandom", "of=\(file)", "bs=1M", "count=64"]).code == 0)
        let copied = try lab.docker("cp", file, ["box:/file"])
        #expect(copied.code != 0)
        #expect(copied.err.contains("no space left on device"), "\(copied.err)")
        #expect(try lab.docker("exec", "box", ["/bin/busybox", "echo", "here"]).out == "here\n")
        #expect(try lab.docker("exec", "box", ["/bin/busybox", "rm", "-f", "/file"]).code == 0)
        #expect(try lab.docker("rm", "-f", ["box"]).code == 0)
        try expectHealth(daemon)
    }

    @Test func `a container whose log fills the disk can be stopped and removed`() throws {
        let daemon = lab.daemonPID
        #expect(try lab.docker("pull", image).code == 0)
        let line = String(repeating: "x", count: 1000)
        let started = try lab.docker(
            "run", "-d",
            ["--name", "noisy", "--network", "none", "--log-opt", "max-size=100m", image, "/bin/busybox", "yes", line])
        #expect(started.code == 0, "\(started.err)")
        for _ in 0..<600 where try disk.free() > 65536 { usleep(50_000) }
        #expect(try disk.free() <= 65536)
        // The last blocks may do for one more container; what they do not do for is told.
        let another = try lab.docker("create", "--name", ["another", "--network", "none", image, "true"])
        #expect(another.code == 0 || another.err.contains("no space left on device"), "\(another.err)")
        let removed = try lab.docker("rm", "-f", another.code == 0 ? ["noisy", "another"] : ["noisy"])
        #expect(removed.code == 0, "\(removed.err)")
        #expect(try lab.docker("ps", "-aq").text.isEmpty)
        try expectHealth(daemon)
    }

    @Test func `copies, imports and restores that do not fit take nothing, and a backup still goes`() throws {
        let daemon = lab.daemonPID
        #expect(try lab.docker("volume", "create", ["data"]).code == 0)
        let (content, whole) = (disk.mount + "/volumes/data/_data", lab.directory + "/whole.tar")
        let script = """
            for i in $(seq 400); do head -c 20000 /dev/urandom > \(content)/$i; done
            head -c 17000000 /dev/urandom > \(content)/large
            """
        #expect(try Lab.run("/bin/sh", ["-c", script]).code == 0)
        #expect(try lab.docker("volume", "export", ["-o", whole, "data"]).code == 0)
        let backup = lab.registry + "/data"
        // What a copy fails at: its directory, its files, the large one.
        for spare in [0, 200_000, 5_000_000] {
            let filler = disk.mount + "/filler"
            let count = (try disk.free() - spare) / 4096
            #expect(count > 0)
            // The last blocks may not do for what tells where they are.
            _ = try Lab.run("/bin/dd", ["if=/dev/zero", "of=\(filler)", "bs=4096", "count=\(count)"])
            #expect(try lab.docker("volume", "backup", ["data", backup]).code == 0)
            let verbs = [
                ["clone", "data", "copy"], ["snapshot", "data", "copy"], ["import", "-i", whole, "copy"],
                ["restore", backup, "copy"],
            ]
            for verb in verbs {
                let refused = try lab.docker("volume", verb[0], Array(verb.dropFirst()))
                #expect(refused.code != 0 && refused.err.contains("no space left on device"), "\(verb): \(refused.err)")
            }
            #expect(try lab.docker("volume", "ls", "-q").text == "data")
            #expect(try lab.names("volumes") == ["data"])
            try FileManager.default.removeItem(atPath: filler)
        }
        #expect(try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8).contains("volumes/") == false)
        #expect(lab.daemonPID == daemon)
        #expect(try lab.docker("volume", "rm", ["data"]).code == 0)
        #expect(try lab.docker("volume", "import", ["-i", whole, "copy"]).code == 0)
        #expect(try lab.docker("volume", "rm", ["copy"]).code == 0)
        #expect(try lab.docker("volume", "restore", [backup, "copy"]).code == 0)
        try expectHealth(daemon)
    }

    @Test func `what a first use copies into a volume fits as a whole, or the volume stays empty`() throws {
        let daemon = lab.daemonPID
        try lab.makeImage(
            "seeded",
            """
            mkdir seed; for i in $(seq 300); do head -c 8000 /dev/urandom > seed/$i; done
            head -c 8000000 /dev/urandom > seed/large
            """)
        #expect(try lab.docker("volume", "create", ["data"]).code == 0)
        let line = ["--network", "none", "seeded", "sh", "-c", "ls /seed | busybox wc -l; busybox wc -c < /seed/large"]
        // What the copy fails at: its directory, its files, the large one.
        for spare in [0, 200_000, 1_500_000, 6_000_000] {
            let filler = disk.mount + "/filler"
            _ = try Lab.run(
                "/bin/dd", ["if=/dev/zero", "of=\(filler)", "bs=4096", "count=\((try disk.free() - spare) / 4096)"])
            for volume in ["data:/seed", "/seed"] {
                let refused = try lab.docker("run", "--rm", ["-v", volume] + line)
                #expect(refused.code == 125, "\(spare): \(refused)")
                #expect(refused.err.contains("no space left on device"), "\(spare): \(refused.err)")
            }
            let sized = try lab.docker("volume", "create", ["-o", "size=16m", "sized"])
            #expect(sized.code == 0 || sized.err.contains("no space left on device"), "\(spare): \(sized.err)")
            if sized.code == 0 { try lab.docker("volume", "rm", ["sized"]) }
            #expect(try lab.docker("volume", "ls", "-q").text == "data")
            #expect(try lab.docker("ps", "-aq").text.isEmpty)
            #expect(try lab.names("volumes") == ["data"] && lab.names("volumes/data/_data").isEmpty)
            #expect(try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8).contains("volumes/") == false)
            try FileManager.default.removeItem(atPath: filler)
        }
        #expect(lab.daemonPID == daemon)
        #expect(try lab.docker("run", "--rm", ["-v", "data:/seed"] + line).out == "301\n8000000\n")
    }

    @Test func `a volume that fills the disk can be removed again`() throws {
        let daemon = lab.daemonPID
        try expectHealth(daemon)
        let filled = try lab.docker(
            "run", "--name",
            [
                "filler", "--network", "none", "-v", "data:/d", image, "/bin/busybox", "dd", "if=/dev/zero", "of=/d/x",
                "bs=1M",
            ])
        #expect(filled.code == 1)
        #expect(filled.err.contains("No space left on device"), "\(filled.err)")
        #expect(try disk.free() < 1 << 20)
        // Everything that frees space works on the full disk.
        let removed = try lab.docker("rm", "filler")
        #expect(removed.code == 0, "\(removed.err)")
        let emptied = try lab.docker("volume", "rm", "data")
        #expect(emptied.code == 0, "\(emptied.err)")
        #expect(try soon { try disk.free() > 20 << 20 })
        try expectHealth(daemon)
    }
}
