/// `docker volume top`: which containers use a volume, and how.
struct VolumeUsers: Command {
    static let usage = "volume top [OPTIONS] VOLUME"
    @Option("--format", Help.listFormat) var format: String?
    @Flag("--no-trunc", "Don't truncate output") var noTrunc = false
    @Argument var name: String

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        try client.call("GET", "/volumes/\(escaped(name))")
        let filter = Filters().adding("volume", name)
        let containers = try client.call(
            "GET", "/containers/json" + query([("all", "1"), ("filters", filter.encoded)]))
        let rows = containers.elements.flatMap { container in
            (container["Mounts"]?.elements ?? []).filter { $0.text("Name") == name }.map { row(container, $0) }
        }
        let listing = Listing(
            standard: "table {{.ID}}\t{{.Name}}\t{{.Status}}\t{{.Destination}}\t{{.Access}}",
            headers: ["ID": "CONTAINER ID"], identifier: "ID", rowType: "volumeUser")
        print(try listing.render(rows, format: format), terminator: "")
    }

    private func row(_ container: JSON, _ mount: JSON) -> JSON {
        let id = container.text("Id")
        let names = (container["Names"]?.elements ?? []).compactMap(\.string)
        return [
            "Access": mount.flag("RW") ? "rw" : "ro", "Destination": .string(mount.text("Destination")),
            "ID": .string(noTrunc ? id : Short.id(id)),
            "Name": .string(names.first.map { String($0.dropFirst()) } ?? ""),
            "State": .string(container.text("State")), "Status": .string(container.text("Status")),
        ]
    }
}

/// What a volume holds, and what a prune would take away.
enum VolumeUse {
    /// The same volumes with their `UsageData`.
    static func measured(_ volumes: [JSON], _ client: Client) throws(CLIError) -> [JSON] {
        let usage = try client.call("GET", "/system/df" + query([("type", "volume")]))["Volumes"]?.elements ?? []
        let known = Dictionary(usage.map { ($0.text("Name"), $0) }) { first, _ in first }
        return volumes.map { known[$0.text("Name")] ?? $0 }
    }

    /// Lines that tell what a prune would remove; nothing when that cannot be asked, or there is nothing.
    static func toBePruned(_ filters: Filters, all: Bool, _ client: Client) throws(CLIError) -> String {
        // Lists do not know it.
        if filters.has("label!") { return "" }
        let unused = filters.adding("dangling", "true")
        let volumes =
            try client.call("GET", "/volumes" + query([("filters", unused.encoded)]))["Volumes"]?.elements ?? []
        let going = volumes.filter { all || $0["Labels"]?["com.docker.volume.anonymous"] != nil }
        guard !going.isEmpty else { return "" }
        let rows = try measured(going, client).map { "  \($0.text("Name"))  \(ListVolumes.size(of: $0))\n" }
        return "These would go:\n" + rows.joined()
    }
}
