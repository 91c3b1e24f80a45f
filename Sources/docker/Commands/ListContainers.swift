/// `docker ps`.
struct ListContainers: Command {
    static let usage = "ps [OPTIONS]"
    @Flag("-a --all", "Show all containers (default shows just running)") var all = false
    @Option("-f --filter", "Filter output based on conditions provided") var filter: [String] = []
    @Option("--format", "Format output using a custom template") var format: String?
    @Option("-n --last", "Show n last created containers (includes all states)") var last =
        -1
    @Flag("-l --latest", "Show the latest created container (includes all states)") var latest = false
    @Flag("--no-trunc", "Don't truncate output") var noTrunc = false
    @Flag("-q --quiet", "Only display container IDs") var quiet = false
    @Flag("-s --size", "Display total file sizes") var size = false

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        let count = latest && last == -1 ? 1 : last
        let sized = size || format?.contains(".Size") == true || format?.contains("json .}}") == true
        let parameters: [(String, String?)] = [
            ("all", all ? "1" : nil), ("filters", try Filters.encode(filter)),
            ("limit", count > 0 ? String(count) : nil), ("size", sized ? "1" : nil),
        ]
        let list = try client.call("GET", "/containers/json" + query(parameters))
        var format = format
        if format == nil, !quiet { format = try ConfigFile(folder: settings.folder).setting("psFormat") }
        let columns = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
        let listing = Listing(
            standard: size ? columns + "\t{{.Size}}" : columns,
            headers: ["ID": "CONTAINER ID", "RunningFor": "CREATED", "LocalVolumes": "LOCAL VOLUMES"], identifier: "ID",
            methods: [
                "Label": { row, arguments in
                    let labels = KeyValues.map(row.text("Labels").split(separator: ",").map(String.init))
                    return .string(labels[arguments.first?.string ?? ""] ?? "")
                }
            ])
        print(try listing.render(list.elements.map(row), format: format, quiet: quiet), terminator: "")
    }

    private func row(_ container: JSON) -> JSON {
        let id = container.text("Id")
        let names = (container["Names"]?.elements ?? []).compactMap { $0.string?.drop { $0 == "/" } }.map(String.init)
        let shown = noTrunc ? names : names.filter { !$0.contains("/") }
        let command = container.text("Command")
        var image = container.text("Image")
        if image.isEmpty { image = "<no image>" }
        if !noTrunc, image == container.text("ImageID") || image.hasPrefix("sha256:") { image = Short.id(image) }
        let labels = (container["Labels"]?.members ?? []).map { "\($0.name)=\($0.value.string ?? "")" }.sorted()
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
            "Labels": .string(labels.joined(separator: ",")), "LocalVolumes": .string(String(volumes)),
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

/// The PORTS column: `0.0.0.0:8080->80/tcp`, neighbours joined to ranges.
enum PortList {
    private struct Run: Equatable {
        var ip: String
        var kind: String
        var inside: ClosedRange<Int64>
        var outside: ClosedRange<Int64>?
    }

    static func text(_ ports: [JSON]) -> String {
        var runs: [Run] = []
        let sorted = ports.sorted { left, right in
            let keys = ["PrivatePort", "PublicPort"].map { (left.int($0), right.int($0)) }
            if keys[0].0 != keys[0].1 { return keys[0].0 < keys[0].1 }
            if left.text("IP") != right.text("IP") { return left.text("IP") < right.text("IP") }
            return keys[1].0 != keys[1].1 ? keys[1].0 < keys[1].1 : left.text("Type") < right.text("Type")
        }
        for port in sorted {
            let inside = port.int("PrivatePort")
            let outside = port.int("PublicPort")
            let ip = port.text("IP")
            let next = Run(
                ip: ip, kind: port.text("Type"), inside: inside...inside, outside: outside > 0 ? outside...outside : nil
            )
            if let index = runs.firstIndex(where: { joins($0, next) }) {
                runs[index].inside = runs[index].inside.lowerBound...inside
                if let first = runs[index].outside { runs[index].outside = first.lowerBound...outside }
            } else {
                runs.append(next)
            }
        }
        let published = runs.filter { $0.outside != nil }
        return (runs.filter { $0.outside == nil } + published).sorted { $0.inside.lowerBound < $1.inside.lowerBound }
            .map(text).joined(separator: ", ")
    }

    private static func joins(_ run: Run, _ next: Run) -> Bool {
        guard run.ip == next.ip, run.kind == next.kind, run.inside.upperBound + 1 == next.inside.lowerBound else {
            return false
        }
        guard let first = run.outside, let second = next.outside else {
            return run.outside == nil && next.outside == nil
        }
        return first.upperBound + 1 == second.lowerBound
    }

    private static func text(_ run: Run) -> String {
        func range(_ range: ClosedRange<Int64>) -> String {
            range.count == 1 ? String(range.lowerBound) : "\(range.lowerBound)-\(range.upperBound)"
        }
        let inside = "\(range(run.inside))/\(run.kind)"
        guard let outside = run.outside else { return inside }
        return (run.ip.contains(":") ? "[\(run.ip)]" : run.ip) + ":\(range(outside))->\(inside)"
    }
}
