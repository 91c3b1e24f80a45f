@preconcurrency import Glibc

/// Creates a container, pulling its image when that is asked for or needed.
struct ContainerCreation {
    let client: Client
    let settings: Settings
    let options: ContainerOptions
    /// When its image is pulled: `always`, `missing` or `never`.
    let pull: String

    /// Creates the container `body` describes.
    ///
    /// - Returns: its identifier.
    func create(_ body: JSON) throws(CLIError) -> String {
        guard let image = options.words.first else { return "" }
        let reference = image.isHexadecimalDigest ? nil : try ImageName(parsing: image)
        try checkIDFile()
        if let address = options.dns.values.first(where: NameServerRule.isLoopback) {
            complain("WARNING: Localhost DNS (\(address)) may fail in containers.")
        }
        if pull == "always" { try fetch(image) }
        try checkHardwareAddresses()
        let path = "/containers/create" + query([("name", options.name), ("platform", options.platform)])
        let body = options.useAPISocket ? try Self.withSocket(body, of: client) : body
        let answer: JSON
        do throws(CLIError) {
            answer = try client.call("POST", path, body)
        } catch {
            // As Docker: the image, or the image for that platform, is what a creation can miss.
            guard error.status == 404, pull == "missing", let name = reference else { throw error }
            if !options.quiet { complain("Unable to find image '\(name.familiar)\(name.suffix)' locally") }
            try fetch(image)
            answer = try client.call("POST", path, body)
        }
        for warning in answer["Warnings"]?.elements ?? [] { complain("WARNING: \(warning.string ?? "")") }
        let id = answer.text("Id")
        if let path = options.cidfile { try writeFileAtomically(path, Array(id.utf8), mode: 0o644) }
        return id
    }

    /// The same container with the daemon's socket in it.
    private static func withSocket(_ body: JSON, of client: Client) throws(CLIError) -> JSON {
        guard case .unix(let path) = client.host else {
            throw CLIError(
                "flag --use-api-socket can only be used with unix sockets: "
                    + "docker endpoint \(client.host.description) is incompatible")
        }
        let mount: JSON = ["Type": "bind", "Source": .string(path), "Target": "/var/run/docker.sock"]
        let members = body.members.map { member -> JSON.Member in
            guard member.name == "HostConfig" else { return member }
            let others = member.value.members.filter { $0.name != "Mounts" }
            let mounts = (member.value["Mounts"]?.elements ?? []) + [mount]
            return .init(name: "HostConfig", value: .object(others + [.init(name: "Mounts", value: .array(mounts))]))
        }
        return .object(members)
    }

    /// Older daemons do not look at a network's hardware address.
    private func checkHardwareAddresses() throws(CLIError) {
        guard ContainerNetworks(options).nameHardwareAddresses else { return }
        try client.negotiate()
        guard client.speaksLess(than: 44) else { return }
        throw CLIError(
            "\"specify mac-address per network\" requires API version 1.44, but the Docker daemon API version is "
                + client.negotiatedVersion)
    }

    /// Tells before anything is created when the identifier could not be written.
    private func checkIDFile() throws(CLIError) {
        guard let path = options.cidfile else { return }
        guard access(path, F_OK) != 0 else {
            throw CLIError("container ID file found, make sure the other container isn't running or delete \(path)")
        }
        guard access(CopyPath.split(CopyPath.clean(path)).folder, W_OK) == 0 else {
            throw CLIError(
                "failed to create the container ID file: open \(path): \(systemMessage(errno).lowercasedFirst)")
        }
    }

    private func fetch(_ image: String) throws(CLIError) {
        let name = try ImageName(parsing: image)
        try ImagePull(client: client, settings: settings).pull(
            name, platform: options.platform, progress: options.quiet ? nil : ProgressView(descriptor: 2))
    }
}
