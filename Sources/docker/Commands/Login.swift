import ArgumentParser
@preconcurrency import Glibc

/// `docker login`.
struct Login: Command {
    static let usage = "login [OPTIONS] [SERVER]"
    static let switches = "password-stdin"
    @Option(name: .shortAndLong, help: "Password") var password: String?
    @Flag(help: "Take the password from stdin") var passwordStdin = false
    @Option(name: .shortAndLong, help: "Username") var username: String?
    @Argument(help: "Server") var server: String?

    func run(_ settings: Settings) throws(CLIError) {
        let key = server.map { $0 == "docker.io" ? ConfigFile.hubKey : $0 } ?? ConfigFile.hubKey
        var secret = password
        if passwordStdin {
            guard username != nil else { throw CLIError("the --password-stdin option requires --username") }
            secret = try String(decoding: readFile("/dev/stdin", limit: 1 << 16), as: UTF8.self).trimming(\.isNewline)
        }
        var user = username
        if user == nil {
            fputs("Username: ", stderr)
            user = readLine()?.trimmed
        }
        if secret == nil { secret = Terminal.readSecret("Password: ") }
        guard let user, !user.isEmpty, let secret, !secret.isEmpty else { throw CLIError("username and password are required") }
        let body: JSON = ["username": .string(user), "password": .string(secret), "serveraddress": .string(key)]
        let answer = try settings.client().call("POST", "/auth", body)
        let token = answer["IdentityToken"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        var config = try ConfigFile(folder: settings.folder)
        try config.store(key, user: user, secret: secret, token: token)
        say(answer.text("Status").isEmpty ? "Login Succeeded" : answer.text("Status"))
    }
}

/// `docker logout`.
struct Logout: Command {
    static let usage = "logout [SERVER]"
    @Argument(help: "Server") var server: String?
    func run(_ settings: Settings) throws(CLIError) {
        let key = server.map { $0 == "docker.io" ? ConfigFile.hubKey : $0 } ?? ConfigFile.hubKey
        var config = try ConfigFile(folder: settings.folder)
        say(try config.erase(key) ? "Removing login credentials for \(key)" : "Not logged in to \(key)")
    }
}
