import Foundation
import Testing

/// Odd and hostile configurations of containers, by the API and by our CLI; each refusal beside what must work.
@Suite(.serialized)
final class ContainerConfigTests {
    let lab: Lab
    /// busybox with every applet, and files that cannot be run.
    let image = "odd"

    init() throws {
        lab = try Lab()
        let script = """
            printf 'user:x:1000:1000::/home/user:/bin/sh\\n1001:x:0:0::/:/bin/sh\\n' >> etc/passwd
            printf 'root:x:0:\\nuser:x:1000:\\nmore:x:2000:user\\n' > etc/group
            printf 'echo hi\\n' > noshebang
            printf '#!/nonexistent\\n' > nointerpreter
            printf '\\177ELF\\002\\001\\001\\000garbage' > badelf
            cp bin/busybox otherarch
            printf '\\363' | dd of=otherarch bs=1 seek=18 conv=notrunc 2> /dev/null
            chmod 755 noshebang nointerpreter badelf otherarch
            echo text > notexecutable
            ln -s ../../../../../etc outside
            """
        try lab.makeImage(image, script)
    }

    @discardableResult
    private func run(_ options: [String], _ command: String...) throws -> Lab.Output {
        try lab.docker("run", "--rm", ["--network", "none"] + options + [image] + command)
    }

    /// The body of a creation with the given members; after "!", what follows as it is.
    func body(of members: String) -> String {
        guard !members.hasPrefix("!") else { return String(members.dropFirst()) }
        let command = members.contains(#""Cmd": "#) ? "" : #""Cmd": ["true"], "#
        let body = #"{"Image": "odd", \#(command)\#(members)}"#
        // The labs' daemons have no bridge.
        guard !body.contains(#""NetworkMode": "#) else { return body }
        guard body.contains(#""HostConfig": {"#) else {
            return body.dropLast() + #", "HostConfig": {"NetworkMode": "none"}}"#
        }
        return body.replacing(#""HostConfig": {"#, with: #""HostConfig": {"NetworkMode": "none", "#)
    }

    /// Creates, starts, awaits and removes a container of the given members.
    ///
    /// - Returns: the first status that is no success, with its message; or 200 and the exit code.
    func outcome(_ members: String, name: String = "") throws -> (status: Int, message: String) {
        let body = body(of: members)
        let created = try lab.api("POST", "/containers/create\(name)", body)
        guard created.status == 201 else { return (created.status, created.message) }
        defer { _ = try? lab.api("DELETE", "/containers/\(created.id)?force=1&v=1") }
        let started = try lab.api("POST", "/containers/\(created.id)/start", "")
        guard started.status == 204 else { return (started.status, started.message) }
        let waited = try lab.api("POST", "/containers/\(created.id)/wait", "")
        return (waited.status, waited.body)
    }

    /// What is refused, with status and words; and beside it what must work.
    static let refusals: [(bad: String, status: Int, words: String, good: String)] = [
        (#""User": "-1""#, 400, "uids and gids must be in range 0-2147483647", #""User": "0""#),
        (#""User": "4294967296""#, 400, "uids and gids must be in range 0-2147483647", #""User": "2147483647""#),
        (#""User": "0:4294967296""#, 400, "uids and gids must be in range 0-2147483647", #""User": "0:2147483647""#),
        (#""User": "99999999999999999999999""#, 400, "uids and gids must be in range", #""User": "user""#),
        (#""User": "+0""#, 400, "unable to find user +0: no matching entries in passwd file", #""User": """#),
        (#""User": "1:2:3""#, 400, "unable to find user 1:2:3: no matching entries in passwd file", #""User": "1:2""#),
        (
            #""User": "nobodyhere""#, 400, "unable to find user nobodyhere: no matching entries in passwd file",
            #""User": "user:""#
        ),
        (
            #""User": "user:nope""#, 400, "unable to find group nope: no matching entries in group file",
            #""User": "user:user""#
        ),
        (
            #""WorkingDir": "/etc/passwd""#, 500,
            "chdir to cwd (\"/etc/passwd\") set in config.json failed: not a directory", #""WorkingDir": "/new/one""#
        ),
        (
            #""Volumes": {"/": {}}"#, 400, "destination can't be '/'",
            #""Volumes": {"/a": {}, "/a/": {}, "/b/../a": {}}"#
        ),
        (#""Volumes": {"relative": {}}"#, 400, "mount path must be absolute", #""Volumes": {"/../../etc/x": {}}"#),
        (
            #""Volumes": {"/proc": {}}"#, 400, "\"/proc\" cannot be mounted because it is inside /proc",
            #""Volumes": {"/process": {}}"#
        ),
        (
            #""HostConfig": {"Devices": [{"PathOnHost": "/dev/nope"}]}"#, 400,
            "error gathering device information while adding custom device \"/dev/nope\": no such file or directory",
            #""HostConfig": {"Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/also"}]}"#
        ),
        (
            #""HostConfig": {"Devices": [{"PathOnHost": "/etc/passwd"}]}"#, 400, "not a device node",
            #""HostConfig": {"Devices": [{"PathOnHost": "/dev/zero", "CgroupPermissions": "r"}]}"#
        ),
        (
            #""HostConfig": {"GroupAdd": ["nope"]}"#, 400, "unable to find group nope",
            #""HostConfig": {"GroupAdd": ["more", "77"]}"#
        ),
        (
            #""HostConfig": {"PidMode": "container:nope"}"#, 404, "No such container: nope",
            #""HostConfig": {"PidMode": "host"}"#
        ),
        (
            #""HostConfig": {"Tmpfs": {"relative": ""}}"#, 400, "mount path must be absolute",
            #""HostConfig": {"Tmpfs": {"/t": "size=1m,mode=700"}}"#
        ),
        (
            #""HostConfig": {"Binds": ["/tmp:/"]}"#, 400, "destination can't be '/'",
            #""HostConfig": {"Binds": ["/tmp:/host"]}"#
        ),
        (
            #""HostConfig": {"Binds": ["/tmp:/proc"]}"#, 400, "cannot be mounted because it is inside /proc",
            #""HostConfig": {"Binds": ["/:/whole:ro"]}"#
        ),
        (
            #""HostConfig": {"Binds": ["a/b:/x"]}"#, 400, "includes invalid characters for a local volume name",
            #""HostConfig": {"Binds": ["a.b_c-d:/x"]}"#
        ),
        (
            #""HostConfig": {"Binds": ["../up:/x"]}"#, 400, "includes invalid characters for a local volume name",
            #""HostConfig": {"Binds": ["up:/x/../y"]}"#
        ),
        (
            #""HostConfig": {"Binds": ["v1:/x:bogus"]}"#, 400, "invalid mode: bogus",
            #""HostConfig": {"Binds": ["v1:/x:ro,z"]}"#
        ),
        (
            #""HostConfig": {"Binds": ["v1:/x", "v2:/x"]}"#, 400, "Duplicate mount point: /x",
            #""HostConfig": {"Binds": ["v1:/x", "v1:/y"]}"#
        ),
        (
            #""HostConfig": {"Binds": ["v1:relative"]}"#, 400, "mount path must be absolute",
            #""HostConfig": {"Binds": ["/only"]}"#
        ),
        (
            #""HostConfig": {"Mounts": [{"Type": "bogus", "Target": "/x"}]}"#, 400, "mount type unknown",
            #""HostConfig": {"Mounts": [{"Type": "volume", "Target": "/x"}]}"#
        ),
        (
            #""HostConfig": {"Mounts": [{"Type": "bind", "Target": "/x"}]}"#, 400, "field Source must not be empty",
            #""HostConfig": {"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/x"}]}"#
        ),
        (
            #""HostConfig": {"Mounts": [{"Type": "bind", "Source": "/no/such", "Target": "/x"}]}"#, 400,
            "bind source path does not exist: /no/such",
            #""HostConfig": {"Mounts": [{"Type": "bind", "Source": "/etc/hosts", "Target": "/x"}]}"#
        ),
        (
            #""HostConfig": {"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": ""}]}"#, 400,
            "field Target must not be empty",
            #""HostConfig": {"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/a/./b"}]}"#
        ),
        (
            #""HostConfig": {"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/x", "BindOptions": {"Propagation": "bogus"}}]}"#,
            400, "invalid propagation mode: bogus",
            #""HostConfig": {"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/x", "BindOptions": {"Propagation": "private"}}]}"#
        ),
        (
            #""HostConfig": {"Mounts": [{"Type": "bind", "Source": "/tmp", "Target": "/x", "VolumeOptions": {"NoCopy": true}}]}"#,
            400, "field VolumeOptions must not be specified",
            #""HostConfig": {"Mounts": [{"Type": "volume", "Source": "v3", "Target": "/x", "VolumeOptions": {"NoCopy": true}}]}"#
        ),
        (
            #""HostConfig": {"Mounts": [{"Type": "volume", "Source": "v4", "Target": "/x", "VolumeOptions": {"Subpath": "../.."}}]}"#,
            400, "subpath must be a relative path within the volume",
            #""HostConfig": {"Mounts": [{"Type": "volume", "Source": "v4", "Target": "/x", "VolumeOptions": {"Subpath": "."}}]}"#
        ),
        (
            #""HostConfig": {"Mounts": [{"Type": "volume", "Target": "/x", "ReadOnly": true}]}"#, 400,
            "must not set ReadOnly mode when using anonymous volumes",
            #""HostConfig": {"Mounts": [{"Type": "volume", "Source": "v5", "Target": "/x", "ReadOnly": true}]}"#
        ),
        (
            #""HostConfig": {"Mounts": [{"Type": "volume", "Source": "v6", "Target": "/x", "VolumeOptions": {"DriverConfig": {"Name": "nope"}}}]}"#,
            400, "plugin \"nope\" not found",
            #""HostConfig": {"Mounts": [{"Type": "volume", "Source": "v6", "Target": "/x", "VolumeOptions": {"DriverConfig": {"Name": "local"}}}]}"#
        ),
        (
            #""HostConfig": {"Mounts": [{"Type": "tmpfs", "Source": "x", "Target": "/x"}]}"#, 400,
            "field Source must not be specified", #""HostConfig": {"Mounts": [{"Type": "tmpfs", "Target": "/x"}]}"#
        ),
        (
            #""HostConfig": {"Mounts": [{"Type": "tmpfs", "Target": "/x", "TmpfsOptions": {"SizeBytes": -1}}]}"#, 400,
            "tmpfs size must not be negative",
            #""HostConfig": {"Mounts": [{"Type": "tmpfs", "Target": "/x", "TmpfsOptions": {"SizeBytes": 65536, "Mode": 448}}]}"#
        ),
        (
            #""HostConfig": {"Mounts": [{"Type": "tmpfs", "Target": "/x", "TmpfsOptions": {"Mode": 99999}}]}"#, 400,
            "invalid tmpfs mode", #""HostConfig": {"Mounts": [{"Type": "tmpfs", "Target": "/x", "ReadOnly": true}]}"#
        ),
    ]

    @Test func `a configuration that cannot be is refused in Docker's words and its twin runs`() throws {
        for row in Self.refusals {
            let bad = try outcome(row.bad)
            #expect(bad.status == row.status, "\(row.bad): \(bad.message)")
            #expect(bad.message.contains(row.words), "\(row.bad): \(bad.message)")
            let good = try outcome(row.good)
            #expect(good.status == 200, "\(row.good): \(good.message)")
        }
        #expect(try lab.docker("ps", "-aq").text.isEmpty)
        #expect(try soon { try lab.names("containers").isEmpty })
    }

    @Test(arguments: [
        ("{", 400, "invalid JSON"), ("null", 400, "invalid JSON"), ("[]", 400, "invalid JSON"),
        (#"{"Image": "odd", "HostConfig": 5}"#, 400, "invalid JSON: HostConfig: "),
        (#"{"Image": "odd", "HostConfig": {"Memory": 1e30}}"#, 400, "invalid JSON"),
        (#"{"a": \#(String(repeating: "[", count: 100_000))"#, 400, "invalid JSON"),
        (#"{"Image": "nope"}"#, 404, "No such image: nope:latest"), (#"{"Image": "odd"}"#, 400, "no command specified"),
        (
            #"{"Image": "odd", "Labels": {"k": "\#(String(repeating: "v", count: 9_000_000))"}}"#, 413,
            "larger than 8388608 bytes"
        ),
    ])
    func `a body that is no configuration is refused`(_ body: String, _ status: Int, _ words: String) throws {
        let refused = try outcome("!" + body)
        #expect(refused.status == status)
        #expect(refused.message.contains(words), "\(refused.message)")
        #expect(try outcome(#""Labels": {"k": "\#(String(repeating: "v", count: 4_000_000))"}"#).status == 200)
    }

    @Test func `a name that is a path, too short or too long is refused`() throws {
        for name in ["a", "a%2Fb", "..", "-x", ".x", "_x", String(repeating: "x", count: 300), "a%0Ab"] {
            let refused = try outcome(#""Labels": {}"#, name: "?name=\(name)")
            #expect(refused.status == 400, "\(name)")
            #expect(refused.message.contains("only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"), "\(refused.message)")
        }
        #expect(try outcome(#""Labels": {}"#, name: "?name=a.b_c-d").status == 200)
    }

    // MARK: Programs

    @Test(
        arguments: [
            (["nothere"], 127, "exec: \"nothere\": executable file not found in $PATH", 127),
            (["/nothere"], 127, "exec: \"/nothere\": stat /nothere: no such file or directory", 127),
            (["/nointerpreter"], 127, "exec /nointerpreter: no such file or directory", 127),
            (["/notexecutable"], 126, "exec: \"/notexecutable\": permission denied", 126),
            (["/etc"], 126, "exec: \"/etc\": is a directory", 126),
            (["/noshebang"], 125, "exec /noshebang: exec format error", 126),
            (["/badelf"], 125, "exec /badelf: exec format error", 126),
            (["/otherarch"], 125, "exec /otherarch: exec format error", 126),
            (["/bin/sh", "-c", "echo on purpose >&2; exit 42"], 42, "on purpose", 42),
        ] as [([String], Int32, String, Int)])
    func `a program that cannot run says why and leaves its code`(
        _ command: [String], _ code: Int32, _ words: String, _ recorded: Int
    ) throws {
        let ran = try lab.docker("run", "--name", ["odd-one", "--network", "none", image] + command)
        #expect(ran.code == code)
        #expect(ran.err.contains(words), "\(ran.err)")
        #expect(try lab.docker("inspect", "-f", ["{{.State.ExitCode}}", "odd-one"]).text == "\(recorded)")
    }

    @Test func `the image's files about users are read inside of it and only so far`() throws {
        let big = lab.directory + "/big"
        try Data().write(to: URL(filePath: big))
        #expect(truncate(big, 1 << 30) == 0)
        let fifo = lab.directory + "/fifo"
        #expect(mkfifo(fifo, 0o644) == 0)
        for path in [big, fifo] {
            let start = ContinuousClock.now
            let refused = try run(["-v", "\(path):/etc/passwd", "-u", "user"], "true")
            #expect(refused.err.contains("unable to find user user"), "\(refused.err)")
            // Not with id, which would read the file itself.
            #expect(
                try run(["-v", "\(path):/etc/passwd", "-u", "7"], "grep", "^Uid:", "/proc/self/status").out
                    == "Uid:\t7\t7\t7\t7\n")
            #expect(ContinuousClock.now - start < .seconds(5))
        }
        // A number is a number, even where a user is called so.
        #expect(try run(["-u", "1001"], "id", "-u").out == "1001\n")
        #expect(try run(["-u", "user"], "id").out == "uid=1000(user) gid=1000(user) groups=1000(user),2000(more)\n")
        #expect(try run(["-w", "/outside/new"], "pwd").out == "/etc/new\n")
        #expect(!FileManager.default.fileExists(atPath: "/etc/new"))
    }

    // MARK: Confinement

    @Test(arguments: [
        ([], "00000000a80425fb"), (["--cap-add", "SYS_TIME"], "00000000aa0425fb"),
        (["--cap-add", "cap_net_admin"], "00000000a80435fb"),
        (["--cap-drop", "ALL"], "0000000000000000"), (["--cap-drop", "ALL", "--cap-add", "CHOWN"], "0000000000000001"),
        (["--cap-drop", "MKNOD"], "00000000a00425fb"),
    ])
    func `capabilities are Docker's to the bit`(_ options: [String], _ mask: String) throws {
        let status = try run(options, "grep", "^Cap", "/proc/self/status").out
        #expect(
            status
                == "CapInh:\t0000000000000000\nCapPrm:\t\(mask)\nCapEff:\t\(mask)\nCapBnd:\t\(mask)\nCapAmb:\t0000000000000000\n"
        )
    }

    @Test func `privileged has all that this machine gives, and no filter`() throws {
        let own =
            try String(contentsOfFile: "/proc/self/status", encoding: .utf8).split(separator: "\n").first {
                $0.hasPrefix("CapBnd")
            } ?? ""
        #expect(try run(["--privileged"], "grep", "^CapEff", "/proc/self/status").text.suffix(16) == own.suffix(16))
        #expect(try run(["--privileged"], "grep", "^Seccomp:", "/proc/self/status").out == "Seccomp:\t0\n")
        #expect(try run([], "grep", "^Seccomp:", "/proc/self/status").out == "Seccomp:\t2\n")
    }

    @Test func `a seccomp profile from a file is obeyed and a wrong one refused`() throws {
        let profile = lab.directory + "/profile.json"
        try
            #"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}"#
            .write(
                toFile: profile, atomically: true, encoding: .utf8)
        #expect(
            try run(["--security-opt", "seccomp=\(profile)"], "mkdir", "/x").err.contains("Operation not permitted"))
        #expect(try run(["--security-opt", "seccomp=unconfined"], "mkdir", "/x").code == 0)
        try "{".write(toFile: profile, atomically: true, encoding: .utf8)
        #expect(try run(["--security-opt", "seccomp=\(profile)"], "true").code == 125)
        #expect(
            try run(["--security-opt", "seccomp=/no/such"], "true").err.contains(
                "opening seccomp profile (/no/such) failed"))
        #expect(
            try run(["--security-opt", "no-new-privileges"], "grep", "NoNewPrivs", "/proc/self/status").out
                == "NoNewPrivs:\t1\n")
        #expect(try run([], "grep", "NoNewPrivs", "/proc/self/status").out == "NoNewPrivs:\t0\n")
    }

    @Test func `read-only, tmpfs and limits hold`() throws {
        #expect(try run(["--read-only"], "touch", "/x").err.contains("Read-only file system"))
        #expect(try run(["--read-only", "--tmpfs", "/t"], "touch", "/t/x").code == 0)
        #expect(
            try run(["--tmpfs", "/t:size=1m"], "dd", "if=/dev/zero", "of=/t/x", "bs=1M", "count=3").err.contains(
                "No space left on device"))
        #expect(try run(["--tmpfs", "/t:mode=700,uid=5"], "stat", "-c", "%a:%u", "/t").out == "700:5\n")
        #expect(try run(["--ulimit", "nofile=50:100"], "sh", "-c", "ulimit -n; ulimit -Hn").out == "50\n100\n")
        #expect(
            try run(["--pids-limit", "5"], "sh", "-c", "for i in 1 2 3 4 5 6 7; do sleep 1 & done; wait").err.contains(
                "can't fork"))
        #expect(try run(["--pids-limit", "50"], "sh", "-c", "for i in 1 2 3 4 5 6 7; do true & done; wait").code == 0)
        #expect(try run(["--sysctl", "net.ipv4.ip_forward=1"], "cat", "/proc/sys/net/ipv4/ip_forward").out == "1\n")
        #expect(
            try run(["--shm-size", "1m"], "dd", "if=/dev/zero", "of=/dev/shm/x", "bs=1M", "count=3").err.contains(
                "No space left on device"))
    }

    @Test func `too much memory ends the container alone and is told`() throws {
        let ran = try lab.docker(
            "run", "--name",
            ["hog", "--network", "none", "-m", "16m", image, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"])
        #expect(ran.code == 137)
        #expect(
            try lab.docker("inspect", "-f", ["{{.State.OOMKilled}} {{.State.ExitCode}}", "hog"]).text == "true 137")
        #expect(try run(["-m", "64m"], "dd", "if=/dev/zero", "of=/dev/null", "bs=16M", "count=1").code == 0)
    }

    @Test func `namespaces are shared as asked`() throws {
        try lab.docker(
            "run", "-d",
            ["--name", "first", "--network", "none", "--hostname", "one", "--ipc", "shareable", image, "sleep", "600"])
        let pid = try lab.docker("inspect", "-f", ["{{.State.Pid}}", "first"]).text
        func namespace(_ kind: String, _ pid: String) throws -> String {
            try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/ns/\(kind)")
        }
        func own(_ kind: String, _ options: [String]) throws -> String {
            try lab.docker("run", "--rm", options + [image, "readlink", "/proc/self/ns/\(kind)"]).text
        }
        #expect(try own("net", ["--network", "container:first"]) == namespace("net", pid))
        #expect(try own("pid", ["--network", "none", "--pid", "container:first"]) == namespace("pid", pid))
        #expect(try own("ipc", ["--network", "none", "--ipc", "container:first"]) == namespace("ipc", pid))
        for (kind, option) in [("net", "--network"), ("pid", "--pid"), ("ipc", "--ipc"), ("uts", "--uts")] {
            let base = kind == "net" ? [] : ["--network", "none"]
            #expect(try own(kind, base + [option, "host"]) == namespace(kind, "self"), "\(kind)")
            #expect(try own(kind, ["--network", "none"]) != namespace(kind, "self"), "\(kind)")
            #expect(try own(kind, ["--network", "none"]) != namespace(kind, pid), "\(kind)")
        }
        try lab.docker("run", "-d", ["--name", "alone", "--network", "none", image, "sleep", "600"])
        let alone = try lab.docker("run", "--rm", ["--network", "none", "--ipc", "container:alone", image, "true"])
        #expect(alone.code == 125)
        #expect(
            alone.err.contains("non-shareable IPC (hint: use IpcMode:shareable for the donor container)"),
            "\(alone.err)")
        #expect(try run(["--hostname", "two"], "hostname").out == "two\n")
        try lab.docker("stop", "-t", ["0", "first"])
        let refused = try lab.docker("run", "--rm", ["--network", "container:first", image, "true"])
        #expect(
            refused.err.contains("cannot join network of a non running container")
                || refused.err.contains("non running container"), "\(refused.err)")
    }

    @Test func `the small init is process 1, reaps orphans, and passes signals on`() throws {
        #expect(try run(["--init"], "sh", "-c", "cat /proc/1/comm; exit 3").code == 3)
        #expect(try run([], "cat", "/proc/1/comm").out == "cat\n")
        #expect(
            try run(
                ["--init"], "sh", "-c",
                "for i in 1 2 3; do (sleep 0.1 &); done; sleep 0.6; cat /proc/[0-9]*/stat | grep -c ' Z '"
            ).out == "0\n")
        try lab.docker(
            "run", "-d",
            [
                "--name", "trapped", "--init", "--stop-signal", "USR1", "--network", "none", image, "sh", "-c",
                "trap 'exit 9' USR1; while true; do sleep 0.1; done",
            ])
        let start = ContinuousClock.now
        #expect(try lab.docker("stop", "trapped").code == 0)
        #expect(ContinuousClock.now - start < .seconds(5))
        #expect(try lab.docker("inspect", "-f", ["{{.State.ExitCode}}", "trapped"]).text == "9")
    }

    @Test func `a failing container starts again with growing pauses and then stays down`() throws {
        let start = ContinuousClock.now
        try lab.docker(
            "run", "-d",
            ["--name", "failing", "--restart", "on-failure:3", "--network", "none", image, "sh", "-c", "exit 4"])
        #expect(
            try soon {
                try lab.docker("inspect", "-f", ["{{.RestartCount}} {{.State.Status}}", "failing"]).text == "3 exited"
            })
        // 100, 200 and 400 milliseconds.
        #expect(ContinuousClock.now - start > .milliseconds(700))
        #expect(try lab.docker("inspect", "-f", ["{{.State.ExitCode}}", "failing"]).text == "4")
        try lab.docker(
            "run", "-d", ["--name", "fine", "--restart", "on-failure:3", "--network", "none", image, "true"])
        #expect(try soon { try lab.docker("inspect", "-f", ["{{.State.Status}}", "fine"]).text == "exited" })
        #expect(try lab.docker("inspect", "-f", ["{{.RestartCount}}", "fine"]).text == "0")
        try lab.docker("run", "-d", ["--name", "always", "--restart", "always", "--network", "none", image, "true"])
        #expect(try soon { (Int(try lab.docker("inspect", "-f", ["{{.RestartCount}}", "always"]).text) ?? 0) >= 2 })
    }

    @Test func `an archive that is sent arrives to its last byte, however busy the machine`() throws {
        let command = "tar -C \(lab.directory)/odd -c . | \(Lab.binaries)/docker import -"
        let script = "seq 8 | xargs -P 8 -I @ sh -c '\(command) || echo failed'"
        for _ in 0..<5 {
            let sent = try Lab.run("/bin/sh", ["-c", script], environment: lab.environment)
            #expect(!sent.out.contains("failed"), "\(sent.err)")
        }
    }

    @Test func `an image of another platform is told apart`() throws {
        let refused = try lab.api(
            "POST", "/containers/create?platform=linux/arm64", #"{"Image": "odd", "Cmd": ["true"]}"#)
        #expect(refused.status == 404)
        #expect(
            refused.message.contains(
                "was found but its platform (linux/amd64) does not match the specified platform (linux/arm64)"),
            "\(refused.message)")
        let created = try lab.api(
            "POST", "/containers/create?platform=linux/amd64", #"{"Image": "odd", "Cmd": ["true"]}"#)
        #expect(created.status == 201)
    }
}

extension Lab {
    /// What the API answered.
    struct Answer: Sendable {
        let status: Int
        let body: String
        private struct Fields: Decodable {
            let message: String?
            let Id: String?
        }
        private var fields: Fields? { try? JSONDecoder().decode(Fields.self, from: Data(body.utf8)) }
        var message: String { fields?.message ?? body }
        var id: String { fields?.Id ?? "" }
    }

    /// One request to this lab's daemon, with curl as the client.
    func api(_ method: String, _ path: String, _ body: String = "") throws -> Answer {
        let output = try Self.run(
            "/usr/bin/curl",
            [
                "-s", "--unix-socket", directory + "/docker.sock", "-X", method, "-H", "Content-Type: application/json",
                "-H", "Expect:",
                "-w", "\n%{http_code}", "--data-binary", "@-", "http://docker/v1.51\(path)",
            ], input: body)
        let lines = output.out.split(separator: "\n", omittingEmptySubsequences: false)
        return Answer(status: Int(lines.last ?? "") ?? 0, body: lines.dropLast().joined(separator: "\n"))
    }
}
