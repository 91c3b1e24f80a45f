import CLinux
/// Everything the kernel must be told to run one container: the engine's decisions, with nothing left to look up but
/// what lies in the container's own root file system (users, working directory, the program).
package struct ContainerSpec: Sendable {
    package var id: String
    package var hostname = ""
    package var domainname = ""
    package var rootfs: RootFilesystem
    /// The program and its arguments; the program is searched in the container's `PATH`.
    package var args: [String]
    /// `NAME=value`; `HOME` is added from the container's passwd file when it is missing.
    package var env: [String] = []
    /// Absolute; made inside the container when missing.
    package var workingDirectory = "/"
    /// `""`, `user`, `uid`, `user:group` or `uid:gid`, resolved in the container's own files.
    package var user = ""
    /// Supplementary groups, names or numbers, besides those of the user.
    package var additionalGroups: [String] = []
    package var terminal = false
    package var openStdin = false
    package var stdinOnce = false
    package var terminalSize = TerminalSize()
    package var capabilities = CapabilitySet.default
    package var seccomp = SeccompChoice.default
    package var noNewPrivileges = false
    /// All devices and capabilities, writable kernel file systems, no masks, no system-call filter.
    package var privileged = false
    package var readOnlyRootfs = false
    package var mounts: [MountSpec] = []
    package var devices: [DeviceSpec] = []
    /// Rules in the kernel's form, `c 10:200 rwm`, besides Docker's defaults.
    package var deviceRules: [String] = []
    package var rlimits: [ResourceLimit] = []
    /// Keys with dots; only keys of the container's own namespaces are accepted.
    package var sysctls: [String: String] = [:]
    /// Size of `/dev/shm` in bytes.
    package var shmSize: Int64 = 64 << 20
    /// False leaves out `/dev/shm`, as with Docker's `--ipc none`.
    package var hasSharedMemory = true
    package var network = NetworkMode.none
    package var pidNamespace = NamespaceMode.private
    package var ipcNamespace = NamespaceMode.private
    package var utsNamespace = NamespaceMode.private
    package var cgroupNamespace = NamespaceMode.private
    /// Paths hidden in the container.
    package var maskedPaths = Self.maskedPathsDefault
    /// Paths made read-only in the container.
    package var readonlyPaths = Self.readonlyPathsDefault
    /// PID 1 is a small init that reaps orphans and forwards signals.
    package var useInit = false
    package var oomScoreAdj = 0
    package var cgroup = CgroupSpec()
    /// Nil writes none.
    package var log: LogSpec?
    /// How long an attached client may stop reading before it is dropped; the container waits for it meanwhile.
    package var attachStall = Duration.seconds(300)

    /// Docker's lists.
    package static let maskedPathsDefault = DockerDefaults.maskedPaths
    package static let readonlyPathsDefault = DockerDefaults.readonlyPaths

    package init(id: String, rootfs: RootFilesystem, args: [String]) {
        self.id = id
        self.rootfs = rootfs
        self.args = args
    }
}

/// One more process in a running container.
package struct ExecSpec: Sendable {
    /// The container's first process, as the host numbers it.
    package var containerPID: Int32
    /// Its start time in clock ticks since boot (``StartedProcess/startTime``): a recycled pid is refused. 0: not checked.
    package var containerStartTime: UInt64 = 0
    package var args: [String]
    package var env: [String] = []
    /// Absolute; must exist.
    package var workingDirectory = "/"
    package var user = ""
    package var additionalGroups: [String] = []
    package var terminal = false
    package var openStdin = false
    package var stdinOnce = true
    package var terminalSize = TerminalSize()
    package var privileged = false
    package var capabilities = CapabilitySet.default
    package var seccomp = SeccompChoice.default
    package var noNewPrivileges = false
    /// The container's control groups; nil leaves the process in the engine's.
    package var cgroup: Cgroup?
    package var rlimits: [ResourceLimit] = []
    package var oomScoreAdj = 0
    package var attachStall = Duration.seconds(300)

    package init(containerPID: Int32, args: [String]) {
        self.containerPID = containerPID
        self.args = args
    }
}

/// The layers a container's root is made of (overlayfs), or a plain directory when `upper` is empty.
package struct RootFilesystem: Sendable, Hashable {
    /// Read-only directories, uppermost first.
    package var lowers: [String]
    package var upper: String
    package var work: String

    package init(lowers: [String], upper: String, work: String) {
        self.lowers = lowers
        self.upper = upper
        self.work = work
    }
}

/// A terminal's size in characters; 0×0 leaves the kernel's.
package struct TerminalSize: Sendable, Hashable {
    package var rows: UInt16
    package var columns: UInt16

    package init(rows: UInt16 = 0, columns: UInt16 = 0) {
        self.rows = rows
        self.columns = columns
    }
}

/// Which system-call filter a process gets.
package enum SeccompChoice: Sendable, Hashable {
    /// Docker's default profile.
    case `default`
    case unconfined
    /// A profile in Docker's JSON form.
    case profile([UInt8])
}

/// Something mounted into the container.
package struct MountSpec: Sendable, Hashable {
    package enum Source: Sendable, Hashable {
        /// A path of the host, with everything mounted below it when `recursive`.
        case bind(String, recursive: Bool = true)
        /// An empty file system in memory, with tmpfs(5) options such as `size=64m` and `mode=1777`.
        case tmpfs(options: [String])
    }
    package enum Propagation: String, Sendable, Hashable, CaseIterable {
        case rprivate, `private`, rshared, shared, rslave, slave
    }
    package struct Flags: OptionSet, Sendable, Hashable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        package static let noSetUID = Flags(rawValue: 2)
        package static let noDevices = Flags(rawValue: 4)
        package static let noExec = Flags(rawValue: 8)
    }

    package var source: Source
    /// What of a bind's source is mounted: a relative path in a directory that others may write. It is resolved once and never
    /// leads out of the source. Empty: the source itself.
    package var subpath = ""
    /// Absolute, inside the container; made when missing.
    package var target: String
    package var readOnly = false
    /// Read-only for mounts below a bind as well (Linux 5.12).
    package var recursiveReadOnly = true
    package var propagation = Propagation.rprivate
    package var flags: Flags = []

    package init(_ source: Source, target: String, readOnly: Bool = false) {
        self.source = source
        self.target = target
        self.readOnly = readOnly
    }
}

/// A device node of the host given to the container.
package struct DeviceSpec: Sendable, Hashable {
    package var pathOnHost: String
    package var pathInContainer: String
    /// Of `r`, `w` and `m`.
    package var permissions: String

    package init(pathOnHost: String, pathInContainer: String, permissions: String = "rwm") {
        self.pathOnHost = pathOnHost
        self.pathInContainer = pathInContainer
        self.permissions = permissions
    }
}

/// A limit of setrlimit(2); -1 is unlimited.
package struct ResourceLimit: Sendable, Hashable {
    /// The name without `RLIMIT_`, lower case: `nofile`.
    package var name: String
    package var soft: Int64
    package var hard: Int64

    package init(name: String, soft: Int64, hard: Int64) {
        self.name = name
        self.soft = soft
        self.hard = hard
    }
}

/// Where a container's network interfaces live.
package enum NetworkMode: Sendable, Hashable {
    case host
    /// A namespace of its own with loopback only.
    case none
    /// A namespace that exists, by path: `/run/…/netns/x` or `/proc/<pid>/ns/net`.
    case namespace(String)
}

/// Which namespace of one kind a container is in.
package enum NamespaceMode: Sendable, Hashable {
    case `private`
    case host
    /// That of the process `pid` (another container's first).
    case join(Int32)
}

/// Where a container is accounted and what it may use at most.
package struct CgroupSpec: Sendable, Hashable {
    /// Path below the hierarchies' roots.
    package var parent = "docker"
    package var limits = ResourceLimits()
    package init() {}
}

/// Upper bounds and weights; nil means none. Docker's meaning and units.
package struct ResourceLimits: Sendable, Hashable {
    /// Bytes.
    package var memory: Int64?
    /// Memory and swap together, bytes; -1 is unlimited swap.
    package var memorySwap: Int64?
    /// Soft limit, bytes.
    package var memoryReservation: Int64?
    /// Microseconds of CPU time a period.
    package var cpuQuota: Int64?
    /// Microseconds.
    package var cpuPeriod: Int64?
    /// Relative weight, 2…262144, 1024 is normal.
    package var cpuShares: Int64?
    /// A list such as `0-2,4`.
    package var cpusetCPUs: String?
    package var cpusetMemories: String?
    /// Processes and threads; ≤ 0 is unlimited.
    package var pids: Int64?
    /// 10…1000.
    package var blkioWeight: Int?
    package var blkioDevices: [BlockDeviceLimit] = []
    /// How readily memory is swapped out, 0…100; of version 1 alone.
    package var memorySwappiness: Int64?
    /// Processes wait for memory instead of being killed; of version 1 alone.
    package var oomKillDisabled = false
    /// Buffers of TCP, bytes; of version 1 alone.
    package var tcpMemory: Int64?
    package init() {}
}

/// The share or the rate that a container has of one block device.
package struct BlockDeviceLimit: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        /// 10…1000.
        case weight
        /// Bytes a second.
        case readBytes, writeBytes
        /// Operations a second.
        case readOperations, writeOperations
    }
    package var kind: Kind
    /// Of the host: `/dev/sda`.
    package var path: String
    package var value: UInt64

    package init(_ kind: Kind, path: String, value: UInt64) {
        self.kind = kind
        self.path = path
        self.value = value
    }
}

/// Where a container's output is kept besides the attached clients.
package struct LogSpec: Sendable, Hashable {
    package enum Format: Sendable {
        /// Docker's json-file form.
        case json
        /// Frames of launch_plan.h.
        case frames
    }
    package var path: String
    package var format: Format
    /// A file that would get longer is renamed to `path.N`, and at most `filesMax` are kept.
    package var bytesMax: Int64 = 10_000_000
    package var filesMax = 3
    /// The first N.
    package var sequence: UInt32 = 1
    /// A JSON object that is part of every JSON record, or nothing.
    package var attributes = ""
    /// Bytes of text that may wait for the disk, at most ``queueBytesMax``, before what comes is dropped; nil where the
    /// container waits instead.
    package var queueBytes: Int64?

    /// Longest piece of a line that one record has, in bytes, and longest ``attributes``.
    package static let pieceBytesMax = Int(LP_LOG_PIECE_BYTES_MAX)
    package static let attributesBytesMax = Int(LP_LOG_ATTRIBUTES_BYTES_MAX)
    package static let queueBytesMax = Int(LP_LOG_QUEUE_BYTES_MAX)

    package init(path: String, format: Format = .json) {
        self.path = path
        self.format = format
    }
}
