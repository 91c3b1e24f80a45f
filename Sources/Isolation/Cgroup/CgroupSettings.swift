/// One value written to one file of a controller.
struct CgroupSetting {
    var controller: String
    var file: String
    var value: String
    /// True when a kernel without the file runs the container all the same.
    var optional = false
}

extension Cgroup {
    /// The limits as the machine's version of each controller writes them.
    func settings(_ limits: ResourceLimits) -> [CgroupSetting] {
        memory(limits) + cpu(limits) + rest(limits)
    }

    private func isUnified(_ controller: String) -> Bool { hierarchies.controllers[controller] == nil }

    private func memory(_ limits: ResourceLimits) -> [CgroupSetting] {
        var result: [CgroupSetting] = []
        // Docker's default: as much swap again as memory.
        let both =
            limits.memorySwap.flatMap { $0 == 0 ? nil : $0 } ?? limits.memory.map { $0 > 0 ? Self.doubled($0) : -1 }
        if isUnified("memory") {
            if let memory = limits.memory {
                result.append(.init(controller: "memory", file: "memory.max", value: text(memory)))
            }
            if let both, let memory = limits.memory {
                let swap = both < 0 ? -1 : max(0, both - memory)
                result.append(.init(controller: "memory", file: "memory.swap.max", value: text(swap), optional: true))
            }
            if let low = limits.memoryReservation {
                result.append(.init(controller: "memory", file: "memory.low", value: "\(low)"))
            }
            return result
        }
        if let memory = limits.memory {
            result.append(.init(controller: "memory", file: "memory.limit_in_bytes", value: "\(memory)"))
            if let both {
                result.append(
                    .init(controller: "memory", file: "memory.memsw.limit_in_bytes", value: "\(both)", optional: true))
                // When the limit grows past the old memory+swap limit the first write fails until that one has grown.
                result.append(.init(controller: "memory", file: "memory.limit_in_bytes", value: "\(memory)"))
                result[0].optional = true
            }
        }
        if let low = limits.memoryReservation {
            result.append(.init(controller: "memory", file: "memory.soft_limit_in_bytes", value: "\(low)"))
        }
        return result
    }

    /// A number of the user's, which may be the largest there is.
    private static func doubled(_ bytes: Int64) -> Int64 {
        let (result, overflow) = bytes.multipliedReportingOverflow(by: 2)
        return overflow ? .max : result
    }

    private func cpu(_ limits: ResourceLimits) -> [CgroupSetting] {
        var result: [CgroupSetting] = []
        if isUnified("cpu") {
            if limits.cpuQuota != nil || limits.cpuPeriod != nil {
                let quota = limits.cpuQuota.flatMap { $0 > 0 ? "\($0)" : nil } ?? "max"
                result.append(
                    .init(controller: "cpu", file: "cpu.max", value: "\(quota) \(limits.cpuPeriod ?? 100_000)"))
            }
            if let shares = limits.cpuShares, shares > 0 {
                // The kernel's two scales: 2…262144 shares are 1…10000 weight.
                let weight = 1 + (min(max(shares, 2), 262_144) - 2) * 9999 / 262_142
                result.append(.init(controller: "cpu", file: "cpu.weight", value: "\(weight)"))
            }
            return result
        }
        if let period = limits.cpuPeriod, period > 0 {
            result.append(.init(controller: "cpu", file: "cpu.cfs_period_us", value: "\(period)"))
        }
        if let quota = limits.cpuQuota {
            result.append(.init(controller: "cpu", file: "cpu.cfs_quota_us", value: "\(quota)"))
        }
        if let shares = limits.cpuShares, shares > 0 {
            result.append(.init(controller: "cpu", file: "cpu.shares", value: "\(shares)"))
        }
        return result
    }

    private func rest(_ limits: ResourceLimits) -> [CgroupSetting] {
        var result: [CgroupSetting] = []
        if let cpus = limits.cpusetCPUs, !cpus.isEmpty {
            result.append(.init(controller: "cpuset", file: "cpuset.cpus", value: cpus))
        }
        if let memories = limits.cpusetMemories, !memories.isEmpty {
            result.append(.init(controller: "cpuset", file: "cpuset.mems", value: memories))
        }
        if let pids = limits.pids {
            result.append(.init(controller: "pids", file: "pids.max", value: text(pids > 0 ? pids : -1)))
        }
        if let weight = limits.blkioWeight, weight > 0 {
            if isUnified("blkio") {
                result.append(.init(controller: "io", file: "io.bfq.weight", value: "\(weight)", optional: true))
            } else {
                result.append(.init(controller: "blkio", file: "blkio.weight", value: "\(weight)", optional: true))
                result.append(.init(controller: "blkio", file: "blkio.bfq.weight", value: "\(weight)", optional: true))
            }
        }
        return result
    }

    private func text(_ value: Int64) -> String { value < 0 ? "max" : "\(value)" }
}
