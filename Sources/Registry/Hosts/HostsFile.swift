import OCI

/// What a hosts.toml says: whom to ask before a registry, and whom as the registry (containerd, docs/hosts.md).
///
/// A value of the file's bytes alone: the certificates that it names are read by ``RegistryHosts``.
struct HostsFile: Sendable, Hashable {
    /// The tables `[host."URL"]`, in the file's order.
    var hosts: [Entry] = []
    /// What stands outside of them. Without `server` it is about the registry itself.
    var server: Entry

    /// One host: where it is and how it is reached.
    struct Entry: Sendable, Hashable {
        /// nil is the registry itself.
        var location: Location?
        /// Path of its API: `/v2`, something before it, or what `override_path` leaves.
        var root = "/v2"
        var capabilities: HostCapabilities = .all
        var authorities: [File] = []
        var client: Client?
        var skipsVerification: Bool?
        var headers: [HostHeader] = []
        /// nil for the patience of all.
        var dialTimeout: Duration?

        /// True where something is said of TLS.
        var saysOfTLS: Bool { !authorities.isEmpty || client != nil || skipsVerification != nil }
    }

    /// A file that is named, by its path as it was written.
    struct File: Sendable, Hashable {
        let path: String
        let line: Int
    }

    /// A client's certificate; its key is in the same file where there is no other.
    struct Client: Sendable, Hashable {
        let certificate: File
        let key: File?
    }

    /// Bytes of a hosts.toml: a hundred hosts with headers have a tenth.
    static let bytesMax = 256 << 10
    private static let hostsMax = 128
    /// Certificates of authorities for one host.
    private static let authoritiesMax = 32
    /// Bytes of one host's headers: half of what servers take by custom.
    private static let headerBytesMax = 4 << 10
    /// Longest path, in bytes (PATH_MAX).
    private static let pathBytesMax = 4096
    private static let dialTimeoutMax = Duration.seconds(60)

    /// - Throws: `TOMLError` that says in which line it is wrong, and what to do.
    init(_ bytes: [UInt8]) throws(TOMLError) {
        let document = try TOMLParser.parse(bytes)
        server = try Self.entry(document.members, also: ["server", "host"])
        if let url = document["server"] {
            let text = try Self.text(url, "server")
            if !text.isEmpty { try server.place(text, document.members, line: url.line) }
        }
        guard let table = document["host"] else { return }
        let members = try Self.table(table, "host")
        guard members.count <= Self.hostsMax else {
            throw TOMLError(table.line, "there are more than \(Self.hostsMax) hosts")
        }
        for member in members {
            let fields = try Self.table(member.value, "host")
            var host = try Self.entry(fields, also: [])
            try host.place(member.key, fields, line: member.value.line)
            hosts.append(host)
        }
    }

    // MARK: Fields

    private static let fields = [
        "capabilities", "ca", "client", "skip_verify", "header", "override_path", "dial_timeout",
    ]

    private static func entry(_ members: [TOMLTable.Member], also others: [String]) throws(TOMLError) -> Entry {
        var entry = Entry()
        for member in members {
            let (value, line) = (member.value, member.value.line)
            switch member.key {
            case "capabilities": entry.capabilities = try capabilities(value)
            case "ca": entry.authorities = try authorities(value)
            case "client": entry.client = try client(value)
            case "skip_verify": entry.skipsVerification = try boolean(value, "skip_verify")
            case "override_path": _ = try boolean(value, "override_path")
            case "header": entry.headers = try headers(value)
            case "dial_timeout": entry.dialTimeout = try dialTimeout(value)
            case "proxy":
                throw TOMLError(line, "proxy is not supported by this engine", remedy: "take it out")
            case let key where !others.contains(key):
                throw TOMLError(
                    line, "\(TOMLError.quoted(key)) is not known",
                    remedy: "there are \((others + fields).joined(separator: ", "))")
            default: break
            }
        }
        return entry
    }

    private static func capabilities(_ value: TOMLValue) throws(TOMLError) -> HostCapabilities {
        var result: HostCapabilities = []
        let words = try strings(value, "capabilities")
        for (word, line) in words {
            switch word.lowercased() {
            case "pull": result.insert(.pull)
            case "resolve": result.insert(.resolve)
            case "push": result.insert(.push)
            // Newer files name it; this engine asks nobody for referrers.
            case "referrers": break
            default:
                throw TOMLError(
                    line, "unknown capability \(TOMLError.quoted(word))", remedy: "give pull, resolve or push")
            }
        }
        return words.isEmpty ? .all : result
    }

    private static func authorities(_ value: TOMLValue) throws(TOMLError) -> [File] {
        if case .string = value.content { return [try file(value, "ca")] }
        let paths = try array(value, "ca")
        guard paths.count <= authoritiesMax else {
            throw TOMLError(value.line, "ca has more than \(authoritiesMax) files", remedy: "put them into one")
        }
        var result: [File] = []
        for path in paths { result.append(try file(path, "ca")) }
        return result
    }

    /// `"FILE"`, `["FILE"]`, `[["CERTIFICATE", "KEY"]]`.
    private static func client(_ value: TOMLValue) throws(TOMLError) -> Client? {
        if case .string = value.content { return Client(certificate: try file(value, "client"), key: nil) }
        let clients = try array(value, "client")
        guard clients.count <= 1 else {
            throw TOMLError(
                value.line, "client has more than one certificate", remedy: "leave the one that the host asks for")
        }
        guard let only = clients.first else { return nil }
        if case .string = only.content { return Client(certificate: try file(only, "client"), key: nil) }
        let pair = try array(only, "client")
        guard pair.count == 2 else {
            throw TOMLError(only.line, "client is no pair", remedy: "give [[\"certificate\", \"key\"]]")
        }
        let key = try text(pair[1], "client").isEmpty ? nil : try file(pair[1], "client")
        return Client(certificate: try file(pair[0], "client"), key: key)
    }

    private static func headers(_ value: TOMLValue) throws(TOMLError) -> [HostHeader] {
        var result: [HostHeader] = []
        var byteCount = 0
        for member in try table(value, "header") {
            let values: [(text: String, line: Int)]
            if case .string(let text) = member.value.content {
                values = [(text, member.value.line)]
            } else {
                values = try strings(member.value, "header \(member.key)")
            }
            for (text, line) in values {
                guard let header = HostHeader(member.key, text) else {
                    throw TOMLError(
                        line, "header \(TOMLError.quoted(member.key)) cannot be sent",
                        remedy: "give visible ASCII, and no header that the connection needs for itself")
                }
                byteCount += member.key.utf8.count + text.utf8.count
                result.append(header)
            }
        }
        guard byteCount <= headerBytesMax else {
            throw TOMLError(value.line, "the headers have more than \(headerBytesMax) bytes")
        }
        return result
    }

    private static func dialTimeout(_ value: TOMLValue) throws(TOMLError) -> Duration? {
        let text = try text(value, "dial_timeout")
        if text.isEmpty { return nil }
        guard let time = GoDuration.nanoseconds(text).map(Duration.nanoseconds), time > .zero, time <= dialTimeoutMax
        else {
            throw TOMLError(
                value.line, "dial_timeout \(TOMLError.quoted(text)) is no time", remedy: "give 500ms, 1s, up to 60s")
        }
        return time
    }

    // MARK: Types

    private static func text(_ value: TOMLValue, _ name: String) throws(TOMLError) -> String {
        guard case .string(let text) = value.content else { throw wrong(value, name, "text in quotes") }
        return text
    }

    fileprivate static func boolean(_ value: TOMLValue, _ name: String) throws(TOMLError) -> Bool {
        guard case .boolean(let flag) = value.content else { throw wrong(value, name, "true or false") }
        return flag
    }

    private static func array(_ value: TOMLValue, _ name: String) throws(TOMLError) -> [TOMLValue] {
        guard case .array(let items) = value.content else { throw wrong(value, name, "text or an array of it") }
        return items
    }

    private static func table(_ value: TOMLValue, _ name: String) throws(TOMLError) -> [TOMLTable.Member] {
        guard case .table(let table) = value.content else { throw wrong(value, name, "a table") }
        return table.members
    }

    private static func strings(_ value: TOMLValue, _ name: String) throws(TOMLError) -> [(text: String, line: Int)] {
        var result: [(text: String, line: Int)] = []
        for item in try array(value, name) { result.append((try text(item, name), item.line)) }
        return result
    }

    private static func file(_ value: TOMLValue, _ name: String) throws(TOMLError) -> File {
        let path = try text(value, name)
        guard !path.isEmpty, path.utf8.count <= pathBytesMax, !path.utf8.contains(0) else {
            throw wrong(value, name, "the path of a file")
        }
        return File(path: path, line: value.line)
    }

    private static func wrong(_ value: TOMLValue, _ name: String, _ wanted: String) -> TOMLError {
        TOMLError(value.line, "\(OCIError.quoted(name)) is of another type", remedy: "give \(wanted)")
    }
}

extension HostsFile.Entry {
    /// Takes the URL of a host: `[http[s]://]host[:port][/path]`. `/v2` follows its path unless `override_path` says that the
    /// path is whole.
    ///
    /// - Throws: `TOMLError` for any other text.
    fileprivate mutating func place(
        _ text: String, _ fields: [TOMLTable.Member], line: Int
    ) throws(TOMLError) {
        let whole = fields.first { $0.key == "override_path" }
        let url = text.contains("://") ? text : "https://" + text
        let wrong = TOMLError(
            line, "\(OCIError.quoted(text)) is no host", remedy: "give http(s)://host[:port][/path]")
        guard let location = Location(url), !url.contains("?"), !url.contains("#") else { throw wrong }
        let parts = location.target.split(separator: "/")
        guard !parts.contains("."), !parts.contains("..") else { throw wrong }
        let path = parts.map { "/" + $0 }.joined()
        let isWhole = if let whole { try HostsFile.boolean(whole.value, whole.key) } else { false }
        root = isWhole || parts.last == "v2" ? path : path + "/v2"
        self.location = location
    }
}

/// What a host of hosts.toml may be asked for.
struct HostCapabilities: OptionSet, Sendable, Hashable {
    let rawValue: UInt8
    /// What a digest names.
    static let pull = Self(rawValue: 1)
    /// What a tag names.
    static let resolve = Self(rawValue: 2)
    static let push = Self(rawValue: 4)
    /// What a host has that says nothing of them.
    static let all: Self = [.pull, .resolve, .push]
}

/// A header that goes with each request to one host.
struct HostHeader: Sendable, Hashable {
    let name: String
    let value: String

    /// What frames messages or is for the connection alone (RFC 9110 §7.6.1), and what each request says itself.
    private static let reserved: Set<String> = [
        "host", "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
        "expect",
        "content-length", "content-encoding", "content-range", "content-type", "accept", "accept-encoding", "range",
    ]

    /// nil unless `name` is a token and `value` visible ASCII.
    init?(_ name: String, _ value: String) {
        let isToken = name.utf8.allSatisfy {
            (0x21...0x7e).contains($0) && !"\"(),/:;<=>?@[\\]{}".utf8.contains($0)
        }
        guard !name.isEmpty, isToken, !Self.reserved.contains(name.lowercased()),
            value.utf8.allSatisfy({ (0x20...0x7e).contains($0) || $0 == 0x09 })
        else { return nil }
        (self.name, self.value) = (name, value)
    }
}
