/// The stages of a pull as the daemon measured them.
enum PullTrace {
    /// One stretch in which a stage worked on one layer, perhaps with pauses. Times are in nanoseconds on the daemon's
    /// monotonic clock.
    struct Stage: Equatable {
        var name: String
        var layer: String
        var start: Int64
        var end: Int64
        var bytes: Int64
        /// How long it worked between start and end.
        var busy: Int64

        init(name: String, layer: String, start: Int64, end: Int64, bytes: Int64, busy: Int64) {
            self.name = name
            self.layer = layer
            self.start = start
            self.end = end
            self.bytes = bytes
            self.busy = busy
        }

        /// From the wire.
        init(_ value: JSON) {
            self.init(
                name: value.text("stage"), layer: value.text("layer"), start: value.int("start"), end: value.int("end"),
                bytes: value.int("bytes"), busy: value.int("busy"))
        }

        /// Seconds from its start to its end; never negative.
        var seconds: Double { Double(max(0, end &- start)) / 1e9 }
        /// Seconds it worked in that time.
        var busySeconds: Double { min(seconds, Double(max(0, busy)) / 1e9) }
        /// Whether it is a thread's waiting and no work.
        var isWait: Bool { name.contains("wait") }
    }

    /// The way of the bytes; stages an older or newer daemon has beside these come last.
    private static let order = [
        "resolve", "network wait", "receive", "hash blob", "write blob", "inflate", "hash tar", "parse", "write tar",
        "sync",
        "index", "commit", "wait for input block", "wait for input", "wait for blob", "wait for tar block",
        "wait for tar",
    ]

    /// Busy seconds of each stage over all layers, in the order the bytes go.
    static func totals(_ stages: [Stage]) -> [(name: String, seconds: Double, bytes: Int64)] {
        var totals: [(name: String, seconds: Double, bytes: Int64)] = []
        for stage in stages {
            if let index = totals.firstIndex(where: { $0.name == stage.name }) {
                totals[index].seconds += stage.busySeconds
                totals[index].bytes &+= stage.bytes
            } else {
                totals.append((stage.name, stage.busySeconds, stage.bytes))
            }
        }
        func rank(_ name: String) -> Int { order.firstIndex(of: name) ?? order.count }
        return totals.sorted { (rank($0.name), $0.name) < (rank($1.name), $1.name) }
    }

    /// Wall seconds from the first start to the last end.
    static func wallSeconds(_ stages: [Stage]) -> Double {
        guard let first = stages.map(\.start).min(), let last = stages.map(\.end).max() else { return 0 }
        return Double(max(0, last &- first)) / 1e9
    }

    /// Bytes of the layers' tars.
    static func tarBytes(_ stages: [Stage]) -> Int64 {
        stages.filter { $0.name == "write tar" }.reduce(0) { $0 &+ $1.bytes }
    }

    /// One line: busy seconds of every stage over all layers, wall time and rate of the unpacked bytes.
    static func summary(_ stages: [Stage]) -> String {
        let totals = totals(stages)
        let wall = wallSeconds(stages)
        let parts = totals.map { "\($0.name) \(Sizes.formatted($0.seconds, "%.2f"))s" }.joined(separator: ", ")
        let bytes = tarBytes(stages)
        return
            "\(parts); wall \(Sizes.formatted(wall, "%.2f"))s, \(Sizes.formatted(Double(bytes) / 1e6 / max(wall, 1e-9), "%.1f")) MB/s"
    }

    /// The Trace Event Format that Chrome's and Perfetto's viewers read; microseconds from the first start.
    static func chrome(_ stages: [Stage]) -> JSON {
        let origin = stages.map(\.start).min() ?? 0
        let layers = stages.reduce(into: [String]()) { if !$0.contains($1.layer) { $0.append($1.layer) } }
        var events: [JSON] = []
        for (index, layer) in layers.enumerated() {
            events.append([
                "name": "thread_name", "ph": "M", "pid": 1, "tid": JSON(index + 1), "args": ["name": .string(layer)],
            ])
        }
        for stage in stages {
            let lane = (layers.firstIndex(of: stage.layer) ?? 0) + 1
            events.append([
                "name": .string(stage.name), "cat": "pull", "ph": "X", "pid": 1, "tid": JSON(lane),
                "ts": .number(Sizes.formatted(Double(stage.start &- origin) / 1e3, "%.3f")),
                "dur": .number(Sizes.formatted(stage.seconds * 1e6, "%.3f")),
                "args": [
                    "bytes": JSON(stage.bytes), "busy_us": .number(Sizes.formatted(stage.busySeconds * 1e6, "%.3f")),
                ],
            ])
        }
        return ["traceEvents": .array(events), "displayTimeUnit": "ms"]
    }
}
