import Foundation
import Testing

/// The engine as its users meet it: our CLI, our daemon, a real registry.
@Suite(.serialized)
final class EngineTests {
    let lab: Lab
    let image: String

    init() throws {
        lab = try Lab()
        image = try lab.pulledImage()
    }

    @discardableResult
    private func run(_ arguments: String...) throws -> Lab.Output {
        try lab.docker("run", "--rm", ["--network", "none"] + arguments)
    }

    @Test func `a pulled image runs and its exit code comes through`() throws {
        #expect(try run(image, "echo", "hello").out == "hello\n")
        #expect(try run(image, "sh", "-c", "exit 7").code == 7)
        let missing = try run(image, "nosuch")
        #expect(missing.code == 127)
        #expect(missing.err.contains("executable file not found in $PATH"))
        #expect(try run("--init", image, "sh", "-c", "kill -9 $$").code == 137)
    }

    @Test func `standard input reaches the program and its end is seen`() throws {
        #expect(
            try lab.docker("run", "-i", "--rm", "--network", "none", image, "cat", input: "piped\n").out == "piped\n")
    }

    @Test func `a named volume is shared, seeded from the image, and outside of commits`() throws {
        #expect(try run("-v", "data:/seed", image, "cat", "/seed/sub/file").out == "seeded\n")
        try run("-v", "data:/seed", image, "sh", "-c", "echo changed > /seed/sub/file")
        #expect(try run("-v", "data:/x:ro", image, "cat", "/x/sub/file").out == "changed\n")
        #expect(try run("-v", "data:/x:ro", image, "sh", "-c", "echo no > /x/y").code != 0)
        try lab.docker(
            "run", "--name",
            [
                "maker", "--network", "none", "-v", "data:/seed", image, "sh", "-c",
                "echo in > /layer; echo out > /seed/new",
            ])
        #expect(try lab.docker("commit", "maker", "made:1").code == 0)
        #expect(try run("made:1", "cat", "/layer").out == "in\n")
        #expect(try run("made:1", "test", "-e", "/seed/new").code == 1)
        #expect(try run("--volumes-from", "maker", image, "cat", "/seed/new").out == "out\n")
        let refused = try lab.docker("volume", "rm", "data")
        #expect(refused.code != 0)
        #expect(refused.err.contains("volume is in use"))
        try lab.docker("rm", "maker")
        #expect(try lab.docker("volume", "rm", "data").code == 0)
    }

    @Test func `an anonymous volume goes with its container and a named one stays`() throws {
        try run("-v", "/scratch", "-v", "kept:/kept", image, "true")
        #expect(try lab.docker("volume", "ls", "-q").text == "kept")
    }

    @Test func `containers outlive the daemon and their ends are known`() throws {
        try lab.docker(
            "run", "-d", ["--name", "long", "--network", "none", image, "sh", "-c", "echo before; sleep 600"])
        try lab.docker(
            "run", "-d", ["--name", "short", "--network", "none", image, "sh", "-c", "sleep 1; echo late; exit 5"])
        let pid = try lab.docker("inspect", "-f", ["{{.State.Pid}}", "long"]).text
        lab.killDaemon()
        usleep(1_500_000)
        try lab.startDaemon()
        #expect(try lab.docker("inspect", "-f", ["{{.State.Status}} {{.State.Pid}}", "long"]).text == "running \(pid)")
        #expect(try lab.docker("inspect", "-f", ["{{.State.Status}} {{.State.ExitCode}}", "short"]).text == "exited 5")
        #expect(try lab.docker("logs", "short").out == "late\n")
        #expect(try lab.docker("exec", "long", ["echo", "again"]).out == "again\n")
        #expect(try lab.docker("rm", "-f", ["long", "short"]).code == 0)
    }

    @Test func `what a killed daemon left of layers goes at the next start and what images need stays`() throws {
        lab.killDaemon()
        let orphans = ["layers/sha256", "chains"].map {
            "\(lab.directory)/root/\($0)/" + String(repeating: "ab", count: 32)
        }
        for path in orphans {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            try Data(count: 10).write(to: URL(filePath: path + "/tar"))
        }
        sleep(2)  // Only what is older than the daemon is left over: times count in seconds.
        try lab.startDaemon()
        for _ in 0..<250 where orphans.contains(where: FileManager.default.fileExists(atPath:)) { usleep(20_000) }
        for path in orphans { #expect(!FileManager.default.fileExists(atPath: path), "\(path)") }
        #expect(try run(image, "echo", "still here").out == "still here\n")
    }

    @Test func `shared memory is there unless the container is to have none`() throws {
        let script = "busybox grep -c ' /dev/shm ' /proc/mounts"
        #expect(try run(image, "sh", "-c", script).text == "1")
        #expect(try run("--ipc", "none", image, "sh", "-c", script).text == "0")
    }

    @Test func `exec runs beside the container as the asked user`() throws {
        try lab.docker("run", "-d", ["--name", "host", "--network", "none", "-e", "A=1", image, "sleep", "600"])
        #expect(try lab.docker("exec", "host", ["sh", "-c", "echo $A"]).out == "1\n")
        #expect(try lab.docker("exec", "-u", ["user", "host", "id", "-u"]).out == "1000\n")
        #expect(try lab.docker("exec", "host", ["sh", "-c", "exit 3"]).code == 3)
        try lab.docker("kill", "host")
        #expect(try lab.docker("exec", "host", ["true"]).code == 1)
        try lab.docker("rm", "host")
    }

    @Test func `changes show in diff and logs keep both streams`() throws {
        try lab.docker(
            "run", "--name",
            ["changed", "--network", "none", image, "sh", "-c", "echo out; echo err >&2; echo x > /new; rm /etc/group"])
        #expect(try lab.docker("diff", "changed").out == "C /etc\nD /etc/group\nA /new\n")
        let logs = try lab.docker("logs", "changed")
        #expect(logs.out == "out\n")
        #expect(logs.err == "err\n")
        try lab.docker("rm", "changed")
    }

    @Test func `save and load bring an image back whole`() throws {
        let archive = lab.directory + "/saved.tar"
        let id = try lab.docker("images", "-q", ["--no-trunc", image]).text
        #expect(try lab.docker("save", "-o", [archive, image]).code == 0)
        #expect(try lab.docker("rmi", image).code == 0)
        #expect(try lab.docker("images", "-q").text == "")
        let loaded = try lab.docker("load", "-i", [archive])
        #expect(loaded.code == 0, "\(loaded.err)")
        #expect(try lab.docker("images", "-q", ["--no-trunc", image]).text == id)
        #expect(try run(image, "cat", "/seed/sub/file").out == "seeded\n")
    }

    @Test func `a pushed image is the one that was pulled`() throws {
        let digest = try lab.docker("inspect", "-f", ["{{index .RepoDigests 0}}", image]).text
        let copy = lab.registry + "/copy"
        try lab.docker("tag", image, [copy])
        let pushed = try lab.docker("push", copy)
        #expect(pushed.code == 0, "\(pushed.err)")
        #expect(pushed.out.contains(digest.split(separator: "@").last ?? "-"))
    }

    @Test func `an image in use is kept and a removed one leaves nothing`() throws {
        try lab.docker("create", "--name", ["user", image])
        let refused = try lab.docker("rmi", image)
        #expect(refused.code != 0)
        #expect(refused.err.contains("is using its referenced image"))
        try lab.docker("rm", "user")
        #expect(try lab.docker("rmi", image).code == 0)
        let left = try FileManager.default.contentsOfDirectory(atPath: lab.directory + "/root/layers/sha256")
        #expect(left.isEmpty)
    }

    @Test func `a pull that cannot be verified leaves nothing`() throws {
        let blobs = lab.directory + "/registry/docker/registry/v2/blobs/sha256"
        try lab.docker("rmi", image)
        var spoiled = 0
        for case let path as String in FileManager.default.enumerator(atPath: blobs) ?? .init()
        where path.hasSuffix("/data") {
            let url = URL(filePath: "\(blobs)/\(path)")
            var data = try Data(contentsOf: url)
            guard data.starts(with: [0x1f, 0x8b]) else { continue }
            data[data.count / 2] ^= 0xff
            try data.write(to: url)
            spoiled += 1
        }
        #expect(spoiled == 2)
        #expect(try lab.docker("pull", image).code != 0)
        #expect(try lab.docker("images", "-q").text == "")
        #expect(try FileManager.default.contentsOfDirectory(atPath: lab.directory + "/root/layers/sha256").isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: lab.directory + "/root/layers/new").isEmpty)
    }

    @Test(arguments: [
        (["create", "--name", "a/b", "IMAGE"], "Invalid container name"),
        (["inspect", "nothing"], "nothing"),
        (["rm", "nothing"], "No such container: nothing"),
        (["rmi", "nothing"], "No such image: nothing:latest"),
        (["volume", "rm", "nothing"], "no such volume"),
        (["pull", "UPPER"], "must be lowercase"),
        (["run", "--memory", "1m", "IMAGE"], "Minimum memory limit allowed is 6MB"),
        (["run", "-v", "relative/path:/x", "IMAGE"], "includes invalid characters for a local volume name"),
        (["run", "-v", "/a:/", "IMAGE"], "destination can't be '/'"),
        (["run", "--stop-signal", "NOPE", "IMAGE"], "Invalid signal: NOPE"),
        (["run", "--network", "nosuch", "IMAGE"], "network nosuch not found"),
        (["run", "--network", "none", "-u", "nobodyhere", "IMAGE", "true"], "unable to find user nobodyhere"),
    ])
    func `bad input is refused in words that help`(_ arguments: [String], _ words: String) throws {
        let refused = try Lab.run(
            Lab.binaries + "/docker", arguments.map { $0 == "IMAGE" ? image : $0 }, environment: lab.environment)
        #expect(refused.code != 0)
        #expect((refused.err + refused.out).contains(words), "\(refused.err)")
        #expect(try lab.docker("volume", "ls", "-q").text == "")
    }
}
