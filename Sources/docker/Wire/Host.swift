/// Where a daemon listens.
enum Host: Equatable, Sendable {
    /// A unix socket's path.
    case unix(String)
    /// A port of a machine; the path is only shown.
    case tcp(String, UInt16, path: String)
    /// A machine where `docker system dial-stdio` is run.
    case ssh(SSHAddress)

    /// The socket used when nothing else is said.
    static let standard = Host.unix("/var/run/docker.sock")

    private static let plainPort: UInt16 = 2375
    /// The usual port of a daemon that wants TLS.
    static let tlsPort: UInt16 = 2376

    /// Reads `unix:///path`, `tcp://host:port`, `host:port` or `ssh://user@host`.
    ///
    /// - Parameter defaultPort: of TCP; the plain one when nothing is said.
    init(parsing text: String, defaultPort: UInt16 = plainPort) throws(CLIError) {
        let (scheme, rest) = text.scheme
        switch scheme ?? "tcp" {
        case "unix": self = .unix(rest.isEmpty ? "/var/run/docker.sock" : rest)
        case "tcp": self = try Self.port(rest, text, defaultPort)
        case "ssh": self = .ssh(try SSHAddress(rest))
        case "npipe": throw CLIError("protocol not available")
        default: throw CLIError("invalid bind address format: \(text)")
        }
    }

    private static func port(_ rest: String, _ text: String, _ defaultPort: UInt16) throws(CLIError) -> Host {
        let (address, path) = rest.cut("/")
        let shownPath = path.map { "/\($0)" } ?? ""
        let bracket = address.lastIndex(of: "]")
        guard let colon = address.lastIndex(of: ":"), bracket.map({ $0 < colon }) ?? true else {
            let name = address.trimming { $0 == "[" || $0 == "]" }
            return .tcp(name.isEmpty ? "localhost" : name, defaultPort, path: shownPath)
        }
        let digits = address[address.index(after: colon)...]
        guard let port = digits.isEmpty ? defaultPort : UInt16(digits) else {
            throw CLIError("parse \"\(text)\": invalid port \":\(digits)\" after host")
        }
        let name = address[..<colon].trimming { $0 == "[" || $0 == "]" }
        return .tcp(name.isEmpty ? "localhost" : name, port, path: shownPath)
    }

    /// As users write it.
    var description: String {
        switch self {
        case .unix(let path): "unix://\(path)"
        case .tcp(let name, let port, let path):
            "tcp://\(name.contains(":") ? "[\(name)]" : name):\(port)\(path)"
        case .ssh(let address): "ssh://\(address.text)"
        }
    }
}

/// `user@host:port/path` of an ssh URL.
struct SSHAddress: Equatable, Sendable {
    /// Behind `ssh://`.
    let text: String
    private var user = ""
    private var name = ""
    private var port = ""
    /// The daemon's socket there; empty for the usual one.
    private var path = ""

    init(_ text: String) throws(CLIError) {
        self.text = text
        func invalid(_ reason: String) -> CLIError {
            CLIError("ssh host connection is not valid: invalid SSH URL: \(reason)")
        }
        let (address, fragment) = text.cut("#")
        let (place, query) = address.cut("?")
        let (authority, path) = place.cut("/")
        let (before, behind) = authority.cut("@")
        if behind != nil {
            let (user, password) = before.cut(":")
            guard password == nil else { throw invalid("plain-text password is not supported") }
            self.user = user
        }
        let (name, port) = Self.split(behind ?? before)
        guard !name.isEmpty else { throw invalid("hostname is empty") }
        guard port.allSatisfy({ $0.isASCII && $0.isNumber }) else {
            throw invalid("parse \"ssh://\(text)\": invalid port \":\(port)\" after host")
        }
        // What begins with a dash would be an option of ssh's.
        guard !user.hasPrefix("-"), !name.hasPrefix("-") else { throw invalid("a name cannot begin with a dash") }
        if let query { throw invalid("query parameters are not allowed: \(query.goQuoted)") }
        if let fragment { throw invalid("fragments are not allowed: \(fragment.goQuoted)") }
        (self.name, self.port) = (name, port)
        self.path = path.flatMap { $0.isEmpty ? nil : "/\($0)" } ?? ""
    }

    private static func split(_ authority: String) -> (name: String, port: String) {
        if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
            return (
                String(authority[authority.index(after: authority.startIndex)..<end]),
                String(authority[end...].dropFirst(2))
            )
        }
        let (name, port) = authority.cut(":")
        return (name, port ?? "")
    }

    /// The command that connects its standard streams to the daemon, as Docker's own client runs it.
    var command: [String] {
        // ssh's own patience with a machine that does not answer is minutes.
        var words = ["ssh", "-o ConnectTimeout=30", "-T"]
        if !user.isEmpty { words += ["-l", user] }
        if !port.isEmpty { words += ["-p", port] }
        words += ["--", name, "docker"]
        if !path.isEmpty { words += ["--host", "unix://\(path)"] }
        return words + ["system", "dial-stdio"]
    }
}
