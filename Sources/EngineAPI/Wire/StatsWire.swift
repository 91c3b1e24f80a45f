import Actors
import Isolation

/// One sample of `docker stats`, with the one before it.
enum StatsWire {
    static func value(_ record: ContainerRecord, _ sample: StatsSample, previous: StatsSample?) -> JSON {
        let usage = sample.counters
        var value: JSON = [
            "name": .string("/\(record.name)"), "id": .string(record.id),
            "read": .string(sample.counters == nil ? ContainerRecord.State.never : sample.read.text),
            "preread": .string(previous?.read.text ?? ContainerRecord.State.never),
        ]
        var pids: JSON = [:]
        if let usage, usage.processes > 0 {
            pids.append("current", .uint(usage.processes))
            if usage.processLimit != .max { pids.append("limit", .uint(usage.processLimit)) }
        }
        value.append("pids_stats", pids)
        value.append("blkio_stats", blockIO(usage?.blockIO ?? []))
        value.append("num_procs", 0)
        value.append("storage_stats", [:])
        value.append("cpu_stats", processor(sample))
        value.append("precpu_stats", previous.map(processor) ?? zeroProcessor)
        value.append("memory_stats", usage.map(memory) ?? [:])
        if !sample.interfaces.isEmpty { value.append("networks", networks(sample.interfaces)) }
        return value
    }

    private static let zeroProcessor: JSON = [
        "cpu_usage": ["total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0],
        "throttling_data": ["periods": 0, "throttled_periods": 0, "throttled_time": 0],
    ]

    private static func processor(_ sample: StatsSample) -> JSON {
        guard let usage = sample.counters else { return zeroProcessor }
        var time: JSON = ["total_usage": .uint(usage.cpuTotal)]
        if !usage.cpuOfProcessors.isEmpty {
            time.append("percpu_usage", .array(usage.cpuOfProcessors.map { .uint($0) }))
        }
        time.append("usage_in_kernelmode", .uint(usage.cpuSystem))
        time.append("usage_in_usermode", .uint(usage.cpuUser))
        return [
            "cpu_usage": time,
            "system_cpu_usage": .uint(sample.hostCPU), "online_cpus": JSON(sample.cpus),
            "throttling_data": [
                "periods": .uint(usage.cpuPeriods), "throttled_periods": .uint(usage.cpuThrottledPeriods),
                "throttled_time": .uint(usage.cpuThrottledTime),
            ],
        ]
    }

    private static func memory(_ usage: CgroupUsage) -> JSON {
        var value: JSON = ["usage": .uint(usage.memory)]
        if let peak = usage.memoryPeak, peak > 0 { value.append("max_usage", .uint(peak)) }
        value.append("stats", JSON(map: usage.memoryStatistics) { .uint($0) })
        if let hits = usage.memoryLimitHits, hits > 0 { value.append("failcnt", .uint(hits)) }
        if usage.memoryLimit != .max { value.append("limit", .uint(usage.memoryLimit)) }
        return value
    }

    private static func blockIO(_ devices: [CgroupUsage.BlockIO]) -> JSON {
        func entries(_ pairs: [(String, (CgroupUsage.BlockIO) -> UInt64)]) -> JSON {
            guard !devices.isEmpty else { return .null }
            return .array(
                devices.flatMap { device in
                    pairs.map { operation, count in
                        [
                            "major": .uint(UInt64(device.major)), "minor": .uint(UInt64(device.minor)),
                            "op": .string(operation), "value": .uint(count(device)),
                        ]
                    }
                })
        }
        return [
            "io_service_bytes_recursive": entries([("read", \.readBytes), ("write", \.writtenBytes)]),
            "io_serviced_recursive": entries([("read", \.reads), ("write", \.writes)]), "io_queue_recursive": nil,
            "io_service_time_recursive": nil, "io_wait_time_recursive": nil, "io_merged_recursive": nil,
            "io_time_recursive": nil, "sectors_recursive": nil,
        ]
    }

    private static func networks(_ interfaces: [InterfaceCounters]) -> JSON {
        .object(
            interfaces.map { interface in
                (
                    interface.name,
                    [
                        "rx_bytes": .uint(interface.receivedBytes), "rx_packets": .uint(interface.receivedPackets),
                        "rx_errors": .uint(interface.receivedErrors), "rx_dropped": .uint(interface.receivedDropped),
                        "tx_bytes": .uint(interface.sentBytes), "tx_packets": .uint(interface.sentPackets),
                        "tx_errors": .uint(interface.sentErrors), "tx_dropped": .uint(interface.sentDropped),
                    ]
                )
            })
    }
}
