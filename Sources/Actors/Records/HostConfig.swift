import OCI

/// The `HostConfig` of a container as the Engine API writes it: confinement, mounts, limits, network mode.
package struct HostConfig: Sendable, Hashable, Codable {
    package var binds: [String]?
    package var containerIDFile: String?
    package var logConfig: LogConfig?
    package var networkMode: String?
    package var portBindings: [String: [PortBindingRequest]?]?
    package var restartPolicy: RestartPolicy?
    package var autoRemove: Bool?
    package var volumeDriver: String?
    package var volumesFrom: [String]?
    package var consoleSize: [Int]?
    package var annotations: [String: String]?
    package var capAdd: [String]?
    package var capDrop: [String]?
    package var cgroupnsMode: String?
    package var dns: [String]?
    package var dnsOptions: [String]?
    package var dnsSearch: [String]?
    package var extraHosts: [String]?
    package var groupAdd: [String]?
    package var ipcMode: String?
    package var cgroup: String?
    package var links: [String]?
    package var oomScoreAdj: Int?
    package var pidMode: String?
    package var privileged: Bool?
    package var publishAllPorts: Bool?
    package var readonlyRootfs: Bool?
    package var securityOpt: [String]?
    package var storageOpt: [String: String]?
    package var tmpfs: [String: String]?
    package var utsMode: String?
    package var usernsMode: String?
    package var shmSize: Int64?
    package var sysctls: [String: String]?
    package var runtime: String?
    package var isolation: String?
    package var cpuShares: Int64?
    package var memory: Int64?
    package var nanoCpus: Int64?
    package var cgroupParent: String?
    package var blkioWeight: Int?
    package var blkioWeightDevice: [WeightDevice]?
    package var blkioDeviceReadBps: [ThrottleDevice]?
    package var blkioDeviceWriteBps: [ThrottleDevice]?
    package var blkioDeviceReadIOps: [ThrottleDevice]?
    package var blkioDeviceWriteIOps: [ThrottleDevice]?
    package var cpuPeriod: Int64?
    package var cpuQuota: Int64?
    package var cpuRealtimePeriod: Int64?
    package var cpuRealtimeRuntime: Int64?
    package var cpusetCpus: String?
    package var cpusetMems: String?
    package var devices: [DeviceMapping]?
    package var deviceCgroupRules: [String]?
    package var deviceRequests: [DeviceRequest]?
    package var memoryReservation: Int64?
    package var memorySwap: Int64?
    package var memorySwappiness: Int64?
    package var kernelMemory: Int64?
    package var kernelMemoryTCP: Int64?
    package var oomKillDisable: Bool?
    package var pidsLimit: Int64?
    package var ulimits: [Ulimit]?
    package var mounts: [Mount]?
    package var maskedPaths: [String]?
    package var readonlyPaths: [String]?
    package var usesInit: Bool?
    package var cpuCount: Int64?
    package var cpuPercent: Int64?
    package var ioMaximumIOps: UInt64?
    package var ioMaximumBandwidth: UInt64?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case binds = "Binds"
        case containerIDFile = "ContainerIDFile"
        case logConfig = "LogConfig"
        case networkMode = "NetworkMode"
        case portBindings = "PortBindings"
        case restartPolicy = "RestartPolicy"
        case autoRemove = "AutoRemove"
        case volumeDriver = "VolumeDriver"
        case volumesFrom = "VolumesFrom"
        case consoleSize = "ConsoleSize"
        case annotations = "Annotations"
        case capAdd = "CapAdd"
        case capDrop = "CapDrop"
        case cgroupnsMode = "CgroupnsMode"
        case dns = "Dns"
        case dnsOptions = "DnsOptions"
        case dnsSearch = "DnsSearch"
        case extraHosts = "ExtraHosts"
        case groupAdd = "GroupAdd"
        case ipcMode = "IpcMode"
        case cgroup = "Cgroup"
        case links = "Links"
        case oomScoreAdj = "OomScoreAdj"
        case pidMode = "PidMode"
        case privileged = "Privileged"
        case publishAllPorts = "PublishAllPorts"
        case readonlyRootfs = "ReadonlyRootfs"
        case securityOpt = "SecurityOpt"
        case storageOpt = "StorageOpt"
        case tmpfs = "Tmpfs"
        case utsMode = "UTSMode"
        case usernsMode = "UsernsMode"
        case shmSize = "ShmSize"
        case sysctls = "Sysctls"
        case runtime = "Runtime"
        case isolation = "Isolation"
        case cpuShares = "CpuShares"
        case memory = "Memory"
        case nanoCpus = "NanoCpus"
        case cgroupParent = "CgroupParent"
        case blkioWeight = "BlkioWeight"
        case blkioWeightDevice = "BlkioWeightDevice"
        case blkioDeviceReadBps = "BlkioDeviceReadBps"
        case blkioDeviceWriteBps = "BlkioDeviceWriteBps"
        case blkioDeviceReadIOps = "BlkioDeviceReadIOps"
        case blkioDeviceWriteIOps = "BlkioDeviceWriteIOps"
        case cpuPeriod = "CpuPeriod"
        case cpuQuota = "CpuQuota"
        case cpuRealtimePeriod = "CpuRealtimePeriod"
        case cpuRealtimeRuntime = "CpuRealtimeRuntime"
        case cpusetCpus = "CpusetCpus"
        case cpusetMems = "CpusetMems"
        case devices = "Devices"
        case deviceCgroupRules = "DeviceCgroupRules"
        case deviceRequests = "DeviceRequests"
        case memoryReservation = "MemoryReservation"
        case memorySwap = "MemorySwap"
        case memorySwappiness = "MemorySwappiness"
        case kernelMemory = "KernelMemory"
        case kernelMemoryTCP = "KernelMemoryTCP"
        case oomKillDisable = "OomKillDisable"
        case pidsLimit = "PidsLimit"
        case ulimits = "Ulimits"
        case mounts = "Mounts"
        case maskedPaths = "MaskedPaths"
        case readonlyPaths = "ReadonlyPaths"
        case usesInit = "Init"
        case cpuCount = "CpuCount"
        case cpuPercent = "CpuPercent"
        case ioMaximumIOps = "IOMaximumIOps"
        case ioMaximumBandwidth = "IOMaximumBandwidth"
    }

    package init() {}
}

/// `LogConfig`: the log driver and its options.
package struct LogConfig: Sendable, Hashable, Codable {
    package var type: String?
    package var config: [String: String]?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case type = "Type"
        case config = "Config"
    }

    package init() {}
}

/// One host side of a published port, as given: both members may be empty.
package struct PortBindingRequest: Sendable, Hashable, Codable {
    package var hostIp: String?
    package var hostPort: String?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case hostIp = "HostIp"
        case hostPort = "HostPort"
    }

    package init() {}
}

/// `RestartPolicy`: `no`, `always`, `unless-stopped` or `on-failure` with a count.
package struct RestartPolicy: Sendable, Hashable, Codable {
    package var name: String?
    package var maximumRetryCount: Int?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case name = "Name"
        case maximumRetryCount = "MaximumRetryCount"
    }

    package init() {}
}

/// A block device and its weight.
package struct WeightDevice: Sendable, Hashable, Codable {
    package var path: String?
    package var weight: Int?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case path = "Path"
        case weight = "Weight"
    }

    package init() {}
}

/// A block device and its rate, in bytes or operations a second.
package struct ThrottleDevice: Sendable, Hashable, Codable {
    package var path: String?
    package var rate: Int64?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case path = "Path"
        case rate = "Rate"
    }

    package init() {}
}

/// A device of the host given to the container.
package struct DeviceMapping: Sendable, Hashable, Codable {
    package var pathOnHost: String?
    package var pathInContainer: String?
    package var cgroupPermissions: String?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case pathOnHost = "PathOnHost"
        case pathInContainer = "PathInContainer"
        case cgroupPermissions = "CgroupPermissions"
    }

    package init() {}
}

/// Devices that a driver is to choose, as `--gpus` asks for them.
package struct DeviceRequest: Sendable, Hashable, Codable {
    package var driver: String?
    package var count: Int?
    package var deviceIDs: [String]?
    package var capabilities: [[String]]?
    package var options: [String: String]?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case driver = "Driver"
        case count = "Count"
        case deviceIDs = "DeviceIDs"
        case capabilities = "Capabilities"
        case options = "Options"
    }

    package init() {}
}

/// A resource limit, by its name in setrlimit(2) without `RLIMIT_`.
package struct Ulimit: Sendable, Hashable, Codable {
    package var name: String?
    package var hard: Int64?
    package var soft: Int64?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case name = "Name"
        case hard = "Hard"
        case soft = "Soft"
    }

    package init() {}
}

/// A mount as `--mount` gives it.
package struct Mount: Sendable, Hashable, Codable {
    package var type: String?
    package var source: String?
    package var target: String?
    package var readOnly: Bool?
    package var consistency: String?
    package var bindOptions: BindOptions?
    package var volumeOptions: VolumeOptions?
    package var tmpfsOptions: TmpfsRequest?
    package var imageOptions: ImageOptions?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case type = "Type"
        case source = "Source"
        case target = "Target"
        case readOnly = "ReadOnly"
        case consistency = "Consistency"
        case bindOptions = "BindOptions"
        case volumeOptions = "VolumeOptions"
        case tmpfsOptions = "TmpfsOptions"
        case imageOptions = "ImageOptions"
    }

    package init() {}
}

/// Options of a bind mount.
package struct BindOptions: Sendable, Hashable, Codable {
    package var propagation: String?
    package var nonRecursive: Bool?
    package var createMountpoint: Bool?
    package var readOnlyNonRecursive: Bool?
    package var readOnlyForceRecursive: Bool?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case propagation = "Propagation"
        case nonRecursive = "NonRecursive"
        case createMountpoint = "CreateMountpoint"
        case readOnlyNonRecursive = "ReadOnlyNonRecursive"
        case readOnlyForceRecursive = "ReadOnlyForceRecursive"
    }

    package init() {}
}

/// Options of a volume mount.
package struct VolumeOptions: Sendable, Hashable, Codable {
    package var noCopy: Bool?
    package var labels: [String: String]?
    package var driverConfig: VolumeDriverConfig?
    package var subpath: String?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case noCopy = "NoCopy"
        case labels = "Labels"
        case driverConfig = "DriverConfig"
        case subpath = "Subpath"
    }

    package init() {}
}

/// A volume's driver and its options.
package struct VolumeDriverConfig: Sendable, Hashable, Codable {
    package var name: String?
    package var options: [String: String]?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case name = "Name"
        case options = "Options"
    }

    package init() {}
}

/// Options of an image mount.
package struct ImageOptions: Sendable, Hashable, Codable {
    package var subpath: String?

    enum CodingKeys: String, CodingKey, CaseIterable { case subpath = "Subpath" }

    package init() {}
}

/// Options of a tmpfs mount: size in bytes, mode as a number, flags such as `["exec"]`.
package struct TmpfsRequest: Sendable, Hashable, Codable {
    package var sizeBytes: Int64?
    package var mode: Int?
    package var options: [[String]]?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case sizeBytes = "SizeBytes"
        case mode = "Mode"
        case options = "Options"
    }

    package init() {}
}
