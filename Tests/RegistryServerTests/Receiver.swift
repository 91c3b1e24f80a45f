import Foundation
import Testing

/// A receiver of webhooks, in a process of its own: it answers with the status that a file says, and writes down what it took.
final class Receiver: Sendable {
    let folder: String
    let port: Int
    private let process: Process
    var url: String { "http://127.0.0.1:\(port)/hook" }

    struct Delivery: Sendable {
        let headers: [String: String]
        let actions: [String]
        let events: [[String: String]]
        let isSigned: Bool
    }

    private static let script = """
        import hashlib, hmac, http.server, json, os, sys
        folder, secret = sys.argv[1], sys.argv[2].encode()
        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *rest): pass
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = 200
                try: status = int(open(folder + "/status").read())
                except FileNotFoundError: pass
                signed = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
                again = (self.headers["x-registry-timestamp"] + "." + self.headers["x-registry-delivery"] + ".").encode() + body
                stamped = "sha256=" + hmac.new(secret, again, hashlib.sha256).hexdigest()
                line = json.dumps({"status": status, "headers": {k.lower(): v for k, v in self.headers.items()},
                    "events": json.loads(body)["events"],
                    "signed": signed == self.headers["x-hub-signature-256"] and stamped == self.headers["x-registry-signature-256"]})
                with open(folder + "/deliveries", "a") as file: file.write(line + "\\n")
                self.send_response(status)
                if status == 302: self.send_header("Location", "/other")
                self.send_header("Content-Length", "0")
                self.end_headers()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[3])), Handler)
        open(folder + "/port", "w").write(str(server.server_port))
        os.rename(folder + "/port", folder + "/ready")
        server.serve_forever()
        """

    /// - Parameter port: 0 for any.
    init(secret: String = "secret", port: Int = 0) throws {
        folder =
            (ProcessInfo.processInfo.environment["TMPDIR"] ?? "/var/tmp") + "/receiver-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        process = Process()
        process.executableURL = URL(filePath: "/usr/bin/python3")
        process.arguments = ["-c", Self.script, folder, secret, "\(port)"]
        try process.run()
        let ready = folder + "/ready"
        try #require(soon(60) { FileManager.default.fileExists(atPath: ready) })
        self.port = try #require(Int(try String(contentsOfFile: ready, encoding: .utf8)))
    }

    deinit {
        // SIGTERM is blocked in what the tests start, unless it lets it in itself.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        try? FileManager.default.removeItem(atPath: folder)
    }

    func answer(_ status: Int) throws {
        try "\(status)".write(toFile: folder + "/status", atomically: true, encoding: .utf8)
    }

    /// What came, in its order.
    ///
    /// - Parameter status: that it was answered with.
    func deliveries(_ status: Int = 200) -> [Delivery] {
        let text = (try? String(contentsOfFile: folder + "/deliveries", encoding: .utf8)) ?? ""
        return text.split(separator: "\n").compactMap { line in
            guard let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
                object["status"] as? Int == status, let events = object["events"] as? [[String: Any]]
            else { return nil }
            return Delivery(
                headers: object["headers"] as? [String: String] ?? [:],
                actions: events.compactMap { $0["action"] as? String },
                events: events.map(Self.flat), isSigned: object["signed"] as? Bool ?? false)
        }
    }

    private static func flat(_ event: [String: Any]) -> [String: String] {
        var result: [String: String] = [:]
        for (key, value) in event {
            if let text = value as? String { result[key] = text }
            for (inner, value) in value as? [String: Any] ?? [:] { result["\(key).\(inner)"] = "\(value)" }
        }
        return result
    }
}
