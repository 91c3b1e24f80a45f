import Kernel

/// What the host's `/etc/resolv.conf` says (resolv.conf(5)), and what containers' files say after it.
struct HostResolver: Sendable {
    /// Docker's fallback when the host has no name server that a container could reach.
    private static let fallbackServers = ["8.8.8.8", "8.8.4.4"]
    /// Where the embedded DNS server answers, in every container that has one.
    private static let embedded = "127.0.0.11"
    private static let bytesMax = 1 << 20

    private(set) var servers: [String] = []
    private(set) var search: [String] = []
    private(set) var options: [String] = []

    init(_ text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
            switch words.first {
            case "nameserver": servers += words.dropFirst().prefix(1)
            case "search", "domain": search = Array(words.dropFirst())  // the last one counts
            case "options": options += words.dropFirst()
            default: continue
            }
        }
    }

    /// The host's own; nothing where it has none.
    static func read() -> HostResolver { HostResolver(file("/etc/resolv.conf")) }

    /// The host's name servers as containers can reach them: the one of systemd-resolved on loopback is the host's alone.
    static func readForContainers() -> HostResolver {
        let own = read()
        return own.servers == ["127.0.0.53"] ? HostResolver(file("/run/systemd/resolve/resolv.conf")) : own
    }

    private static func file(_ path: String) -> String {
        guard let bytes = try? Files.read(path, bytesMax: bytesMax) else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// What a container asks for: each replaces the host's where not empty. A search of "." alone means none.
    struct Wanted: Sendable {
        var servers: [String] = []
        var search: [String] = []
        var options: [String] = []

        var isPlain: Bool { servers.isEmpty && search.isEmpty && options.isEmpty }
    }

    /// A container's file.
    ///
    /// - Parameter embedded: the embedded DNS server answers, and asks the others itself.
    func render(_ wanted: Wanted, embedded: Bool) -> String {
        var servers = wanted.servers.isEmpty ? servers.filter { !Self.isHostOnly($0) } : wanted.servers
        if servers.isEmpty { servers = Self.fallbackServers }
        if embedded { servers = [Self.embedded] }
        let domains = wanted.search.isEmpty ? search : wanted.search == ["."] ? [] : wanted.search
        var settings = options(wanted)
        // A name without a dot is a container's first of all.
        if embedded, !Self.setNdots(settings) { settings.append("ndots:0") }
        var lines = servers.map { "nameserver \($0)" }
        if !domains.isEmpty { lines.append("search \(domains.joined(separator: " "))") }
        if !settings.isEmpty { lines.append("options \(settings.joined(separator: " "))") }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The options that a container gets, before the engine adds its own.
    func options(_ wanted: Wanted) -> [String] { wanted.options.isEmpty ? options : wanted.options }

    /// Whether the options say how many dots make a name complete, which somebody has then thought about.
    static func setNdots(_ options: [String]) -> Bool { options.contains { $0.hasPrefix("ndots:") } }

    /// Loopback, and IPv6, which containers of an IPv4 network cannot reach.
    private static func isHostOnly(_ server: String) -> Bool { server.contains(":") || server.hasPrefix("127.") }
}
