/// The path of an image, its name escaped.
func imagePath(_ name: String) -> String { "/images/" + escaped(name, keeping: "/:@") }

/// `docker images`.
struct ListImages: Command {
    static let usage = "images [OPTIONS] [REPOSITORY[:TAG]]"
    @Flag("-a --all", "Show all images (default hides intermediate images)") var all = false
    @Flag("--digests", "Show digests") var digests = false
    @Option("-f --filter", "Filter output based on conditions provided") var filter = Filters()
    @Option("--format", Help.listFormat) var format: String?
    @Flag("--no-trunc", "Don't truncate output") var noTrunc = false
    @Flag("-q --quiet", "Only show image IDs") var quiet = false
    /// Not in Docker's help.
    @Flag("--tree", nil) var tree = false
    @Argument var name: String?

    init() {}

    /// For rows of other lists.
    ///
    /// - Parameter isWhole: nothing is shortened.
    init(isWhole: Bool) { _noTrunc = Flag(wrappedValue: isWhole, "--no-trunc", nil) }

    func run(_ settings: Settings) throws(CLIError) {
        if tree { try checkTree() }
        let filters = name.map { filter.adding("reference", $0) } ?? filter
        let parameters = [
            ("all", all ? "1" : nil), ("filters", filters.encoded), ("manifests", tree ? "1" : nil),
        ]
        let list = try settings.client().call("GET", "/images/json" + query(parameters)).elements
        if tree { return print(ImageTree(list, all: all).text(), terminator: "") }
        let sorted = list.sorted { $0.int("Created") > $1.int("Created") }
        let digest = digests ? "{{.Digest}}\t" : ""
        let listing = Listing(
            standard: "table {{.Repository}}\t{{.Tag}}\t\(digest){{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
            headers: ["ID": "IMAGE ID", "CreatedSince": "CREATED"], identifier: "ID",
            rowType: "*formatter.imageContext",
            raw: (
                "repository: {{.Repository}}\ntag: {{.Tag}}\n" + (digests ? "digest: {{.Digest}}\n" : "")
                    + "image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n", "image_id: {{.ID}}"
            ))
        let format = settings.format(format, "imagesFormat", quiet: quiet)
        let showsDigest = digests || format?.contains("{{.Digest}}") == true
        print(
            try listing.render(sorted.flatMap { rows($0, showsDigest) }, format: format, quiet: quiet), terminator: "")
    }

    private func checkTree() throws(CLIError) {
        let others = [
            ("--quiet", quiet), ("--no-trunc", noTrunc), ("--show-digest", digests), ("--format", format != nil),
        ]
        for (flag, isGiven) in others where isGiven { throw CLIError("\(flag) is not yet supported with --tree") }
    }

    /// A row for each name and, where they are shown, digest of a name.
    private func rows(_ image: JSON, _ showsDigest: Bool) -> [JSON] {
        let tags = (image["RepoTags"]?.elements ?? []).compactMap(\.string).filter { $0 != "<none>:<none>" }
        let all = (image["RepoDigests"]?.elements ?? []).compactMap(\.string).filter { $0 != "<none>@<none>" }
        guard !tags.isEmpty || !all.isEmpty else { return [row(image, "<none>", "<none>", "<none>")] }
        let named = tags.map { tag -> (repository: String, tag: String) in
            let colon = tag.lastIndex(of: ":") ?? tag.endIndex
            return (String(tag[..<colon]), String(tag[colon...].dropFirst()))
        }
        var rows = named.flatMap { repository, tag -> [JSON] in
            let own = showsDigest ? all.filter { $0.cut("@").0 == repository }.map { $0.cut("@").1 ?? "" } : []
            return (own.isEmpty ? ["<none>"] : own).map { row(image, repository, tag, $0) }
        }
        var seen: Set<String> = []
        for (repository, digest) in all.map({ $0.cut("@") })
        where !named.contains(where: { $0.repository == repository }) {
            // Without a column for them, one row does for all digests of a name.
            guard digests || seen.insert(repository).inserted else { continue }
            rows.append(row(image, repository, "<none>", digests ? digest ?? "" : ""))
        }
        return rows
    }

    /// The texts of one of an image's names.
    func row(_ image: JSON, _ repository: String, _ tag: String, _ digest: String) -> JSON {
        let id = image.text("Id")
        let created = Double(image.int("Created"))
        func count(_ name: String) -> String { image.int(name) < 0 ? "N/A" : String(image.int(name)) }
        let size = Sizes.decimal(Double(image.int("Size")), digits: 3)
        return [
            "Containers": .string(count("Containers")), "CreatedAt": .string(Times.goString(created)),
            "CreatedSince": .string(Times.ago(created)), "Digest": .string(digest),
            "ID": .string(noTrunc ? id : Short.id(id)), "Repository": .string(repository),
            "SharedSize": .string(
                image.int("SharedSize") < 0 ? "N/A" : Sizes.decimal(image.int("SharedSize"))),
            "Size": .string(size), "Tag": .string(tag),
            "UniqueSize": .string(
                image.int("SharedSize") < 0 ? "N/A" : Sizes.decimal(image.int("Size") - image.int("SharedSize"))),
            "VirtualSize": .string(Sizes.decimal(image.int("Size"))),
        ]
    }
}

/// `docker rmi`.
struct RemoveImages: Command {
    static let usage = "rmi [OPTIONS] IMAGE [IMAGE...]"
    @Flag("-f --force", "Force removal of the image") var force = false
    @Flag("--no-prune", "Do not delete untagged parents") var noPrune = false
    @Option(
        "--platform",
        "Remove only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")")
    var platform = CommaList()
    @Argument var names: [String]

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        let flags = query(
            [("force", force ? "1" : nil), ("noprune", noPrune ? "1" : nil)]
                + (try platform.values.map { (text) throws(CLIError) in ("platforms", try PlatformName.json(text)) }))
        try forEach(names) { (name) throws(CLIError) in
            do throws(CLIError) {
                for item in try client.call("DELETE", imagePath(name) + flags).elements {
                    if let text = item["Deleted"]?.string {
                        say("Deleted: \(text)")
                    } else {
                        say("Untagged: \(item.text("Untagged"))")
                    }
                }
            } catch  where force && error.status == 404 {
                complain(error.message)
            }
        }
    }
}

/// `docker tag`.
struct Tag: Command {
    static let usage = "tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]"
    @Argument var source: String
    @Argument var target: String
    func run(_ settings: Settings) throws(CLIError) {
        let name: ImageName
        do throws(CLIError) { name = try ImageName(parsing: target) } catch {
            throw CLIError("Error parsing reference: \"\(target)\" is not a valid repository/tag: \(error.message)")
        }
        try settings.client().call(
            "POST", imagePath(source) + "/tag" + query([("repo", name.full), ("tag", name.tag ?? "latest")]))
    }
}

/// `docker history`.
struct History: Command {
    static let usage = "history [OPTIONS] IMAGE"
    @Option("--format", Help.listFormat) var format: String?
    @Flag("-H --human", "Print sizes and dates in human readable format (default true)")
    var human = true
    @Flag("--no-trunc", "Don't truncate output") var noTrunc = false
    @Option(
        "--platform",
        "Show history for the given platform. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")")
    var platform: String?
    @Flag("-q --quiet", "Only show image IDs") var quiet = false
    @Argument var name: String

    func run(_ settings: Settings) throws(CLIError) {
        let list = try settings.client().call(
            "GET", imagePath(name) + "/history" + query([("platform", try platform.map(PlatformName.json))]))
        let listing = Listing(
            standard:
                "table {{.ID}}\t{{\(!human ? ".CreatedAt" : ".CreatedSince")}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
            headers: ["ID": "IMAGE", "CreatedSince": "CREATED"], identifier: "ID", rowType: "*image.historyContext")
        let rows = list.elements.map { layer -> JSON in
            let created = Double(layer.int("Created"))
            let by = layer.text("CreatedBy").map { $0 == "\t" ? " " : String($0) }.joined()
            return [
                "Comment": .string(layer.text("Comment")), "CreatedAt": .string(Times.rfc3339(created)),
                "CreatedBy": .string(noTrunc ? by : Short.ellipsis(by, 45)),
                "CreatedSince": .string(created <= 0 ? "N/A" : Times.ago(created)),
                "ID": .string(
                    noTrunc || layer.text("Id") == "<missing>" ? layer.text("Id") : Short.id(layer.text("Id"))),
                "Size": .string(
                    !human ? String(layer.int("Size")) : Sizes.decimal(Double(layer.int("Size")), digits: 3)),
            ]
        }
        print(try listing.render(rows, format: format, quiet: quiet), terminator: "")
    }
}

/// `docker commit`.
struct Commit: Command {
    static let usage = "commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]"
    @Option("-a --author -author", "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")") var author: String?
    @Option("-c --change", "Apply Dockerfile instruction to the created image") var change: [String] = []
    @Option("-m --message", "Commit message") var message: String?
    @Flag("-p --pause", "Pause container during commit (default true)")
    var pause = true
    @Argument var container: String
    @Argument var reference: String?

    func run(_ settings: Settings) throws(CLIError) {
        let name = try reference.map { (text) throws(CLIError) in try ImageName(parsing: text) }
        var pairs: [(String, String?)] = [("author", author), ("comment", message), ("container", container)]
        pairs += change.map { ("changes", $0) }
        pairs += [("pause", !pause ? "0" : nil), ("repo", name?.full), ("tag", name.map { $0.tag ?? "latest" })]
        say(try settings.client().call("POST", "/commit" + query(pairs)).text("Id"))
    }
}

/// `docker save`.
struct Save: Command {
    static let usage = "save [OPTIONS] IMAGE [IMAGE...]"
    @Option("-o --output", "Write to a file, instead of STDOUT") var output: String?
    @Option(
        "--platform",
        "Save only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")")
    var platform: String?
    @Argument var names: [String]
    func run(_ settings: Settings) throws(CLIError) {
        try Download.check(output, "save")
        let parameters = names.map { ("names", $0) } + [("platform", try platform.map(PlatformName.json))]
        let response = try settings.client().open("GET", "/images/get" + query(parameters))
        try Download.write(response, to: output)
    }
}

/// `docker export`.
struct Export: Command {
    static let usage = "export [OPTIONS] CONTAINER"
    @Option("-o --output", "Write to a file, instead of STDOUT") var output: String?
    @Argument var name: String
    func run(_ settings: Settings) throws(CLIError) {
        try Download.check(output, "export")
        try Download.write(try settings.client().open("GET", try containerPath(name) + "/export"), to: output)
    }
}

/// `docker load`.
struct Load: Command {
    static let usage = "load [OPTIONS]"
    @Option("-i --input", "Read from tar archive file, instead of STDIN") var input: String?
    @Option(
        "--platform",
        "Load only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")")
    var platform: String?
    @Flag("-q --quiet", "Suppress the load output") var quiet = false

    func run(_ settings: Settings) throws(CLIError) {
        if input == nil, Terminal.isTerminal(0) { throw CLIError("requested load from stdin, but stdin is empty") }
        let source = try Upload(path: input)
        let quietly = quiet || !Terminal.isTerminal(1)
        let parameters = [("quiet", quietly ? "1" : "0"), ("platform", try platform.map(PlatformName.json))]
        let response = try settings.client().upload(
            "POST", "/images/load" + query(parameters), type: "application/x-tar",
            next: source.next)
        try Upload.show(response)
    }
}

/// `docker import`.
struct Import: Command {
    static let usage = "import [OPTIONS] file|URL|- [REPOSITORY[:TAG]]"
    @Option("-c --change", "Apply Dockerfile instruction to the created image") var change: [String] = []
    @Option("-m --message", "Set commit message for imported image") var message: String?
    @Option("--platform", "Set platform if server is multi-platform capable") var platform: String?
    @Argument var source: String
    @Argument var reference: String?

    func run(_ settings: Settings) throws(CLIError) {
        let remote = source.hasPrefix("http://") || source.hasPrefix("https://")
        var pairs: [(String, String?)] = change.map { ("changes", $0) }
        pairs += [
            ("fromSrc", remote ? source : "-"), ("message", message), ("platform", platform), ("repo", reference),
        ]
        let client = try settings.client()
        let path = "/images/create" + query(pairs)
        if remote { return try Upload.show(try client.open("POST", path)) }
        let source = try Upload(path: source == "-" ? nil : source)
        try Upload.show(try client.upload("POST", path, type: "application/x-tar", next: source.next))
    }
}
