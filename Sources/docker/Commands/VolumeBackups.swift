/// `docker volume backup`.
struct BackUpVolume: Command {
    static let usage = "volume backup [OPTIONS] VOLUME REFERENCE"
    @Flag("-q --quiet", "Suppress verbose output") var quiet = false
    @Argument var name: String
    @Argument var reference: String

    func run(_ settings: Settings) throws(CLIError) {
        let image = try ImageName(parsing: reference)
        guard image.digest == nil else { throw CLIError("cannot back up to a digest: give NAME[:TAG]") }
        if !quiet, image.tag == nil { say("Using default tag: latest") }
        let header = try settings.config.header(for: image)
        let response = try settings.client().open(
            "POST", "/volumes/\(escaped(name))/backup" + query([("reference", image.whole)]), headers: [header])
        var digest = ""
        try Upload.follow(response, quiet ? nil : ProgressView(descriptor: 1)) { aux in
            if let known = aux["Digest"]?.string { digest = known }
            guard aux["NewChunks"] != nil, !quiet else { return nil }
            let (new, known) = (aux.int("NewChunks"), aux.int("KnownChunks"))
            return "\(name): \(new) of \(new + known) chunks are new: \(Sizes.decimal(aux.int("NewBytes"))) sent, "
                + "\(Sizes.decimal(aux.int("KnownBytes"))) were there"
        }
        if quiet { say("\(image.familiar)@\(digest)") }
    }
}

/// `docker volume restore`.
struct RestoreVolume: Command {
    static let usage = "volume restore [OPTIONS] REFERENCE VOLUME"
    @Flag("-q --quiet", "Suppress verbose output") var quiet = false
    @Argument var reference: String
    @Argument var name: String

    func run(_ settings: Settings) throws(CLIError) {
        let image = try ImageName(parsing: reference)
        let header = try settings.config.header(for: image)
        let response = try settings.client().open(
            "POST", "/volumes/restore" + query([("reference", image.whole), ("name", name)]), headers: [header])
        try Upload.follow(response, quiet ? nil : ProgressView(descriptor: 2))
        say(name)
    }
}
