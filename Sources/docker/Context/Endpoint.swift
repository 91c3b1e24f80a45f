@preconcurrency import Glibc

/// Where a daemon is and how it is spoken to.
struct Endpoint {
    var host: Host
    var tls: TLSFiles?
    /// Nobody said where: a daemon may be started here.
    var isImplied = false

    /// The files of TLS.
    struct TLSFiles: Equatable {
        var authority: String?
        var certificate: String?
        var key: String?
        /// Whether the daemon's certificate is checked.
        var verifies: Bool
    }

    /// The endpoint of the context in use, or of `-H`.
    init(_ settings: Settings) throws(CLIError) {
        do throws(CLIError) {
            self = try Self.resolved(settings)
        } catch {
            var copy = error
            let reason = error.message.hasPrefix("ssh host") || error.message == "protocol not available"
            copy.message =
                "Failed to initialize: \(reason ? "" : "unable to resolve docker endpoint: ")\(error.message)"
            throw copy
        }
    }

    private init(host: Host, tls: TLSFiles?, isImplied: Bool) {
        self.host = host
        self.tls = tls
        self.isImplied = isImplied
    }

    private static func resolved(_ settings: Settings) throws(CLIError) -> Endpoint {
        let name = settings.contextName
        guard name != ContextStore.defaultName else { return try flags(settings.options) }
        let store = ContextStore(folder: settings.folder)
        let context = try store.load(name)
        let folder = store.tlsFolder(name) + "/docker"
        let files = store.tlsFiles(name)
        func path(_ file: String) -> String? { files.contains(file) ? "\(folder)/\(file)" : nil }
        let tls =
            files.isEmpty && !context.skipsVerification
            ? nil
            : TLSFiles(
                authority: path("ca.pem"), certificate: path("cert.pem"), key: path("key.pem"),
                verifies: !context.skipsVerification)
        let host = context.host.isEmpty ? Host.standard : try Host(parsing: context.host)
        return Endpoint(host: host, tls: tls, isImplied: false)
    }

    /// What `-H`, the environment and the flags of TLS say.
    static func flags(_ options: GlobalOptions) throws(CLIError) -> Endpoint {
        guard options.hosts.count < 2 else { throw CLIError("Specify only one -H") }
        let named = options.hosts.first ?? environment("DOCKER_HOST")
        let verifies = options.tlsVerify.value ?? (environment("DOCKER_TLS_VERIFY") != nil)
        guard options.tls || options.tlsVerify.value != nil || verifies || environment("DOCKER_TLS") != nil else {
            let host = try named.map { (text) throws(CLIError) in try Host(parsing: text) } ?? .standard
            return Endpoint(host: host, tls: nil, isImplied: named == nil)
        }
        let host = try Host(parsing: named ?? "tcp://localhost:2376", defaultPort: Host.tlsPort)
        let folder = options.certificateFolder
        /// The file of a flag, or the usual one if it is there.
        func file(_ given: String?, _ usual: String) throws(CLIError) -> String? {
            let path = given ?? "\(folder)/\(usual)"
            if given == nil, access(path, F_OK) != 0 { return nil }
            return try readable(path)
        }
        let authority = try readable(options.tlsCACertificate ?? "\(folder)/ca.pem")
        let tls = TLSFiles(
            authority: authority, certificate: try file(options.tlsCertificate, "cert.pem"),
            key: try file(options.tlsKey, "key.pem"), verifies: verifies)
        return Endpoint(host: host, tls: tls, isImplied: false)
    }

    /// The daemon's address as a URL, for errors.
    var address: String {
        switch host {
        case .unix: "http://%2F"
        case .tcp(let name, let port, _): "\(tls == nil ? "http" : "https")://\(name):\(port)"
        // Docker's client has a name for what has none.
        case .ssh: "http://docker.example.com"
        }
    }

    private static func readable(_ path: String) throws(CLIError) -> String {
        guard access(path, R_OK) == 0 else { throw CLIError("open \(path): \(systemMessage(errno).lowercasedFirst)") }
        return path
    }
}

extension Settings {
    /// The context in use: that of `--context`, else the default one when a host is named, else that of the environment, else
    /// that of the configuration file.
    var contextName: String {
        if let name = options.context, !name.isEmpty { return name }
        if !options.hosts.isEmpty || environment("DOCKER_HOST") != nil { return ContextStore.defaultName }
        return environment("DOCKER_CONTEXT") ?? config.setting("currentContext").flatMap { $0.isEmpty ? nil : $0 }
            ?? ContextStore.defaultName
    }

    /// What the default context says of itself.
    static let defaultDescription = "Current DOCKER_HOST based configuration"

    /// A context by its name, the default one too.
    func context(_ name: String) throws(CLIError) -> StoredContext {
        guard name == ContextStore.defaultName else { return try ContextStore(folder: folder).load(name) }
        let endpoint = try Endpoint.flags(options)
        return StoredContext(
            name: name, description: Self.defaultDescription, host: endpoint.host.description,
            skipsVerification: endpoint.tls.map { !$0.verifies } ?? false)
    }
}
