import Foundation
import Glibc
import Synchronization

/// Listens on a unix socket in place of a daemon, notes every request, and answers each with the least that a client goes on
/// with.
final class RecordingDaemon: Sendable {
    /// One request as it came.
    struct Request: Sendable {
        var method: String
        /// Of the path's prefix, `1.51`; empty without one.
        var version: String
        /// Without the version prefix, percent-decoded.
        var path: String
        /// In order of name and value.
        var query: [[String]]
        /// Names in lower case.
        var headers: [String: String]
        var body: Data
    }

    static let containerID = String(repeating: "a", count: 64)

    let path: String
    private let listener: Int32
    private let requests = Mutex<[Request]>([])
    private let answers: [String: Answer]
    private let apiVersion: String?

    /// An answer that a real daemon gave.
    struct Answer: Sendable {
        var status: Int
        var body: String
    }

    /// The answers of `RecordedAnswers.jsonl` by ``Request/key``.
    static let recorded: [String: Answer] = {
        let pairs = StockClient.rows("RecordedAnswers.jsonl").compactMap { row -> (String, Answer)? in
            guard let request = row["request"] as? String, let status = row["status"] as? Int,
                let body = row["body"] as? String
            else { return nil }
            return (request, Answer(status: status, body: body))
        }
        return Dictionary(pairs) { first, _ in first }
    }()

    /// - Parameters:
    ///   - path: of the socket; shorter than 100 bytes.
    ///   - answers: to give to the requests of these keys.
    ///   - apiVersion: the only version that is not refused, as by a daemon that knows no later one; nil refuses none.
    init(_ path: String, answers: [String: Answer] = [:], apiVersion: String? = nil) throws {
        self.path = path
        self.answers = answers
        self.apiVersion = apiVersion
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8.prefix(100))) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard bound == 0, listen(listener, 64) == 0 else { throw POSIXError(.EADDRINUSE) }
        Thread.detachNewThread { [self] in
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0 else { return }
                Thread.detachNewThread { [self] in serve(client) }
            }
        }
    }

    /// Ends the listening thread, which keeps the object.
    func close() {
        shutdown(listener, Int32(SHUT_RDWR))
        Foundation.close(listener)
        unlink(path)
    }

    /// All requests since the last call.
    func take() -> [Request] {
        requests.withLock { list in
            defer { list = [] }
            return list
        }
    }

    private func serve(_ client: Int32) {
        defer { Foundation.close(client) }
        var reader = SocketReader(client)
        while let request = reader.request() {
            requests.withLock { $0.append(request) }
            if request.headers["upgrade"] != nil, !request.isDetached {
                send(client, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
                // The client starts the container meanwhile, unless it only attaches; the end of the stream lets it go.
                for _ in 0..<40 where request.path.hasSuffix("/attach") {
                    if requests.withLock({ $0.contains { $0.path.hasSuffix("/start") } }) { break }
                    usleep(10_000)
                }
                usleep(30_000)
                return
            }
            if let apiVersion, !["", apiVersion].contains(request.version) {
                // The connection ends, as what is left of a body is nobody's.
                send(
                    client,
                    "HTTP/1.1 400 X\r\nApi-Version: \(apiVersion)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            }
            let answer = answers[request.key].map { CannedAnswer($0) } ?? CannedAnswer(request)
            send(client, answer.text(isHead: request.method == "HEAD"))
        }
    }

    private func send(_ client: Int32, _ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            // A client that has gone must not end the tests.
            let count = rest.withUnsafeBytes { Glibc.send(client, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}

extension RecordingDaemon.Request {
    /// `GET /path?name=value&name=value`, without the values that are empty.
    var key: String {
        let pairs = query.filter { !$0[1].isEmpty }.map { $0.joined(separator: "=") }
        return "\(method) \(path)" + (pairs.isEmpty ? "" : "?" + pairs.joined(separator: "&"))
    }

    /// `exec -d` asks for no stream.
    var isDetached: Bool {
        ((try? JSONSerialization.jsonObject(with: body)) as? [String: Any])?["Detach"] as? Bool ?? false
    }
}

/// Requests read from a socket.
private struct SocketReader {
    private let client: Int32
    private var buffer: [UInt8] = []

    init(_ client: Int32) { self.client = client }

    private mutating func fill() -> Bool {
        var part = [UInt8](repeating: 0, count: 65536)
        let count = read(client, &part, part.count)
        guard count > 0 else { return false }
        buffer += part[..<count]
        return true
    }

    private mutating func line() -> String? {
        while true {
            if let end = buffer.firstIndex(of: 0x0a) {
                let text = String(decoding: buffer[..<end], as: UTF8.self).trimmingCharacters(
                    in: .whitespacesAndNewlines)
                buffer.removeFirst(end + 1)
                return text
            }
            guard fill() else { return nil }
        }
    }

    private mutating func bytes(_ count: Int) -> Data? {
        while buffer.count < count { guard fill() else { return nil } }
        defer { buffer.removeFirst(count) }
        return Data(buffer[..<count])
    }

    mutating func request() -> RecordingDaemon.Request? {
        guard let words = line()?.split(separator: " "), words.count == 3 else { return nil }
        var headers: [String: String] = [:]
        while let text = line(), !text.isEmpty {
            let parts = text.split(separator: ":", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
            if parts.count == 2 { headers[parts[0].lowercased()] = parts[1] }
        }
        var body = Data()
        if headers["transfer-encoding"] == "chunked" {
            while let size = line().flatMap({ Int($0, radix: 16) }), size > 0, let part = bytes(size) {
                body += part
                _ = line()
            }
            _ = line()
        } else if let count = headers["content-length"].flatMap({ Int($0) }) {
            body = bytes(count) ?? body
        }
        let parts = URLComponents(string: "http://x" + words[1])
        var (path, version) = (parts?.path ?? "", "")
        if path.hasPrefix("/v1."), let slash = path.dropFirst().firstIndex(of: "/") {
            version = String(path[..<slash].dropFirst(2))
            path = String(path[slash...])
        }
        let query = (parts?.percentEncodedQueryItems ?? []).map { item in
            [item.name, (item.value ?? "").replacing("+", with: " ").removingPercentEncoding ?? ""]
        }
        return .init(
            method: String(words[0]), version: version, path: path,
            query: query.sorted { ($0[0], $0[1]) < ($1[0], $1[1]) },
            headers: headers, body: body)
    }
}

/// The least answer a client goes on with.
private struct CannedAnswer {
    private var status = 200
    private var type: String? = "application/json"
    private var body = "{}"
    private var extra = ""

    init(_ answer: RecordingDaemon.Answer) { (status, body) = (answer.status, answer.body) }

    init(_ request: RecordingDaemon.Request) {
        let id = RecordingDaemon.containerID
        let path = request.path
        switch path {
        case "/_ping": (type, body) = ("text/plain", "OK")
        case "/version":
            body = #"{"Version":"28.2.2","ApiVersion":"1.50","MinAPIVersion":"1.24","Os":"linux","Arch":"amd64"}"#
        case "/info": body = #"{"ID":"x","OSType":"linux","IndexServerAddress":"https://index.docker.io/v1/"}"#
        case "/containers/create": (status, body) = (201, #"{"Id":"\#(id)","Warnings":[]}"#)
        case "/images/create", "/images/load": body = "{\"status\":\"ok\"}\r\n"
        case "/containers/json", "/images/json", "/networks": body = "[]"
        case "/volumes": body = #"{"Volumes":[]}"#
        case "/networks/create":
            (status, body) = (201, #"{"Id":"\#(String(repeating: "d", count: 64))","Warning":""}"#)
        case "/volumes/create":
            (status, body) = (201, #"{"Name":"v","Driver":"local","Mountpoint":"/x","Scope":"local"}"#)
        case "/auth": body = #"{"Status":"Login Succeeded","IdentityToken":""}"#
        case "/commit": (status, body) = (201, #"{"Id":"sha256:\#(id)"}"#)
        case "/events": body = ""
        case "/images/get": (type, body) = ("application/x-tar", String(repeating: "\0", count: 1024))
        default: answer(request.method, path, String(path.split(separator: "/").last ?? ""))
        }
    }

    private mutating func answer(_ method: String, _ path: String, _ last: String) {
        let id = RecordingDaemon.containerID
        switch (method, last) {
        case (_, "wait"): body = #"{"StatusCode":0}"#
        case ("POST", "exec"): (status, body) = (201, #"{"Id":"\#(String(repeating: "e", count: 64))"}"#)
        case ("GET", "json") where path.hasPrefix("/exec/"): body = #"{"ExitCode":0,"Running":false}"#
        case ("GET", "json") where path.hasPrefix("/images/"): body = #"{"Id":"sha256:\#(id)","Config":{}}"#
        case ("GET", "json"):
            body =
                #"{"Id":"\#(id)","Name":"/c","Config":{"Tty":false,"OpenStdin":true},"State":{"Running":true},"HostConfig":{}}"#
        case (_, "push"): body = "{\"status\":\"ok\"}\r\n"
        case (_, "export"): (type, body) = ("application/x-tar", String(repeating: "\0", count: 1024))
        case ("PUT", "archive"): body = ""
        case (_, "archive"):
            let entry = #"{"name":"etc","size":0,"mode":2147484141,"mtime":"2024-01-01T00:00:00Z","linkTarget":""}"#
            extra = "X-Docker-Container-Path-Stat: \(Data(entry.utf8).base64EncodedString())\r\n"
            (type, body) = ("application/x-tar", String(repeating: "\0", count: 1024))
        case (_, "history"), (_, "changes"): body = "[]"
        case ("DELETE", _) where path.hasPrefix("/images/"): body = "[]"
        case (_, "top"): body = #"{"Titles":["PID"],"Processes":[["1"]]}"#
        case (_, "stats"):
            body = #"{"name":"/c","id":"\#(id)","cpu_stats":{},"precpu_stats":{},"memory_stats":{}}"# + "\n"
        case (_, "logs"): body = ""
        case (_, "update"), (_, "prune"), (_, "df"): break
        case ("GET", _) where path.hasPrefix("/volumes/") || path.hasPrefix("/networks/"): body = #"{"Name":"v"}"#
        default: (status, type, body) = (204, nil, "")
        }
    }

    func text(isHead: Bool) -> String {
        var head =
            "HTTP/1.1 \(status) X\r\nApi-Version: 1.50\r\nOstype: linux\r\nServer: Docker/28.2.2 (linux)\r\n\(extra)"
        if let type { head += "Content-Type: \(type)\r\n" }
        if status != 204 { head += "Content-Length: \(body.utf8.count)\r\n" }
        return head + "\r\n" + (isHead ? "" : body)
    }
}
