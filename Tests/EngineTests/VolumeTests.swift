import Foundation
import Testing

/// The life of volumes: what they are filled with, what they may hold, when they go, and what a killed daemon leaves.
@Suite(.serialized)
final class VolumeTests {
    let lab: Lab
    let image: String

    init() throws {
        lab = try Lab()
        image = try lab.loadedImage()
    }

    @discardableResult
    private func sh(_ options: [String], _ script: String) throws -> Lab.Output {
        try lab.docker("run", "--rm", ["--network", "none"] + options + [image, "sh", "-c", script])
    }

    private func create(_ name: String, _ options: String...) throws -> Lab.Output {
        try lab.docker("volume", "create", options.flatMap { ["-o", $0] } + [name])
    }

    private func isMounted(_ name: String) throws -> Bool {
        try String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8).contains(
            " \(lab.dataRoot)/volumes/\(name)/_data ")
    }

    /// Waits until a volume is unmounted: that goes on behind an answer.
    private func becomesUnmounted(_ name: String) throws -> Bool {
        for _ in 0..<1500 {
            if !(try isMounted(name)) { return true }
            usleep(20_000)
        }
        return false
    }

    // MARK: Filling

    @Test func `a volume that is filled beside a running container stays that container's`() throws {
        try lab.docker(
            "run", "-d", ["--name", "writer", "--network", "none", "-v", "data:/nothing", image, "sleep", "600"])
        #expect(try sh(["-v", "data:/seed"], "cat /seed/sub/file").text == "seeded")
        #expect(try lab.docker("exec", "writer", ["cat", "/nothing/sub/file"]).text == "seeded")
        try lab.docker("exec", "writer", ["sh", "-c", "echo mine > /nothing/mine"])
        #expect(try sh(["-v", "data:/x"], "cat /x/mine").text == "mine")
        try lab.docker("rm", "-f", ["writer"])
    }

    @Test func `data outlives stops, restarts, kills of the daemon, and is in no commit, diff or export`() throws {
        try lab.docker(
            "run", "-d",
            [
                "--name", "keeper", "--network", "none", "-v", "data:/data", "-v", "/own", image, "sh", "-c",
                "echo once >> /data/log; echo once >> /own/log; sleep 600",
            ])
        try lab.docker("stop", "-t", ["0", "keeper"])
        try lab.docker("start", "keeper")
        try lab.docker("restart", "-t", ["0", "keeper"])
        lab.killDaemon()
        try lab.startDaemon()
        let logs = try lab.docker("exec", "keeper", ["cat", "/data/log", "/own/log"]).out
        #expect(logs.split(separator: "\n").count >= 4, "\(logs)")
        #expect(!(try lab.docker("diff", "keeper").out.contains("log")))
        let exported = try Lab.run(
            "/bin/sh", ["-c", "\(Lab.binaries)/docker export keeper | tar -t"], environment: lab.environment)
        #expect(exported.code == 0 && !exported.out.contains("/log"))
        try lab.docker("commit", "keeper", ["kept:1"])
        #expect(
            try lab.docker("run", "--rm", ["--network", "none", "kept:1", "sh", "-c", "ls /data /own"]).out.contains(
                "log") == false)
        try lab.docker("rm", "-f", ["-v", "keeper"])
        #expect(try lab.docker("volume", "ls", "-q").text == "data")
    }

    // MARK: Options

    @Test func `a volume has the owner and mode that were asked for`() throws {
        #expect(try create("mine", "uid=1000", "gid=77", "mode=2750").code == 0)
        #expect(
            try sh(["-v", "mine:/x", "-u", "1000"], "stat -c '%u %g %a' /x; echo hi > /x/f; cat /x/f").text
                == "1000 77 2750\nhi")
    }

    @Test func `a volume with a size holds no more, tells it, and is mounted only while it is used`() throws {
        let made = try create("small", "size=8m", "uid=5")
        #expect(made.code == 0, "\(made.err)")
        #expect(try !isMounted("small"))
        let told = try sh(
            ["-v", "small:/x"],
            "stat -c %u /x; ls -A /x; busybox df -k /x | busybox tail -1 | busybox awk '{print ($2 > 6000 && $2 <= 8192)}'; dd if=/dev/zero of=/x/big bs=1M count=20 2> /dev/null || echo full; rm /x/big; echo kept > /x/file"
        )
        #expect(told.text == "5\n1\nfull", "\(told.out) \(told.err)")
        #expect(try becomesUnmounted("small"))
        #expect(try sh(["-v", "small:/x"], "cat /x/file").text == "kept")
        // Two at once share one file system; the last ends it.
        for name in ["one", "two"] {
            try lab.docker("run", "-d", ["--name", name, "--network", "none", "-v", "small:/x", image, "sleep", "600"])
        }
        try lab.docker("exec", "one", ["sh", "-c", "echo shared > /x/shared"])
        #expect(try lab.docker("exec", "two", ["cat", "/x/shared"]).text == "shared")
        try lab.docker("rm", "-f", ["one"])
        #expect(try isMounted("small"))
        #expect(try lab.docker("volume", "rm", ["small"]).code != 0)
        // A killed daemon's mounts go at the next start when nobody uses them.
        lab.killDaemon()
        try lab.startDaemon()
        #expect(try isMounted("small"))
        #expect(try lab.docker("exec", "two", ["cat", "/x/shared"]).text == "shared")
        let pid = Int32(try lab.docker("inspect", "-f", ["{{.State.Pid}}", "two"]).text) ?? 0
        lab.killDaemon()
        #expect(pid > 0 && kill(pid, SIGKILL) == 0)
        try lab.startDaemon()
        #expect(try becomesUnmounted("small"))
        try lab.docker("rm", "-f", ["two"])
        #expect(try becomesUnmounted("small"))
        #expect(try lab.docker("volume", "rm", ["small"]).code == 0)
        #expect(!FileManager.default.fileExists(atPath: lab.dataRoot + "/volumes/small"))
    }

    @Test func `an image's content is copied into a volume with a size`() throws {
        #expect(try create("seeded", "size=4m").code == 0)
        #expect(try sh(["-v", "seeded:/seed"], "cat /seed/sub/file").text == "seeded")
        #expect(try becomesUnmounted("seeded"))
    }

    @Test func `a file system in memory and a directory of the host can be volumes`() throws {
        let host = lab.directory + "/host"
        try FileManager.default.createDirectory(atPath: host, withIntermediateDirectories: true)
        try "mine\n".write(toFile: host + "/file", atomically: true, encoding: .utf8)
        #expect(try create("memory", "type=tmpfs", "device=tmpfs", "o=size=1m,uid=1000").code == 0)
        #expect(try create("bound", "type=none", "device=\(host)", "o=bind").code == 0)
        #expect(try create("reading", "type=none", "device=\(host)", "o=bind,ro").code == 0)
        #expect(
            try sh(["-v", "memory:/x"], "stat -c %u /x; busybox df -k /x | busybox tail -1 | busybox awk '{print $2}'")
                .text == "1000\n1024")
        #expect(try sh(["-v", "bound:/x"], "cat /x/file; echo new > /x/new").text == "mine")
        #expect(FileManager.default.fileExists(atPath: host + "/new"))
        #expect(try sh(["-v", "reading:/x"], "cat /x/file; echo no > /x/no").code == 1)
        #expect(try lab.docker("create", "--name", ["copier", "--network", "none", "-v", "bound:/x", image]).code == 0)
        #expect(try lab.docker("cp", "copier:/x/file", [lab.directory + "/copied"]).code == 0)
        try lab.docker("rm", "copier")
        for name in ["memory", "bound", "reading"] { #expect(try becomesUnmounted(name)) }
        #expect(try lab.docker("volume", "rm", ["memory", "bound", "reading"]).code == 0)
        // Data of the host is never removed with the volume that shows it.
        #expect(try FileManager.default.contentsOfDirectory(atPath: host).sorted() == ["file", "new"])
    }

    @Test func `a volume at which something else is mounted is not removed`() throws {
        #expect(try create("data").code == 0)
        let path = lab.dataRoot + "/volumes/data/_data"
        let host = lab.directory + "/precious"
        try FileManager.default.createDirectory(atPath: host + "/sub", withIntermediateDirectories: true)
        #expect(try Lab.run("/bin/mount", ["--bind", host, path]).code == 0)
        let refused = try lab.docker("volume", "rm", ["data"])
        #expect(refused.code != 0 && refused.err.contains("unmount it first"), "\(refused.err)")
        #expect(try Lab.run("/bin/umount", [path]).code == 0)
        #expect(FileManager.default.fileExists(atPath: host + "/sub"))
        #expect(try lab.docker("volume", "rm", ["data"]).code == 0)
    }

    @Test func `options that cannot be are refused and make nothing`() throws {
        let rows: [([String], String)] = [
            (["bogus=1"], "invalid option: \"bogus\""), (["type=tmpfs"], "missing required option: \"device\""),
            (["device=/x"], "missing required option: \"type\""), (["o=bind"], "missing required option"),
            (["size=x"], "invalid size: 'x'"), (["size=-1"], "invalid size"), (["size=10"], "are the least"),
            (["uid=-1"], "invalid uid: '-1'"), (["mode=9"], "invalid mode: '9'"),
            (["type=tmpfs", "device=tmpfs", "size=5m"], "give it in o"),
        ]
        for (options, words) in rows {
            let refused = try lab.docker("volume", "create", options.flatMap { ["-o", $0] } + ["vol"])
            #expect(refused.code != 0 && refused.err.contains(words), "\(options): \(refused.err)")
        }
        #expect(try lab.docker("volume", "ls", "-q").text.isEmpty)
        // Looked at when it is mounted, as by Docker.
        #expect(try create("late", "type=none", "device=/nonexistent/x", "o=bind").code == 0)
        let late = try sh(["-v", "late:/x"], "true")
        #expect(
            late.code != 0
                && late.err.contains(
                    "failed to mount local volume: mount /nonexistent/x:\(lab.dataRoot)/volumes/late/_data, flags: 0x1000: no such file or directory"
                ), "\(late.err)")
        #expect(try lab.docker("ps", "-aq").code == 0)
    }

    // MARK: Beyond Docker's

    @Test func `a volume is copied whole, beside a container that writes to it`() throws {
        let script =
            "i=0; while true; do i=$((i+1)); for f in a b; do echo $i > /data/t; busybox mv /data/t /data/$f; done; done"
        try lab.docker(
            "run", "-d",
            [
                "--name", "writer", "--network", "none", "-v", "data:/data", "-v", "data:/seed", image, "sh", "-c",
                script,
            ])
        #expect(try soon(60) { try lab.docker("exec", "writer", ["test", "-e", "/data/b"]).code == 0 })
        for copy in 0..<5 {
            let made = try lab.api("POST", "/volumes/data/clone?name=copy\(copy)", #"{"Labels": {"n": "\#(copy)"}}"#)
            #expect(made.status == 201 && made.body.contains("copy\(copy)"), "\(made.body)")
            let seen = try sh(["-v", "copy\(copy):/x"], "cat /x/a /x/b /x/sub/file").text.split(separator: "\n")
            // Written one after the other: the second is the first or its predecessor, and neither is cut.
            let numbers = seen.compactMap { Int($0) }
            #expect(seen.last == "seeded" && numbers.count == 2 && [0, 1].contains(numbers[0] - numbers[1]), "\(seen)")
        }
        #expect(try lab.docker("inspect", "-f", ["{{.State.Status}}", "writer"]).text == "running")
        #expect(try lab.api("POST", "/volumes/data/clone?name=copy0").status == 409)
        let quick = try lab.docker("volume", "clone", ["--no-pause", "--label", "a=b", "copy0", "copy8"])
        #expect(quick.text == "copy8", "\(quick.err)")
        #expect(try lab.docker("volume", "inspect", ["-f", "{{.Labels.a}}", "copy8"]).text == "b")
        #expect(try lab.api("POST", "/volumes/data/clone?name=../x").status == 400)
        #expect(try lab.api("POST", "/volumes/nosuch/clone?name=copy9").status == 404)
        #expect(try lab.api("POST", "/volumes/data/clone").status == 400)
        try lab.docker("rm", "-f", ["writer"])
        #expect(try lab.docker("volume", "ls", "-q").text.split(separator: "\n").count == 7)
    }

    @Test func `a snapshot is marked, only read by containers, and gives back what was lost`() throws {
        try sh(["-v", "data:/x"], "echo kept > /x/file")
        let named = try lab.docker("volume", "snapshot", ["data", "monday"])
        #expect(named.text == "monday", "\(named.err)")
        let second = try lab.docker("volume", "snapshot", ["--no-pause", "data"]).text
        #expect(second.hasPrefix("data-20"), "\(second)")
        #expect(
            try lab.docker("volume", "ls", ["-q", "--filter", "label=docker-swift.snapshot.of=data"]).text.split(
                separator: "\n"
            )
            .sorted() == [second, "monday"].sorted().map { $0[...] })
        let labels = try lab.docker("volume", "inspect", ["-f", "{{json .Labels}}", "monday"]).text
        #expect(labels.contains(#""docker-swift.snapshot.time":"20"#), "\(labels)")
        try sh(["-v", "data:/x"], "rm /x/file")
        let read = try sh(["-v", "monday:/x"], "cat /x/file; echo no > /x/file")
        #expect(read.text == "kept" && read.err.contains("Read-only file system"), "\(read.err)")
        #expect(try lab.docker("volume", "clone", ["monday", "back"]).code == 0)
        #expect(try sh(["-v", "back:/x"], "cat /x/file; echo more > /x/file; cat /x/file").text == "kept\nmore")
        #expect(try lab.api("POST", "/volumes/nosuch/snapshot").status == 404)
        let lines = try lab.api("POST", "/volumes/data/snapshot?name=told&progress=1")
        #expect(lines.status == 200 && lines.body.contains(#"{"stream":"told\n"}"#), "\(lines.body)")
        try lab.docker("volume", "rm", ["monday", second, "back", "told"])
    }

    @Test func `a clone is exact, with large files, and a client that leaves stops it`() throws {
        let trees = Lab.root.path + "/Tests/Support/volume-tree"
        func shown(_ name: String) throws -> String {
            try Lab.run("/usr/bin/env", ["python3", trees, "show", "\(lab.dataRoot)/volumes/\(name)/_data"]).out
        }
        #expect(try create("data").code == 0)
        let content = "\(lab.dataRoot)/volumes/data/_data"
        #expect(try Lab.run("/usr/bin/env", ["python3", trees, "make", content]).code == 0)
        let large =
            "head -c 70000001 /dev/urandom > \(content)/large && truncate -s 200000000 \(content)/large && head -c 40000000 /dev/urandom >> \(content)/large"
        #expect(try Lab.run("/bin/sh", ["-c", large]).code == 0)
        #expect(try lab.docker("volume", "clone", ["data", "copy"]).text == "copy")
        #expect(try shown("copy") == shown("data"))
        // More than is copied before its client leaves.
        #expect(
            try Lab.run("/bin/sh", ["-c", "for i in 1 2 3 4; do cp \(content)/large \(content)/large$i; done"]).code
                == 0)
        let left = try Lab.run(
            "/usr/bin/env",
            [
                "python3", "-c",
                """
                import socket, sys, time
                client = socket.socket(socket.AF_UNIX)
                client.connect(sys.argv[1])
                client.sendall(b"POST /volumes/data/clone?name=half HTTP/1.1\\r\\nHost: d\\r\\nContent-Length: 0\\r\\n\\r\\n")
                time.sleep(0.05)
                """, lab.directory + "/docker.sock",
            ])
        #expect(left.code == 0, "\(left.err)")
        let isFree = try soon(60) { try lab.docker("volume", "rm", ["data"]).code == 0 }
        #expect(isFree)
        let names = try FileManager.default.contentsOfDirectory(atPath: lab.dataRoot + "/volumes")
        // One that was whole already stays.
        #expect(names.sorted() == ["copy"] || names.sorted() == ["copy", "half"], "\(names)")
        try lab.docker("volume", "rm", names)
    }

    @Test func `a volume gets another name and other labels, and a protected one stays`() throws {
        try sh(["-v", "old:/x"], "echo kept > /x/file")
        try lab.docker("create", "--name", ["user", "--network", "none", "-v", "old:/x", image])
        let busy = try lab.api("POST", "/volumes/old/rename?name=new")
        #expect(busy.status == 409 && busy.message.contains("volume is in use"), "\(busy.body)")
        try lab.docker("rm", "user")
        #expect(try lab.docker("volume", "rename", ["old", "new"]).code == 0)
        #expect(try sh(["-v", "new:/x"], "cat /x/file").text == "kept")
        #expect(try lab.docker("volume", "ls", "-q").text == "new")
        #expect(try lab.api("POST", "/volumes/new/rename?name=new").status == 400)
        let label = #"{"Labels": {"docker-swift.protected": "yes"}}"#
        #expect(try lab.api("PUT", "/volumes/new", label).status == 200)
        lab.killDaemon()
        try lab.startDaemon()
        let refused = try lab.docker("volume", "rm", ["new"])
        #expect(refused.code != 0 && refused.err.contains("volume is protected"), "\(refused.err)")
        #expect(try lab.docker("volume", "prune", ["-a", "-f"]).code == 0)
        #expect(try lab.docker("volume", "ls", "-q").text == "new")
        #expect(try lab.api("PUT", "/volumes/new", #"{"Labels": {}}"#).status == 200)
        #expect(try lab.docker("volume", "rm", ["new"]).code == 0)
    }
}
