/// `docker ps`.
struct ListContainers: Command {
    static let usage = "ps [OPTIONS]"
    @Flag("-a --all", "Show all containers (default shows just running)") var all = false
    @Option("-f --filter", "Filter output based on conditions provided") var filter = Filters()
    @Option("--format", Help.listFormat) var format: String?
    @Option("-n --last", "Show n last created containers (includes all states) (default -1)") var last = -1
    @Flag("-l --latest", "Show the latest created container (includes all states)") var latest = false
    @Flag("--no-trunc -notrunc", "Don't truncate output") var noTrunc = false
    @Flag("-q --quiet", "Only display container IDs") var quiet = false
    @Flag("-s --size", "Display total file sizes") var size = false

    init() {}

    /// For rows of other lists.
    ///
    /// - Parameter isWhole: nothing is shortened.
    init(isWhole: Bool) { _noTrunc = Flag(wrappedValue: isWhole, "--no-trunc", nil) }

    func run(_ settings: Settings) throws(CLIError) {
        let isIgnored = quiet && !(format ?? "").isEmpty
        if isIgnored { complain("WARNING: Ignoring custom format, because both --format and --quiet are set.") }
        let format = settings.format(isIgnored && format != "raw" ? nil : format, "psFormat", quiet: quiet)
        let client = try settings.client()
        let count = latest && last == -1 ? 1 : last
        let sized = size || format?.contains(".Size") == true || format?.contains("json .}}") == true
        let parameters: [(String, String?)] = [
            ("all", all ? "1" : nil), ("filters", filter.encoded),
            ("limit", count > 0 ? String(count) : nil), ("size", sized ? "1" : nil),
        ]
        let list = try client.call("GET", "/containers/json" + query(parameters))
        let columns = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
        let rows = list.elements.map(row)
        let listing = Listing(
            standard: size ? columns + "\t{{.Size}}" : columns,
            headers: ["ID": "CONTAINER ID", "RunningFor": "CREATED", "LocalVolumes": "LOCAL VOLUMES"], identifier: "ID",
            rowType: "*formatter.ContainerContext",
            raw: (
                "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n"
                    + "state:{{pad .State 1 0}}\nstatus:{{pad .Status 1 0}}\nnames: {{.Names}}\n"
                    + "labels:{{pad .Labels 1 0}}\nports:{{pad .Ports 1 0}}\n"
                    + (size ? "size: {{.Size}}\n" : ""), "container_id: {{.ID}}"
            ),
            errorWords: (parsing: "failed to parse template", executing: "failed to execute template"),
            methods: Labels.methods(rows, list.elements, by: "ID"))
        print(try listing.render(rows, format: format, quiet: quiet), terminator: "")
    }

    /// The texts of a container.
    func row(_ container: JSON) -> JSON {
        let id = container.text("Id")
        let names = (container["Names"]?.elements ?? []).compactMap { $0.string?.drop { $0 == "/" } }.map(String.init)
        let shown = noTrunc ? names : names.filter { !$0.contains("/") }
        let command = container.text("Command")
        var image = container.text("Image")
        if image.isEmpty { image = "<no image>" }
        if !noTrunc, image == container.text("ImageID") || image.hasPrefix("sha256:") { image = Short.id(image) }
        let mounts = (container["Mounts"]?.elements ?? []).map { mount -> String in
            let name = mount.text("Name").isEmpty ? mount.text("Source") : mount.text("Name")
            return noTrunc ? name : Short.ellipsis(name, 15)
        }
        let volumes = (container["Mounts"]?.elements ?? []).filter { $0.text("Driver") == "local" }.count
        let networks = (container["NetworkSettings"]?["Networks"]?.members ?? []).map(\.name).sorted()
        let created = Double(container.int("Created"))
        let quoted = JSON.string(noTrunc ? command : Short.ellipsis(command, 20)).encoded(escapingHTML: false)
        let virtual = container.int("SizeRootFs")
        let size = Sizes.decimal(Double(container.int("SizeRw")), digits: 3)
        return [
            "Command": .string(quoted), "CreatedAt": .string(Times.goString(created)),
            "ID": .string(noTrunc ? id : Short.id(id)), "Image": .string(image),
            "Labels": .string(Labels.text(container["Labels"])), "LocalVolumes": .string(String(volumes)),
            "Mounts": .string(mounts.joined(separator: ",")), "Names": .string(shown.joined(separator: ",")),
            "Networks": .string(networks.joined(separator: ",")),
            "Platform": container["ImageManifestDescriptor"]?["platform"] ?? .null,
            "Ports": .string(PortList.text(container["Ports"]?.elements ?? [])),
            "RunningFor": .string(Times.ago(created)),
            "Size": .string(virtual > 0 ? "\(size) (virtual \(Sizes.decimal(Double(virtual), digits: 3)))" : size),
            "State": .string(container.text("State")), "Status": .string(container.text("Status")),
        ]
    }
}

/// Shortened identifiers and texts.
enum Short {
    /// Twelve digits, without the algorithm.
    static func id(_ text: String) -> String {
        String((text.cut(":").1 ?? text).prefix(12))
    }

    /// At most `width` characters, the last one an ellipsis when something was cut.
    static func ellipsis(_ text: String, _ width: Int) -> String {
        text.count <= width ? text : text.prefix(width - 1) + "…"
    }
}
