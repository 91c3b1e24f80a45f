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
        try probe(settings.format(format, "psFormat", quiet: false))
        let format = settings.format(isIgnored && format != "raw" ? nil : format, "psFormat", quiet: quiet)
        let client = try settings.client()
        let count = latest && last == -1 ? 1 : last
        let sized = size || format?.contains(".Size") == true || format?.contains("json .}}") == true
        let parameters: [(String, String?)] = [
            ("all", all ? "1" : nil), ("filters", filter.encoded),
            ("limit", count > 0 ? String(count) : nil), ("size", sized ? "1" : nil),
        ]
        let containers = try client.call("GET", "/containers/json" + query(parameters)).elements
        let table = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
        let listing = Listing(
            standard: size ? table + "\t{{.Size}}" : table,
            headers: ["ID": "CONTAINER ID", "RunningFor": "CREATED", "LocalVolumes": "LOCAL VOLUMES"], identifier: "ID",
            rowType: Self.rowType,
            raw: (
                "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n"
                    + "state:{{pad .State 1 0}}\nstatus:{{pad .Status 1 0}}\nnames: {{.Names}}\n"
                    + "labels:{{pad .Labels 1 0}}\nports:{{pad .Ports 1 0}}\n"
                    + (size ? "size: {{.Size}}\n" : ""), "container_id: {{.ID}}"
            ),
            methods: format?.contains(".Label") == true
                ? Labels.methods(containers.map { row($0, reading: ["ID"]) }, containers, by: "ID") : [:])
        let text = try listing.render(format: format, quiet: quiet) { names in
            let columns = columns(reading: names)
            return containers.map { row($0, columns) }
        }
        print(text, terminator: "")
    }

    private static let rowType = "*formatter.ContainerContext"

    /// Applies a format to a container without anything, as Docker's client does before it asks for the list.
    private func probe(_ format: String?) throws(CLIError) {
        guard let format, !format.isEmpty else { return }
        let empty = JSON.object([])
        let template: Template
        do throws(CLIError) { template = try Template(format) } catch {
            throw CLIError("failed to parse template: \(error.message.droppingPrefix("template parsing error: "))")
        }
        let texts = row(empty, reading: template.membersRead?.union(["ID"]))
        var evaluator = TemplateEvaluator(template, methods: Labels.methods([texts], [empty], by: "ID"))
        do throws(CLIError) { _ = try evaluator.render(GoValue(open: texts, Self.rowType)) } catch {
            throw CLIError("failed to execute template: \(error.message)")
        }
    }

    /// The texts of a container.
    ///
    /// - Parameter names: of the texts that are needed; nil for all.
    func row(_ container: JSON, reading names: Set<String>? = nil) -> JSON {
        row(container, columns(reading: names))
    }

    private typealias Column = (name: String, text: @Sendable (ListContainers, JSON) -> JSON)

    private func row(_ container: JSON, _ columns: [Column]) -> JSON {
        .object(columns.map { .init(name: $0.name, value: $0.text(self, container)) })
    }

    private func columns(reading names: Set<String>?) -> [Column] {
        names.map { names in Self.columns.filter { names.contains($0.name) } } ?? Self.columns
    }

    private static let columns: [Column] = [
        ("Command", { .string($0.command(of: $1)) }),
        ("CreatedAt", { .string(Times.goString(Double($1.int("Created")))) }),
        ("ID", { .string($0.noTrunc ? $1.text("Id") : Short.id($1.text("Id"))) }),
        ("Image", { .string($0.image(of: $1)) }), ("Labels", { .string(Labels.text($1["Labels"])) }),
        ("LocalVolumes", { .string(String($0.mounts(of: $1).count { $0.text("Driver") == "local" })) }),
        ("Mounts", { list, container in .string(list.mounts(of: container).map(list.name).joined(separator: ",")) }),
        ("Names", { .string($0.names(of: $1).joined(separator: ",")) }),
        ("Networks", { .string($0.networks(of: $1).sorted().joined(separator: ",")) }),
        ("Platform", { $1["ImageManifestDescriptor"]?["platform"] ?? .null }),
        ("Ports", { .string(PortList.text($1["Ports"]?.elements ?? [])) }),
        ("RunningFor", { .string(Times.ago(Double($1.int("Created")))) }), ("Size", { .string($0.size(of: $1)) }),
        ("State", { $1["State"] ?? "" }), ("Status", { $1["Status"] ?? "" }),
    ]

    private func command(of container: JSON) -> String {
        let command = container.text("Command")
        return JSON.string(noTrunc ? command : Short.ellipsis(command, 20)).encoded(escapingHTML: false)
    }

    private func image(of container: JSON) -> String {
        let image = container.text("Image")
        if image.isEmpty { return "<no image>" }
        if !noTrunc, image.hasPrefix("sha256:") || image == container.text("ImageID") { return Short.id(image) }
        return image
    }

    private func mounts(of container: JSON) -> [JSON] { container["Mounts"]?.elements ?? [] }

    private func name(of mount: JSON) -> String {
        let name = mount.text("Name").isEmpty ? mount.text("Source") : mount.text("Name")
        return noTrunc ? name : Short.ellipsis(name, 15)
    }

    private func names(of container: JSON) -> [String] {
        let names = (container["Names"]?.elements ?? []).compactMap { $0.string?.utf8.drop { $0 == UInt8(ascii: "/") } }
            .compactMap { String($0) }
        return noTrunc ? names : names.filter { !$0.utf8.contains(UInt8(ascii: "/")) }
    }

    private func networks(of container: JSON) -> [String] {
        (container["NetworkSettings"]?["Networks"]?.members ?? []).map(\.name)
    }

    private func size(of container: JSON) -> String {
        let virtual = container.int("SizeRootFs")
        let size = Sizes.decimal(Double(container.int("SizeRw")), digits: 3)
        return virtual > 0 ? "\(size) (virtual \(Sizes.decimal(Double(virtual), digits: 3)))" : size
    }
}

/// Shortened identifiers and texts.
enum Short {
    /// Twelve digits, without the algorithm.
    static func id(_ text: String) -> String {
        let start = text.utf8.firstIndex(of: UInt8(ascii: ":")).map { text.utf8.index(after: $0) } ?? text.startIndex
        return String(text[start...].unicodeScalars.prefix(12))
    }

    /// At most `width` characters, the last one an ellipsis when something was cut.
    static func ellipsis(_ text: String, _ width: Int) -> String {
        text.utf8.count <= width || text.count <= width ? text : text.prefix(width - 1) + "…"
    }
}
