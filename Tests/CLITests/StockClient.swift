import Foundation

/// Our client and Docker's own, run as people run them.
enum StockClient {
    /// What a command line ended with.
    struct Result: Equatable {
        var code: Int32
        var output: String
        var errors: String
    }

    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    static let ours =
        (ProcessInfo.processInfo.environment["DOCKER_SWIFT_BINARIES"] ?? root.path + "/.build/debug") + "/docker"
    /// Docker's own client of the version the tables were captured from; nil where there is none.
    static let stock: String? = ["/usr/local/bin/docker", "/usr/bin/docker"].first { path in
        let version = (try? run(path, "--version", in: NSTemporaryDirectory(), host: ""))?.output ?? ""
        return version.hasPrefix("Docker version 28.2") && !version.contains("swift")
    }

    /// The rows of a table beside this file, one JSON object a line.
    static func rows(_ table: String) -> [[String: Any]] {
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: table)
        let text = (try? String(contentsOf: path, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").compactMap {
            (try? JSONSerialization.jsonObject(with: Data($0.utf8))) as? [String: Any]
        }
    }

    /// Runs `program line` with an empty home, in a folder that has a `cwd` in it.
    ///
    /// - Parameters:
    ///   - host: the daemon's address; empty where none is named.
    ///   - more: variables of the environment beside the usual ones, or in place of them.
    ///   - keepsHome: the home is what earlier command lines have made of it.
    static func run(
        _ program: String, _ line: String, in folder: String, host: String, environment more: [String: String] = [:],
        keepsHome: Bool = false
    ) throws -> Result {
        let home = folder + "/home"
        if !keepsHome { try? FileManager.default.removeItem(atPath: home) }
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
        let process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        process.arguments = ["-c", "exec \(program) \(line)"]
        let current = folder + "/cwd"
        process.currentDirectoryURL = URL(filePath: FileManager.default.fileExists(atPath: current) ? current : folder)
        process.environment = [
            "PATH": "/usr/bin:/bin", "HOME": home, "DOCKER_HOST": host, "FOO": "fromenv", "DOCKER_CLI_HINTS": "false",
            "TZ": "UTC",
        ].merging(more) { $1 }
        process.standardInput = FileHandle.nullDevice
        // Files, not pipes: neither has to be drained while the other is.
        let files = [folder + "/stdout", folder + "/stderr"]
        for file in files { try Data().write(to: URL(filePath: file)) }
        let handles = files.map { FileHandle(forWritingAtPath: $0) ?? .nullDevice }
        defer {
            for handle in handles { try? handle.close() }
            for file in files { try? FileManager.default.removeItem(atPath: file) }
        }
        process.standardOutput = handles[0]
        process.standardError = handles[1]
        try process.run()
        process.waitUntilExit()
        let texts = try files.map { String(decoding: try Data(contentsOf: URL(filePath: $0)), as: UTF8.self) }
        return Result(code: process.terminationStatus, output: texts[0], errors: texts[1])
    }

    /// Files that command lines name.
    private static let files = [
        "env.list": "A=1\n# c\nB=two words\nFOO\n", "labels": "l1=x\nl2\n",
        "sec.json": #"{"defaultAction":"SCMP_ACT_ALLOW"}"# + "\n", "t.tar": String(repeating: "\0", count: 1024),
        "cfg/config.json": #"{"pruneFilters":["until=1h"],"networksFormat":"{{.Name}}"}"#,
    ]

    /// A folder of a test's own, with the files that command lines name in its `cwd`.
    static func folder(_ name: String) throws -> String {
        let path =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/\(name)-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: path + "/cwd/cfg", withIntermediateDirectories: true)
        for (name, text) in files {
            try text.write(toFile: "\(path)/cwd/\(name)", atomically: true, encoding: .utf8)
        }
        return path
    }
}

/// A folder as ``StockClient/folder(_:)`` makes them, with a daemon that answers as recorded. Both go with it.
final class AnsweredFolder {
    let path: String
    let daemon: RecordingDaemon

    init(_ name: String) throws {
        path = try StockClient.folder(name)
        daemon = try RecordingDaemon(path + "/s", answers: RecordingDaemon.recorded)
    }

    deinit {
        daemon.close()
        try? FileManager.default.removeItem(atPath: path)
    }
}
