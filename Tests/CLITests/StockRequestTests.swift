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

    static let cases = StockClient.rows("StockRequests.jsonl").compactMap { row -> Case? in
        guard let line = row["line"] as? String, let requests = row["requests"] as? [Any] else { return nil }
        return Case(line: line, requests: requests.map(canonical))
    }

    private let directory: String
    private let daemon: RecordingDaemon

    init() throws {
        directory = try StockClient.folder("requests")
        daemon = try RecordingDaemon(directory + "/s")
    }

    deinit {
        daemon.close()
        try? FileManager.default.removeItem(atPath: directory)
    }

    @Test func `the table covers what people type`() { #expect(Self.cases.count > 500) }

    @Test(arguments: StockRequestTests.cases)
    func `a command line sends what Docker's own client sends`(row: Case) throws {
        #expect(try requests(of: StockClient.ours, row.line) == row.requests)
    }

    @Test(
        .enabled(if: StockClient.stock != nil, "needs Docker's client 28.2"), arguments: StockRequestTests.cases)
    func `the table still is what Docker's own client sends`(row: Case) throws {
        #expect(try requests(of: StockClient.stock ?? "", row.line) == row.requests)
    }

    // MARK: Running

    private func requests(of program: String, _ line: String) throws -> [String] {
        _ = try StockClient.run(program, line, in: directory, host: "unix://\(daemon.path)")
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
        let text = Self.canonical(Self.reduced(body)).replacingOccurrences(of: directory + "/cwd", with: "$PWD")
        if text != "{}", let plain = try? JSONSerialization.jsonObject(with: Data(text.utf8)) { value["body"] = plain }
        return value
    }

    private static func decoded(_ auth: String) -> Any {
        let plain = auth.replacingOccurrences(of: "-", with: "+").replacingOccurrences(of: "_", with: "/")
        let padded = plain + String(repeating: "=", count: (4 - plain.count % 4) % 4)
        return Data(base64Encoded: padded).flatMap { try? JSONSerialization.jsonObject(with: $0) } ?? [:]
    }

    /// Members whose own members say something by their names alone.
    private static let namesMatter: Set = ["EndpointsConfig", "ExposedPorts", "PortBindings"]

    /// Without the members that say nothing: null, false, 0, and the empty ones but for lists that mean "none at all".
    private static func reduced(_ value: Any, keepsNames: Bool = false) -> Any {
        if let list = value as? [Any] { return list.map { reduced($0) } }
        guard let object = value as? [String: Any] else { return value }
        var kept: [String: Any] = [:]
        for (name, member) in object {
            let member = ordered(name, reduced(member, keepsNames: namesMatter.contains(name)))
            let text = canonical(member)
            let isEmpty = ["null", "false", "0", "\"\"", "{}", "[]", "[0,0]"].contains(text)
            if keepsNames || !isEmpty || (text == "[]" && name.hasSuffix("edPaths")) { kept[name] = member }
        }
        return kept
    }

    /// Lists for which Docker's client walks a map of Go, in an order that changes.
    private static func ordered(_ name: String, _ value: Any) -> Any {
        guard ["Binds", "Config"].contains(name), let list = value as? [Any] else { return value }
        return list.sorted { canonical($0) < canonical($1) }
    }

    private static func canonical(_ value: Any) -> String {
        let options: JSONSerialization.WritingOptions = [.sortedKeys, .withoutEscapingSlashes, .fragmentsAllowed]
        return (try? JSONSerialization.data(withJSONObject: value, options: options)).map {
            String(decoding: $0, as: UTF8.self)
        } ?? "?"
    }
}
