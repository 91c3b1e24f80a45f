import Glibc
import Isolation
import Kernel
import Testing

/// One at a time: they count what the machine has, and share its control groups.
@Suite(.serialized, .enabled(if: geteuid() == 0, "containers need root"))
enum ContainerTests {}

extension ContainerTests {
    @Suite(.serialized)
    struct LaunchTests {
        let fixture: ContainerFixture
        init() throws { fixture = try ContainerFixture() }

        @Test(
            arguments: [("true", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -SEGV $$", 139)] as [(String, Int32)])
        func `the exit code is the program's, or 128 and its signal`(_ script: String, _ code: Int32) async throws {
            var spec = fixture.spec("sh", "-c", script)
            spec.useInit = script.hasPrefix("kill")
            #expect(try await fixture.run(spec).record.exitCode == code)
        }

        @Test(
            arguments: [
                (["nothing"], 127, "exec: \"nothing\": executable file not found in $PATH: unknown"),
                (["/nothing"], 127, "exec: \"/nothing\": stat /nothing: no such file or directory: unknown"),
                (["/etc/passwd"], 126, "exec: \"/etc/passwd\": permission denied: unknown"),
                (["/etc"], 126, "exec: \"/etc\": is a directory: unknown"),
            ] as [([String], Int32, String)])
        func `a program that cannot run is refused in Docker's words`(_ args: [String], _ code: Int32, _ text: String)
            async throws
        {
            var spec = fixture.spec()
            spec.args = args
            let connection = try await fixture.launcher.prepare(spec, directory: fixture.directory(spec))
            do {
                _ = try await connection.start()
                Issue.record("it started")
            } catch {
                #expect(error.exitCode == code)
                #expect(error.message.hasSuffix(text), "\(error.message)")
            }
            await connection.monitorEnded()
            try connection.cgroup?.remove()
        }

        @Test func `standard output and standard error stay apart`() async throws {
            let outcome = try await fixture.run(fixture.spec("sh", "-c", "echo one; echo two >&2"))
            #expect(outcome.out == "one\n")
            #expect(outcome.err == "two\n")
        }

        @Test func `the end of the client's input is the end of standard input`() async throws {
            var spec = fixture.spec("cat")
            spec.openStdin = true
            spec.stdinOnce = true
            #expect(try await fixture.run(spec, input: "hello\n").out == "hello\n")
        }

        @Test func `a hundred megabytes arrive whole`() async throws {
            let outcome = try await fixture.run(fixture.spec("dd", "if=/dev/zero", "bs=65536", "count=800"))
            #expect(outcome.out.utf8.count == 65536 * 800)
        }

        @Test func `a terminal is a terminal of the asked size`() async throws {
            var spec = fixture.spec("sh", "-c", "tty; stty size; ls -l /dev/console | head -c 1")
            spec.terminal = true
            spec.terminalSize = TerminalSize(rows: 33, columns: 101)
            let outcome = try await fixture.run(spec)
            #expect(outcome.out == "/dev/pts/0\r\n33 101\r\nc", "\(outcome.out)")
        }

        @Test(arguments: [
            ("", "uid=0 gid=0 groups=0"), ("1000", "uid=1000 gid=1001 groups=1001,2000"),
            ("user", "uid=1000 gid=1001 groups=1001,2000"), ("user:extra", "uid=1000 gid=2000 groups=2000"),
            ("4000", "uid=4000 gid=0 groups=0"), ("4000:5000", "uid=4000 gid=5000 groups=5000"),
        ])
        func `a user is who the container's files say`(_ user: String, _ identity: String) async throws {
            var spec = fixture.spec("sh", "-c", "echo uid=$(id -u) gid=$(id -g) groups=$(id -G | tr ' ' ,)")
            spec.user = user
            #expect(try await fixture.run(spec).out == identity + "\n")
        }

        @Test(arguments: [
            ("4294967296", "uids and gids must be in range 0-2147483647"),
            ("-1", "uids and gids must be in range 0-2147483647"),
            ("+0", "unable to find user +0: no matching entries in passwd file"),
            ("1:2:3", "unable to find user 1:2:3: no matching entries in passwd file"),
            ("bad", "unable to find user bad: no matching entries in passwd file"),
            ("user:none", "unable to find group none: no matching entries in group file"),
        ])
        func `a user nobody can be is refused and never root`(_ user: String, _ text: String) async throws {
            var spec = fixture.spec("true")
            spec.user = user
            await #expect(throws: LaunchError.self) { try await fixture.run(spec) }
            do { _ = try await fixture.run(spec) } catch let error as LaunchError { #expect(error.message == text) }
        }

        @Test func `capabilities are Docker's fourteen and none is inheritable`() async throws {
            let outcome = try await fixture.run(fixture.spec("grep", "Cap", "/proc/self/status"))
            #expect(
                outcome.out
                    == "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\n"
            )
            var user = fixture.spec("grep", "Cap", "/proc/self/status")
            user.user = "1000"
            let text = try await fixture.run(user).out
            #expect(
                text
                    == "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\n"
            )
        }

        @Test func `the program has three descriptors and no more`() async throws {
            let outcome = try await fixture.run(fixture.spec("sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"))
            #expect(outcome.out == "0 1 2 3 ")  // 3 is the directory ls itself reads
        }

        @Test func `environment, working directory and host name are as asked`() async throws {
            var spec = fixture.spec("sh", "-c", "pwd; echo $A $HOME; hostname")
            spec.env += ["A=b c"]
            spec.workingDirectory = "/made/on/the/way"
            spec.hostname = "box"
            #expect(try await fixture.run(spec).out == "/made/on/the/way\nb c /root\nbox\n")
        }

        @Test func `kernel files are hidden or read-only`() async throws {
            let outcome = try await fixture.run(
                fixture.spec(
                    "sh", "-c",
                    "wc -c </proc/interrupts; ls /sys/firmware | wc -l; touch /proc/sys/kernel/hostname /sys/x /sys/fs/cgroup/x 2>&1 | grep -c Read-only; echo x 2>/dev/null >/proc/sysrq-trigger || echo refused"
                ))
            #expect(outcome.out == "0\n0\n3\nrefused\n", "\(outcome.out) \(outcome.err)")
        }

        @Test func `a read-only root takes no file and a volume in it does`() async throws {
            try Files.makeDirectories(fixture.base + "/volume", mode: 0o755)
            var spec = fixture.spec(
                "sh", "-c",
                "touch /x 2>/dev/null || echo no; touch /data/deep/x && echo yes; touch /ro/y 2>/dev/null || echo no")
            spec.readOnlyRootfs = true
            spec.mounts = [
                MountSpec(.bind(fixture.base + "/volume"), target: "/data/deep"),
                MountSpec(.bind(fixture.base + "/volume"), target: "/ro", readOnly: true),
            ]
            #expect(try await fixture.run(spec).out == "no\nyes\nno\n")
            #expect(Files.exists(fixture.base + "/volume/x"))
        }

        @Test func `memory beyond the limit ends the container and says so`() async throws {
            var spec = fixture.spec("sh", "-c", "a=x; while true; do a=$a$a; done")
            spec.cgroup.limits.memory = 16 << 20
            let record = try await fixture.run(spec).record
            #expect(record.exitCode == 137)
            #expect(record.oomKilled)
        }

        @Test func `an exit is known although the monitor was killed`() async throws {
            let spec = fixture.spec("sh", "-c", "sleep 0.3; exit 42")
            let connection = try await fixture.launcher.prepare(spec, directory: fixture.directory(spec))
            let process = try await connection.start()
            let text = String(decoding: try Files.read("/proc/\(process.pid)/stat"), as: UTF8.self)
            let parent = Int32(text.split(separator: " ")[3]) ?? 0
            kill(parent, SIGKILL)
            let record = await connection.exited()
            #expect(record.exitCode == 42 || !record.isKnown)
            try connection.cgroup?.remove()
        }

        @Test func `an exec joins the container and leaves it running`() async throws {
            let spec = fixture.spec("sleep", "30")
            let connection = try await fixture.launcher.prepare(spec, directory: fixture.directory(spec))
            let process = try await connection.start()
            var exec = ExecSpec(containerPID: process.pid, args: ["sh", "-c", "id -u; ps | grep -c sleep; exit 3"])
            exec.env = ["PATH=/bin"]
            exec.user = "user"
            exec.cgroup = connection.cgroup
            let joined = try await fixture.launcher.prepareExec(exec, directory: fixture.base + "/run/exec")
            let outcome = try await fixture.finish(joined)
            #expect(outcome.out.hasPrefix("1000\n"))
            #expect(outcome.record.exitCode == 3)
            try connection.cgroup?.killAll()
            #expect(await connection.exited().exitCode == 137)
            try connection.cgroup?.remove()
        }

        @Test func `a log is rotated and holds every line`() async throws {
            var spec = fixture.spec("seq", "1", "2000")
            let path = fixture.base + "/log.json"
            var log = LogSpec(path: path)
            log.bytesMax = 30_000
            log.sequence = 7
            spec.log = log
            _ = try await fixture.run(spec)
            // 2000 records of 73 bytes are five files, of which three are kept.
            #expect(["7", "8", "9", "10", "11", "12"].map { Files.exists("\(path).\($0)") }.filter { $0 }.count == 2)
            #expect(!Files.exists(path + ".7"))
            #expect(
                String(decoding: try Files.read(path), as: UTF8.self).contains(
                    "{\"log\":\"2000\\n\",\"stream\":\"stdout\",\"time\":\""))
        }

        @Test func `links in an image lead nowhere outside`() async throws {
            symlink("/etc", fixture.base + "/rootfs/evil")
            symlink("/proc/self/fd/5", fixture.base + "/rootfs/leak")
            var inside = fixture.spec("pwd")
            inside.workingDirectory = "/evil/new"
            #expect(try await fixture.run(inside).out.hasPrefix("/etc/new"))
            #expect(!Files.exists("/etc/new"))
            var leak = fixture.spec("pwd")
            leak.workingDirectory = "/leak"
            await #expect(throws: LaunchError.self) { try await fixture.run(leak) }
            unlink(fixture.base + "/rootfs/etc/passwd")
            mkfifo(fixture.base + "/rootfs/etc/passwd", 0o644)
            #expect(try await fixture.run(fixture.spec("true")).record.exitCode == 0)
            symlink("/etc", fixture.base + "/rootfs/proc")
            await #expect(throws: LaunchError.self) { try await fixture.run(fixture.spec("true")) }
        }
    }
}
