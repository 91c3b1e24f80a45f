import Foundation
import Testing

/// Health checks of real containers, with times that are short.
@Suite(.serialized)
final class HealthCheckTests {
    let lab: Lab
    let image: String

    init() throws {
        lab = try Lab()
        image = try lab.pulledImage()
    }

    /// Starts a container whose check is `command`, every 100 ms.
    @discardableResult
    private func run(_ name: String, _ command: String, _ flags: [String] = []) throws -> String {
        let arguments =
            [
                name, "-d", "--network", "none", "--stop-timeout", "0", "--health-cmd", command, "--health-interval",
                "100ms",
            ]
            + flags + [image, "sleep", "1000"]
        let made = try lab.docker("run", "--name", arguments)
        guard made.code == 0 else { throw LabFailure("run: \(made.err)") }
        return made.text
    }

    private func eventually(_ seconds: Double = 10, _ condition: () throws -> Bool) rethrows -> Bool {
        let end = Date().addingTimeInterval(seconds)
        while Date() < end {
            if try condition() { return true }
            usleep(20_000)
        }
        return try condition()
    }

    private func inspect(_ name: String, _ format: String) throws -> String {
        try lab.docker("inspect", "-f", [format, name]).text
    }

    private func status(_ name: String) throws -> String { try inspect(name, "{{.State.Health.Status}}") }

    private func probes(_ name: String) throws -> [[String: Any]] {
        let text = try inspect(name, "{{json .State.Health.Log}}")
        return try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]] ?? []
    }

    /// Processes on the machine with `argument` in their command lines.
    private func processes(_ argument: String) -> Int {
        let pids = (try? FileManager.default.contentsOfDirectory(atPath: "/proc"))?.filter { Int($0) != nil } ?? []
        return pids.count { pid in
            let line = FileManager.default.contents(atPath: "/proc/\(pid)/cmdline") ?? Data()
            return line.split(separator: 0).contains(Data(argument.utf8))
        }
    }

    /// A number of seconds to sleep that no other process has.
    private func oddSeconds() -> String { "\(Int.random(in: 100_000...999_999)).5" }

    @Test func `a container is healthy once its check succeeds, and ps, inspect, filters and events say so`() throws {
        let begun = Date().timeIntervalSince1970
        try run("up", "test -f /ready && echo fine", ["--health-retries", "1000"])
        #expect(try lab.docker("ps", "--format", ["{{.Status}}"]).text.hasSuffix(" (health: starting)"))
        #expect(try lab.docker("ps", "--filter", ["health=starting", "--format", "{{.Names}}"]).text == "up")
        #expect(try lab.docker("exec", "up", ["dd", "if=/dev/null", "of=/ready"]).code == 0)
        #expect(try eventually { try status("up") == "healthy" })
        #expect(try lab.docker("ps", "--format", ["{{.Status}}"]).text.hasSuffix(" (healthy)"))
        #expect(try lab.docker("ps", "--filter", ["health=healthy", "--format", "{{.Names}}"]).text == "up")
        #expect(try lab.docker("ps", "-q", ["--filter", "health=none"]).text == "")
        #expect(
            try lab.docker("ps", "-q", ["--filter", "health=well"]).err
                .contains("Unrecognised filter value for health: well"))
        let last = try #require(try probes("up").last)
        #expect(last["ExitCode"] as? Int == 0 && last["Output"] as? String == "fine\n")
        #expect(try inspect("up", "{{.State.Health.FailingStreak}}") == "0")
        let events = try lab.docker(
            "events", "--since",
            ["\(Int(begun))", "--until", "\(Int(Date().timeIntervalSince1970) + 1)", "--format", "{{.Action}}"]
        ).out
        for action in ["create", "start", "die"] {
            let words = action == "die" ? "exec_die" : "exec_\(action): /bin/sh -c test -f /ready && echo fine"
            #expect(events.contains(words), "\(events)")
        }
        #expect(events.contains("health_status: healthy"))
    }

    @Test func `a container is unhealthy after its retries, and recovers`() throws {
        try run("ill", "echo broken; test -f /ready", ["--health-retries", "2"])
        #expect(try eventually { try status("ill") == "unhealthy" })
        #expect(try lab.docker("ps", "--format", ["{{.Status}}"]).text.hasSuffix(" (unhealthy)"))
        #expect(try eventually { try probes("ill").count == 5 })
        let last = try #require(try probes("ill").last)
        #expect(last["ExitCode"] as? Int == 1 && last["Output"] as? String == "broken\n")
        usleep(300_000)
        #expect(try probes("ill").count == 5)
        #expect(try Int(inspect("ill", "{{.State.Health.FailingStreak}}")) ?? 0 >= 5)
        #expect(try lab.docker("exec", "ill", ["dd", "if=/dev/null", "of=/ready"]).code == 0)
        #expect(
            try eventually {
                try inspect("ill", "{{.State.Health.Status}} {{.State.Health.FailingStreak}}") == "healthy 0"
            })
    }

    @Test func `a check that takes too long is killed with what it started, and counts as a failure`() throws {
        let seconds = oddSeconds()
        try run(
            "slow", "echo begun; sleep \(seconds); echo over",
            [
                "--health-retries", "1", "--health-timeout", "200ms", "--health-interval", "1m",
                "--health-start-period", "1ms",
            ])
        try run(
            "slower", "echo begun; sleep \(seconds); echo over", ["--health-retries", "1", "--health-timeout", "200ms"])
        #expect(try eventually { try status("slower") == "unhealthy" })
        let first = try #require(try probes("slower").first)
        #expect(first["ExitCode"] as? Int == -1)
        #expect(first["Output"] as? String == "Health check exceeded timeout (200ms): begun\n")
        #expect(try probes("slow").isEmpty, "the first probe comes after the interval")
        #expect(try lab.docker("stop", "slower").code == 0)
        #expect(eventually { processes(seconds) == 0 })
    }

    @Test func `failures in the start period do not count, and a success ends it`() throws {
        try run(
            "young", "test -f /ready",
            [
                "--health-retries", "1", "--health-interval", "200ms", "--health-start-period", "1h",
                "--health-start-interval", "50ms",
            ])
        #expect(try eventually { try probes("young").count == 5 })
        #expect(try inspect("young", "{{.State.Health.Status}} {{.State.Health.FailingStreak}}") == "starting 0")
        #expect(try lab.docker("exec", "young", ["dd", "if=/dev/null", "of=/ready"]).code == 0)
        #expect(try eventually { try status("young") == "healthy" })
        #expect(try lab.docker("exec", "young", ["rm", "/ready"]).code == 0)
        #expect(try eventually { try status("young") == "unhealthy" })
    }

    @Test func `output is cut, what cannot be executed is told, and the container's own settings hold`() throws {
        try run("loud", "yes | head -c 100000")
        try run(
            "who", "id -u; echo $COLOR $PWD", ["-u", "user", "-e", "COLOR=green", "-w", "/seed"])
        let body =
            #"{"Image": "\#(image)", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "none"}, "#
            + #""Healthcheck": {"Test": ["CMD", "/nowhere"], "Interval": 100000000}}"#
        let lost = try lab.api("POST", "/containers/create?name=lost", body).id
        #expect(try lab.docker("start", lost).code == 0)
        #expect(try eventually { try !probes("loud").isEmpty && !probes("who").isEmpty && !probes("lost").isEmpty })
        let output = try probes("loud").first?["Output"] as? String ?? ""
        #expect(output.utf8.count == 4096 + 3 && output.hasSuffix("y\n..."))
        #expect(try probes("who").first?["Output"] as? String == "1000\ngreen /seed\n")
        let failed = try #require(try probes("lost").first)
        #expect(failed["ExitCode"] as? Int == -1)
        #expect((failed["Output"] as? String ?? "").contains("/nowhere"))
    }

    @Test func `no probe runs while a container is paused`() throws {
        try run("still", "echo probed")
        #expect(try eventually { try status("still") == "healthy" })
        #expect(try lab.docker("pause", "still").code == 0)
        #expect(try lab.docker("ps", "--format", ["{{.Status}}"]).text.hasSuffix(" (Paused)"))
        let before = try probes("still").last?["Start"] as? String
        usleep(400_000)
        #expect(try probes("still").last?["Start"] as? String == before)
        #expect(try lab.docker("unpause", "still").code == 0)
        #expect(try eventually { try probes("still").last?["Start"] as? String != before })
        #expect(try eventually { try status("still") == "healthy" })
    }

    @Test func `a pause, a stop and a removal end the probe that runs`() throws {
        let seconds = oddSeconds()
        for (name, command) in [("paused", "pause"), ("stopped", "stop"), ("gone", "rm")] {
            let id = try run(name, "sleep \(seconds)", ["--pid", "host"])
            #expect(eventually { processes(seconds) > 0 }, "\(name)")
            #expect(try lab.docker(command, name, command == "rm" ? ["-f"] : []).code == 0, "\(name)")
            if command == "pause" { #expect(try lab.docker("unpause", name).code == 0) }
            if command == "pause" { #expect(try lab.docker("stop", name).code == 0) }
            #expect(eventually { processes(seconds) == 0 }, "\(name)")
            let directory = "\(lab.directory)/run/containers/\(id)\(command == "rm" ? "" : "/health")"
            #expect(eventually { !FileManager.default.fileExists(atPath: directory) }, "\(name)")
        }
        #expect(try status("stopped") == "unhealthy")
        #expect(try lab.docker("start", "stopped").code == 0)
        #expect(try status("stopped") == "starting")
    }

    @Test func `a daemon that was killed goes on probing and keeps the status`() throws {
        let seconds = oddSeconds()
        try run(
            "kept", "test -f /slow && rm /slow && sleep \(seconds); test ! -f /ill && echo well",
            ["--health-retries", "1"])
        #expect(try eventually { try status("kept") == "healthy" })
        #expect(try lab.docker("exec", "kept", ["dd", "if=/dev/null", "of=/slow"]).code == 0)
        #expect(eventually { processes(seconds) > 0 })
        lab.killDaemon()
        try lab.startDaemon()
        #expect(try status("kept") == "healthy")
        #expect(eventually { processes(seconds) == 0 })
        let before = try probes("kept").last?["Start"] as? String
        #expect(try eventually { try probes("kept").last?["Start"] as? String != before })
        #expect(try probes("kept").last?["Output"] as? String == "well\n")
        #expect(try lab.docker("exec", "kept", ["dd", "if=/dev/null", "of=/ill"]).code == 0)
        #expect(try eventually { try status("kept") == "unhealthy" })
    }

    @Test func `hundreds of probes leave no descriptor, task or process`() throws {
        try run("many", "true", ["--health-interval", "1ms"])
        let daemon = "/proc/\(lab.daemonPID)"
        func descriptors() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: daemon + "/fd").count }
        #expect(try eventually { try status("many") == "healthy" })
        sleep(1)
        let before = try descriptors()
        let first = try probes("many").last?["Start"] as? String
        sleep(4)
        #expect(try probes("many").last?["Start"] as? String != first)
        #expect(try eventually { try descriptors() <= before + 8 }, "there were \(before)")
        #expect(try lab.docker("rm", "-f", ["many"]).code == 0)
        let children = {
            (try? String(contentsOfFile: daemon + "/task/\(self.lab.daemonPID)/children", encoding: .utf8)) ?? ""
        }
        #expect(eventually { children().isEmpty }, "\(children())")
    }

    @Test func `a container without a check has no health, and an image's check can be committed and turned off`()
        throws
    {
        try run("base", "true")
        let change = "HEALTHCHECK --interval=100ms CMD echo from image"
        #expect(try lab.docker("commit", "-c", [change, "base", "checked"]).code == 0)
        let plain = ["-d", "--network", "none"]
        #expect(
            try lab.docker("run", "--name", ["off"] + plain + ["--no-healthcheck", "checked", "sleep", "1000"]).code
                == 0)
        #expect(try lab.docker("run", "--name", ["on"] + plain + ["checked", "sleep", "1000"]).code == 0)
        #expect(try eventually { try status("on") == "healthy" })
        #expect(try probes("on").last?["Output"] as? String == "from image\n")
        #expect(try inspect("off", "{{json .State}}").contains("Health") == false)
        #expect(try lab.docker("ps", "--filter", ["health=none", "--format", "{{.Names}}"]).text == "off")
    }
}
