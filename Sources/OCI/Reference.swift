/// The name of an image: registry host, repository path, and a tag, a digest, or both (distribution/reference grammar).
package struct Reference: Sendable, Hashable, CustomStringConvertible {
    /// `docker.io`, `localhost:5000`, `ghcr.io`, ...
    package let domain: String
    /// `library/busybox`
    package let path: String
    package let tag: String?
    package let digest: Digest?

    package static let defaultDomain = "docker.io"
    private static let legacyDomain = "index.docker.io"
    /// Longest domain and path together, in bytes (distribution/reference NameTotalLengthMax).
    private static let nameBytesMax = 255
    /// Longest tag, in bytes.
    private static let tagBytesMax = 128

    package init(domain: String, path: String, tag: String?, digest: Digest?) {
        self.domain = domain
        self.path = path
        self.tag = tag
        self.digest = digest
    }

    /// Parses what users type: `busybox`, `me/app:1`, `localhost:5000/x@sha256:...`.
    ///
    /// - Throws: ``OCIError`` in Docker's words when `text` is not a reference.
    package init(_ text: String) throws(OCIError) {
        if text.utf8.count == 64, text.utf8.allSatisfy({ Self.isDigit($0) || (0x61...0x66).contains($0) }) {
            throw OCIError(
                "invalid repository name (\(text)), cannot specify 64-byte hexadecimal strings")
        }
        var rest = Substring(text)
        var digest: Digest?
        if let at = rest.lastIndex(of: "@") {
            do throws(OCIError) { digest = try Digest(String(rest[rest.index(after: at)...])) } catch {
                throw OCIError("invalid reference format")
            }
            rest = rest[..<at]
        }
        var tag: String?
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
            tag = String(rest[rest.index(after: colon)...])
            rest = rest[..<colon]
        }
        if let tag, !Self.isTag(tag) { throw OCIError("invalid reference format") }
        let (domain, path) = Self.split(rest)
        if path.contains(where: \.isUppercase) {
            throw OCIError("invalid reference format: repository name (\(path)) must be lowercase")
        }
        guard Self.isDomain(domain), Self.isPath(path) else { throw OCIError("invalid reference format") }
        guard domain.utf8.count + path.utf8.count + 1 <= Self.nameBytesMax else {
            throw OCIError("repository name must not be more than \(Self.nameBytesMax) characters")
        }
        self.init(domain: domain, path: path, tag: tag, digest: digest)
    }

    private static func split(_ name: Substring) -> (domain: String, path: String) {
        var domain = defaultDomain
        var path = String(name)
        if let slash = name.firstIndex(of: "/") {
            let first = name[..<slash]
            if first.contains(".") || first.contains(":") || first == "localhost" || first != first.lowercased() {
                domain = String(first)
                path = String(name[name.index(after: slash)...])
            }
        }
        if domain == legacyDomain { domain = defaultDomain }
        if domain == defaultDomain, !path.contains("/") { path = "library/" + path }
        return (domain, path)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    private static func isLower(_ byte: UInt8) -> Bool { isDigit(byte) || (0x61...0x7a).contains(byte) }
    private static func isWord(_ byte: UInt8) -> Bool { isLower(byte) || (0x41...0x5a).contains(byte) || byte == 0x5f }

    /// `[\w][\w.-]{0,127}`
    package static func isTag(_ text: String) -> Bool {
        guard let first = text.utf8.first, isWord(first), text.utf8.count <= tagBytesMax else { return false }
        return text.utf8.allSatisfy { isWord($0) || $0 == 0x2e || $0 == 0x2d }
    }

    private static func isDomain(_ text: String) -> Bool {
        var host = Substring(text)
        if host.hasPrefix("["), let end = host.lastIndex(of: "]") {
            let inner = host[host.index(after: host.startIndex)..<end]
            let port = host[host.index(after: end)...]
            return !inner.isEmpty && inner.utf8.allSatisfy { isLower($0) || (0x41...0x46).contains($0) || $0 == 0x3a }
                && (port.isEmpty || (port.hasPrefix(":") && isPort(port.dropFirst())))
        }
        if let colon = host.lastIndex(of: ":") {
            guard isPort(host[host.index(after: colon)...]) else { return false }
            host = host[..<colon]
        }
        return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            !label.isEmpty && !label.hasPrefix("-") && !label.hasSuffix("-")
                && label.utf8.allSatisfy { (isWord($0) && $0 != 0x5f) || $0 == 0x2d }
        }
    }

    private static func isPort(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.count <= 5 && text.utf8.allSatisfy(isDigit)
    }

    /// Components of `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
    private static func isPath(_ text: String) -> Bool {
        !text.isEmpty
            && text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { component in
                guard let first = component.utf8.first, let last = component.utf8.last, isLower(first), isLower(last)
                else { return false }
                var separators: [UInt8] = []
                for byte in component.utf8 {
                    if isLower(byte) {
                        separators = []
                        continue
                    }
                    guard byte == 0x2e || byte == 0x5f || byte == 0x2d else { return false }
                    separators.append(byte)
                    let allowed =
                        separators.count == 1 || separators.allSatisfy { $0 == 0x2d } || separators == [0x5f, 0x5f]
                    guard allowed else { return false }
                }
                return true
            }
    }

    /// With `latest` where neither tag nor digest was given.
    package var tagged: Reference {
        tag == nil && digest == nil ? Reference(domain: domain, path: path, tag: "latest", digest: nil) : self
    }

    /// `docker.io/library/busybox`: the repository, whole.
    package var name: String { "\(domain)/\(path)" }

    /// `busybox`, `me/app`, `localhost:5000/x`: as Docker prints it.
    package var familiarName: String {
        guard domain == Self.defaultDomain else { return name }
        return path.hasPrefix("library/") ? String(path.dropFirst("library/".count)) : path
    }

    /// The familiar name with tag and digest.
    package var familiar: String { familiarName + suffix }

    private var suffix: String { (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "") }
    package var description: String { name + suffix }
}
