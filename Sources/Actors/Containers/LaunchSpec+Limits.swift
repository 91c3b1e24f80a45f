import Isolation

/// What a container may use at most, read off its `HostConfig`.
extension LaunchSpec {
    static func cgroup(_ host: HostConfig, _ configuration: EngineConfiguration) -> CgroupSpec {
        var spec = CgroupSpec()
        let parent = host.cgroupParent ?? ""
        spec.parent = parent.isEmpty ? configuration.cgroupParent : parent
        func positive(_ value: Int64?) -> Int64? { value.flatMap { $0 > 0 ? $0 : nil } }
        spec.limits.memory = positive(host.memory)
        spec.limits.memorySwap = host.memorySwap.flatMap { $0 == 0 ? nil : $0 }
        spec.limits.memoryReservation = positive(host.memoryReservation)
        spec.limits.cpuPeriod = positive(host.cpuPeriod)
        spec.limits.cpuQuota = positive(host.cpuQuota)
        if let cpus = positive(host.nanoCpus) {
            spec.limits.cpuPeriod = cpuPeriodDefault
            spec.limits.cpuQuota = cpus / (1_000_000_000 / cpuPeriodDefault)
        }
        spec.limits.cpuShares = positive(host.cpuShares)
        spec.limits.cpusetCPUs = host.cpusetCpus.flatMap { $0.isEmpty ? nil : $0 }
        spec.limits.cpusetMemories = host.cpusetMems.flatMap { $0.isEmpty ? nil : $0 }
        spec.limits.pids = host.pidsLimit
        spec.limits.blkioWeight = host.blkioWeight.flatMap { $0 > 0 ? $0 : nil }
        spec.limits.blkioDevices = devices(host)
        spec.limits.memorySwappiness = host.memorySwappiness.flatMap { $0 >= 0 ? $0 : nil }
        spec.limits.oomKillDisabled = host.oomKillDisable ?? false
        spec.limits.tcpMemory = positive(host.kernelMemoryTCP)
        return spec
    }

    /// Warnings, in Docker's words, for limits that nothing of this machine holds, and for one that is dangerous.
    static func unheldLimits(_ host: HostConfig, _ world: ContainerStore.Surroundings) -> [String] {
        let limits = cgroup(host, world.configuration).limits
        let hierarchies = world.launcher.hierarchies
        let unheld = Set(hierarchies.unheld(limits))
        // Version 2 has no file for these.
        let hasMemoryOfVersion1 = hierarchies.controllers["memory"] != nil
        let texts: [(isUnheld: Bool, text: String)] = [
            (
                unheld.contains("memory"),
                "memory limit capabilities or the cgroup is not mounted. Limitation discarded."
            ),
            (unheld.contains("pids"), "PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded."),
            (unheld.contains("cpu"), "CPU CFS scheduler or the cgroup is not mounted. CPU limits discarded."),
            (unheld.contains("cpuset"), "cpuset or the cgroup is not mounted. Cpuset discarded."),
            (
                unheld.contains("blkio") && limits.blkioWeight != nil,
                "Block I/O weight or the cgroup is not mounted. Weight discarded."
            ),
            (
                unheld.contains("blkio") && !limits.blkioDevices.isEmpty,
                "Block I/O limits of devices or the cgroup is not mounted. Limits of devices discarded."
            ),
            (
                limits.memorySwappiness != nil && !hasMemoryOfVersion1,
                "memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded."
            ),
            (limits.oomKillDisabled && !hasMemoryOfVersion1, "OomKillDisable. OomKillDisable discarded."),
            (
                limits.tcpMemory != nil && !hasMemoryOfVersion1,
                "kernel memory TCP limit capabilities or the cgroup is not mounted. Limitation discarded."
            ),
            // None does that this engine runs on.
            (
                host.kernelMemory ?? 0 > 0,
                "kernel memory limit capabilities or the cgroup is not mounted. Limitation discarded."
            ),
        ]
        var warnings = texts.filter(\.isUnheld).map { "Your kernel does not support \($0.text)" }
        if limits.oomKillDisabled, hasMemoryOfVersion1, limits.memory == nil {
            warnings.append(
                "OOM killer is disabled for the container, but no memory limit is set, "
                    + "this can result in the system running out of resources.")
        }
        return warnings
    }

    /// Microseconds.
    private static let cpuPeriodDefault: Int64 = 100_000

    private static func devices(_ host: HostConfig) -> [BlockDeviceLimit] {
        var limits = (host.blkioWeightDevice ?? []).map {
            BlockDeviceLimit(.weight, path: $0.path ?? "", value: UInt64(clamping: $0.weight ?? 0))
        }
        let rates: [(BlockDeviceLimit.Kind, [ThrottleDevice]?)] = [
            (.readBytes, host.blkioDeviceReadBps), (.writeBytes, host.blkioDeviceWriteBps),
            (.readOperations, host.blkioDeviceReadIOps), (.writeOperations, host.blkioDeviceWriteIOps),
        ]
        for (kind, devices) in rates {
            limits += (devices ?? []).map {
                BlockDeviceLimit(kind, path: $0.path ?? "", value: UInt64(clamping: $0.rate ?? 0))
            }
        }
        return limits
    }
}
