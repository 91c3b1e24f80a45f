import RegistryStore

/// What is told about the store and about what the registry does by itself. Counting takes a look at every row, so that what was
/// counted is told for a while.
actor Figures {
    struct Counted: Sendable {
        let store: StoreFigures
        let hooks: [HookStatus]
        let copies: [CopyStatus]
    }

    private static let memory = Duration.seconds(30)

    private let store: RegistryStore
    private let rules: Upkeep.Rules
    private var counting: (began: ContinuousClock.Instant, task: Task<Counted, any Error>)?
    private var last: Counted?

    init(_ store: RegistryStore, _ rules: Upkeep.Rules) {
        self.store = store
        self.rules = rules
    }

    /// - Throws: what the index does.
    func current() async throws -> Counted {
        let task = begin()
        do {
            return try await task.value
        } catch {
            counting = nil
            throw error
        }
    }

    /// What was counted last, for those who cannot wait; nil before anything was.
    func recent() -> Counted? {
        _ = begin()
        return last
    }

    /// Counts, unless that was done a moment ago or is under way.
    private func begin() -> Task<Counted, any Error> {
        if let counting, .now - counting.began < Self.memory { return counting.task }
        let (store, rules) = (store, rules)
        // Those that ask meanwhile wait for the same.
        let task = Task {
            var (hooks, copies) = ([HookStatus](), [CopyStatus]())
            for hook in rules.webhooks { hooks.append(try await store.hookStatus(hook.name)) }
            for rule in rules.replication { copies.append(try await store.copyStatus(rule.name)) }
            let found = Counted(store: try await store.figures(), hooks: hooks, copies: copies)
            last = found
            return found
        }
        counting = (.now, task)
        return task
    }
}

extension Upkeep {
    /// Below this, pushes may fail soon.
    private static let freeBytesMin: Int64 = 1 << 30

    /// Lines for Prometheus (its text format 0.0.4).
    ///
    /// - Throws: what the index does.
    package func metrics() async throws -> String {
        let found = try await figures.current()
        let scrub = try await scrubber.status()
        let garbage = store.garbage.total
        let now = RegistryStore.now
        var text = MetricText()
        text.add("repositories", "gauge", found.store.repositories)
        text.add("manifests", "gauge", found.store.manifests)
        text.add("tags", "gauge", found.store.tags)
        text.add("blobs", "gauge", found.store.blobs)
        text.add("blob_stored_bytes", "gauge", found.store.bytes)
        text.add("damaged_blobs", "gauge", found.store.damaged)
        text.add("departing_repositories", "gauge", found.store.departing)
        text.add("garbage_blobs_total", "counter", Int64(garbage.blobs))
        text.add("garbage_bytes_total", "counter", garbage.bytes)
        if let free = await store.freeBytes() { text.add("free_bytes", "gauge", free) }
        text.add("scrub_blobs", "gauge", scrub.blobs)
        text.add("scrub_bytes", "gauge", scrub.bytes)
        text.add("scrub_damaged_total", "counter", scrub.damagedEver)
        if let ended = scrub.ended { text.add("scrub_ended_seconds", "gauge", ended) }
        text.add("pull_events_lost_total", "counter", Int64(store.pullNotices.lost))
        let hooks = found.hooks
        text.add("webhook_waiting", "gauge", "webhook", hooks.map { ($0.name, $0.waiting) })
        text.add("webhook_refused", "gauge", "webhook", hooks.map { ($0.name, $0.parked) })
        text.add("webhook_delivered_total", "counter", "webhook", hooks.map { ($0.name, $0.delivered) })
        text.add("webhook_dropped_total", "counter", "webhook", hooks.map { ($0.name, $0.dropped) })
        text.add("webhook_lag_seconds", "gauge", "webhook", hooks.map { ($0.name, $0.oldest.map { now - $0 } ?? 0) })
        let copies = found.copies
        text.add("replication_waiting", "gauge", "replication", copies.map { ($0.name, $0.waiting) })
        text.add("replication_failing", "gauge", "replication", copies.map { ($0.name, $0.failing) })
        text.add(
            "replication_lag_seconds", "gauge", "replication",
            copies.map { ($0.name, $0.oldest.map { now - $0 } ?? 0) })
        return text.text
    }

    /// What an operator should look at, without names: anybody may ask for it, and often.
    package func problems() async -> [String] {
        var problems: [String] = []
        if let free = await store.freeBytes(), free < Self.freeBytesMin {
            problems.append("\(free >> 20) MiB are left on the file system of the registry's data")
        }
        guard let found = await figures.recent() else { return problems }
        if found.store.damaged > 0 {
            problems.append("\(found.store.damaged) blobs are damaged: see docker registry scrub --status")
        }
        let refused = found.hooks.reduce(0) { $0 + $1.parked }
        if refused > 0 { problems.append("\(refused) events were refused: see docker registry webhooks") }
        let failing = found.copies.reduce(0) { $0 + $1.failing }
        if failing > 0 { problems.append("\(failing) copies fail: see docker registry replication") }
        return problems
    }
}

/// Lines of Prometheus' text format.
private struct MetricText {
    private(set) var text = ""

    mutating func add(_ name: String, _ type: String, _ value: Int64) {
        text += "# TYPE docker_registry_\(name) \(type)\ndocker_registry_\(name) \(value)\n"
    }

    mutating func add(_ name: String, _ type: String, _ label: String, _ values: [(String, Int64)]) {
        guard !values.isEmpty else { return }
        text += "# TYPE docker_registry_\(name) \(type)\n"
        for (key, value) in values { text += "docker_registry_\(name){\(label)=\"\(Self.escaped(key))\"} \(value)\n" }
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
