import Foundation
import Testing

/// What the engine does ahead of a start, and what it leaves for after an exit.
@Suite(.serialized)
final class StartPathTests {
    let lab: Lab
    let image: String

    init() throws {
        lab = try Lab()
        image = try lab.pulledImage()
    }

    private func create(_ name: String) throws -> String {
        let made = try lab.docker("create", "--name", [name, "--network", "none", image, "echo", "ran"])
        guard made.code == 0 else { throw LabFailure("create: \(made.err)") }
        return made.text
    }

    private func socket(_ id: String) -> String { "\(lab.directory)/run/containers/\(id)/monitor.sock" }

    /// True as soon as `condition` holds, within `seconds`.
    private func eventually(_ seconds: Double = 5, _ condition: () -> Bool) -> Bool {
        let end = Date().addingTimeInterval(seconds)
        while Date() < end {
            if condition() { return true }
            usleep(20_000)
        }
        return condition()
    }

    private func controlGroups(_ id: String) -> [String] {
        let root = "/sys/fs/cgroup"
        let trees = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
        return (trees.map { "\(root)/\($0)" } + [root]).map { "\($0)/docker-lab/\(id)" }
            .filter { FileManager.default.fileExists(atPath: $0) }
    }

    @Test func `a container that is created and never started is prepared for a moment only`() throws {
        let id = try create("idle")
        #expect(eventually { FileManager.default.fileExists(atPath: socket(id)) })
        #expect(eventually { !FileManager.default.fileExists(atPath: socket(id)) || controlGroups(id).isEmpty })
        #expect(eventually { controlGroups(id).isEmpty })
        #expect(try lab.docker("inspect", "-f", ["{{.State.Status}} {{.State.Pid}}", "idle"]).text == "created 0")
        #expect(try lab.docker("start", "-a", ["idle"]).out == "ran\n")
    }

    @Test func `a container that is removed right after its creation leaves nothing`() throws {
        for number in 0..<5 {
            let id = try create("brief\(number)")
            #expect(try lab.docker("rm", "brief\(number)").code == 0)
            #expect(
                eventually {
                    controlGroups(id).isEmpty
                        && !FileManager.default.fileExists(atPath: "\(lab.directory)/run/containers/\(id)")
                })
        }
    }

    @Test func `a daemon killed between a creation and its start leaves a container that starts`() throws {
        let id = try create("left")
        lab.killDaemon()
        try lab.startDaemon()
        #expect(try lab.docker("start", "-a", ["left"]).out == "ran\n")
        #expect(try lab.docker("rm", "left").code == 0)
        #expect(eventually { controlGroups(id).isEmpty })
    }

    @Test func `a daemon killed right after a start lists what runs`() throws {
        try lab.docker("run", "-d", ["--name", "running", "--network", "none", image, "sleep", "600"])
        try lab.docker("run", "-d", ["--name", "ended", "--network", "none", image, "sh", "-c", "exit 4"])
        lab.killDaemon()
        try lab.startDaemon()
        let listed = try lab.docker("ps", "-a", ["--format", "{{.Names}} {{.Status}}"])
        #expect(listed.code == 0, "\(listed.err)")
        #expect(listed.out.contains("running Up "))
        #expect(listed.out.contains("ended Exited (4)"))
        #expect(try lab.docker("rm", "-f", ["running", "ended"]).code == 0)
    }

    @Test func `every container without a network has a namespace of its own with lo up and Docker's settings`() throws
    {
        let script =
            "cat /proc/net/dev | wc -l; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; readlink /proc/self/ns/net; "
            + "test -e /sys/class/net/lo && cat /sys/class/net/lo/operstate /sys/class/net/lo/flags"
        var namespaces: Set<String> = []
        // More than the engine keeps ready, so that both ways of making one are taken.
        for _ in 0..<16 {
            let lines = try lab.docker("run", "--rm", ["--network", "none", image, "sh", "-c", script]).out.split(
                separator: "\n")
            #expect(lines.count == 5)
            guard lines.count == 5 else { continue }
            #expect(lines[0].trimmingCharacters(in: .whitespaces) == "3", "two lines of head and lo")
            #expect(lines[1] == "0")
            namespaces.insert(String(lines[2]))
            #expect(lines[4] == "0x9", "IFF_UP and IFF_LOOPBACK")
        }
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/net")
        #expect(!namespaces.contains(own) && !namespaces.isEmpty)
    }

    @Test func `a container can be started again at once and its files are still there`() throws {
        try lab.docker(
            "run", "--name", ["again", "--network", "none", image, "sh", "-c", "echo x >> /count; cat /count | wc -l"])
        for round in 2...6 { #expect(try lab.docker("start", "-a", ["again"]).text == "\(round)") }
        #expect(try lab.docker("cp", "again:/count", ["-"]).code == 0)
        #expect(try lab.docker("diff", "again").out.contains("A /count"))
        #expect(try lab.docker("rm", "again").code == 0)
    }

    @Test func `a stop ends a container in whatever state its restarts have it`() throws {
        for milliseconds in stride(from: 40, through: 760, by: 40) {
            let name = "restless\(milliseconds)"
            let ran = try lab.docker(
                "run", "-d", ["--name", name, "--network", "none", "--restart", "always", image, "true"])
            #expect(ran.code == 0)
            usleep(UInt32(milliseconds * 1000))
            #expect(try lab.docker("stop", "-t", ["1", name]).code == 0)
            usleep(150_000)
            let state = try lab.docker("inspect", "-f", ["{{.State.Status}} {{.State.Pid}}", name]).text
            #expect(state == "exited 0", "after \(milliseconds) ms")
            #expect(try lab.docker("rm", "-f", [name]).code == 0)
        }
    }

    @Test func `nothing of a container stays mounted or running after its exit`() throws {
        for _ in 0..<5 { try lab.docker("run", "--rm", ["--network", "none", image, "true"]) }
        let monitors = {
            (try? Lab.run("/usr/bin/pgrep", ["-f", "^docker-monitor"]).out.split(separator: "\n"))?.filter { pid in
                let cwd = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd")
                return cwd?.hasPrefix(self.lab.directory) == true
            } ?? []
        }
        #expect(eventually { monitors().isEmpty })
        let left = try FileManager.default.contentsOfDirectory(atPath: lab.directory + "/root/containers")
        #expect(left.isEmpty)
    }
}

/// The same engine where the machine has control groups of version 2 alone, or of version 1 alone.
@Suite(.serialized)
struct CgroupVersionTests {
    /// Shell lines that arrange /sys/fs/cgroup in a mount namespace of the daemon's own.
    enum Arrangement: String, CaseIterable {
        case unifiedAlone = "mount -t cgroup2 none /sys/fs/cgroup"
        case versionOneAlone = "[ ! -d /sys/fs/cgroup/unified ] || mount -t tmpfs none /sys/fs/cgroup/unified"
    }

    private static let isHybrid = FileManager.default.fileExists(atPath: "/sys/fs/cgroup/unified/cgroup.procs")

    @Test(.enabled(if: isHybrid, "a machine with both versions can hide either"), arguments: Arrangement.allCases)
    func `containers run, pause, exec and end under either version`(arrangement: Arrangement) throws {
        let lab = try Lab(wrapper: [
            "/usr/bin/unshare", "-m", "--propagation", "private", "sh", "-c",
            arrangement.rawValue + "; exec \"$0\" \"$@\"",
        ])
        let image = try lab.pulledImage()
        let expected = arrangement == .unifiedAlone ? "2" : "1"
        #expect(try lab.docker("info", "-f", ["{{.CgroupVersion}}"]).text == expected)
        #expect(try lab.docker("run", "--rm", ["--network", "none", image, "echo", "hello"]).out == "hello\n")
        // Devices that are not on the list stay closed, those that are open.
        let devices = try lab.docker(
            "run", "--rm",
            [
                "--network", "none", image, "sh", "-c",
                "busybox mknod /d b 254 0; dd if=/d of=/dev/null bs=1 count=1 || echo refused; dd if=/dev/zero of=/dev/null bs=1 count=1 && echo open",
            ])
        #expect(devices.out == "refused\nopen\n")
        try lab.docker(
            "run", "-d",
            ["--name", "held", "--network", "none", image, "sh", "-c", "while :; do echo x; sleep 0.05; done"])
        #expect(try lab.docker("pause", "held").code == 0)
        #expect(try lab.docker("inspect", "-f", ["{{.State.Status}}", "held"]).text == "paused")
        let before = try lab.docker("logs", "held").out.count
        usleep(300_000)
        #expect(try lab.docker("logs", "held").out.count == before)
        #expect(try lab.docker("unpause", "held").code == 0)
        #expect(try lab.docker("exec", "held", ["echo", "inside"]).out == "inside\n")
        #expect(try lab.docker("rm", "-f", ["held"]).code == 0)
        let limited = try lab.docker("run", "--rm", ["--network", "none", "--memory", "64m", image, "true"])
        #expect(limited.code == 0)
        // Limits that nothing holds are told, not forgotten: the hybrid's version 2 tree has no memory controller.
        #expect(limited.err.contains("does not support memory limit") == (arrangement == .unifiedAlone))
    }
}
