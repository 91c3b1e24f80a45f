import ArgumentParser
import Glibc
import HTTP
import Logging
import RegistryServer

/// Who may reach the registry, and how.
struct AccessOptions: ParsableArguments {
    @Option(name: .customLong("tlscert"), help: "Serve HTTPS with this certificate and its chain (PEM)")
    var certificate: String?
    @Option(name: .customLong("tlskey"), help: "Key of the certificate (PEM)")
    var key: String?
    @Option(name: .customLong("tlscacert"), help: "Let only clients in that have a certificate of this authority (PEM)")
    var authority: String?
    @Option(name: .customLong("htpasswd"), help: "Let only accounts in: those of this file, made by htpasswd -B, too")
    var passwords: String?
    @Flag(name: .customLong("accounts"), help: "Let only accounts in: those of docker registry user and robot")
    var hasAccounts = false
    @Option(
        name: .customLong("anonymous-pull"),
        help: "Let anybody pull from this repository and those below it; * for all (repeatable)")
    var anonymousPull: [String] = []
    @Option(name: .customLong("audit"), help: "Write down in this file who has done what, a line of JSON each")
    var audit: String?
    @Flag(name: .customLong("read-only"), help: "Refuse pushes and deletes")
    var isReadOnly = false

    /// nil where clients speak plain HTTP.
    func tls() throws -> ServerTLS? {
        let (certificate, key) = (ServeOptions.value(certificate, "TLSCERT"), ServeOptions.value(key, "TLSKEY"))
        guard let certificate, let key else {
            guard certificate == nil, key == nil, ServeOptions.value(authority, "TLSCACERT") == nil else {
                throw ServeOptions.Failure("TLS needs both --tlscert and --tlskey")
            }
            return nil
        }
        return try ServerTLS(
            authority: ServeOptions.value(authority, "TLSCACERT"), certificate: certificate, key: key)
    }

    /// nil where everybody may do everything.
    func authenticator(_ tokens: TokenSettings?, _ logger: Logger) throws -> Authenticator? {
        let path = ServeOptions.value(passwords, "HTPASSWD")
        let isEnforced = try ServeOptions.flag(hasAccounts, "ACCOUNTS")
        guard path != nil || tokens != nil || isEnforced else { return nil }
        let isEncrypted = ServeOptions.value(certificate, "TLSCERT") != nil
        return try Authenticator(
            passwordFile: path, tokens: try tokens.map { try TokenAuthority($0, isEncrypted: isEncrypted) },
            logger: logger)
    }

    /// nil where nothing is written down.
    func auditLog(_ logger: Logger) throws -> AuditLog? {
        // What turns logs over tells their writers by it, and this one sees for itself.
        signal(SIGHUP, SIG_IGN)
        return try ServeOptions.value(audit, "AUDIT").map { try AuditLog($0, logger: logger) }
    }

    func policy() throws -> AccessPolicy {
        var policy = AccessPolicy()
        policy.isReadOnly = try ServeOptions.flag(isReadOnly, "READ_ONLY")
        policy.anonymousPull =
            anonymousPull + (ServeOptions.value(nil, "ANONYMOUS_PULL") ?? "").split(separator: ",").map(String.init)
        return policy
    }
}

/// Takes a new certificate up when its files have been replaced.
struct CertificateWatch: Sendable {
    private static let interval = Duration.seconds(2)

    let tls: ServerTLS
    let logger: Logger

    /// Runs until it is cancelled.
    func run() async {
        while (try? await Task.sleep(for: Self.interval)) != nil {
            do throws(ListeningSocket.Failure) {
                if try tls.reload() { logger.info("the certificate was read again") }
            } catch {
                // Half of it may be there: the one of before goes on, and it is tried again.
                logger.error("\(error): the certificate of before stays")
            }
        }
    }
}
