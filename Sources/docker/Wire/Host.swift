@preconcurrency import Glibc

/// Where a daemon listens.
enum Host: Equatable, Sendable {
    /// A unix socket's path.
    case unix(String)
    /// Plain TCP.
    case tcp(String, UInt16)

    /// The socket used when nothing else is said.
    static let standard = Host.unix("/var/run/docker.sock")

    /// Reads `unix:///path`, `tcp://host:port` or `host:port`.
    init(parsing text: String) throws(CLIError) {
        if text.hasPrefix("unix://") {
            self = .unix(String(text.dropFirst(7)))
            return
        }
        let rest = text.hasPrefix("tcp://") ? String(text.dropFirst(6)) : text
        guard !rest.contains("://") else {
            throw CLIError("unable to parse docker host `\(text)`: use unix:///path or tcp://host:port")
        }
        let address = rest.split(separator: "/", maxSplits: 1).first.map(String.init) ?? ""
        guard let colon = address.lastIndex(of: ":") else {
            guard !address.isEmpty else { throw CLIError("unable to parse docker host `\(text)`") }
            self = .tcp(address, 2375)
            return
        }
        guard let port = UInt16(address[address.index(after: colon)...]) else {
            throw CLIError("invalid port in docker host `\(text)`")
        }
        let name = address[..<colon].trimming { $0 == "[" || $0 == "]" }
        self = .tcp(name.isEmpty ? "127.0.0.1" : name, port)
    }

    /// As users write it.
    var description: String {
        switch self {
        case .unix(let path): "unix://\(path)"
        case .tcp(let name, let port): "tcp://\(name):\(port)"
        }
    }
}

extension String {
    /// Whether this is an IPv4 or IPv6 address in its usual notation.
    var isIPAddress: Bool {
        var bytes = in6_addr()
        return inet_pton(AF_INET, self, &bytes) == 1 || inet_pton(AF_INET6, self, &bytes) == 1
    }
}

extension StringProtocol {
    /// The text without the matching characters at both ends.
    func trimming(_ matches: (Character) -> Bool) -> String {
        var slice = self[...]
        while let first = slice.first, matches(first) { slice = slice.dropFirst() }
        while let last = slice.last, matches(last) { slice = slice.dropLast() }
        return String(slice)
    }

    /// The text without white space at both ends.
    var trimmed: String { trimming(\.isWhitespace) }

    /// The parts before and after the first `separator`; the second is `nil` without one.
    func cut(_ separator: Character) -> (String, String?) {
        guard let index = firstIndex(of: separator) else { return (String(self), nil) }
        return (String(self[..<index]), String(self[self.index(after: index)...]))
    }
}
