@preconcurrency import Glibc

/// `docker stats`.
struct Stats: Command {
    static let usage = "stats [OPTIONS] [CONTAINER...]"
    @Flag("-a --all", "Show all containers (default shows just running)") var all = false
    @Option("--format", Help.listFormat) var format: String?
    @Flag("--no-stream", "Disable streaming stats and only pull the first result") var noStream = false
    @Flag("--no-trunc", "Do not truncate output") var noTrunc = false
    @Argument var names: [String] = []

    /// Milliseconds between two drawings.
    private static let drawMilliseconds: CInt = 500
    /// Drawings between two looks for new containers.
    private static let drawsBetweenLists = 4

    private static let listing = Listing(
        standard:
            "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
        headers: [
            "ID": "CONTAINER ID", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT", "MemPerc": "MEM %",
            "NetIO": "NET I/O",
            "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
        ], identifier: "ID", rowType: "*container.statsContext")

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        let containers = try list(client)
        if noStream { return print(try render(try once(client, containers)), terminator: "") }
        try stream(client, containers)
    }

    /// The containers to show, as they are named in requests.
    private func list(_ client: Client) throws(CLIError) -> [String] {
        guard names.isEmpty else {
            for name in names { try client.call("GET", try containerPath(name) + "/json") }
            return names
        }
        return try client.call("GET", "/containers/json" + query([("all", all ? "1" : nil)])).elements.map {
            Short.id($0.text("Id"))
        }
    }

    /// One measurement of each, all taken at the same time.
    private func once(_ client: Client, _ containers: [String]) throws(CLIError) -> [JSON] {
        var waiting: [(name: String, connection: Connection)] = []
        for name in containers {
            waiting.append((name, try client.begin("GET", try containerPath(name) + "/stats?stream=0")))
        }
        var rows: [JSON] = []
        for (name, connection) in waiting {
            let sample = try client.finish(connection).json()
            rows.append(StatsRow(sample).display(name, noTrunc))
        }
        return rows
    }

    /// One container's endless answer and its latest measurement.
    private struct Feed {
        let name: String
        let response: Response
        var sample: JSON?
        var ended = false
    }

    private func stream(_ client: Client, _ containers: [String]) throws(CLIError) {
        var feeds: [Feed] = []
        var draws = 0
        try open(client, containers, &feeds)
        while true {
            try gather(&feeds)
            try draw(feeds)
            feeds.removeAll(where: \.ended)
            draws += 1
            if names.isEmpty, draws % Self.drawsBetweenLists == 0 {
                let current = try list(client)
                try open(client, current.filter { name in !feeds.contains { $0.name == name } }, &feeds)
            } else if !names.isEmpty, feeds.isEmpty {
                return
            }
        }
    }

    private func open(_ client: Client, _ containers: [String], _ feeds: inout [Feed]) throws(CLIError) {
        var waiting: [(name: String, connection: Connection)] = []
        for name in containers {
            waiting.append((name, try client.begin("GET", try containerPath(name) + "/stats?stream=1")))
        }
        for (name, connection) in waiting { feeds.append(Feed(name: name, response: try client.finish(connection))) }
    }

    /// Takes what arrives until it is time to draw.
    private func gather(_ feeds: inout [Feed]) throws(CLIError) {
        let end = Times.now + Double(Self.drawMilliseconds) / 1e3
        while true {
            let left = CInt(max(0, ((end - Times.now) * 1e3).rounded(.up)))
            guard left > 0 else { return }
            var set = feeds.map {
                pollfd(fd: $0.ended ? -1 : $0.response.connection.raw, events: Int16(POLLIN), revents: 0)
            }
            if poll(&set, nfds_t(set.count), left) < 0, errno != EINTR { throw .system("poll", errno) }
            for index in feeds.indices where set[index].revents != 0 {
                if let sample = try feeds[index].response.nextMessage() {
                    feeds[index].sample = sample
                } else {
                    feeds[index].ended = true
                }
            }
        }
    }

    private func draw(_ feeds: [Feed]) throws(CLIError) {
        let rows = feeds.map { feed in
            feed.sample.map { StatsRow($0).display(feed.name, noTrunc) } ?? StatsRow.empty(feed.name)
        }
        let lines = try render(rows).split(separator: "\n", omittingEmptySubsequences: false)
        try writeAll(1, Array(("\u{1b}[H" + lines.map { "\($0) \u{1b}[K\n" }.joined() + "\u{1b}[J").utf8))
    }

    private func render(_ rows: [JSON]) throws(CLIError) -> String { try Self.listing.render(rows, format: format) }
}

/// One measurement of a container's use of resources, as the API gives it.
struct StatsRow {
    private let sample: JSON

    init(_ sample: JSON) { self.sample = sample }

    /// Share of one CPU's time in percent since the measurement before.
    var cpuPercent: Double {
        let now = sample["cpu_stats"]
        let before = sample["precpu_stats"]
        func used(_ stats: JSON?) -> Double { Double(stats?["cpu_usage"]?.int("total_usage") ?? 0) }
        func system(_ stats: JSON?) -> Double { Double(stats?.int("system_cpu_usage") ?? 0) }
        var count = Double(now?.int("online_cpus") ?? 0)
        if count == 0 { count = Double(now?["cpu_usage"]?["percpu_usage"]?.elements.count ?? 0) }
        let usedDelta = used(now) - used(before)
        let systemDelta = system(now) - system(before)
        return usedDelta > 0 && systemDelta > 0 ? usedDelta / systemDelta * count * 100 : 0
    }

    /// Bytes used, without the page cache that can be dropped.
    var memoryBytes: Double {
        let memory = sample["memory_stats"]
        let usage = memory?.int("usage") ?? 0
        let stats = memory?["stats"]
        let inactive = stats?["total_inactive_file"]?.int ?? stats?.int("inactive_file") ?? 0
        return Double(inactive < usage ? usage - inactive : usage)
    }

    /// The row of the list, in display texts.
    func display(_ name: String, _ isWhole: Bool) -> JSON {
        let limit = Double(sample["memory_stats"]?.int("limit") ?? 0)
        let share = limit > 0 ? memoryBytes / limit * 100 : 0
        func pair(_ first: Int64, _ second: Int64) -> JSON {
            .string("\(Sizes.decimal(Double(first), digits: 3)) / \(Sizes.decimal(Double(second), digits: 3))")
        }
        let networks = (sample["networks"]?.members ?? []).map(\.value)
        let blocks = sample["blkio_stats"]?["io_service_bytes_recursive"]?.elements ?? []
        func moved(_ letter: String) -> Int64 {
            blocks.filter { $0.text("op").lowercased().hasPrefix(letter) }.reduce(0) { $0 &+ $1.int("value") }
        }
        let id = sample.text("id")
        let known = sample.text("name").drop { $0 == "/" }
        return [
            "BlockIO": pair(moved("r"), moved("w")), "CPUPerc": .string(Sizes.formatted(cpuPercent, "%.2f%%")),
            "Container": .string(name), "ID": .string(id.isEmpty ? name : isWhole ? id : Short.id(id)),
            "MemPerc": .string(Sizes.formatted(share, "%.2f%%")),
            "MemUsage": .string("\(Sizes.binary(memoryBytes)) / \(Sizes.binary(limit))"),
            "Name": .string(String(known)),
            "NetIO": pair(
                networks.reduce(0) { $0 &+ $1.int("rx_bytes") }, networks.reduce(0) { $0 &+ $1.int("tx_bytes") }),
            "PIDs": .string(String(sample["pids_stats"]?.int("current") ?? 0)),
        ]
    }

    /// The row of a container that has not been measured yet.
    static func empty(_ name: String) -> JSON {
        [
            "BlockIO": "-- / --", "CPUPerc": "--", "Container": .string(name), "ID": .string(name), "MemPerc": "--",
            "MemUsage": "-- / --", "Name": "--", "NetIO": "-- / --", "PIDs": "--",
        ]
    }
}
