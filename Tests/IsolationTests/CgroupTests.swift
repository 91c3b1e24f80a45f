import Foundation
import Kernel
import Testing

@testable import Isolation

/// Limits and counters in the files of either version, without a control group.
final class CgroupTests {
    private let root: String

    init() throws {
        root = "/var/tmp/cgroup-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try Files.makeDirectories(root + "/parent/id", mode: 0o755)
    }

    deinit { try? Files.removeTree(root) }

    private var unified: Cgroup {
        let hierarchies = CgroupHierarchies(
            unified: root, unifiedControllers: ["cpu", "cpuset", "io", "memory", "pids"], controllers: [:])
        return Cgroup(hierarchies: hierarchies, parent: "parent", id: "id")
    }

    private var separate: Cgroup {
        let names = CgroupHierarchies.used
        let hierarchies = CgroupHierarchies(
            unified: nil, unifiedControllers: [],
            controllers: Dictionary(uniqueKeysWithValues: names.map { ($0, root) }))
        return Cgroup(hierarchies: hierarchies, parent: "parent", id: "id")
    }

    private func write(_ files: [String: String]) throws {
        for (name, text) in files {
            try Files.replace("\(root)/parent/id/\(name)", with: Array(text.utf8), mode: 0o644)
        }
    }

    private func lines(_ settings: [CgroupSetting]) -> [String] { settings.map { "\($0.file) \($0.value)" }.sorted() }

    private static var every: ResourceLimits {
        var limits = ResourceLimits()
        limits.memory = 64 << 20
        limits.memorySwap = 96 << 20
        limits.memoryReservation = 32 << 20
        limits.memorySwappiness = 7
        limits.oomKillDisabled = true
        limits.tcpMemory = 8 << 20
        limits.cpuQuota = 20_000
        limits.cpuPeriod = 50_000
        limits.cpuShares = 1024
        limits.cpusetCPUs = "0-1"
        limits.cpusetMemories = "0"
        limits.pids = 77
        limits.blkioWeight = 500
        return limits
    }

    @Test func `every limit is written in the words of its version`() {
        #expect(
            lines(unified.settings(Self.every)) == [
                "cpu.max 20000 50000", "cpu.weight 39", "cpuset.cpus 0-1", "cpuset.mems 0", "io.bfq.weight 500",
                "io.weight default 4950", "memory.low 33554432", "memory.max 67108864", "memory.swap.max 33554432",
                "pids.max 77",
            ])
        #expect(
            Set(lines(separate.settings(Self.every))) == [
                "blkio.bfq.weight 500", "blkio.weight 500", "cpu.cfs_period_us 50000", "cpu.cfs_quota_us 20000",
                "cpu.shares 1024", "cpuset.cpus 0-1", "cpuset.mems 0", "memory.kmem.tcp.limit_in_bytes 8388608",
                "memory.limit_in_bytes 67108864", "memory.memsw.limit_in_bytes 100663296", "memory.oom_control 1",
                "memory.soft_limit_in_bytes 33554432", "memory.swappiness 7", "pids.max 77",
            ])
    }

    @Test(
        arguments: [
            (64 << 20, nil, "67108864", "67108864"), (64 << 20, -1, "67108864", "max"),
            (64 << 20, 64 << 20, "67108864", "0"),
            (Int64.max, nil, "9223372036854775807", "0"),
        ] as [(Int64, Int64?, String, String)])
    func `swap of version 2 is what is left without the memory`(
        _ memory: Int64, _ both: Int64?, _ max: String, _ swap: String
    ) {
        var limits = ResourceLimits()
        limits.memory = memory
        limits.memorySwap = both
        #expect(lines(unified.settings(limits)) == ["memory.max \(max)", "memory.swap.max \(swap)"])
    }

    @Test func `a quota without end and no limit of processes are the word max`() {
        var limits = ResourceLimits()
        limits.cpuQuota = -1
        limits.pids = 0
        #expect(lines(unified.settings(limits)) == ["cpu.max max 100000", "pids.max max"])
        #expect(lines(separate.settings(limits)) == ["cpu.cfs_quota_us -1", "pids.max max"])
    }

    @Test func `limits of block devices are by their numbers in either version`() throws {
        var limits = ResourceLimits()
        let kinds: [BlockDeviceLimit.Kind] = [.weight, .readBytes, .writeBytes, .readOperations, .writeOperations]
        let device = try #require(["/dev/loop0", "/dev/vda", "/dev/sda", "/dev/nvme0n1"].first { Files.exists($0) })
        limits.blkioDevices = zip(kinds, [500, 11, 12, 13, 14]).map { BlockDeviceLimit($0, path: device, value: $1) }
        var status = stat()
        #expect(stat(device, &status) == 0)
        let number = "\(status.st_rdev >> 8 & 0xFFF):\(status.st_rdev & 0xFF)"
        #expect(
            lines(try unified.deviceSettings(limits)) == [
                "io.max \(number) rbps=11", "io.max \(number) riops=13", "io.max \(number) wbps=12",
                "io.max \(number) wiops=14", "io.weight \(number) 4950",
            ])
        try write(["io.bfq.weight": "", "blkio.weight_device": ""])
        #expect(lines(try unified.deviceSettings(limits)).contains("io.bfq.weight \(number) 500"))
        #expect(
            lines(try separate.deviceSettings(limits)) == [
                "blkio.throttle.read_bps_device \(number) 11", "blkio.throttle.read_iops_device \(number) 13",
                "blkio.throttle.write_bps_device \(number) 12", "blkio.throttle.write_iops_device \(number) 14",
                "blkio.weight_device \(number) 500",
            ])
        limits.blkioDevices[0].path = "/dev/null"
        #expect(throws: LaunchError.self) { try separate.deviceSettings(limits) }
    }

    // MARK: Counters

    @Test func `counters of version 2 are those of its files`() throws {
        try write([
            "cpu.stat":
                "usage_usec 5123456\nuser_usec 4000000\nsystem_usec 1123456\nnice_usec 0\ncore_sched.force_idle_usec 0\n"
                + "nr_periods 120\nnr_throttled 30\nthrottled_usec 2500000\nnr_bursts 0\nburst_usec 0\n",
            "memory.current": "20971520\n", "memory.max": "67108864\n",
            "memory.stat": "anon 8388608\nfile 12582912\nkernel 1048576\ninactive_file 4194304\n",
            "memory.events": "low 0\nhigh 0\nmax 17\noom 2\noom_kill 1\noom_group_kill 0\n", "pids.current": "3\n",
            "pids.max": "50\n",
            "io.stat":
                "254:0 rbytes=1048576 wbytes=2097152 rios=16 wios=32 dbytes=0 dios=0\n7:1 \n"
                + "8:16 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0 cost.usage=12\n",
        ])
        var expected = CgroupUsage()
        expected.cpuTotal = 5_123_456_000
        expected.cpuUser = 4_000_000_000
        expected.cpuSystem = 1_123_456_000
        expected.cpuPeriods = 120
        expected.cpuThrottledPeriods = 30
        expected.cpuThrottledTime = 2_500_000_000
        expected.memory = 20_971_520
        expected.memoryLimit = 67_108_864
        expected.memoryStatistics = [
            "anon": 8_388_608, "file": 12_582_912, "kernel": 1_048_576, "inactive_file": 4_194_304,
        ]
        expected.oomKills = 1
        expected.processes = 3
        expected.processLimit = 50
        expected.blockIO = [
            .init(major: 7, minor: 1), .init(major: 8, minor: 16, readBytes: 4096, reads: 1),
            .init(major: 254, minor: 0, readBytes: 1_048_576, writtenBytes: 2_097_152, reads: 16, writes: 32),
        ]
        #expect(unified.usage() == expected)
        #expect(unified.hasRunOutOfMemory)
    }

    @Test func `counters of version 1 are those of its files`() throws {
        try write([
            "cpuacct.usage": "5123456789\n", "cpuacct.usage_user": "4000000000\n", "cpuacct.usage_sys": "1123456789\n",
            "cpuacct.usage_percpu": "5000000000 123456789 \n",
            "cpu.stat": "nr_periods 120\nnr_throttled 30\nthrottled_time 2500000000\n",
            "memory.usage_in_bytes": "20971520\n", "memory.limit_in_bytes": "9223372036854771712\n",
            "memory.max_usage_in_bytes": "33554432\n", "memory.failcnt": "17\n",
            "memory.stat": "cache 12582912\ntotal_inactive_file 4194304\n",
            "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", "pids.current": "3\n",
            "pids.max": "max\n",
            "blkio.throttle.io_service_bytes":
                "254:0 Read 1048576\n254:0 Write 2097152\n254:0 Sync 3145728\n254:0 Total 3145728\nTotal 3145728\n",
            "blkio.throttle.io_serviced": "254:0 Read 16\n254:0 Write 32\nTotal 48\n",
        ])
        var expected = CgroupUsage()
        expected.cpuTotal = 5_123_456_789
        expected.cpuUser = 4_000_000_000
        expected.cpuSystem = 1_123_456_789
        expected.cpuOfProcessors = [5_000_000_000, 123_456_789]
        expected.cpuPeriods = 120
        expected.cpuThrottledPeriods = 30
        expected.cpuThrottledTime = 2_500_000_000
        expected.memory = 20_971_520
        expected.memoryPeak = 33_554_432
        expected.memoryLimitHits = 17
        expected.memoryLimit = 9_223_372_036_854_771_712
        expected.memoryStatistics = ["cache": 12_582_912, "total_inactive_file": 4_194_304]
        expected.processes = 3
        expected.blockIO = [
            .init(major: 254, minor: 0, readBytes: 1_048_576, writtenBytes: 2_097_152, reads: 16, writes: 32)
        ]
        #expect(separate.usage() == expected)
        #expect(!separate.hasRunOutOfMemory)
    }

    @Test func `files that are missing, cut or no numbers count as nothing`() throws {
        #expect(unified.usage() == CgroupUsage() && separate.usage() == CgroupUsage())
        try write([
            "cpu.stat": "usage_usec\nnr_periods x\n\n", "memory.current": "", "memory.max": "max\n",
            "memory.events": "oom_kill 99999999999999999999\n",
            "io.stat": "x:y rbytes=1\n254 rbytes=1\n254:0 rbytes=-1 =\n",
        ])
        var expected = CgroupUsage()
        expected.blockIO = [.init(major: 254, minor: 0)]
        #expect(unified.usage() == expected)
    }
}
