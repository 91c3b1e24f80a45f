@preconcurrency import Glibc

/// Creates a container, pulling its image when that is asked for or needed.
struct ContainerCreation {
    let client: Client
    let settings: Settings
    let options: ContainerOptions

    /// The new container's identifier.
    func create(detached: Bool) throws(CLIError) -> String {
        let body = try CreateBody(options: options, detached: detached).document()
        guard let image = options.words.first else { return "" }
        guard ["always", "missing", "never"].contains(options.pull) else {
            throw CLIError("invalid pull option: '\(options.pull)': must be one of \"always\", \"missing\" or \"never\"", exitCode: 125)
        }
        if let path = options.cidfile, access(path, F_OK) == 0 {
            throw CLIError("container ID file found, make sure the other container isn't running or delete \(path)")
        }
        if options.pull == "always" { try pull(image) }
        let path = "/containers/create" + query([("name", options.name), ("platform", options.platform)])
        let answer: JSON
        do throws(CLIError) {
            answer = try client.call("POST", path, body)
        } catch {
            guard error.status == 404, options.pull == "missing", error.message.lowercased().contains("no such image"),
                let name = try? ImageName(parsing: image)
            else { throw error }
            if !options.quiet { complain("Unable to find image '\(name.familiar)\(name.suffix)' locally") }
            try pull(image)
            answer = try client.call("POST", path, body)
        }
        for warning in answer["Warnings"]?.elements ?? [] { complain("WARNING: \(warning.string ?? "")") }
        let id = answer.text("Id")
        if let path = options.cidfile { try writeFileAtomically(path, Array(id.utf8), mode: 0o644) }
        return id
    }

    private func pull(_ image: String) throws(CLIError) {
        let name = try ImageName(parsing: image)
        try ImagePull(client: client, settings: settings).pull(
            name, platform: options.platform, progress: options.quiet ? nil : ProgressView(descriptor: 2))
    }
}
