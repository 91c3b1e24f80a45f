@preconcurrency import Glibc

/// A client of one daemon's Engine API. Idle connections are kept and used again.
final class Client {
    /// The API version this program speaks; the server may be older, then its own version is used.
    static let apiVersion = "1.51"

    private let endpoint: Endpoint
    /// What the user's configuration file adds to every request.
    let extraHeaders: [(String, String)]
    private var idle: [Connection] = []
    private var prefix = "/v\(Client.apiVersion)"

    /// - Parameter mayStart: a daemon may be started where nobody says where one is.
    init(_ settings: Settings, mayStart: Bool = true) throws(CLIError) {
        var endpoint = try Endpoint(settings)
        endpoint.isImplied = endpoint.isImplied && mayStart
        self.endpoint = endpoint
        extraHeaders = settings.config.httpHeaders
    }

    /// Where the daemon is.
    var host: Host { endpoint.host }

    /// A connection of one's own, starting the daemon if that is allowed and needed.
    func connect() throws(CLIError) -> Connection {
        do throws(Connection.ConnectFailure) {
            return try Connection(to: endpoint)
        } catch {
            if let message = error.message { throw CLIError("error during connect: \(message)") }
            let mayStart = endpoint.isImplied && getuid() == 0
            switch error.code {
            case EACCES, EPERM:
                throw CLIError(
                    "permission denied while trying to connect to the Docker daemon socket at \(host.description)")
            case ENOENT where mayStart, ECONNREFUSED where mayStart:
                return try DaemonStarter.startAndConnect(endpoint)
            default: throw .unreachable(host.description)
            }
        }
    }

    /// Sends a request and reads the response's head. Errors of the daemon are thrown with its message.
    func send(_ request: Request, on own: Connection? = nil) throws(CLIError) -> Response {
        let response = try exchange(request, on: own)
        if response.status == 400, let lower = try loweredPrefix(response) {
            prefix = lower
            return try send(request, on: nil)
        }
        return response
    }

    private func exchange(_ request: Request, on own: Connection?) throws(CLIError) -> Response {
        var versioned = request
        versioned.path = prefix + request.path
        if let own { return try attempt(versioned, own) }
        while let connection = idle.popLast() {
            // The daemon may have closed a kept connection meanwhile. Nothing was asked on it yet, so another one will do.
            guard !connection.isClosedByPeer else { continue }
            do throws(CLIError) {
                return try attempt(versioned, connection)
            } catch {
                // Only what changes nothing may be asked twice: a lost answer does not say that nothing was done.
                guard ["GET", "HEAD"].contains(request.method) else { throw error }
            }
        }
        return try attempt(versioned, try connect())
    }

    private func attempt(_ request: Request, _ connection: Connection) throws(CLIError) -> Response {
        var request = request
        request.headers += extraHeaders
        do throws(CLIError) {
            try connection.send(request.encoded())
            return try Response(from: connection, method: request.method)
        } catch {
            guard connection.isProxied else { throw error }
            guard let reason = connection.endOfProxy() else { throw .unreachable(host.description) }
            let method = request.method.prefix(1) + request.method.dropFirst().lowercased()
            let url = "\(endpoint.address)\(request.path)"
            throw CLIError("error during connect: \(method) \"\(url)\": \(reason.message)")
        }
    }

    /// The prefix of an older server's own version, if the answer says that ours is too new for it.
    private func loweredPrefix(_ response: Response) throws(CLIError) -> String? {
        guard prefix == "/v\(Client.apiVersion)", let version = response.headers["api-version"] else { return nil }
        let numbers = version.split(separator: ".").compactMap { Int($0) }
        let own = Client.apiVersion.split(separator: ".").compactMap { Int($0) }
        guard numbers.count == 2, (numbers[0], numbers[1]) < (own[0], own[1]) else { return nil }
        _ = try response.body()
        return "/v\(version)"
    }

    /// The version paths are sent with now.
    var negotiatedVersion: String { String(prefix.dropFirst(2)) }

    /// Whether the daemon's version, once it is known, is below `1.minor`.
    func speaksLess(than minor: Int) -> Bool {
        negotiatedVersion.split(separator: ".").last.flatMap { Int($0) }.map { $0 < minor } ?? false
    }

    /// Agrees on a version before a request whose body can be sent only once.
    func negotiate() throws(CLIError) { try call("GET", "/version") }

    /// Sends a request on a connection of its own, to be answered later: `finish` reads the answer.
    func begin(_ method: String, _ path: String) throws(CLIError) -> Connection {
        let connection = try connect()
        try connection.send(Request(method: method, path: prefix + path, headers: extraHeaders).encoded())
        return connection
    }

    /// Reads the answer of a `GET` that `begin` sent.
    func finish(_ connection: Connection) throws(CLIError) -> Response {
        try checked(try Response(from: connection, method: "GET"))
    }

    /// Keeps a connection whose response has been read to its end.
    func recycle(_ response: Response) {
        if response.headers["connection"]?.lowercased() != "close", idle.count < 4 { idle.append(response.connection) }
    }

    /// A request whose answer is one JSON document.
    @discardableResult
    func call(
        _ method: String, _ path: String, _ body: JSON? = nil, headers: [(String, String)] = []
    ) throws(CLIError) -> JSON {
        let response = try open(method, path, body, headers: headers)
        let type = response.headers["content-type"] ?? "application/json"
        let bytes = try response.body()
        recycle(response)
        return bytes.isEmpty || !type.contains("json") ? .null : try JSONParser.parse(bytes)
    }

    /// A request whose answer is read by the caller; the daemon's refusals are thrown.
    func open(
        _ method: String, _ path: String, _ body: JSON? = nil, headers: [(String, String)] = []
    ) throws(CLIError) -> Response {
        var request = Request(method: method, path: path, headers: headers)
        if let body {
            request.body = Array(body.encoded().utf8)
            request.headers.append(("Content-Type", "application/json"))
        }
        return try checked(try send(request))
    }

    /// Throws the daemon's message for statuses from 400.
    func checked(_ response: Response) throws(CLIError) -> Response {
        guard response.status >= 400 else { return response }
        let bytes = try response.body()
        recycle(response)
        let text = (try? JSONParser.parse(bytes))?["message"]?.string ?? String(decoding: bytes, as: UTF8.self).trimmed
        throw CLIError("Error response from daemon: \(text.trimmed)", status: response.status)
    }

    /// Opens a raw connection by `101 UPGRADED` (20.10 and older may answer 200 and go on raw).
    func hijack(_ path: String, _ body: JSON? = nil) throws(CLIError) -> Response {
        var request = Request(method: "POST", path: path, upgrade: true)
        if let body {
            request.body = Array(body.encoded().utf8)
            request.headers.append(("Content-Type", "application/json"))
        }
        return try checked(try send(request, on: try connect()))
    }

    /// Sends a body in chunks as `next` gives them (empty ends it), then reads the response. The version is agreed on before,
    /// since the body can be sent only once.
    func upload(
        _ method: String, _ path: String, type: String, headers: [(String, String)] = [],
        next: () throws(CLIError) -> [UInt8]
    ) throws(CLIError) -> Response {
        try negotiate()
        let connection = try connect()
        var request = Request(
            method: method, path: prefix + path, headers: headers + extraHeaders + [("Content-Type", type)],
            chunked: true)
        request.body = nil
        try connection.send(request.encoded())
        do throws(CLIError) {
            while true {
                let part = try next()
                if part.isEmpty { break }
                try connection.send(Array(String(part.count, radix: 16).utf8) + [0x0d, 0x0a] + part + [0x0d, 0x0a])
            }
            try connection.send(Array("0\r\n\r\n".utf8))
        } catch {
            // The daemon may have refused and closed before it read all: its answer says why.
            guard let response = try? Response(from: connection, method: method) else { throw error }
            return try checked(response)
        }
        return try checked(try Response(from: connection, method: method))
    }
}

/// Escapes text for a query value or a path segment (RFC 3986 unreserved characters stay).
func escaped(_ text: String, keeping kept: String = "") -> String {
    var out = ""
    for byte in text.utf8 {
        let scalar = Unicode.Scalar(byte)
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: out.unicodeScalars.append(scalar)
        case _ where kept.utf8.contains(byte): out.unicodeScalars.append(scalar)
        default: out += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
    }
    return out
}

/// A query string with its `?`, or nothing; pairs whose value is `nil` are left out.
func query(_ pairs: [(String, String?)]) -> String {
    let parts = pairs.compactMap { name, value in value.map { "\(name)=\(escaped($0))" } }
    return parts.isEmpty ? "" : "?" + parts.joined(separator: "&")
}
