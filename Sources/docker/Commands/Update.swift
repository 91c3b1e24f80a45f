/// `docker update`.
struct Update: Command {
    static let usage = "update [OPTIONS] CONTAINER [CONTAINER...]"
    @Option("--blkio-weight", "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)")
    var blkioWeight: UInt16?
    @Option("--cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period") var cpuPeriod: Int64?
    @Option("--cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota") var cpuQuota: Int64?
    @Option("--cpu-rt-period", "Limit the CPU real-time period in microseconds") var cpuRtPeriod: Int64?
    @Option("--cpu-rt-runtime", "Limit the CPU real-time runtime in microseconds") var cpuRtRuntime: Int64?
    @Option("-c --cpu-shares", "CPU shares (relative weight)") var cpuShares: Int64?
    @Option("--cpus", "Number of CPUs", kind: "decimal") var cpus: String?
    @Option("--cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)") var cpusetCpus: String?
    @Option("--cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)") var cpusetMems: String?
    @Option("-m --memory", "Memory limit", kind: "bytes") var memory: String?
    @Option("--memory-reservation", "Memory soft limit", kind: "bytes") var memoryReservation: String?
    @Option("--memory-swap", "Swap limit equal to memory plus swap: -1 to enable unlimited swap", kind: "bytes")
    var memorySwap: String?
    @Option("--pids-limit", "Tune container pids limit (set -1 for unlimited)") var pidsLimit: Int64?
    @Option("--restart", "Restart policy to apply when a container exits") var restart: String?
    @Argument var names: [String]

    func run(_ settings: Settings) throws(CLIError) {
        let changes = try changes()
        guard !changes.isEmpty else { throw CLIError("you must provide one or more flags when using this command") }
        let client = try settings.client()
        var warnings: [String] = []
        var failures: [String] = []
        for name in names {
            do throws(CLIError) {
                let answer = try client.call("POST", try containerPath(name) + "/update", .object(changes))
                say(name)
                warnings += (answer["Warnings"]?.elements ?? []).compactMap(\.string)
            } catch {
                guard error.status != nil else { throw error }
                failures.append(error.message)
            }
        }
        if !warnings.isEmpty { say(warnings.joined(separator: "\n")) }
        if !failures.isEmpty { throw CLIError(failures.joined(separator: "\n")) }
    }

    /// The members that were asked to change.
    private func changes() throws(CLIError) -> [JSON.Member] {
        func size(_ text: String?, _ flag: String) throws(CLIError) -> JSON? {
            guard let text else { return nil }
            return JSON(try CreateBody.size(text, flag))
        }
        let members: [(String, JSON?)] = [
            ("BlkioWeight", blkioWeight.map { JSON($0) }), ("CpuPeriod", cpuPeriod.map { JSON($0) }),
            ("CpuQuota", cpuQuota.map { JSON($0) }), ("CpuRealtimePeriod", cpuRtPeriod.map { JSON($0) }),
            ("CpuRealtimeRuntime", cpuRtRuntime.map { JSON($0) }), ("CpuShares", cpuShares.map { JSON($0) }),
            ("NanoCpus", cpus == nil ? nil : JSON(try ResourceSpec.nanoCPUs(cpus))),
            ("CpusetCpus", cpusetCpus.map { .string($0) }),
            ("CpusetMems", cpusetMems.map { .string($0) }), ("Memory", try size(memory, "-m, --memory")),
            ("MemoryReservation", try size(memoryReservation, "--memory-reservation")),
            ("MemorySwap", try size(memorySwap, "--memory-swap")),
            ("PidsLimit", pidsLimit.map { JSON($0) }),
            ("RestartPolicy", try restart.map { (text) throws(CLIError) in try CreateBody.restartPolicy(text) }),
        ]
        return CreateBody.object(members).members
    }
}
