import ArgumentParser
import Glibc
import HTTP

/// Where the daemon listens, checked but not opened.
enum Listener {
    case unix(path: String, group: gid_t?, mode: mode_t)
    /// Sockets of the service manager with that name; nil for all.
    case activated(name: String?, tls: TLSFiles?, isInsecureAllowed: Bool)
    case tcp(host: String, port: UInt16, tls: TLSFiles?)

    /// Paths of PEM files.
    struct TLSFiles {
        let authority: String
        let certificate: String
        let key: String

        func load() throws -> ServerTLS {
            try ServerTLS(authority: authority, certificate: certificate, key: key)
        }
    }

    func open(_ service: inout Systemd) throws -> [ListeningSocket] {
        switch self {
        case .unix(let path, let group, let mode): [try .unix(path, group: group, mode: mode)]
        case .tcp(let host, let port, let tls): [try .tcp(host: host, port: port, tls: try tls?.load())]
        case .activated(let name, let tls, let isInsecureAllowed):
            try service.sockets(named: name, tls: try tls?.load(), isInsecureAllowed: isInsecureAllowed)
        }
    }
}

/// The daemon's flags of its listeners, with Docker's names.
struct ListenerOptions: ParsableArguments {
    @Option(name: [.customShort("G"), .customLong("group")], help: "Group of the unix socket")
    var group: String?
    @Option(name: .customLong("socket-mode"), help: "Permissions of the unix socket, in octal; 0660 by default")
    var socketMode: String?
    @Flag(name: .customLong("tls"), help: "Use TLS; implied by --tlsverify, and not enough without it")
    var tls = false
    @Flag(name: .customLong("tlsverify"), help: "Use TLS and verify the certificates of clients")
    var tlsVerify = false
    @Option(name: .customLong("tlscacert"), help: "Trust client certificates signed by this authority")
    var tlsAuthority: String?
    @Option(name: .customLong("tlscert"), help: "Path of the server's certificate")
    var tlsCertificate: String?
    @Option(name: .customLong("tlskey"), help: "Path of the server's key")
    var tlsKey: String?
    @Flag(name: .customLong("insecure-tcp"), help: "Allow tcp:// without TLS, on the loopback alone")
    var insecureTCP = false

    private static let groupDefault = "docker"
    private static let modeDefault: mode_t = 0o660
    /// Docker's ports without and with TLS.
    private static let ports: (plain: UInt16, tls: UInt16) = (2375, 2376)
    private static let ways = """
        give --tlsverify with --tlscacert, --tlscert and --tlskey, or listen on unix:// and reach it with ssh \
        (docker -H ssh://host)
        """

    /// - Throws: `DaemonFailure` with what to change.
    func resolve(_ file: DaemonFile, hosts: [String]) throws -> [Listener] {
        let group = try Self.group(self.group ?? file.group)
        let mode = try Self.mode(socketMode ?? file.socketMode)
        let files = files(file)
        let isInsecureAllowed = insecureTCP || file.insecureTCP == true
        return try hosts.map { host in
            let parts = host.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let rest = parts.count == 2 ? parts[1] : ""
            switch parts[0] {
            case "unix" where rest.isEmpty || rest.hasPrefix("/"):
                let path = rest.isEmpty ? String(Options.hostDefault.dropFirst("unix://".count)) : rest
                return .unix(path: path, group: group, mode: mode)
            case "fd":
                let name = rest.isEmpty || rest == "*" ? nil : rest
                return .activated(name: name, tls: files, isInsecureAllowed: isInsecureAllowed)
            case "tcp": return try tcp(host, rest, files, file, isInsecureAllowed)
            default:
                throw DaemonFailure("cannot listen on \(host): want unix:///path, fd:// or tcp://host:port")
            }
        }
    }

    private func files(_ file: DaemonFile) -> Listener.TLSFiles? {
        guard tlsVerify || file.tlsVerify == true else { return nil }
        func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        let folder = environment("DOCKER_CERT_PATH") ?? (environment("HOME") ?? "/root") + "/.docker"
        return Listener.TLSFiles(
            authority: tlsAuthority ?? file.tlsAuthority ?? folder + "/ca.pem",
            certificate: tlsCertificate ?? file.tlsCertificate ?? folder + "/cert.pem",
            key: tlsKey ?? file.tlsKey ?? folder + "/key.pem")
    }

    private func tcp(
        _ text: String, _ address: String, _ tls: Listener.TLSFiles?, _ file: DaemonFile, _ isInsecureAllowed: Bool
    ) throws -> Listener {
        guard let (host, port) = Self.address(address, tls == nil ? Self.ports.plain : Self.ports.tls) else {
            throw DaemonFailure("invalid address \(text): want tcp://host:port, with an IPv6 address in brackets")
        }
        guard tls == nil else { return .tcp(host: host, port: port, tls: tls) }
        guard !self.tls, file.tls != true else {
            throw DaemonFailure("cannot listen on \(text): --tls alone lets every client in: \(Self.ways)")
        }
        let isLoopback = host.hasPrefix("127.") || host == "::1" || host == "localhost"
        guard isLoopback, isInsecureAllowed else {
            throw DaemonFailure(
                "cannot listen on \(text) without TLS, since whoever connects gets root on this host: \(Self.ways)"
                    + (isLoopback ? "; --insecure-tcp allows it to every user and program of this host" : ""))
        }
        return .tcp(host: host, port: port, tls: nil)
    }

    /// `host`, `host:port`, `:port`, `[v6]:port`.
    private static func address(_ text: String, _ portDefault: UInt16) -> (host: String, port: UInt16)? {
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            let host = String(text[text.index(after: text.startIndex)..<end])
            let rest = text[text.index(after: end)...]
            guard !rest.isEmpty else { return (host, portDefault) }
            guard rest.hasPrefix(":"), let port = UInt16(rest.dropFirst()) else { return nil }
            return (host, port)
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, !text.contains("/"), !text.isEmpty else { return nil }
        guard parts.count == 2 else { return (text, portDefault) }
        return UInt16(parts[1]).map { (String(parts[0]), $0) }
    }

    /// A group's number. Docker's default may be missing, one that was asked for may not.
    private static func group(_ name: String?) throws -> gid_t? {
        if let name, let number = gid_t(name) { return number }
        if let entry = getgrnam(name ?? groupDefault) { return entry.pointee.gr_gid }
        guard let name, !name.isEmpty else { return nil }
        throw DaemonFailure("group \(name) not found: make it with groupadd, or give another with --group")
    }

    private static func mode(_ text: String?) throws -> mode_t {
        guard let text else { return modeDefault }
        guard let mode = mode_t(text, radix: 8), mode <= 0o777 else {
            throw DaemonFailure("invalid socket-mode \(text): want permissions in octal, such as 0660")
        }
        return mode
    }
}
