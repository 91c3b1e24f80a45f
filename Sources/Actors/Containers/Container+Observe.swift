import Glibc
package import Isolation
import Kernel

/// The processes of a container, as ps(1) shows them.
package struct Top: Sendable {
    package let titles: [String]
    package let processes: [[String]]
}

extension Container {
    /// Runs the host's ps(1) over the container's processes; nothing of the container is run.
    ///
    /// - Parameter arguments: ps options; `-ef` when empty.
    package func top(arguments: [String]) async throws -> Top {
        guard case .running = phase else { throw EngineError(.conflict, "container \(id) is not running") }
        let cgroup = try cgroup()
        let pids = try await BlockingPool.shared.run { try cgroup.processes() }
        let options = arguments.isEmpty ? ["-ef"] : arguments
        let output = try await BlockingPool.shared.run { try ProcessTable.run(options) }
        return try ProcessTable.pick(output, pids: Set(pids))
    }

    /// One reading of the container's counters.
    package func stats() async throws -> StatsSample {
        var sample = StatsSample(
            read: .now(), cpus: sysconf(Int32(_SC_NPROCESSORS_ONLN)), hostCPU: ProcessorTime.host())
        guard case .running(_, let process) = phase else { return sample }
        let cgroup = try cgroup()
        let pid = process.pid
        let isHost = record.hostConfig.networkMode == "host"
        let (counters, interfaces) = await BlockingPool.shared.run {
            (cgroup.usage(), isHost ? [] : InterfaceCounters.read("/proc/\(pid)/net/dev"))
        }
        let memory = UInt64(sysconf(Int32(_SC_PHYS_PAGES))) * UInt64(sysconf(Int32(_SC_PAGESIZE)))
        sample.counters = counters
        sample.counters?.memoryLimit = min(counters.memoryLimit, memory)
        sample.interfaces = interfaces
        return sample
    }
}

/// Counters of one container at one moment.
package struct StatsSample: Sendable {
    package let read: Timestamp
    package let cpus: Int
    /// CPU time of the whole host since boot, nanoseconds.
    package let hostCPU: UInt64
    /// Nil while the container does not run.
    package var counters: CgroupUsage?
    package var interfaces: [InterfaceCounters] = []
}

/// Counters of one network interface, as in /proc/net/dev.
package struct InterfaceCounters: Sendable {
    package let name: String
    package let receivedBytes: UInt64
    package let receivedPackets: UInt64
    package let receivedErrors: UInt64
    package let receivedDropped: UInt64
    package let sentBytes: UInt64
    package let sentPackets: UInt64
    package let sentErrors: UInt64
    package let sentDropped: UInt64

    /// Every interface but loopback; none when the process has just gone.
    static func read(_ path: String) -> [InterfaceCounters] {
        guard let bytes = try? Files.read(path, bytesMax: 1 << 20) else { return [] }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { line in
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { return nil }
            let name = String(parts[0].drop { $0 == " " })
            let numbers = parts[1].split(separator: " ").compactMap { UInt64($0) }
            guard numbers.count >= 12, name != "lo" else { return nil }
            return InterfaceCounters(
                name: name, receivedBytes: numbers[0], receivedPackets: numbers[1], receivedErrors: numbers[2],
                receivedDropped: numbers[3], sentBytes: numbers[8], sentPackets: numbers[9], sentErrors: numbers[10],
                sentDropped: numbers[11])
        }
    }
}

enum ProcessorTime {
    /// CPU time of all processors since boot, in nanoseconds (proc_stat(5)); 0 when it cannot be read.
    static func host() -> UInt64 {
        guard let bytes = try? Files.read("/proc/stat", bytesMax: 1 << 20),
            let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first
        else { return 0 }
        let ticks = line.split(separator: " ").dropFirst().prefix(8).compactMap { UInt64($0) }.reduce(0, &+)
        return ticks &* (1_000_000_000 / UInt64(sysconf(Int32(_SC_CLK_TCK))))
    }
}

/// ps(1) of the host.
enum ProcessTable {
    private static let outputBytesMax = 16 << 20

    static func run(_ options: [String]) throws -> String {
        let pipe = try Pipe()
        let null = try OwnedFD.open("/dev/null", O_RDWR)
        let writer = try pipe.writer.take()
        let pid = try Spawn.run("/usr/bin/ps", options, descriptors: [null.raw, writer.raw, writer.raw])
        try writer.finish()
        let reader = try pipe.reader.take()
        let bytes = try reader.readAll(bytesMax: outputBytesMax)
        var status: CInt = 0
        try checked("waitpid") { waitpid(pid, &status, 0) }
        let text = String(decoding: bytes, as: UTF8.self)
        guard status == 0 else { throw EngineError(.invalidParameter, "ps: \(text.prefix(200))") }
        return text
    }

    /// The lines of the container's processes.
    static func pick(_ output: String, pids: Set<Int32>) throws -> Top {
        let lines = output.split(separator: "\n")
        let titles = lines.first.map { $0.split(separator: " ").map(String.init) } ?? []
        guard let column = titles.firstIndex(of: "PID") else {
            throw EngineError(.invalidParameter, "Couldn't find PID field in ps output")
        }
        let processes = lines.dropFirst().compactMap { line -> [String]? in
            let fields = line.split(separator: " ", maxSplits: titles.count - 1).map(String.init)
            guard fields.count > column, let pid = Int32(fields[column]), pids.contains(pid) else { return nil }
            return fields
        }
        return Top(titles: titles, processes: processes)
    }
}
