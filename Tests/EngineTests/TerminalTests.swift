import Foundation
import Testing

/// Clients at a terminal; `Tests/Support/terminal` is who types.
@Suite(.serialized)
final class TerminalTests {
    private let lab: Lab
    private let image: String

    /// What `Tests/Support/terminal` tells.
    private struct Answer: Decodable {
        var code: Int32
        var restored: Bool
        var failure: String
        var shown: String
    }

    /// Prints until it is ended.
    private static let ticking = ["sh", "-c", "while :; do echo tick; sleep 0.1; done"]
    private static var escape: [String: Any] { ["wait": "tick", "send": "\u{10}\u{11}"] }

    init() throws {
        lab = try Lab()
        image = try lab.pulledImage()
    }

    /// Types into a command line of ours.
    private func type(_ steps: [[String: Any]], _ words: [String]) throws -> Answer {
        let text = String(decoding: try JSONSerialization.data(withJSONObject: steps), as: UTF8.self)
        let driver = Lab.root.path + "/Tests/Support/terminal"
        let ran = try Lab.run(
            "/usr/bin/env", ["python3", driver, text, Lab.binaries + "/docker"] + words, environment: lab.environment)
        let answer = try JSONDecoder().decode(Answer.self, from: Data(ran.out.utf8))
        #expect(answer.failure.isEmpty, "\(answer.shown)")
        #expect(answer.restored, "the terminal is as it was before")
        return answer
    }

    private func isRunning(_ name: String) throws -> Bool {
        try lab.docker("inspect", "-f", ["{{.State.Running}}", name]).out == "true\n"
    }

    @Test(arguments: ["run", "exec", "start"])
    func `a program at a terminal has its keys, its size and its exit code`(verb: String) throws {
        let script =
            "echo ready; until [ \"$(stty size)\" = '41 101' ]; do sleep 0.05; done; echo resized; read x; exit $x"
        let program = [image, "sh", "-c", script]
        var words = ["run", "-it", "--network", "none", "--name", "t1"] + program
        if verb == "start" {
            #expect(try lab.docker("create", "-it", ["--network", "none", "--name", "t1"] + program).code == 0)
            words = ["start", "-ai", "t1"]
        } else if verb == "exec" {
            #expect(
                try lab.docker("run", "-d", ["--network", "none", "--name", "t1", image, "sleep", "600"]).code == 0)
            words = ["exec", "-it", "t1"] + program.dropFirst()
        }
        let answer = try type(
            [["wait": "ready", "size": [41, 101]], ["wait": "resized", "send": "7\r"]], words)
        #expect(answer.code == 7)
        try lab.docker("rm", "-f", ["t1"])
    }

    @Test func `the keys that leave a container leave it running, again and again`() throws {
        let run = try type([Self.escape], ["run", "-it", "--network", "none", "--name", "t2", image] + Self.ticking)
        #expect(run.code == 0)
        #expect(try isRunning("t2"))
        let attach = try type([["wait": "tick", "send": "\u{01}q"]], ["attach", "--detach-keys", "ctrl-a,q", "t2"])
        #expect(attach.code == 1 && attach.shown.contains("read escape sequence"))
        #expect(try isRunning("t2"))
        try FileManager.default.createDirectory(atPath: lab.directory + "/config", withIntermediateDirectories: true)
        try #"{"detachKeys":"ctrl-x"}"#.write(
            toFile: lab.directory + "/config/config.json", atomically: true, encoding: .utf8)
        #expect(try type([["wait": "tick", "send": "\u{18}"]], ["attach", "t2"]).code == 1)
        #expect(try isRunning("t2"))
        try lab.docker("rm", "-f", ["t2"])
    }

    @Test(arguments: [("TERM", 143), ("HUP", 129), ("INT", 130), ("QUIT", 131)] as [(String, Int32)])
    func `a client that is told to end leaves its terminal as it was`(signal: String, code: Int32) throws {
        let answer = try type(
            [["wait": "tick", "signal": signal]],
            ["run", "-it", "--network", "none", "--name", "t3", image] + Self.ticking)
        #expect(answer.code == code)
        try lab.docker("rm", "-f", ["t3"])
    }

    @Test func `a daemon that dies ends the client with a word`() throws {
        let answer = try type(
            [["wait": "tick", "signal": "KILL", "process": Int(lab.daemonPID)]],
            ["run", "-it", "--network", "none", "--name", "t4", image] + Self.ticking)
        #expect(answer.code == 125 || answer.code == 1, "\(answer.shown)")
        lab.killDaemon()
        try lab.startDaemon()
        try lab.docker("rm", "-f", ["t4"])
    }

    @Test func `signals reach a program without a terminal`() throws {
        let script = "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
        let answer = try type(
            [["wait": "ready", "signal": "TERM"], ["wait": "caught"]],
            ["run", "--network", "none", "--name", "t5", image, "sh", "-c", script])
        #expect(answer.code == 3)
        try lab.docker("rm", "-f", ["t5"])
    }

    @Test func `a pull at a terminal has a line for each layer and one for all, and is plain elsewhere`() throws {
        try lab.docker("rmi", image)
        let drawn = try type([], ["pull", image])
        #expect(drawn.code == 0)
        #expect(drawn.shown.contains("\u{1b}[") && drawn.shown.contains("Pull complete"))
        try lab.docker("rmi", image)
        let plain = try lab.docker("pull", image)
        #expect(plain.code == 0 && plain.out.contains("Pull complete") && !plain.out.contains("\u{1b}"))
        try lab.docker("rmi", image)
        #expect(try lab.docker("pull", "-q", [image]).out == image + ":latest\n")
    }
}
