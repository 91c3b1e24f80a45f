/// The content of the files that tell a container its name and its neighbours. Pure text; writing is someone else's job.
package enum ContainerFiles {
    /// Docker's fallback when the host has no name server that a container could reach.
    private static let fallbackNameservers = ["8.8.8.8", "8.8.4.4"]

    /// `/etc/hostname`.
    package static func hostname(_ name: String) -> String { "\(name)\n" }

    /// `/etc/hosts` (hosts(5)).
    ///
    /// - Parameters:
    ///   - address: the container's own; nil without a network.
    ///   - names: what the address is called: the host name, with its domain first where it has one.
    ///   - extra: `--add-host`, in order.
    package static func hosts(
        address: IPv4Address?, names: [String], extra: [(name: String, address: String)] = []
    ) -> String {
        var lines = [
            "127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", "fe00::0\tip6-localnet",
            "ff00::0\tip6-mcastprefix", "ff02::1\tip6-allnodes", "ff02::2\tip6-allrouters",
        ]
        lines += extra.map { "\($0.address)\t\($0.name)" }
        if let address, !names.isEmpty { lines.append("\(address)\t\(names.joined(separator: " "))") }
        return lines.joined(separator: "\n") + "\n"
    }

    /// `/etc/resolv.conf` (resolv.conf(5)): the host's, without name servers that only the host can reach.
    ///
    /// - Parameters:
    ///   - host: the host's file.
    ///   - nameservers, search, options: `--dns`, `--dns-search` and `--dns-option`; each replaces the host's where not
    ///     empty. A search of "." alone means none.
    package static func resolver(
        host: String, nameservers: [String] = [], search: [String] = [], options: [String] = []
    ) -> String {
        var servers: [String] = []
        var hostSearch: [String] = []
        var hostOptions: [String] = []
        for line in host.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
            switch words.first {
            case "nameserver": servers += words.dropFirst().prefix(1)
            case "search", "domain": hostSearch = Array(words.dropFirst())  // the last one counts
            case "options": hostOptions += words.dropFirst()
            default: continue
            }
        }
        servers = nameservers.isEmpty ? servers.filter { !isHostOnly($0) } : nameservers
        if servers.isEmpty { servers = fallbackNameservers }
        let domains = search.isEmpty ? hostSearch : search == ["."] ? [] : search
        let settings = options.isEmpty ? hostOptions : options
        var lines = servers.map { "nameserver \($0)" }
        if !domains.isEmpty { lines.append("search \(domains.joined(separator: " "))") }
        if !settings.isEmpty { lines.append("options \(settings.joined(separator: " "))") }
        return lines.joined(separator: "\n") + "\n"
    }

    /// True for a file whose only name server is systemd-resolved's stub: the host's real ones are then in
    /// `/run/systemd/resolve/resolv.conf`.
    package static func namesOnlyStubResolver(_ host: String) -> Bool {
        let servers = host.split(whereSeparator: \.isNewline).compactMap { line -> Substring? in
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            return words.first == "nameserver" ? words.dropFirst().first : nil
        }
        return servers == ["127.0.0.53"]
    }

    /// Loopback, and IPv6, which containers of an IPv4 network cannot reach.
    private static func isHostOnly(_ server: String) -> Bool {
        server.contains(":") || IPv4Address(server)?.isLoopback != false
    }
}
