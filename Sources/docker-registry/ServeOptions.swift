import Glibc
import OCI
import RegistryStore

/// What options mean, wherever they came from.
enum ServeOptions {
    /// Why the registry cannot start as it was told to.
    struct Failure: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    static let defaultFolder = "/var/lib/docker-registry"

    /// An option, or the environment's.
    static func value(_ option: String?, _ name: String) -> String? {
        option ?? getenv("DOCKER_REGISTRY_\(name)").map { String(cString: $0) }
    }

    /// A flag, or the environment's. What is neither true nor false there is refused: it may be what was to keep others out.
    static func flag(_ option: Bool, _ name: String) throws(Failure) -> Bool {
        guard !option, let text = value(nil, name) else { return option }
        switch text.lowercased() {
        case "true", "1": return true
        case "false", "0", "": return false
        default: throw Failure("invalid DOCKER_REGISTRY_\(name) \(text): want true or false")
        }
    }

    /// `host:port`, `:port`, `[v6]:port`.
    static func address(_ text: String) throws(Failure) -> (host: String, port: UInt16) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            throw Failure("invalid address \(text): want host:port or :port, with an IPv6 address in brackets")
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        return (String(host), port)
    }

    static func folder(_ text: String) throws(Failure) -> String {
        guard text.hasPrefix("/") else { throw Failure("\(text) is not an absolute path: give one that starts with /") }
        return text
    }

    /// What DOCKER_REGISTRY_DATABASE_URL says; a command line can be read by everybody, and it may have a password.
    static func database() throws(StoreFailure) -> PostgresSettings? {
        guard let url = value(nil, "DATABASE_URL") else { return nil }
        return try PostgresSettings(url: url)
    }

    /// `90s`, `10m`, `24h`, `7d`.
    static func duration(_ option: String?, _ name: String) throws(Failure) -> Duration? {
        let variable = String(name.uppercased().map { $0 == "-" ? "_" : $0 })
        guard let text = value(option, variable) else { return nil }
        guard let span = TimeSpan.parse(text) else {
            throw Failure("invalid --\(name) \(text): want a number and s, m, h or d, such as 24h")
        }
        return span
    }
}
