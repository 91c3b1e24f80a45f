/// What an update changes of a container's `HostConfig`.
extension HostConfig {
    /// Takes what is given of limits and the restart policy. Zero and empty are not given, except for processes, where
    /// zero is no limit.
    ///
    /// - Throws: ``EngineError`` in Docker's words: `.conflict` beside what is set, `.invalidParameter` for a member that only a
    ///   creation sets.
    mutating func change(by changes: HostConfig) throws(EngineError) {
        if let member = changes.fixedMember {
            throw EngineError.invalid("\(member) cannot be changed: it is set when a container is created")
        }
        try checkProcessorTime(changes)
        try changeMemory(changes)
        func given(_ value: Int64?) -> Int64? { value.flatMap { $0 == 0 ? nil : $0 } }
        func given(_ text: String?) -> String? { text.flatMap { $0.isEmpty ? nil : $0 } }
        nanoCpus = given(changes.nanoCpus) ?? nanoCpus
        cpuShares = given(changes.cpuShares) ?? cpuShares
        cpuPeriod = given(changes.cpuPeriod) ?? cpuPeriod
        cpuQuota = given(changes.cpuQuota) ?? cpuQuota
        cpuRealtimePeriod = given(changes.cpuRealtimePeriod) ?? cpuRealtimePeriod
        cpuRealtimeRuntime = given(changes.cpuRealtimeRuntime) ?? cpuRealtimeRuntime
        cpusetCpus = given(changes.cpusetCpus) ?? cpusetCpus
        cpusetMems = given(changes.cpusetMems) ?? cpusetMems
        blkioWeight = changes.blkioWeight.flatMap { $0 == 0 ? nil : $0 } ?? blkioWeight
        if let processes = changes.pidsLimit { pidsLimit = max(processes, 0) }
        if let policy = changes.restartPolicy, let name = given(policy.name) {
            guard autoRemove != true || name == "no" else {
                throw EngineError(
                    .conflict, "Restart policy cannot be updated because AutoRemove is enabled for the container")
            }
            restartPolicy = policy
        }
    }

    /// A quota and a number of processors are two words for one limit.
    private func checkProcessorTime(_ changes: HostConfig) throws(EngineError) {
        func isSet(_ value: Int64?) -> Bool { value ?? 0 > 0 }
        let conflicts = [
            (
                isSet(changes.nanoCpus) && isSet(cpuPeriod),
                "Nano CPUs cannot be updated as CPU Period has already been set"
            ),
            (
                isSet(changes.nanoCpus) && isSet(cpuQuota),
                "Nano CPUs cannot be updated as CPU Quota has already been set"
            ),
            (
                isSet(changes.cpuPeriod) && isSet(nanoCpus),
                "CPU Period cannot be updated as NanoCPUs has already been set"
            ),
            (
                isSet(changes.cpuQuota) && isSet(nanoCpus),
                "CPU Quota cannot be updated as NanoCPUs has already been set"
            ),
        ]
        if let conflict = conflicts.first(where: \.0) {
            throw EngineError(.conflict, "Conflicting options: \(conflict.1)")
        }
    }

    private mutating func changeMemory(_ changes: HostConfig) throws(EngineError) {
        let (wanted, wantedSwap) = (changes.memory ?? 0, changes.memorySwap ?? 0)
        if wanted != 0 {
            guard wantedSwap != 0 || memorySwap ?? 0 < 0 || wanted <= memorySwap ?? 0 else {
                throw EngineError(
                    .conflict,
                    "Memory limit should be smaller than already set memoryswap limit, "
                        + "update the memoryswap at the same time")
            }
            memory = wanted
        }
        if wantedSwap != 0 { memorySwap = wantedSwap }
        if let reservation = changes.memoryReservation, reservation != 0 { memoryReservation = reservation }
    }

    /// A limit that an update does not change, and that was given one.
    private var fixedMember: String? {
        let given = [
            ("BlkioWeightDevice", blkioWeightDevice?.isEmpty == false),
            ("BlkioDeviceReadBps", blkioDeviceReadBps?.isEmpty == false),
            ("BlkioDeviceWriteBps", blkioDeviceWriteBps?.isEmpty == false),
            ("BlkioDeviceReadIOps", blkioDeviceReadIOps?.isEmpty == false),
            ("BlkioDeviceWriteIOps", blkioDeviceWriteIOps?.isEmpty == false),
            ("CgroupParent", cgroupParent?.isEmpty == false), ("Devices", devices?.isEmpty == false),
            ("DeviceCgroupRules", deviceCgroupRules?.isEmpty == false),
            ("DeviceRequests", deviceRequests?.isEmpty == false), ("Ulimits", ulimits?.isEmpty == false),
            ("MemorySwappiness", memorySwappiness ?? -1 >= 0), ("OomKillDisable", oomKillDisable == true),
            ("KernelMemory", kernelMemory ?? 0 != 0), ("KernelMemoryTCP", kernelMemoryTCP ?? 0 != 0),
            ("CpuCount", cpuCount ?? 0 != 0), ("CpuPercent", cpuPercent ?? 0 != 0),
            ("IOMaximumIOps", ioMaximumIOps ?? 0 != 0), ("IOMaximumBandwidth", ioMaximumBandwidth ?? 0 != 0),
            ("Init", usesInit != nil),
        ]
        return given.first { $0.1 }?.0
    }
}
