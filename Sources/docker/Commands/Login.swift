@preconcurrency import Glibc

/// `docker login`.
struct Login: Command {
    static let usage = "login [OPTIONS] [SERVER]"
    @Option("-p --password", "Password or Personal Access Token (PAT)") var password: String?
    @Flag("--password-stdin", "Take the Password or Personal Access Token (PAT) from stdin")
    var passwordStdin = false
    @Option("-u --username", "Username") var username: String?
    @Argument var server: String?

    func run(_ settings: Settings) throws(CLIError) {
        if passwordStdin {
            guard password == nil else {
                throw CLIError("conflicting options: cannot specify both --password and --password-stdin")
            }
            guard username != nil else { throw CLIError("the --password-stdin option requires --username to be set") }
        }
        if password != nil { complain("WARNING! Using --password via the CLI is insecure. Use --password-stdin.") }
        let key = ConfigFile.key(server)
        var config = settings.config
        let client = try settings.client()
        let secret =
            passwordStdin
            ? try String(decoding: readFile("/dev/stdin", limit: 1 << 16), as: UTF8.self).trimming(\.isNewline)
            : password
        if username == nil, secret == nil, let known = try known(config, key) {
            let answer = try exchange(client, known)
            try store(&config, key, known.text("username"), known.text("password"), answer.token)
            return say(answer.status)
        }
        let (user, typed) = try asked(username, secret)
        let answer = try exchange(
            client, ["username": .string(user), "password": .string(typed), "serveraddress": .string(key)])
        try store(&config, key, user, typed, answer.token)
        if config.helper(for: key) == nil {
            complain(
                """

                WARNING! Your credentials are stored unencrypted in '\(config.path)'.
                Configure a credential helper to remove this warning. See
                https://docs.docker.com/go/credential-store/

                """)
        }
        say(answer.status)
    }

    private func store(
        _ config: inout ConfigFile, _ key: String, _ user: String, _ secret: String, _ token: String?
    ) throws(CLIError) {
        do throws(CLIError) { try config.store(key, user: user, secret: secret, token: token) } catch {
            throw CLIError("Error saving credentials: \(error.message)")
        }
    }

    /// What an earlier login left, said aloud; nil when there is nothing to use.
    private func known(_ config: ConfigFile, _ key: String) throws(CLIError) -> JSON? {
        let auth = try config.auth(for: key)
        guard !auth.text("username").isEmpty, !auth.text("password").isEmpty else { return nil }
        say("Authenticating with existing credentials... [Username: \(auth.text("username"))]\n")
        say(" Info -> To login with a different account, run 'docker logout' followed by 'docker login'\n\n")
        return auth
    }

    /// The daemon's verdict on credentials, and the token it gives for them if it does.
    private func exchange(_ client: Client, _ auth: JSON) throws(CLIError) -> (status: String, token: String?) {
        let answer = try client.call("POST", "/auth", auth)
        let status = answer.text("Status")
        return (
            status.isEmpty ? "Login Succeeded" : status,
            answer["IdentityToken"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        )
    }

    /// Asks for what was not given; only a terminal can answer.
    private func asked(_ username: String?, _ secret: String?) throws(CLIError) -> (user: String, secret: String) {
        if let username, !username.isEmpty, let secret, !secret.isEmpty { return (username, secret) }
        guard !passwordStdin, Terminal.isTerminal(0) else {
            throw CLIError("Error: Cannot perform an interactive login from a non TTY device")
        }
        var user = username ?? ""
        if user.isEmpty {
            fputs("Username: ", stderr)
            user = readLine()?.trimmed ?? ""
        }
        guard !user.isEmpty else { throw CLIError("Error: Non-null Username Required") }
        let typed = secret.flatMap { $0.isEmpty ? nil : $0 } ?? Terminal.readSecret("Password: ") ?? ""
        guard !typed.isEmpty else { throw CLIError("Error: Password Required") }
        return (user, typed)
    }
}

/// `docker logout`.
struct Logout: Command {
    static let usage = "logout [SERVER]"
    @Argument var server: String?
    func run(_ settings: Settings) throws(CLIError) {
        let key = ConfigFile.key(server)
        var config = settings.config
        say("Removing login credentials for \(key)")
        try config.erase(key)
    }
}
