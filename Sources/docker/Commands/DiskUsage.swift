/// `docker system df`.
struct DiskUsage: Command {
    static let usage = "system df [OPTIONS]"
    @Option("--format", Help.listFormat) var format: String?
    @Flag("-v --verbose", "Show detailed information on space usage") var verbose = false

    func run(_ settings: Settings) throws(CLIError) {
        let usage = try settings.client().call("GET", "/system/df")
        guard !verbose else { return print(try DiskUsageDetails(usage).text(format), terminator: "") }
        let containers = usage["Containers"]?.elements ?? []
        let listing = Listing(
            standard: "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
            headers: ["TotalCount": "TOTAL"], identifier: "Type", rowType: "*formatter.diskUsageImagesContext")
        let rows = [
            images(usage),
            Self.row(
                "Containers", containers.count,
                containers.filter { ["running", "paused", "restarting"].contains($0.text("State")) }.count,
                containers.reduce(0) { $0 + $1.int("SizeRw") },
                containers.filter { !["running", "paused", "restarting"].contains($0.text("State")) }.reduce(0) {
                    $0 + $1.int("SizeRw")
                }),
            volumes(usage), buildCache(usage),
        ]
        print(try listing.render(rows, format: format), terminator: "")
    }

    private static func row(_ type: String, _ count: Int, _ active: Int, _ size: Int64, _ free: Int64) -> JSON {
        let share = size > 0 ? " (\(free * 100 / size)%)" : ""
        return row(type, count, active, size, Sizes.decimal(free) + share)
    }

    private static func row(_ type: String, _ count: Int, _ active: Int, _ size: Int64, _ free: String) -> JSON {
        [
            "Active": .string(String(active)), "Reclaimable": .string(free),
            "Size": .string(Sizes.decimal(size)), "TotalCount": .string(String(count)), "Type": .string(type),
        ]
    }

    private func images(_ usage: JSON) -> JSON {
        let images = usage["Images"]?.elements ?? []
        let used = images.filter { $0.int("Containers") > 0 }
        let bytes = used.filter { $0.int("Size") >= 0 && $0.int("SharedSize") >= 0 }
            .reduce(Int64(0)) { $0 + $1.int("Size") - $1.int("SharedSize") }
        let total = usage.int("LayersSize")
        return Self.row("Images", images.count, used.count, total, max(0, total - bytes))
    }

    private func volumes(_ usage: JSON) -> JSON {
        let volumes = usage["Volumes"]?.elements ?? []
        func size(_ volume: JSON) -> Int64 { max(0, volume["UsageData"]?.int("Size") ?? 0) }
        let unused = volumes.filter { ($0["UsageData"]?.int("RefCount") ?? 0) == 0 }
        return Self.row(
            "Local Volumes", volumes.count, volumes.count - unused.count, volumes.reduce(0) { $0 + size($1) },
            unused.reduce(0) { $0 + size($1) })
    }

    private func buildCache(_ usage: JSON) -> JSON {
        let records = usage["BuildCache"]?.elements ?? []
        let unused = records.filter { !$0.flag("InUse") && !$0.flag("Shared") }
        return Self.row(
            "Build Cache", records.count, records.filter { $0.flag("InUse") }.count,
            records.filter { !$0.flag("Shared") }.reduce(0) { $0 + $1.int("Size") },
            Sizes.decimal(unused.reduce(0) { $0 + $1.int("Size") }))
    }
}

/// `docker system df -v`: every object and what it takes.
struct DiskUsageDetails {
    private let usage: JSON

    /// - Parameter usage: the daemon's answer.
    init(_ usage: JSON) { self.usage = usage }

    /// Four tables; or lines by a template over all rows.
    func text(_ format: String?) throws(CLIError) -> String {
        guard format == nil || format?.isEmpty == true || format == "table" else {
            let whole: JSON = [
                "Images": .array(images(true)), "Containers": .array(containers(true)), "Volumes": .array(volumes),
                "BuildCache": .array(records(true)),
            ]
            if format == "json" { return whole.encoded() }
            return try Template(format ?? "").render(GoValue(open: whole, "*formatter.diskUsageContext"))
        }
        let columns: [(title: String, rows: [JSON], listing: Listing)] = [
            ("Images space usage:", images(false), Self.images),
            ("\nContainers space usage:", containers(false), Self.containers),
            ("\nLocal Volumes space usage:", volumes, Self.volumes),
            (
                "\nBuild cache usage: \(Sizes.decimal(cacheBytes))", records(false),
                Self.records
            ),
        ]
        var text = ""
        for table in columns { text += table.title + "\n\n" + (try table.listing.render(table.rows, format: nil)) }
        return text
    }

    private static let images = Listing(
        standard:
            "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
        headers: [
            "ID": "IMAGE ID", "CreatedSince": "CREATED", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
        ], identifier: "ID", rowType: "*formatter.imageContext")
    private static let containers = Listing(
        standard:
            "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
        headers: ["ID": "CONTAINER ID", "RunningFor": "CREATED", "LocalVolumes": "LOCAL VOLUMES"], identifier: "ID",
        rowType: "*formatter.ContainerContext")
    private static let volumes = Listing(
        standard: "table {{.Name}}\t{{.Links}}\t{{.Size}}", headers: ["Name": "VOLUME NAME"], identifier: "Name",
        rowType: "*formatter.volumeContext")
    private static let records = Listing(
        standard:
            "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}",
        headers: [
            "ID": "CACHE ID", "CacheType": "CACHE TYPE", "CreatedSince": "CREATED", "LastUsedSince": "LAST USED",
            "UsageCount": "USAGE",
        ], identifier: "ID", rowType: "*formatter.buildCacheContext")

    /// What the cache takes that nothing else does.
    private var cacheBytes: Int64 { cache.filter { !$0.flag("Shared") }.reduce(0) { $0 + $1.int("Size") } }

    private func images(_ isWhole: Bool) -> [JSON] {
        (usage["Images"]?.elements ?? []).map { image in
            let tag = image["RepoTags"]?.elements.first?.string ?? "<none>:<none>"
            let colon = tag.lastIndex(of: ":") ?? tag.endIndex
            return ListImages(isWhole: isWhole).row(
                image, String(tag[..<colon]), String(tag[colon...].dropFirst()), "")
        }
    }

    private func containers(_ isWhole: Bool) -> [JSON] {
        (usage["Containers"]?.elements ?? []).map { container in
            // Only what they take themselves counts here.
            let own = container.members.filter { $0.name != "SizeRootFs" }
            return ListContainers(isWhole: isWhole).row(.object(own))
        }
    }
    private var volumes: [JSON] { (usage["Volumes"]?.elements ?? []).map(ListVolumes.row) }
    private var cache: [JSON] { usage["BuildCache"]?.elements ?? [] }

    private func records(_ isWhole: Bool) -> [JSON] {
        cache.map { record in
            func ago(_ name: String) -> String {
                Times.instant(record.text(name)).map { Times.ago(Double($0.seconds)) } ?? ""
            }
            return [
                "CacheType": .string(record.text("Type")),
                "CreatedAt": .string(Times.goString(rfc3339: record.text("CreatedAt"))),
                "CreatedSince": .string(ago("CreatedAt")), "Description": .string(record.text("Description")),
                "ID": .string(isWhole ? record.text("ID") : Short.id(record.text("ID"))),
                "InUse": .string(String(record.flag("InUse"))),
                "LastUsedAt": .string(Times.goString(rfc3339: record.text("LastUsedAt"))),
                "LastUsedSince": .string(ago("LastUsedAt")), "Parent": .string(record.text("Parent")),
                "Shared": .string(String(record.flag("Shared"))),
                "Size": .string(Sizes.decimal(Double(record.int("Size")), digits: 3)),
                "UsageCount": .string(String(record.int("UsageCount"))),
            ]
        }
    }
}
