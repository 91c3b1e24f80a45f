@preconcurrency import Glibc

/// The contexts of a user, in the files that Docker's own client keeps them in: `contexts/meta/<digest of the name>/meta.json`
/// and `contexts/tls/<the same>/<endpoint>/`.
struct ContextStore {
    /// The context that is no file: what flags and the environment say.
    static let defaultName = "default"
    /// What a context says of itself, and a certificate, are small.
    static let fileBytesMax = 1 << 20

    private let folder: String

    /// - Parameter folder: of `config.json`.
    init(folder: String) { self.folder = folder + "/contexts" }

    /// The folder of a context's description.
    func metaFolder(_ name: String) -> String { "\(folder)/meta/\(SHA256.hexadecimal(name))" }

    /// The folder of a context's certificates and keys.
    func tlsFolder(_ name: String) -> String { "\(folder)/tls/\(SHA256.hexadecimal(name))" }

    /// Whether there is a context of this name.
    func exists(_ name: String) -> Bool { access(metaFolder(name) + "/meta.json", F_OK) == 0 }

    /// A stored context.
    ///
    /// - Throws: that it is not there, or that its file cannot be understood.
    func load(_ name: String) throws(CLIError) -> StoredContext {
        let path = metaFolder(name) + "/meta.json"
        let bytes: [UInt8]
        do throws(CLIError) { bytes = try readFile(path, limit: Self.fileBytesMax) } catch {
            throw CLIError("context \"\(name)\": context not found: \(error.message)")
        }
        return try Self.parse(bytes, path)
    }

    private static func parse(_ bytes: [UInt8], _ path: String) throws(CLIError) -> StoredContext {
        do throws(CLIError) { return StoredContext(try JSONParser.parse(bytes)) } catch {
            throw CLIError("parsing \(path): \(error.message)")
        }
    }

    /// All stored contexts in order of their names.
    func list() throws(CLIError) -> [StoredContext] {
        var contexts: [StoredContext] = []
        for name in Folder.members("\(folder)/meta") {
            let path = "\(folder)/meta/\(name)/meta.json"
            guard access(path, F_OK) == 0 else { continue }
            do throws(CLIError) {
                contexts.append(try Self.parse(try readFile(path, limit: Self.fileBytesMax), path))
            } catch {
                throw CLIError("failed to read metadata: \(error.message)")
            }
        }
        return contexts.sorted { NaturalOrder.isAscending($0.name, $1.name) }
    }

    /// Stores or replaces a context's description.
    func save(_ context: StoredContext) throws(CLIError) {
        let path = metaFolder(context.name)
        try Folder.make(path, mode: 0o755)
        try writeFileAtomically(path + "/meta.json", Array(context.json.encoded().utf8), mode: 0o644)
    }

    /// The names of the files that an endpoint of a context has for TLS.
    func tlsFiles(_ name: String, endpoint: String = "docker") -> [String] {
        Folder.members("\(tlsFolder(name))/\(endpoint)").sorted()
    }

    /// Stores the files of an endpoint for TLS in place of those that are there.
    func saveTLS(_ name: String, _ files: [(name: String, bytes: [UInt8])]) throws(CLIError) {
        Folder.remove(tlsFolder(name))
        guard !files.isEmpty else { return }
        let path = tlsFolder(name) + "/docker"
        try Folder.make(path, mode: 0o700)
        for file in files { try writeFileAtomically("\(path)/\(file.name)", file.bytes, mode: 0o600) }
    }

    /// The files of an endpoint for TLS.
    func loadTLS(_ name: String) throws(CLIError) -> [(name: String, bytes: [UInt8])] {
        var files: [(name: String, bytes: [UInt8])] = []
        for file in tlsFiles(name) {
            files.append((file, try readFile("\(tlsFolder(name))/docker/\(file)", limit: Self.fileBytesMax)))
        }
        return files
    }

    /// Forgets a context and its certificates.
    func remove(_ name: String) {
        Folder.remove(metaFolder(name))
        Folder.remove(tlsFolder(name))
    }

    /// Refuses a name that a context cannot have.
    static func check(_ name: String) throws(CLIError) {
        guard !name.isEmpty else { throw CLIError("context name cannot be empty") }
        guard name != defaultName else { throw CLIError("\"\(defaultName)\" is a reserved context name") }
        func isWord(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
        }
        let bytes = Array(name.utf8)
        guard bytes.count > 1, isWord(bytes[0]), bytes.allSatisfy({ isWord($0) || "_.+-".utf8.contains($0) }) else {
            throw CLIError(
                "context name \"\(name)\" is invalid, names are validated against regexp \"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$\""
            )
        }
    }
}

/// A context: its name, what it says of itself, and where its daemon is.
struct StoredContext {
    var name: String
    /// `Description` and whatever other clients put there.
    var metadata: JSON
    /// By kind: `docker` is the daemon's; others belong to other clients.
    var endpoints: JSON

    init(name: String, description: String, host: String, skipsVerification: Bool = false) {
        self.name = name
        metadata = [:]
        endpoints = [:]
        self.description = description
        setHost(host, skipsVerification: skipsVerification)
    }

    init(_ document: JSON) {
        name = document.text("Name")
        metadata = document["Metadata"] ?? [:]
        endpoints = document["Endpoints"] ?? [:]
    }

    var json: JSON { ["Name": .string(name), "Metadata": metadata, "Endpoints": endpoints] }

    var description: String {
        get { metadata.text("Description") }
        set {
            let others = metadata.members.filter { $0.name != "Description" }
            metadata = .object(
                (newValue.isEmpty ? [] : [.init(name: "Description", value: .string(newValue))]) + others)
        }
    }

    var host: String { endpoints["docker"]?.text("Host") ?? "" }
    var skipsVerification: Bool { endpoints["docker"]?.flag("SkipTLSVerify") ?? false }

    mutating func setHost(_ host: String, skipsVerification: Bool) {
        let endpoint: JSON = ["Host": .string(host), "SkipTLSVerify": .bool(skipsVerification)]
        endpoints = .object(
            endpoints.members.filter { $0.name != "docker" } + [.init(name: "docker", value: endpoint)])
    }
}

/// Folders of the user's configuration.
enum Folder {
    /// The names in a folder; none when there is no such folder.
    static func members(_ path: String) -> [String] {
        guard let stream = opendir(path) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// Makes a folder and those above it.
    static func make(_ path: String, mode: mode_t) throws(CLIError) {
        var made = ""
        for part in path.split(separator: "/") {
            made += (made.isEmpty && !path.hasPrefix("/") ? "" : "/") + part
            guard mkdir(made, mode) == 0 || errno == EEXIST else {
                throw CLIError("mkdir \(made): \(systemMessage(errno).lowercasedFirst)")
            }
        }
    }

    /// Removes a folder of files, and folders of files in it.
    static func remove(_ path: String) {
        for name in members(path) {
            let member = "\(path)/\(name)"
            if unlink(member) != 0 { remove(member) }
        }
        rmdir(path)
    }
}
