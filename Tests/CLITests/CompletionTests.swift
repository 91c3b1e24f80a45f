import Foundation
import Testing

/// What shells offer on a tab.
@Suite(.serialized)
final class CompletionTests {
    private let answered: AnsweredFolder
    private var folder: String { answered.path }
    private var daemon: RecordingDaemon { answered.daemon }

    init() throws {
        answered = try AnsweredFolder("tab")
    }

    private func run(_ line: String) throws -> StockClient.Result {
        try StockClient.run(StockClient.ours, line, in: folder, host: "unix://\(daemon.path)")
    }

    @Test(arguments: [
        ("co", ["commit", "container", "context"], 4), ("container re", ["rename", "restart"], 4),
        ("run --pub", ["--publish", "--publish-all"], 4), ("run --pull ''", ["always", "missing", "never"], 4),
        ("run -it --network fr", ["front"], 4), ("run --network=fr", ["--network=front"], 4),
        ("-l warn stop ma", ["many"], 4), ("start ma", ["made"], 4), ("start sto", ["stopped"], 4),
        ("rm -f sto", ["stopped"], 4),
        ("rmi registry.example.com:5000/team/app:l", ["registry.example.com:5000/team/app:latest"], 4),
        ("run alp", ["alpine:3.20"], 4), ("tag alpine:3.20 x", [], 4), ("network connect front we", ["web"], 4),
        ("volume rm data1", ["data10"], 4), ("-c ''", ["default"], 4), ("exec web l", [], 0), ("run -v ''", [], 0),
        ("cp we", ["web:"], 4), ("cp ./x", [], 0), ("nope x", [], 4), ("ps --filter", ["--filter"], 4),
    ])
    func `an unfinished line has its candidates`(line: String, candidates: [String], directive: Int) throws {
        let result = try run("__completeNoDesc \(line)")
        #expect(result.code == 0 && result.errors.isEmpty)
        #expect(result.output == (candidates + [":\(directive)\n"]).joined(separator: "\n"))
    }

    @Test func `candidates are described where the shell can show it`() throws {
        #expect(try run("__complete container und").output == ":4\n")
        #expect(
            try run("__complete container unp").output
                == "unpause\tUnpause all processes within one or more containers\n:4\n")
    }

    @Test func `a daemon that is not there is not waited for, nor started`() throws {
        #expect(try run("__completeNoDesc -H unix:///nowhere stop ''").output == ":4\n")
    }

    @Test(arguments: ["bash", "zsh", "fish"])
    func `a script is one that its shell reads`(shell: String) throws {
        let result = try run("completion \(shell)")
        #expect(result.code == 0 && result.output.contains("__complete"))
        let program = "/usr/bin/\(shell)"
        guard FileManager.default.isExecutableFile(atPath: program) else { return }
        try result.output.write(toFile: folder + "/script", atomically: true, encoding: .utf8)
        #expect(try StockClient.run(program, "-n \(folder)/script", in: folder, host: "").code == 0)
    }

    @Test func `bash completes what is typed at a terminal`() throws {
        try FileManager.default.createDirectory(atPath: folder + "/bin", withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: folder + "/bin/docker", withDestinationPath: StockClient.ours)
        // A command line of its own shows what the tab made of the one before.
        let steps: [[String: Any]] = [
            ["send": "PS1='ready> '; source <(docker completion bash)\n"],
            ["wait": "ready> ", "send": "echo docker stop man\t\n"], ["wait": "ready> ", "send": "docker stop man\t"],
            ["wait": "docker stop many ", "send": "\u{15}docker rmi registry.example.com:5000/team/app:l\t"],
            ["wait": "team/app:latest ", "send": "\u{15}exit\n"],
        ]
        let answer = try TerminalSession.run(
            steps, ["/bin/bash", "--norc", "--noprofile", "-i"], in: folder,
            environment: [
                "PATH": folder + "/bin:/usr/bin:/bin", "DOCKER_HOST": "unix://\(daemon.path)", "TERM": "dumb",
            ])
        #expect(answer.failure.isEmpty, "\(answer.shown)")
    }
}

/// A program under a terminal, driven by `Tests/Support/terminal`.
enum TerminalSession {
    struct Answer: Decodable {
        var code: Int32
        /// The terminal is as it was before.
        var restored: Bool
        /// What was waited for in vain; empty when all was seen.
        var failure: String
        var shown: String
    }

    private static let driver = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Support/terminal").path

    /// - Parameter steps: what is waited for and typed, as the driver describes it.
    static func run(
        _ steps: [[String: Any]], _ words: [String], in folder: String, environment: [String: String]
    ) throws -> Answer {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        let text = String(decoding: try JSONSerialization.data(withJSONObject: steps), as: UTF8.self)
        process.arguments = ["python3", driver, text] + words
        process.environment = environment
        process.currentDirectoryURL = URL(filePath: folder)
        process.standardInput = FileHandle.nullDevice
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return try JSONDecoder().decode(Answer.self, from: data)
    }
}
