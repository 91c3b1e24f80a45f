import CLinux

/// What every container of Docker's gets mounted, hidden and linked.
enum DockerDefaults {
    static let maskedPaths = [
        "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
        "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ]
    static let readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

    struct Node {
        var path: String
        var major: UInt32
        var minor: UInt32
    }
    static let nodes = [
        Node(path: "/dev/null", major: 1, minor: 3), Node(path: "/dev/zero", major: 1, minor: 5),
        Node(path: "/dev/full", major: 1, minor: 7), Node(path: "/dev/random", major: 1, minor: 8),
        Node(path: "/dev/urandom", major: 1, minor: 9), Node(path: "/dev/tty", major: 5, minor: 0),
    ]
    static let links = [
        ("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "/proc/self/fd/0"), ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"), ("/dev/core", "/proc/kcore"), ("/dev/ptmx", "pts/ptmx"),
    ]
    /// Files of /proc a mount may replace (as lxcfs does); nothing else below it may be.
    static let replaceableProcFiles: Set<String> = [
        "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
        "/proc/loadavg",
        "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
    ]
    static let resources: [String: UInt64] = [
        "cpu": 0, "fsize": 1, "data": 2, "stack": 3, "core": 4, "rss": 5, "nproc": 6, "nofile": 7, "memlock": 8,
        "as": 9,
        "locks": 10, "sigpending": 11, "msgqueue": 12, "nice": 13, "rtprio": 14, "rttime": 15,
    ]
    static let noSetUID = UInt64(CL_MOUNT_ATTR_NOSUID)
    static let noDevices = UInt64(CL_MOUNT_ATTR_NODEV)
    static let noExec = UInt64(CL_MOUNT_ATTR_NOEXEC)
    static let readOnly = UInt64(CL_MOUNT_ATTR_RDONLY)
    static let strictAccessTime: UInt64 = 0x20
}

/// Namespace flags of clone(2).
enum Namespace {
    static let mount: UInt64 = 0x0002_0000
    static let cgroup: UInt64 = 0x0200_0000
    static let uts: UInt64 = 0x0400_0000
    static let ipc: UInt64 = 0x0800_0000
    static let pid: UInt64 = 0x2000_0000
    static let network: UInt64 = 0x4000_0000
}
