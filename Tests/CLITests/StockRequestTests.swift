import Foundation
import Testing

/// What is sent for a command line, beside what Docker's own client (28.2) sends for it: `StockRequests.jsonl` holds that,
/// captured from it and reduced to what a daemon can tell apart.
@Suite(.serialized)
final class StockRequestTests {
    /// One line of the table.
    struct Case: Sendable, CustomTestStringConvertible {
        let line: String
        /// The requests, each as canonical JSON.
        let requests: [String]
        var testDescription: String { line }
    }

    static let cases: [Case] = {
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "StockRequests.jsonl")
        let text = (try? String(contentsOf: path, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").compactMap { row in
            let value = (try? JSONSerialization.jsonObject(with: Data(row.utf8))) as? [String: Any]
            guard let line = value?["line"] as? String, let requests = value?["requests"] as? [Any] else { return nil }
            return Case(line: line, requests: requests.map(canonical))
        }
    }()

    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    private static let ours =
        (ProcessInfo.processInfo.environment["DOCKER_SWIFT_BINARIES"] ?? root.path + "/.build/debug") + "/docker"
    /// Docker's own client of the version the table was captured from; nil where there is none.
    private static let stock: String? = ["/usr/local/bin/docker", "/usr/bin/docker"].first { path in
        (try? output(path, "--version"))?.hasPrefix("Docker version 28.2") ?? false
            && (try? output(path, "--version"))?.contains("swift") == false
    }

    private let directory: String
    private let daemon: RecordingDaemon

    init() throws {
        directory =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/requests-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: directory + "/work", withIntermediateDirectories: true)
        let files = [
            "env.list": "A=1\n# c\nB=two words\nFOO\n", "labels": "l1=x\nl2\n",
            "sec.json": #"{"defaultAction":"SCMP_ACT_ALLOW"}"# + "\n",
        ]
        for (name, text) in files {
            try text.write(toFile: "\(directory)/work/\(name)", atomically: true, encoding: .utf8)
        }
        try Data(count: 1024).write(to: URL(filePath: directory + "/work/t.tar"))
        daemon = try RecordingDaemon(directory + "/s")
    }

    deinit {
        daemon.close()
        try? FileManager.default.removeItem(atPath: directory)
    }

    @Test func `the table covers what people type`() { #expect(Self.cases.count > 200) }

    @Test(arguments: StockRequestTests.cases)
    func `a command line sends what Docker's own client sends`(row: Case) throws {
        #expect(try requests(of: Self.ours, row.line) == row.requests)
    }

    @Test(
        .enabled(if: StockRequestTests.stock != nil, "needs Docker's client 28.2"), arguments: StockRequestTests.cases)
    func `the table still is what Docker's own client sends`(row: Case) throws {
        #expect(try requests(of: Self.stock ?? "", row.line) == row.requests)
    }

    // MARK: Running

    private static func output(_ program: String, _ argument: String) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = [argument]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }

    private func requests(of program: String, _ line: String) throws -> [String] {
        let home = directory + "/home"
        try? FileManager.default.removeItem(atPath: home)
        try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
        let process = Process()
        process.executableURL = URL(filePath: "/bin/bash")
        process.arguments = ["-c", "exec \(program) \(line)"]
        process.currentDirectoryURL = URL(filePath: directory + "/work")
        process.environment = [
            "PATH": "/usr/bin:/bin", "HOME": home, "DOCKER_HOST": "unix://\(daemon.path)", "FOO": "fromenv",
            "DOCKER_CLI_HINTS": "false",
        ]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return daemon.take().compactMap { reduced($0, line) }.map(Self.canonical).sorted()
    }

    // MARK: Reduction

    /// What matters of a request; nil for those that only prepare others.
    private func reduced(_ request: RecordingDaemon.Request, _ line: String) -> [String: Any]? {
        let words = line.split(separator: " ")
        let isDetachedRun =
            words.first == "run"
            && words.contains { $0.hasPrefix("-") && !$0.hasPrefix("--") && $0.contains("d") && !$0.contains("=") }
        var path = request.path
        let last = path.split(separator: "/").last ?? ""
        if ["/_ping", "/version"].contains(path) || (isDetachedRun && last == "wait")
            || (path == "/events" && words.contains("stats"))
        {
            return nil
        }
        if request.method == "GET", path.hasPrefix("/containers/"), path.split(separator: "/").count == 3,
            last == "json", !words.contains("inspect")
        {
            return nil
        }
        path = path.replacingOccurrences(of: RecordingDaemon.containerID, with: "c1").replacingOccurrences(
            of: "/containers/c/", with: "/containers/c1/")
        var value: [String: Any] = ["method": request.method, "path": path]
        let query = request.query.filter { !$0[1].isEmpty }
        if !query.isEmpty { value["query"] = query }
        if let auth = request.headers["x-registry-auth"] { value["auth"] = Self.reduced(Self.decoded(auth)) }
        if let upgrade = request.headers["upgrade"] { value["upgrade"] = upgrade }
        guard !request.body.isEmpty else { return value }
        guard let body = try? JSONSerialization.jsonObject(with: request.body) else {
            value["body"] = "tar"
            return value
        }
        let text = Self.canonical(Self.reduced(body)).replacingOccurrences(of: directory + "/work", with: "$PWD")
        if text != "{}", let plain = try? JSONSerialization.jsonObject(with: Data(text.utf8)) { value["body"] = plain }
        return value
    }

    private static func decoded(_ auth: String) -> Any {
        let plain = auth.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        let padded = plain + String(repeating: "=", count: (4 - plain.count % 4) % 4)
        return Data(base64Encoded: padded).flatMap { try? JSONSerialization.jsonObject(with: $0) } ?? [:]
    }

    /// Without the members that say nothing: null, false, 0, and the empty ones but for lists that mean "none at all".
    private static func reduced(_ value: Any) -> Any {
        if let list = value as? [Any] { return list.map(reduced) }
        guard let object = value as? [String: Any] else { return value }
        var kept: [String: Any] = [:]
        for (name, member) in object {
            // Docker's client walks a map of Go for these, in an order that changes.
            let member = name == "Binds" ? ((member as? [String])?.sorted() ?? member) : reduced(member)
            let text = canonical(member)
            let isEmpty = ["null", "false", "0", "\"\"", "{}", "[]", "[0,0]"].contains(text)
            if !isEmpty || (text == "[]" && name.hasSuffix("edPaths")) { kept[name] = member }
        }
        return kept
    }

    private static func canonical(_ value: Any) -> String {
        let options: JSONSerialization.WritingOptions = [.sortedKeys, .withoutEscapingSlashes, .fragmentsAllowed]
        return (try? JSONSerialization.data(withJSONObject: value, options: options)).map {
            String(decoding: $0, as: UTF8.self)
        } ?? "?"
    }
}
