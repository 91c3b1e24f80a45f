import Foundation
import Testing

/// What users and Docker's clients see of refusals, far times and a daemon that is not there yet.
@Suite(.serialized)
final class CommandLineTests {
    private let lab: Lab
    private let image: String

    init() throws {
        lab = try Lab()
        image = try lab.pulledImage()
        let started = try lab.docker("run", "-d", ["--name", "c1", "--network", "none", image, "sleep", "600"])
        guard started.code == 0 else { throw LabFailure(started.err) }
    }

    @Test(arguments: [
        (["exec", "c1", "nonexist"], 127, #"exec: "nonexist": executable file not found in $PATH"#),
        (["exec", "c1", "/etc/passwd"], 126, "permission denied"),
        (["exec", "-w", "/nope", "c1", "ls"], 128, "no such file or directory"),
    ])
    func `a command that cannot be executed says so as output, with Docker's code`(
        words: [String], code: Int32, text: String
    ) throws {
        let output = try lab.docker(words[0], words[1], Array(words[2...]))
        #expect(output.code == code)
        #expect(output.out.contains(text) && output.err.isEmpty)
    }

    @Test(arguments: ["-8523100800.000000000", "-9223372036854775808", "9223372036", "-9223372036.999999999"])
    func `a time centuries away does not end the daemon`(time: String) throws {
        let address = "http://d/events?until=\(time)&since=\(time)"
        _ = try Lab.run("/usr/bin/curl", ["-s", "-m", "0.5", "--unix-socket", lab.directory + "/docker.sock", address])
        #expect(try lab.docker("ps", "-q").code == 0)
    }

    @Test(arguments: [["--network", "nonet"], ["--network", "none", "--volumes-from", "nope"]])
    func `only a missing image makes a run pull`(options: [String]) throws {
        let output = try lab.docker("run", "--rm", options + [image, "true"])
        #expect(output.code == 125)
        #expect(!output.err.contains("Unable to find image"))
    }

    @Test func `a copy to a place that is not there is refused with the reason, every time`() throws {
        let file = lab.directory + "/file"
        try Data(count: 100_000).write(to: URL(filePath: file))
        for _ in 0..<20 {
            let output = try lab.docker("cp", file, ["c1:/nodir/x"])
            #expect(output.code == 1)
            #expect(output.err.contains("Could not find the file /nodir in container"))
        }
    }

    @Test func `a traced pull tells the busy time of every stage of every layer and of the image`() throws {
        try lab.docker("rm", "-f", ["c1"])
        try lab.docker("rmi", image)
        let path = lab.directory + "/trace.json"
        let pulled = try lab.docker("pull", "-v", ["--trace", path, image])
        #expect(pulled.code == 0)
        #expect(pulled.out.contains("network wait") && pulled.out.contains("MB/s"))
        let document = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: path))) as? [String: Any]
        let events = (document?["traceEvents"] as? [[String: Any]] ?? []).filter { $0["ph"] as? String == "X" }
        let names = Set(events.compactMap { $0["name"] as? String })
        let wanted: Set = [
            "resolve", "index", "commit", "receive", "hash blob", "inflate", "hash tar", "parse", "write tar", "sync",
        ]
        #expect(names.isSuperset(of: wanted))
        for event in events {
            let length = event["dur"] as? Double ?? -1
            let busy = (event["args"] as? [String: Any])?["busy_us"] as? Double ?? -1
            #expect(busy >= 0 && busy <= length)
        }
    }

    @Test func `output that cannot be written is a failure, output nobody reads ends the command`() throws {
        let script = "$D ps > /dev/full; echo $?; $D run --rm --network none \(image) yes | head -n 1"
        let whole = "D=\(Lab.binaries)/docker; " + script
        let output = try Lab.run("/bin/sh", ["-c", whole], environment: lab.environment)
        #expect(output.out == "1\ny\n")
        #expect(output.err == "write /dev/stdout: no space left on device\n")
    }

    // MARK: Starting the daemon

    /// Runs a script in a mount namespace where nothing is under /run, /var/lib/docker-swift and /etc/docker.
    private func alone(_ script: String, configuration: String) throws -> Lab.Output {
        let folders = ["/run", "/var/lib/docker-swift", "/etc/docker"]
        let mounts = folders.map { "mkdir -p \($0); mount -t tmpfs tmpfs \($0)\n" }.joined()
        let whole = mounts + "echo '\(configuration)' > /etc/docker/daemon.json\nD=\(Lab.binaries)/docker\n" + script
        let environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": lab.directory]
        return try Lab.run(
            "/usr/bin/unshare", ["-m", "-p", "-f", "--mount-proc", "/bin/sh", "-c", whole], environment: environment)
    }

    @Test func `the first commands start one daemon, and one that died is replaced`() throws {
        let script = """
            $D ps -q & first=$!
            $D images -q || exit 1
            wait $first || exit 2
            sleep 0.3
            echo daemons $(pgrep -cx dockerd)
            pkill -9 -x dockerd
            sleep 0.3
            $D ps -q || exit 3
            echo daemons $(pgrep -cx dockerd)
            """
        let output = try alone(script, configuration: #"{"bridge":"none"}"#)
        #expect(output.code == 0)
        #expect(output.out == "daemons 1\ndaemons 1\n")
        #expect(output.err.contains("started dockerd in the background"))
    }

    @Test func `a daemon that cannot start says why`() throws {
        let output = try alone("$D ps", configuration: #"{"data-root":"/proc/nope"}"#)
        #expect(output.code == 1)
        #expect(output.err.contains("could not start") && output.err.contains("mkdir /proc/nope"), "\(output.err)")
    }
}
