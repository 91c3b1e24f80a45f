import Glibc
import Isolation
import Kernel

/// Limits of a container: memory, processor time, processors, block I/O, and those of its processes.
enum ResourceCheck {
    /// - Throws: ``EngineError`` `.invalidParameter` in Docker's words.
    static func check(_ host: HostConfig) throws {
        try memory(host)
        try processorTime(host)
        try processors(host)
        try blockIO(host)
        try processLimits(host)
    }

    // MARK: Memory

    /// Smallest memory limit, as in Docker: 6 MiB.
    private static let memoryMin: Int64 = 6 << 20

    private static func memory(_ host: HostConfig) throws {
        let memory = host.memory ?? 0
        let (swap, reservation) = (host.memorySwap ?? 0, host.memoryReservation ?? 0)
        guard memory == 0 || memory >= memoryMin else {
            throw EngineError.invalid("Minimum memory limit allowed is 6MB")
        }
        guard swap <= 0 || swap >= memory else {
            throw EngineError.invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
        }
        guard swap <= 0 || memory > 0 else {
            throw EngineError.invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
        }
        guard swap >= -1 else { throw EngineError.invalid("invalid MemorySwap \(swap): -1 is unlimited swap") }
        guard reservation == 0 || reservation >= memoryMin else {
            throw EngineError.invalid("Minimum memory reservation allowed is 6MB")
        }
        guard memory == 0 || reservation <= memory else {
            throw EngineError.invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
        }
        if let swappiness = host.memorySwappiness, !(-1...100).contains(swappiness) {
            throw EngineError.invalid("Invalid value: \(swappiness), valid memory swappiness range is 0-100")
        }
        if let score = host.oomScoreAdj, !(-1000...1000).contains(score) {
            throw EngineError.invalid("Invalid value \(score), range for oom score adj is [-1000, 1000]")
        }
        if let bytes = host.kernelMemory, bytes != 0, bytes < memoryMin {
            throw EngineError.invalid("Minimum kernel memory limit allowed is 6MB")
        }
        if let bytes = host.kernelMemoryTCP, bytes < 0 {
            throw EngineError.invalid("invalid KernelMemoryTCP \(bytes): value must be a positive integer")
        }
    }

    // MARK: Processors

    /// Microseconds.
    private static let periods: ClosedRange<Int64> = 1000...1_000_000
    /// Microseconds: what the kernel's arithmetic holds (MAX_BW in kernel/sched).
    private static let quotaEnd: Int64 = 1 << 44
    /// Billionths of a processor: the shortest quota of the usual period.
    private static let nanoCPUsMin: Int64 = 10_000_000

    private static func processorTime(_ host: HostConfig) throws {
        let (period, quota, cpus) = (host.cpuPeriod ?? 0, host.cpuQuota ?? 0, host.nanoCpus ?? 0)
        if cpus > 0, period > 0 {
            throw EngineError.invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
        }
        if cpus > 0, quota > 0 {
            throw EngineError.invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
        }
        if cpus != 0 {
            let available = Int64(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
            guard (nanoCPUsMin...max(nanoCPUsMin, available * 1_000_000_000)).contains(cpus) else {
                throw EngineError.invalid(
                    "range of CPUs is from 0.01 to \(available).00, as there are only \(available) CPUs available")
            }
        }
        guard period == 0 || periods.contains(period) else {
            throw EngineError.invalid(
                "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
        }
        guard quota <= 0 || quota >= periods.lowerBound else {
            throw EngineError.invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
        }
        guard quota < quotaEnd else {
            throw EngineError.invalid("CPU cfs quota can not be larger than \(quotaEnd - 1)")
        }
        if let shares = host.cpuShares, shares < 0 {
            throw EngineError.invalid("invalid CPU shares (\(shares)): value must be a positive integer")
        }
        guard host.cpuRealtimePeriod ?? 0 == 0, host.cpuRealtimeRuntime ?? 0 == 0 else {
            throw EngineError.invalid("Your kernel does not support CPU real-time scheduler")
        }
        guard host.cpuCount ?? 0 == 0, host.cpuPercent ?? 0 == 0 else {
            throw EngineError.invalid("linux does not support CPU count and CPU percent: use NanoCpus")
        }
    }

    private static func processors(_ host: HostConfig) throws {
        if let asked = host.cpusetCpus, !asked.isEmpty {
            try available(asked, "cpus", "CPUs", file: "/sys/devices/system/cpu/online")
        }
        if let asked = host.cpusetMems, !asked.isEmpty {
            try available(asked, "mems", "memory nodes", file: "/sys/devices/system/node/online")
        }
    }

    private static func available(_ asked: String, _ kind: String, _ what: String, file: String) throws {
        guard let wanted = NumberList(asked) else {
            throw EngineError.invalid(
                "Invalid value \(asked.printable) for cpuset \(kind): invalid format: \(asked.printable)")
        }
        // A kernel without NUMA has no such file and one node.
        let online = (try? Files.read(file, bytesMax: 1 << 16)).map { String(decoding: $0, as: UTF8.self) } ?? "0"
        let text = String(online.prefix { $0 != "\n" })
        guard let present = NumberList(text), wanted.isSubset(of: present) else {
            throw EngineError.invalid(
                "Requested \(what) are not available - requested \(asked.printable), available: \(text)")
        }
    }

    // MARK: Block I/O

    private static let weights = 10...1000

    private static func blockIO(_ host: HostConfig) throws {
        if let weight = host.blkioWeight, weight != 0, !weights.contains(weight) {
            throw EngineError.invalid("Range of blkio weight is from 10 to 1000")
        }
        for device in host.blkioWeightDevice ?? [] {
            guard weights.contains(device.weight ?? 0) else {
                throw EngineError.invalid(
                    "invalid weight for device: \((device.path ?? "").printable):\(device.weight ?? 0)")
            }
            try path(device.path)
        }
        let rates = [
            host.blkioDeviceReadBps, host.blkioDeviceWriteBps, host.blkioDeviceReadIOps, host.blkioDeviceWriteIOps,
        ]
        for device in rates.flatMap({ $0 ?? [] }) {
            guard device.rate ?? 0 >= 0 else {
                throw EngineError.invalid(
                    "invalid rate for device: \((device.path ?? "").printable):\(device.rate ?? 0)")
            }
            try path(device.path)
        }
        guard host.ioMaximumBandwidth ?? 0 == 0, host.ioMaximumIOps ?? 0 == 0 else {
            throw EngineError.invalid(
                "Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps")
        }
    }

    /// Whether it is there is seen at the start, as in Docker.
    private static func path(_ path: String?) throws {
        guard let path, path.hasPrefix("/dev/"), !path.hasControlCharacter else {
            throw EngineError.invalid("bad format for device path: \((path ?? "").printable)")
        }
    }

    // MARK: Limits of processes

    /// Most processes of any machine (PID_MAX_LIMIT).
    private static let processesMax: Int64 = 4 << 20

    private static func processLimits(_ host: HostConfig) throws {
        if let processes = host.pidsLimit, processes > processesMax {
            throw EngineError.invalid("invalid PidsLimit \(processes): at most \(processesMax), or -1 for no limit")
        }
        for limit in host.ulimits ?? [] {
            let (name, soft, hard) = (limit.name ?? "", limit.soft ?? 0, limit.hard ?? 0)
            guard ResourceLimit.isKnown(name) else {
                throw EngineError.invalid("invalid ulimit type: \(name.printable)")
            }
            guard soft >= -1, hard >= -1 else {
                throw EngineError.invalid("invalid ulimit \(name): \(min(soft, hard)): -1 is unlimited")
            }
            // -1 is more than any number.
            guard hard == -1 || (soft != -1 && soft <= hard) else {
                throw EngineError.invalid(
                    "ulimit soft limit must be less than or equal to hard limit: \(soft) > \(hard)")
            }
        }
    }
}

/// A list of numbers as the kernel writes sets of processors (cpuset(7), List Format): `0-2,4`.
struct NumberList {
    private var ranges: [ClosedRange<Int>] = []

    /// More digits than any machine's processors have.
    private static let digitsMax = 5

    /// nil when `text` is no such list.
    init?(_ text: String) {
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false)
            guard ends.count <= 2,
                ends.allSatisfy({
                    (1...Self.digitsMax).contains($0.utf8.count) && $0.utf8.allSatisfy { (0x30...0x39).contains($0) }
                }),
                let low = Int(ends[0]), let high = Int(ends[ends.count - 1]), low <= high
            else { return nil }
            ranges.append(low...high)
        }
    }

    /// True when every number of this list is in `other`.
    func isSubset(of other: NumberList) -> Bool {
        ranges.allSatisfy { range in range.allSatisfy { number in other.ranges.contains { $0.contains(number) } } }
    }
}
