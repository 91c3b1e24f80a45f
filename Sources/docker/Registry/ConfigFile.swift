@preconcurrency import Glibc

/// The user's `config.json`: credentials of registries, credential helpers and extra headers.
struct ConfigFile {
    /// Where Docker keeps the credentials of Docker Hub.
    static let hubKey = "https://index.docker.io/v1/"

    let path: String
    private var document: JSON

    /// Reads the file of a folder; an absent file is an empty one.
    init(folder: String) throws(CLIError) {
        path = folder + "/config.json"
        guard access(path, F_OK) == 0 else {
            document = .object([])
            return
        }
        let bytes = try readFile(path, limit: 1 << 20)
        do throws(CLIError) { document = try JSONParser.parse(bytes) } catch {
            // As Docker: commands that need no credentials go on.
            complain("WARNING: Error parsing config file (\(path)): \(error.message)")
            document = .object([])
        }
    }

    /// The key of a server as typed: its host, or Docker Hub's address.
    static func key(_ server: String?) -> String {
        guard let server, !server.isEmpty else { return hubKey }
        let host = hostName(server)
        return ["docker.io", "index.docker.io"].contains(host) ? hubKey : host
    }

    /// A registry's credentials as the API's AuthConfig; an empty object for anonymous access.
    func auth(for key: String) throws(CLIError) -> JSON {
        if let helper = helper(for: key) { return try fromHelper(helper, key) }
        let entries = document["auths"]?.members ?? []
        guard
            let entry = entries.first(where: { $0.name == key })
                ?? entries.first(where: { Self.hostName($0.name) == Self.hostName(key) })
        else { return .object([]) }
        var members: [JSON.Member] = []
        if let encoded = entry.value["auth"]?.string, let decoded = Base64.decode(encoded) {
            let (user, secret) = String(decoding: decoded, as: UTF8.self).cut(":")
            members.append(.init(name: "username", value: .string(user)))
            members.append(.init(name: "password", value: .string(secret ?? "")))
        }
        if let token = entry.value["identitytoken"] { members.append(.init(name: "identitytoken", value: token)) }
        members.append(.init(name: "serveraddress", value: .string(key)))
        return .object(members)
    }

    /// A text among the other settings, such as `psFormat`.
    func setting(_ name: String) -> String? { document[name]?.string }

    /// Headers of every request to a daemon; those that the client sets itself are left alone.
    var httpHeaders: [(String, String)] {
        let own: Set = [
            "host", "user-agent", "connection", "content-length", "content-type", "transfer-encoding", "upgrade",
        ]
        func isLine(_ text: String) -> Bool { text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } }
        return (document["HttpHeaders"]?.members ?? []).compactMap { member in
            guard let value = member.value.string, !own.contains(member.name.lowercased()), isLine(member.name + value),
                !member.name.isEmpty
            else { return nil }
            return (member.name, value)
        }
    }

    /// Stores a setting and replaces the file at once; nil removes it.
    mutating func store(setting name: String, _ value: String?) throws(CLIError) {
        guard setting(name) != value else { return }
        var members = document.members.filter { $0.name != name }
        if members.isEmpty { members.append(.init(name: "auths", value: .object([]))) }
        if let value { members.append(.init(name: name, value: .string(value))) }
        document = .object(members)
        try save()
    }

    /// The filters of every `prune`.
    var pruneFilters: [String] { (document["pruneFilters"]?.elements ?? []).compactMap(\.string) }

    /// The value of `X-Registry-Auth` for an image.
    func header(for image: ImageName) throws(CLIError) -> (String, String) {
        ("X-Registry-Auth", Base64.encodeURL(Array(try auth(for: image.authKey).encoded().utf8)))
    }

    /// Stores credentials and replaces the file at once; readable by the user alone.
    mutating func store(_ key: String, user: String, secret: String, token: String?) throws(CLIError) {
        if let helper = helper(for: key) {
            let entry: JSON = [
                "ServerURL": .string(key), "Username": .string(token == nil ? user : "<token>"),
                "Secret": .string(token ?? secret),
            ]
            let answer = try Self.run("docker-credential-\(helper)", "store", input: entry.encoded(escapingHTML: false))
            guard answer.code == 0 else { throw Self.failure("storing", answer) }
            // The empty entry tells other clients where to look.
            setAuth(key, .object([]))
            return try save()
        }
        var entry: [JSON.Member] = [
            .init(name: "auth", value: .string(Base64.encode(Array("\(user):\(token == nil ? secret : "")".utf8))))
        ]
        if let token { entry.append(.init(name: "identitytoken", value: .string(token))) }
        setAuth(key, .object(entry))
        try save()
    }

    /// Forgets a registry's credentials, under all names clients may have stored them.
    mutating func erase(_ key: String) throws(CLIError) {
        let names = key == Self.hubKey ? [key] : [key, "http://\(key)", "https://\(key)"]
        for name in names {
            // A helper that does not have it, or is not there at all, keeps nothing: that is what is wanted.
            guard let helper = helper(for: name) else { continue }
            _ = try? Self.run("docker-credential-\(helper)", "erase", input: name)
        }
        let auths = document["auths"]
        let known = names.filter { auths?[$0] != nil }
        for name in known { setAuth(name, nil) }
        if !known.isEmpty { try save() }
    }

    private mutating func setAuth(_ key: String, _ value: JSON?) {
        var auths = (document["auths"]?.members ?? []).filter { $0.name != key }
        if let value { auths.append(.init(name: key, value: value)) }
        auths.sort { $0.name < $1.name }
        var members = document.members
        let entry = JSON.Member(name: "auths", value: .object(auths))
        if let index = members.firstIndex(where: { $0.name == "auths" }) {
            members[index] = entry
        } else {
            members.insert(entry, at: 0)
        }
        document = .object(members)
    }

    private func save() throws(CLIError) {
        try Folder.make(String(path.dropLast("/config.json".count)), mode: 0o700)
        try writeFileAtomically(path, Array(document.indented("\t").utf8), mode: 0o600)
    }

    /// The credential helper of a registry: `X` of `docker-credential-X`.
    func helper(for key: String) -> String? {
        let name = document["credHelpers"]?[key]?.string ?? document["credsStore"]?.string
        // An empty name is how a registry is left out of the store that all others are in.
        return name?.isEmpty == true ? nil : name
    }

    private static func hostName(_ key: String) -> String {
        let bare = key.hasPrefix("https://") ? key.dropFirst(8) : key.hasPrefix("http://") ? key.dropFirst(7) : key[...]
        return bare.cut("/").0
    }

    private func fromHelper(_ helper: String, _ key: String) throws(CLIError) -> JSON {
        let program = "docker-credential-\(helper)"
        let answer: (code: CInt, output: String)
        do throws(CLIError) { answer = try Self.run(program, "get", input: key) } catch {
            // As Docker: without the helper the registry is asked anonymously, and says so if that is not enough.
            return .object([])
        }
        guard answer.code == 0 else {
            if answer.output.contains("credentials not found") { return .object([]) }
            throw Self.failure("getting", answer)
        }
        let entry = try JSONParser.parse(answer.output)
        let user = entry.text("Username")
        if user == "<token>" {
            return ["identitytoken": .string(entry.text("Secret")), "serveraddress": .string(key)]
        }
        return ["username": .string(user), "password": .string(entry.text("Secret")), "serveraddress": .string(key)]
    }

    private static func failure(_ doing: String, _ answer: (code: CInt, output: String)) -> CLIError {
        CLIError("error \(doing) credentials - err: exit status \(answer.code), out: `\(answer.output.trimmed)`")
    }

    /// Runs a credential helper with `input` on its standard input.
    private static func run(
        _ program: String, _ verb: String, input: String
    ) throws(CLIError) -> (code: CInt, output: String) {
        var toChild: (read: Descriptor, write: Descriptor)? = try openPipe()
        let fromChild: Descriptor
        var childEnd: Descriptor?
        (fromChild, childEnd) = try openPipe()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let toChild { posix_spawn_file_actions_adddup2(&actions, toChild.read.raw, 0) }
        posix_spawn_file_actions_adddup2(&actions, childEnd?.raw ?? 1, 1)
        var pid: pid_t = 0
        let words = [strdup(program), strdup(verb)]
        defer { words.forEach { free($0) } }
        let code = posix_spawnp(&pid, program, &actions, nil, words + [nil], environ)
        childEnd = nil
        guard code == 0 else {
            let reason = code == ENOENT ? "executable file not found in $PATH" : systemMessage(code).lowercasedFirst
            throw CLIError("error storing credentials - err: exec: \"\(program)\": \(reason), out: ``")
        }
        // A helper that ended without reading says why by its output and exit code.
        if let descriptor = toChild?.write.raw { try? writeAll(descriptor, Array(input.utf8)) }
        toChild = nil  // the helper reads to the end of its input
        var bytes: [UInt8] = []
        while true {
            let part = try readSome(fromChild.raw)
            if part.isEmpty { break }
            bytes += part
        }
        var status: CInt = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return (status >> 8 & 0xff, String(decoding: bytes, as: UTF8.self))
    }
}
