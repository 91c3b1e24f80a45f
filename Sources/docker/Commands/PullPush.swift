/// `docker pull`.
struct Pull: Command {
    static let usage = "pull [OPTIONS] NAME[:TAG|@DIGEST]"
    @Flag("-a --all-tags", "Download all tagged images in the repository") var allTags = false
    @Flag("--disable-content-trust", "Skip image verification (default true)") var disableContentTrust = true
    @Option("--platform", "Set platform if server is multi-platform capable") var platform: String?
    @Flag("-q --quiet", "Suppress verbose output") var quiet = false
    @Option("--trace", "Write a timeline of the pull to a file (.svg: a drawing, else Chrome trace JSON)") var trace:
        String?
    @Flag("-v --verbose", "Print the seconds spent in every stage") var verbose = false
    @Argument var name: String

    func run(_ settings: Settings) throws(CLIError) {
        let image = try ImageName(parsing: name)
        if allTags, image.tag != nil || image.digest != nil {
            throw CLIError("tag can't be used with --all-tags/-a")
        }
        if !quiet, !allTags, image.tag == nil, image.digest == nil { say("Using default tag: latest") }
        let pull = ImagePull(client: try settings.client(), settings: settings, traced: verbose || trace != nil)
        let stages = try pull.pull(
            image, platform: platform, progress: quiet ? nil : ProgressView(descriptor: 1), all: allTags)
        if verbose { say(PullTrace.summary(stages)) }
        if let trace { try write(stages, to: trace, image) }
        say(allTags ? image.full : image.whole)
    }

    private func write(_ stages: [PullTrace.Stage], to path: String, _ image: ImageName) throws(CLIError) {
        guard !stages.isEmpty else {
            throw CLIError("the daemon sent no timeline: --trace needs a daemon that measures one")
        }
        let text =
            path.hasSuffix(".svg")
            ? TraceDrawing(stages, title: "docker pull \(image.familiar)\(image.suffix)").svg()
            : PullTrace.chrome(stages).encoded(escapingHTML: false)
        try writeFileAtomically(path, Array(text.utf8), mode: 0o644)
    }
}

/// `docker push`.
struct Push: Command {
    static let usage = "push [OPTIONS] NAME[:TAG]"
    @Flag("-a --all-tags", "Push all tags of an image to the repository") var allTags = false
    @Flag("--disable-content-trust", "Skip image signing (default true)") var disableContentTrust = true
    @Option(
        "--platform",
        """
        Push a platform-specific manifest as a single-platform image to the registry.
        Image index won't be pushed, meaning that other manifests, including attestations won't be preserved.
        'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)
        """)
    var platform: String?
    @Flag("-q --quiet", "Suppress verbose output") var quiet = false
    @Argument var name: String

    private static let platformNote = """
        Info -> Using --platform pushes only the specified platform manifest of a multi-platform image index.
                Other components, like attestations, will not be included.
        """

    func run(_ settings: Settings) throws(CLIError) {
        let image = try ImageName(parsing: name)
        if allTags, image.tag != nil { throw CLIError("tag can't be used with --all-tags/-a") }
        if platform != nil { complain(Self.platformNote) }
        if !quiet, !allTags, image.tag == nil { say("Using default tag: latest") }
        let client = try settings.client()
        let header = try settings.config.header(for: image)
        let path = "/images/\(escaped(image.familiar, keeping: "/:"))/push"
        let tag = allTags ? nil : image.tag ?? "latest"
        let response = try client.open(
            "POST", path + query([("tag", tag), ("platform", try platform.map(PlatformName.json))]), headers: [header])
        try Upload.follow(response, quiet ? nil : ProgressView(descriptor: 1))
        if quiet { say(image.full + (tag.map { ":\($0)" } ?? "")) }
    }
}
