/// The content of a container's `/etc/hosts` (hosts(5)). Pure text; writing is someone else's job.
enum HostsFile {
    private static let common = [
        "127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback", "fe00::0\tip6-localnet",
        "ff00::0\tip6-mcastprefix", "ff02::1\tip6-allnodes", "ff02::2\tip6-allrouters",
    ]

    /// One line: an address and what it is called.
    struct Entry: Sendable, Hashable {
        let address: String
        let names: [String]

        fileprivate var line: String { "\(address)\t\(names.joined(separator: " "))" }
    }

    /// - Parameters:
    ///   - own: the container's addresses with its host name, its domain's first where it has one.
    ///   - extra: `--add-host` and links, in order.
    static func render(own: [Entry], extra: [Entry]) -> String {
        text(common + extra.map(\.line) + own.filter { !$0.names.isEmpty }.map(\.line))
    }

    /// A new rendering with the lines that a user has added to the last one.
    static func keepingAdditions(_ rendered: String, current: String, last: String) -> String {
        let known = Set(lines(last) + lines(rendered))
        let added = lines(current).filter { !known.contains($0) }
        return added.isEmpty ? rendered : text(lines(rendered) + added)
    }

    /// The file with entries more; nothing else of it changes.
    static func adding(_ entries: [Entry], to current: String) -> String {
        let there = Set(lines(current))
        return text(lines(current) + entries.map(\.line).filter { !there.contains($0) })
    }

    /// The file without these entries; nothing else of it changes.
    static func removing(_ entries: [Entry], from current: String) -> String {
        let gone = Set(entries.map(\.line))
        return text(lines(current).filter { !gone.contains($0) })
    }

    private static func lines(_ text: String) -> [String] {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        if lines.last == "" { lines.removeLast() }
        return lines
    }

    private static func text(_ lines: [String]) -> String { lines.joined(separator: "\n") + "\n" }
}
