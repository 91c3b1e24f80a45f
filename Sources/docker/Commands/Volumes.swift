/// `docker volume ls`.
struct ListVolumes: Command {
    static let usage = "volume ls [OPTIONS]"
    @Flag("--cluster", "Display only cluster volumes, and use cluster volume list formatting") var cluster = false
    @Option("-f --filter", "Provide filter values (e.g. \"dangling=true\")") var filter = Filters()
    @Option("--format", Help.listFormat) var format: String?
    @Flag("-q --quiet", "Only display volume names") var quiet = false
    /// Docker's help has no such flag.
    @Flag("-s --size", nil) var size = false

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        let answer = try client.call("GET", "/volumes" + query([("filters", filter.encoded)]))
        let sorted = (answer["Volumes"]?.elements ?? []).sorted {
            NaturalOrder.isAscending($0.text("Name"), $1.text("Name"))
        }
        let listed = cluster ? sorted.filter { ($0["ClusterVolume"] ?? .null) != .null } : sorted
        let shown = size ? try VolumeUse.measured(listed, client) : listed
        let rows = shown.map(Self.row)
        let format = settings.format(format, "volumesFormat", quiet: quiet)
        let listing = Listing(
            standard: cluster
                ? "table {{.Name}}\t{{.Group}}\t{{.Driver}}\t{{.Availability}}\t{{.Status}}"
                : "table {{.Driver}}\t{{.Name}}" + (size ? "\t{{.Size}}\t{{.Links}}" : ""),
            headers: ["Name": "VOLUME NAME"], identifier: "Name",
            rowType: "*formatter.volumeContext", raw: ("name: {{.Name}}\ndriver: {{.Driver}}\n", "name: {{.Name}}"),
            methods: Labels.methods(rows, shown, by: "Name"))
        print(try listing.render(rows, format: format, quiet: quiet), terminator: "")
    }

    /// Bytes for people; `N/A` where they were not asked for.
    static func size(of volume: JSON) -> String {
        let usage = volume["UsageData"].flatMap { $0 == .null ? nil : $0 }
        return usage.map { Sizes.decimal($0.int("Size")) } ?? "N/A"
    }

    /// The texts of a volume.
    static func row(_ volume: JSON) -> JSON {
        let usage = volume["UsageData"].flatMap { $0 == .null ? nil : $0 }
        return [
            "Availability": "N/A", "Driver": .string(volume.text("Driver")), "Group": "N/A",
            "Labels": .string(Labels.text(volume["Labels"])),
            "Links": .string(usage.map { String($0.int("RefCount")) } ?? "N/A"),
            "Mountpoint": .string(volume.text("Mountpoint")), "Name": .string(volume.text("Name")),
            "Scope": .string(volume.text("Scope")),
            "Size": .string(size(of: volume)), "Status": "N/A",
        ]
    }
}

/// `docker volume update`.
struct UpdateVolume: Command {
    static let usage = "volume update [OPTIONS] [VOLUME]"
    @Option(
        "--availability", "Cluster Volume availability (\"active\", \"pause\", \"drain\") (default \"active\")")
    var availability = "active"
    @Argument var name: String

    /// Docker's help has no such flags.
    @Option("--label", nil) var label = CheckedList<LabelRule>()
    @Option("--label-rm", nil) var removed: [String] = []

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        let volume = try client.call("GET", "/volumes/\(escaped(name))")
        guard !label.values.isEmpty || !removed.isEmpty else {
            // Volumes of a swarm are the only ones with anything else to update, and there are none here.
            throw CLIError("can only update cluster volumes")
        }
        var labels: [String: String] = [:]
        for member in volume["Labels"]?.members ?? [] { labels[member.name] = member.value.string }
        for name in removed { labels[name] = nil }
        labels.merge(KeyValues.map(label.values)) { $1 }
        try client.call("PUT", "/volumes/\(escaped(name))", ["Labels": JSON(map: labels)])
        say(name)
    }
}

/// `docker volume create`.
struct CreateVolume: Command {
    static let usage = "volume create [OPTIONS] [VOLUME]"
    @Option("-d --driver", "Specify volume driver name") var driver = "local"
    @Option("--label", "Set metadata for a volume") var label = CheckedList<LabelRule>()
    @Option("-o --opt", "Set driver specific options") var opt = KeyValueMap()
    @Option("--name", "Specify volume name") var name: String?
    @Argument var volume: String?

    func run(_ settings: Settings) throws(CLIError) {
        let body: JSON = [
            "Driver": .string(driver), "DriverOpts": JSON(map: opt.values),
            "Labels": JSON(map: KeyValues.map(label.values)), "Name": .string(volume ?? name ?? ""),
        ]
        say(try settings.client().call("POST", "/volumes/create", body).text("Name"))
    }
}

/// `docker volume rm`.
struct RemoveVolumes: Command {
    static let usage = "volume rm [OPTIONS] VOLUME [VOLUME...]"
    @Flag("-f --force", "Force the removal of one or more volumes") var force = false
    @Argument var names: [String]
    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        try forEach(names) { (name) throws(CLIError) in
            try client.call("DELETE", "/volumes/\(escaped(name))" + query([("force", force ? "1" : nil)]))
            say(name)
        }
    }
}

/// `docker volume clone`.
struct CloneVolume: Command {
    static let usage = "volume clone [OPTIONS] SOURCE VOLUME"
    @Option("--label", "Set metadata for the new volume instead of the source's") var label = CheckedList<LabelRule>()
    @Flag("--no-pause", "Let containers that use the source go on meanwhile") var noPause = false
    @Argument var source: String
    @Argument var target: String

    func run(_ settings: Settings) throws(CLIError) {
        let body: JSON? = label.values.isEmpty ? nil : ["Labels": JSON(map: KeyValues.map(label.values))]
        try VolumeCopy.make(settings, "clone", of: source, named: target, noPause: noPause, body)
    }
}

/// `docker volume snapshot`.
struct SnapshotVolume: Command {
    static let usage = "volume snapshot [OPTIONS] SOURCE [NAME]"
    @Flag("--no-pause", "Let containers that use the source go on meanwhile") var noPause = false
    @Argument var source: String
    @Argument var name: String?

    func run(_ settings: Settings) throws(CLIError) {
        try VolumeCopy.make(settings, "snapshot", of: source, named: name, noPause: noPause, nil)
    }
}

/// What clones and snapshots have in common.
private enum VolumeCopy {
    /// Has the daemon make a copy and prints its name; shows how far it is on a terminal.
    static func make(
        _ settings: Settings, _ verb: String, of source: String, named name: String?, noPause: Bool, _ body: JSON?
    ) throws(CLIError) {
        let shows = Terminal.isTerminal(2)
        let pairs = [("name", name), ("pause", noPause ? "0" : nil), ("progress", shows ? "1" : nil)]
        let response = try settings.client().open("POST", "/volumes/\(escaped(source))/\(verb)" + query(pairs), body)
        guard shows else { return say(try response.json().text("Name")) }
        try Upload.show(response, on: 2)
    }
}

/// `docker volume rename`.
struct RenameVolume: Command {
    static let usage = "volume rename VOLUME NEW_NAME"
    @Argument var name: String
    @Argument var target: String

    func run(_ settings: Settings) throws(CLIError) {
        try settings.client().call("POST", "/volumes/\(escaped(name))/rename" + query([("name", target)]))
    }
}
