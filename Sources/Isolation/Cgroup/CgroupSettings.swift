import CLinux
import Glibc
import Kernel

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
        if let swappiness = limits.memorySwappiness {
            result.append(.init(controller: "memory", file: "memory.swappiness", value: "\(swappiness)"))
        }
        if limits.oomKillDisabled {
            result.append(.init(controller: "memory", file: "memory.oom_control", value: "1"))
        }
        if let bytes = limits.tcpMemory {
            result.append(.init(controller: "memory", file: "memory.kmem.tcp.limit_in_bytes", value: "\(bytes)"))
        }
        return result + memorySize(limits, both: both)
    }

    /// Version 1: memory, and memory and swap together.
    private func memorySize(_ limits: ResourceLimits, both: Int64?) -> [CgroupSetting] {
        var result: [CgroupSetting] = []
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
                // With the BFQ scheduler its own file, else that of the cost model, whose scale has another end.
                result.append(.init(controller: "io", file: "io.bfq.weight", value: "\(weight)", optional: true))
                let share = Self.share(UInt64(weight))
                result.append(.init(controller: "io", file: "io.weight", value: "default \(share)", optional: true))
            } else {
                result.append(.init(controller: "blkio", file: "blkio.weight", value: "\(weight)", optional: true))
                result.append(.init(controller: "blkio", file: "blkio.bfq.weight", value: "\(weight)", optional: true))
            }
        }
        return result
    }

    private func text(_ value: Int64) -> String { value < 0 ? "max" : "\(value)" }

    /// The kernel's scale: 10…1000 of version 1 are 1…10000.
    private static func share(_ weight: UInt64) -> UInt64 {
        1 + (min(max(weight, 10), 1000) - 10) * 9999 / 990
    }

    // MARK: Block devices

    /// What a container has of single block devices, by their numbers.
    ///
    /// - Throws: `LaunchError` for a device that is not there.
    func deviceSettings(_ limits: ResourceLimits) throws(LaunchError) -> [CgroupSetting] {
        var result: [CgroupSetting] = []
        for limit in limits.blkioDevices {
            let number = try Self.number(ofDevice: limit.path)
            let (controller, file, value) = isUnified("blkio") ? unified(limit) : separate(limit)
            result.append(.init(controller: controller, file: file, value: "\(number) \(value)"))
        }
        return result
    }

    private func unified(_ limit: BlockDeviceLimit) -> (controller: String, file: String, value: String) {
        switch limit.kind {
        case .weight:
            has("io", "io.bfq.weight")
                ? ("io", "io.bfq.weight", "\(limit.value)") : ("io", "io.weight", "\(Self.share(limit.value))")
        case .readBytes: ("io", "io.max", "rbps=\(limit.value)")
        case .writeBytes: ("io", "io.max", "wbps=\(limit.value)")
        case .readOperations: ("io", "io.max", "riops=\(limit.value)")
        case .writeOperations: ("io", "io.max", "wiops=\(limit.value)")
        }
    }

    private func separate(_ limit: BlockDeviceLimit) -> (controller: String, file: String, value: String) {
        let file =
            switch limit.kind {
            case .weight: has("blkio", "blkio.weight_device") ? "weight_device" : "bfq.weight_device"
            case .readBytes: "throttle.read_bps_device"
            case .writeBytes: "throttle.write_bps_device"
            case .readOperations: "throttle.read_iops_device"
            case .writeOperations: "throttle.write_iops_device"
            }
        return ("blkio", "blkio.\(file)", "\(limit.value)")
    }

    private func has(_ controller: String, _ file: String) -> Bool {
        directory(of: controller).map { Files.exists("\($0)/\(file)") } ?? false
    }

    private static func number(ofDevice path: String) throws(LaunchError) -> String {
        var status = stat()
        guard stat(path, &status) == 0 else {
            let code = errno
            throw LaunchError(.setup, step: "cgroup", code: code, "stat \(path): \(SystemError("stat", code).reason)")
        }
        guard status.st_mode & S_IFMT == S_IFBLK else {
            throw LaunchError(.setup, step: "cgroup", code: ENOTBLK, "\(path) is not a block device")
        }
        return "\(cl_major(status.st_rdev)):\(cl_minor(status.st_rdev))"
    }
}
