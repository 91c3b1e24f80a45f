/// What is said before the command's name.
struct GlobalOptions {
    /// In the texts `$` stands for the folder of `config.json`, and `%` for the folder of certificates.
    @Option("--config", "Location of client config files (default \"$\")") var config: String?
    @Option(
        "-c --context",
        "Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context set with \"docker context use\")"
    )
    var context: String?
    @Flag("-D --debug", "Enable debug mode") var debug = false
    @Option("-H --host", "Daemon socket to connect to") var hosts: [String] = []
    @Option(
        "-l --log-level",
        "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\") (default \"info\")")
    var logLevel = "info"
    @Flag("--tls", "Use TLS; implied by --tlsverify") var tls = false
    @Option("--tlscacert", "Trust certs signed only by this CA (default \"%/ca.pem\")") var tlsCACertificate: String?
    @Option("--tlscert", "Path to TLS certificate file (default \"%/cert.pem\")") var tlsCertificate: String?
    @Option("--tlskey", "Path to TLS key file (default \"%/key.pem\")") var tlsKey: String?
    @Option("--tlsverify", "Use TLS and verify the remote") var tlsVerify = Choice()
    @Flag("-v --version", "Print version information and quit") var version = false

    static let usage = "[OPTIONS] COMMAND [ARG...]"

    /// The folder of `config.json`.
    var folder: String { config ?? environment("DOCKER_CONFIG") ?? (environment("HOME") ?? "/root") + "/.docker" }

    /// The folder where certificates are unless their flags name them.
    var certificateFolder: String { environment("DOCKER_CERT_PATH") ?? folder }

    /// The flags' help with what only now is known.
    func filled(_ help: String) -> String {
        help.split(separator: "$", omittingEmptySubsequences: false).joined(separator: folder)
            .split(separator: "%", omittingEmptySubsequences: false).joined(separator: certificateFolder)
    }

    private static let logLevels: Set = ["panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"]

    /// Refuses what cannot be meant together.
    func check() throws(CLIError) {
        guard Self.logLevels.contains(logLevel.lowercased()) else {
            throw CLIError("Unable to parse logging level: \(logLevel)")
        }
        guard hosts.isEmpty || context == nil else {
            throw CLIError("conflicting options: cannot specify both --host and --context")
        }
    }
}

/// What a command runs with: the program's options, and the words it was called by.
struct Settings {
    let options: GlobalOptions
    /// The command's words: `container ls`.
    var path = ""
    /// The user's configuration file.
    let config: ConfigFile

    init(_ options: GlobalOptions, path: String) throws(CLIError) {
        self.options = options
        self.path = path
        config = try ConfigFile(folder: options.folder)
    }

    /// The folder of `config.json`.
    var folder: String { options.folder }

    func client() throws(CLIError) -> Client { try Client(self) }

    /// The format of a listing: the one that was asked for, else the user's own from the configuration file.
    func format(_ given: String?, _ setting: String, quiet: Bool = false) -> String? {
        given ?? (quiet ? nil : config.setting(setting))
    }

    /// The keys that leave a container: those that were asked for, else the user's own.
    func detachKeys(_ given: String) -> String { given.isEmpty ? config.setting("detachKeys") ?? "" : given }
}
