import Glibc
import Kernel

/// What a container uses, as the kernel counts it; counters grow from the group's creation.
package struct CgroupUsage: Sendable, Hashable {
    /// Nanoseconds of CPU time.
    package var cpuTotal: UInt64 = 0
    package var cpuUser: UInt64 = 0
    package var cpuSystem: UInt64 = 0
    /// Nanoseconds on each processor; of version 1 alone.
    package var cpuOfProcessors: [UInt64] = []
    package var cpuPeriods: UInt64 = 0
    package var cpuThrottledPeriods: UInt64 = 0
    package var cpuThrottledTime: UInt64 = 0
    /// Bytes.
    package var memory: UInt64 = 0
    /// The most there ever was, and how often the limit was hit; of version 1 alone.
    package var memoryPeak: UInt64?
    package var memoryLimitHits: UInt64?
    /// Bytes; the largest value of 64 bits when there is no limit.
    package var memoryLimit: UInt64 = .max
    /// Every line of memory.stat.
    package var memoryStatistics: [String: UInt64] = [:]
    package var oomKills: UInt64 = 0
    package var processes: UInt64 = 0
    package var processLimit: UInt64 = .max
    package var blockIO: [BlockIO] = []

    package struct BlockIO: Sendable, Hashable {
        package var major: UInt32
        package var minor: UInt32
        package var readBytes: UInt64 = 0
        package var writtenBytes: UInt64 = 0
        package var reads: UInt64 = 0
        package var writes: UInt64 = 0
    }
}

extension Cgroup {
    /// A sample. Files a kernel does not have count as zero.
    package func usage() -> CgroupUsage {
        var usage = CgroupUsage()
        readCPU(&usage)
        readMemory(&usage)
        if let directory = directory(of: "pids") {
            usage.processes = number(directory, "pids.current") ?? 0
            usage.processLimit = number(directory, "pids.max") ?? .max
        }
        readBlockIO(&usage)
        return usage
    }

    /// True when the kernel has killed a process of the group for want of memory.
    package var hasRunOutOfMemory: Bool { usage().oomKills > 0 }

    /// The file whose `oom_kill` line counts, in either version's form.
    var oomFile: String? {
        guard let directory = directory(of: "memory") else { return nil }
        return directory + (hierarchies.controllers["memory"] == nil ? "/memory.events" : "/memory.oom_control")
    }

    private func readCPU(_ usage: inout CgroupUsage) {
        if let root = hierarchies.controllers["cpuacct"] {
            let directory = "\(root)/\(path)"
            usage.cpuTotal = number(directory, "cpuacct.usage") ?? 0
            usage.cpuUser = number(directory, "cpuacct.usage_user") ?? 0
            usage.cpuSystem = number(directory, "cpuacct.usage_sys") ?? 0
            usage.cpuOfProcessors = text(directory, "cpuacct.usage_percpu").split(whereSeparator: \.isWhitespace)
                .compactMap { UInt64($0) }
            let throttling = hierarchies.controllers["cpu"].map { table("\($0)/\(path)", "cpu.stat") } ?? [:]
            usage.cpuPeriods = throttling["nr_periods"] ?? 0
            usage.cpuThrottledPeriods = throttling["nr_throttled"] ?? 0
            usage.cpuThrottledTime = throttling["throttled_time"] ?? 0
            return
        }
        guard let unifiedDirectory else { return }
        let statistics = table(unifiedDirectory, "cpu.stat")
        usage.cpuTotal = (statistics["usage_usec"] ?? 0) &* 1000
        usage.cpuUser = (statistics["user_usec"] ?? 0) &* 1000
        usage.cpuSystem = (statistics["system_usec"] ?? 0) &* 1000
        usage.cpuPeriods = statistics["nr_periods"] ?? 0
        usage.cpuThrottledPeriods = statistics["nr_throttled"] ?? 0
        usage.cpuThrottledTime = (statistics["throttled_usec"] ?? 0) &* 1000
    }

    private func readMemory(_ usage: inout CgroupUsage) {
        guard let directory = directory(of: "memory") else { return }
        let isUnified = hierarchies.controllers["memory"] == nil
        usage.memory = number(directory, isUnified ? "memory.current" : "memory.usage_in_bytes") ?? 0
        usage.memoryLimit = number(directory, isUnified ? "memory.max" : "memory.limit_in_bytes") ?? .max
        usage.memoryStatistics = table(directory, "memory.stat")
        if !isUnified {
            usage.memoryPeak = number(directory, "memory.max_usage_in_bytes")
            usage.memoryLimitHits = number(directory, "memory.failcnt")
        }
        usage.oomKills = table(directory, isUnified ? "memory.events" : "memory.oom_control")["oom_kill"] ?? 0
    }

    private func readBlockIO(_ usage: inout CgroupUsage) {
        var devices: [String: CgroupUsage.BlockIO] = [:]
        func device(_ name: Substring) -> CgroupUsage.BlockIO? {
            let parts = name.split(separator: ":")
            guard parts.count == 2, let major = UInt32(parts[0]), let minor = UInt32(parts[1]) else { return nil }
            return devices[String(name)] ?? .init(major: major, minor: minor)
        }
        if let root = hierarchies.controllers["blkio"] {
            for (file, bytes) in [("blkio.throttle.io_service_bytes", true), ("blkio.throttle.io_serviced", false)] {
                for line in text("\(root)/\(path)", file).split(separator: "\n") {
                    let fields = line.split(separator: " ")
                    guard fields.count == 3, var entry = device(fields[0]), let value = UInt64(fields[2]) else {
                        continue
                    }
                    switch (fields[1], bytes) {
                    case ("Read", true): entry.readBytes = value
                    case ("Write", true): entry.writtenBytes = value
                    case ("Read", false): entry.reads = value
                    case ("Write", false): entry.writes = value
                    default: continue
                    }
                    devices[String(fields[0])] = entry
                }
            }
        } else if let unifiedDirectory {
            for line in text(unifiedDirectory, "io.stat").split(separator: "\n") {
                let fields = line.split(separator: " ")
                guard let first = fields.first, var entry = device(first) else { continue }
                for field in fields.dropFirst() {
                    let pair = field.split(separator: "=")
                    guard pair.count == 2, let value = UInt64(pair[1]) else { continue }
                    switch pair[0] {
                    case "rbytes": entry.readBytes = value
                    case "wbytes": entry.writtenBytes = value
                    case "rios": entry.reads = value
                    case "wios": entry.writes = value
                    default: continue
                    }
                }
                devices[String(first)] = entry
            }
        }
        usage.blockIO = devices.values.sorted { ($0.major, $0.minor) < ($1.major, $1.minor) }
    }

    private func text(_ directory: String, _ file: String) -> String {
        // A controller or kernel without the file has nothing to report.
        String(decoding: (try? Files.read("\(directory)/\(file)")) ?? [], as: UTF8.self)
    }

    private func number(_ directory: String, _ file: String) -> UInt64? {
        text(directory, file).split(whereSeparator: \.isWhitespace).first.flatMap { UInt64($0) }
    }

    private func table(_ directory: String, _ file: String) -> [String: UInt64] {
        var result: [String: UInt64] = [:]
        for line in text(directory, file).split(separator: "\n") {
            let fields = line.split(separator: " ")
            if fields.count == 2, let value = UInt64(fields[1]) { result[String(fields[0])] = value }
        }
        return result
    }
}
