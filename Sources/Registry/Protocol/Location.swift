import Glibc

/// An absolute `http` or `https` URL, split once and kept canonical: what a request is sent to (RFC 3986).
///
/// Stricter than the RFC because these come from servers: ASCII only, no user information, no fragment kept.
package struct Location: Sendable, Hashable, CustomStringConvertible {
    package enum Scheme: String, Sendable, Hashable {
        case http, https
        var defaultPort: Int { self == .https ? 443 : 80 }
    }

    package let scheme: Scheme
    /// Lower case; an IPv6 address without its brackets.
    package let host: String
    package let port: Int
    /// Path and query; begins with `/`.
    package var target: String

    /// Signed blob URLs reach 2 KiB; beyond this it is no honest one.
    private static let bytesMax = 16 << 10

    init(scheme: Scheme, host: String, port: Int?, target: String) {
        self.scheme = scheme
        self.host = host
        self.port = port ?? scheme.defaultPort
        self.target = target
    }

    /// `nil` unless `text` is a whole `http://` or `https://` URL.
    package init?(_ text: String) {
        guard text.utf8.count <= Self.bytesMax, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != 0x5c }),
            let colon = text.firstIndex(of: ":"), let scheme = Scheme(rawValue: text[..<colon].lowercased()),
            text[colon...].hasPrefix("://")
        else { return nil }
        var rest = text[text.index(colon, offsetBy: 3)...]
        if let fragment = rest.firstIndex(of: "#") { rest = rest[..<fragment] }
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        guard let (host, port) = Self.hostAndPort(rest[..<end]) else { return nil }
        let target = rest[end...]
        self.init(scheme: scheme, host: host, port: port, target: target.hasPrefix("/") ? String(target) : "/" + target)
    }

    /// Splits `host`, `host:port` or `[v6]:port`; `nil` when either part is malformed.
    static func hostAndPort(_ authority: Substring) -> (host: String, port: Int?)? {
        var host = authority
        var port: Int?
        if authority.hasPrefix("[") {
            guard let close = authority.firstIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<close]
            let after = authority[authority.index(after: close)...]
            guard IPAddress(String(host)) != nil else { return nil }
            if !after.isEmpty {
                guard after.hasPrefix(":"), let number = Self.port(after.dropFirst()) else { return nil }
                port = number
            }
            return (host.lowercased(), port)
        }
        if let colon = authority.firstIndex(of: ":") {
            guard let number = Self.port(authority[authority.index(after: colon)...]) else { return nil }
            port = number
            host = authority[..<colon]
        }
        let allowed = host.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte) || (0x41...0x5a).contains(byte)
                || byte == 0x2d || byte == 0x2e || byte == 0x5f
        }
        return host.isEmpty || !allowed ? nil : (host.lowercased(), port)
    }

    private static func port(_ text: Substring) -> Int? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = Int(text), (1...65535).contains(number)
        else { return nil }
        return number
    }

    /// `host`, or `host:port` where the port is not the scheme's own.
    package var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == scheme.defaultPort ? name : "\(name):\(port)"
    }

    package var description: String { origin + target }

    /// Scheme, host and port.
    var origin: String { "\(scheme.rawValue)://\(authority)" }

    /// As it may be shown: signatures of addresses are in their queries.
    var withoutQuery: String { origin + target.prefix { $0 != "?" } }

    /// True when `other` is the same scheme, host and port: what credentials may be repeated to.
    func hasSameOrigin(as other: Location) -> Bool {
        scheme == other.scheme && host == other.host && port == other.port
    }

    /// What a `Location` or `Link` header of a reply from here means; `nil` when it is malformed.
    func resolving(_ reference: String) -> Location? {
        if Self.hasScheme(reference) { return Location(reference) }
        if reference.hasPrefix("//") { return Location("\(scheme.rawValue):\(reference)") }
        if reference.hasPrefix("/") { return Location(origin + reference) }
        let path = target.prefix { $0 != "?" }
        if reference.hasPrefix("?") { return Location(origin + path + reference) }
        guard let slash = path.lastIndex(of: "/"), !reference.isEmpty else { return nil }
        return Location(origin + path[...slash] + reference)
    }

    /// True for `name:...`, an absolute URL whatever its scheme (RFC 3986 §4.2: a relative one has no colon before its first `/`).
    private static func hasScheme(_ reference: String) -> Bool {
        guard let colon = reference.utf8.firstIndex(of: 0x3a) else { return false }
        return !reference.utf8[..<colon].contains { [0x2f, 0x3f, 0x23].contains($0) }
    }

    /// With `items` added to the query, percent-encoded.
    func adding(query items: [(name: String, value: String)]) -> Location {
        var result = self
        for item in items {
            result.target += result.target.contains("?") ? "&" : "?"
            result.target += Self.encoded(item.name) + "=" + Self.encoded(item.value)
        }
        return result
    }

    /// Percent-encodes everything but the unreserved characters of RFC 3986.
    static func encoded(_ text: String) -> String {
        var bytes: [UInt8] = []
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: bytes.append(byte)
            default: bytes += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// An IPv4 or IPv6 address, as bytes in network order (inet_pton(3)).
struct IPAddress: Sendable, Hashable {
    let bytes: [UInt8]

    init?(_ text: String) {
        var four = [UInt8](repeating: 0, count: 4)
        var sixteen = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &four) == 1 {
            bytes = four
        } else if inet_pton(AF_INET6, text, &sixteen) == 1 {
            bytes = sixteen
        } else {
            return nil
        }
    }

    /// Loopback, link-local or unspecified: addresses a remote server has no business to send us to.
    var isLocal: Bool {
        Self.local.contains { $0.contains(self) }
    }

    private static let local = [
        "127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/8", "::1/128", "::/128", "fe80::/10", "::ffff:127.0.0.0/104",
        "::ffff:169.254.0.0/112",
    ]
    .compactMap(CIDR.init)
}

/// An address prefix: `10.0.0.0/8`, `fd00::/8`.
struct CIDR: Sendable, Hashable {
    let network: IPAddress
    let prefixBits: Int

    init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let network = IPAddress(String(parts[0])), let bits = Int(parts[1]),
            (0...network.bytes.count * 8).contains(bits)
        else { return nil }
        self.network = network
        prefixBits = bits
    }

    func contains(_ address: IPAddress) -> Bool {
        guard address.bytes.count == network.bytes.count else { return false }
        for bit in stride(from: 0, to: prefixBits, by: 8) {
            let mask = prefixBits - bit >= 8 ? 0xff : ~(UInt8(0xff) >> UInt8(prefixBits - bit))
            if (address.bytes[bit / 8] ^ network.bytes[bit / 8]) & mask != 0 { return false }
        }
        return true
    }
}
