extension String {
    /// Whether this is a whole image identifier and not a name.
    var isHexadecimalDigest: Bool {
        utf8.count == 64
            && utf8.allSatisfy {
                UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || UInt8(ascii: "a")...UInt8(ascii: "f") ~= $0
            }
    }
}

/// An image reference as users type it, in the forms Docker needs.
struct ImageName: Equatable {
    /// The registry's host, `docker.io` when none was given.
    let domain: String
    /// The repository within the registry, with `library/` where Docker Hub has it.
    let path: String
    let tag: String?
    let digest: String?

    init(parsing text: String) throws(CLIError) {
        let invalid = CLIError("invalid reference format")
        var rest = text
        if let at = rest.firstIndex(of: "@") {
            let digest = String(rest[rest.index(after: at)...])
            guard digest.contains(":") else { throw invalid }
            self.digest = digest
            rest = String(rest[..<at])
        } else {
            digest = nil
        }
        let slash = rest.lastIndex(of: "/") ?? rest.startIndex
        if let colon = rest[slash...].lastIndex(of: ":") {
            let tag = String(rest[rest.index(after: colon)...])
            guard !tag.isEmpty, tag.utf8.count <= 128 else { throw invalid }
            self.tag = tag
            rest = String(rest[..<colon])
        } else {
            tag = nil
        }
        let (first, other) = rest.cut("/")
        if let other, first.contains(".") || first.contains(":") || first == "localhost" || first.lowercased() != first
        {
            domain = first == "index.docker.io" ? "docker.io" : first
            path = domain == "docker.io" && !other.contains("/") ? "library/\(other)" : other
        } else {
            domain = "docker.io"
            path = other == nil ? "library/\(rest)" : rest
        }
        let name = path.utf8
        let legal = name.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "/"): true
            default: false
            }
        }
        guard !rest.isEmpty, !path.hasSuffix("/"), legal else {
            if path.lowercased() != path, rest.lowercased() != rest {
                throw CLIError("invalid reference format: repository name (\(path)) must be lowercase")
            }
            throw invalid
        }
    }

    /// Domain and path: `docker.io/library/alpine`.
    var full: String { "\(domain)/\(path)" }

    /// As Docker shows it: without `docker.io/` and `library/`.
    var familiar: String {
        guard domain == "docker.io" else { return full }
        return path.hasPrefix("library/") ? String(path.dropFirst(8)) : path
    }

    /// `:tag` or `@digest`, `:latest` when neither was given.
    var suffix: String { digest.map { "@\($0)" } ?? ":\(tag ?? "latest")" }

    /// As it was typed, with what was left out: `docker.io/library/alpine:3@sha256:…`.
    var whole: String { digest == nil ? full + suffix : full + (tag.map { ":\($0)" } ?? "") + suffix }

    /// What the API's `tag` parameter takes.
    var tagOrDigest: String { digest ?? tag ?? "latest" }

    /// The key of the registry's credentials in `config.json`.
    var authKey: String { domain == "docker.io" ? ConfigFile.hubKey : domain }
}
