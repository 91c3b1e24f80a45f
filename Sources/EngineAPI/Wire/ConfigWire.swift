import Actors
import Isolation
import OCI

/// `Config` and `HostConfig` with every member a client may read, in Docker's order.
enum ConfigWire {
    static func set(_ set: [String: ContainerConfig.Empty]?) -> JSON { set.map { JSON(map: $0) { _ in [:] } } ?? .null }

    static func healthcheck(_ check: ContainerConfig.Healthcheck?) -> JSON {
        guard let check else { return .null }
        var value: JSON = [:]
        value.appendUnlessNull("Test", JSON(check.test))
        value.appendUnlessNull("Interval", JSON(check.interval))
        value.appendUnlessNull("Timeout", JSON(check.timeout))
        value.appendUnlessNull("StartPeriod", JSON(check.startPeriod))
        value.appendUnlessNull("StartInterval", JSON(check.startInterval))
        value.appendUnlessNull("Retries", JSON(check.retries))
        return value
    }

    static func value(_ config: Config) -> JSON {
        var value: JSON = [
            "Hostname": .string(config.hostname ?? ""), "Domainname": .string(config.domainname ?? ""),
            "User": .string(config.user ?? ""), "AttachStdin": .bool(config.attachStdin ?? false),
            "AttachStdout": .bool(config.attachStdout ?? false), "AttachStderr": .bool(config.attachStderr ?? false),
        ]
        value.appendUnlessNull("ExposedPorts", set(config.exposedPorts))
        value.append("Tty", .bool(config.tty ?? false))
        value.append("OpenStdin", .bool(config.openStdin ?? false))
        value.append("StdinOnce", .bool(config.stdinOnce ?? false))
        value.append("Env", JSON(config.env))
        value.append("Cmd", JSON(config.cmd))
        value.appendUnlessNull("Healthcheck", healthcheck(config.healthcheck))
        value.appendUnlessNull("ArgsEscaped", JSON(config.argsEscaped))
        value.append("Image", .string(config.image ?? ""))
        value.append("Volumes", set(config.volumes))
        value.append("WorkingDir", .string(config.workingDir ?? ""))
        value.append("Entrypoint", JSON(config.entrypoint))
        value.appendUnlessNull("NetworkDisabled", JSON(config.networkDisabled))
        value.appendUnlessNull("MacAddress", JSON(config.macAddress))
        value.append("OnBuild", JSON(config.onBuild))
        value.append("Labels", JSON(config.labels ?? [:]))
        value.appendUnlessNull("StopSignal", JSON(config.stopSignal))
        value.appendUnlessNull("StopTimeout", JSON(config.stopTimeout))
        value.appendUnlessNull("Shell", JSON(config.shell))
        return value
    }
}

/// `HostConfig` of an inspection.
enum HostConfigWire {
    static func value(_ config: HostConfig) -> JSON {
        var value: JSON = [:]
        for (name, member) in general(config) + confinement(config) + limits(config) { value.append(name, member) }
        for (name, bytes) in [("KernelMemory", config.kernelMemory), ("KernelMemoryTCP", config.kernelMemoryTCP)] {
            if let bytes, bytes != 0 { value.append(name, .int(bytes)) }
        }
        value.appendUnlessNull("Mounts", JSON(list: config.mounts, mount))
        let isPrivileged = config.privileged == true
        value.append("MaskedPaths", JSON(config.maskedPaths ?? (isPrivileged ? nil : ContainerSpec.maskedPathsDefault)))
        value.append(
            "ReadonlyPaths", JSON(config.readonlyPaths ?? (isPrivileged ? nil : ContainerSpec.readonlyPathsDefault)))
        value.appendUnlessNull("Init", JSON(config.usesInit))
        return value
    }

    private static func general(_ config: HostConfig) -> [(String, JSON)] {
        let log = config.logConfig
        let restart = config.restartPolicy
        var members: [(String, JSON)] = [
            ("Binds", JSON(config.binds)), ("ContainerIDFile", .string(config.containerIDFile ?? "")),
            ("LogConfig", ["Type": .string(log?.type ?? "json-file"), "Config": JSON(log?.config ?? [:])]),
            ("NetworkMode", .string(config.networkMode ?? "bridge")),
            ("PortBindings", ports(config.portBindings ?? [:])),
            (
                "RestartPolicy",
                [
                    "Name": .string(restart?.name.flatMap { $0.isEmpty ? nil : $0 } ?? "no"),
                    "MaximumRetryCount": JSON(restart?.maximumRetryCount ?? 0),
                ]
            ), ("AutoRemove", .bool(config.autoRemove ?? false)), ("VolumeDriver", .string(config.volumeDriver ?? "")),
            ("VolumesFrom", JSON(config.volumesFrom)),
            ("ConsoleSize", .array((config.consoleSize ?? [0, 0]).map { JSON($0) })),
        ]
        if let annotations = config.annotations, !annotations.isEmpty {
            members.append(("Annotations", JSON(annotations)))
        }
        return members
    }

    static func ports(_ ports: [String: [PortBindingRequest]?]) -> JSON {
        JSON(map: ports) { JSON(list: $0, binding) }
    }

    static func binding(_ binding: PortBindingRequest) -> JSON {
        ["HostIp": .string(binding.hostIp ?? ""), "HostPort": .string(binding.hostPort ?? "")]
    }

    private static func confinement(_ config: HostConfig) -> [(String, JSON)] {
        var members: [(String, JSON)] = [
            ("CapAdd", JSON(config.capAdd)), ("CapDrop", JSON(config.capDrop)),
            ("CgroupnsMode", .string(config.cgroupnsMode ?? "private")), ("Dns", JSON(config.dns ?? [])),
            ("DnsOptions", JSON(config.dnsOptions ?? [])), ("DnsSearch", JSON(config.dnsSearch ?? [])),
            ("ExtraHosts", JSON(config.extraHosts)), ("GroupAdd", JSON(config.groupAdd)),
            ("IpcMode", .string(config.ipcMode ?? "private")), ("Cgroup", .string(config.cgroup ?? "")),
            ("Links", JSON(config.links)), ("OomScoreAdj", JSON(config.oomScoreAdj ?? 0)),
            ("PidMode", .string(config.pidMode ?? "")), ("Privileged", .bool(config.privileged ?? false)),
            ("PublishAllPorts", .bool(config.publishAllPorts ?? false)),
            ("ReadonlyRootfs", .bool(config.readonlyRootfs ?? false)), ("SecurityOpt", JSON(config.securityOpt)),
        ]
        if let options = config.storageOpt, !options.isEmpty { members.append(("StorageOpt", JSON(options))) }
        if let tmpfs = config.tmpfs, !tmpfs.isEmpty { members.append(("Tmpfs", JSON(tmpfs))) }
        members += [
            ("UTSMode", .string(config.utsMode ?? "")), ("UsernsMode", .string(config.usernsMode ?? "")),
            ("ShmSize", .int(config.shmSize ?? 64 << 20)),
        ]
        if let sysctls = config.sysctls, !sysctls.isEmpty { members.append(("Sysctls", JSON(sysctls))) }
        members += [
            ("Runtime", .string(config.runtime ?? "docker-monitor")), ("Isolation", .string(config.isolation ?? "")),
        ]
        return members
    }

    private static func limits(_ config: HostConfig) -> [(String, JSON)] {
        [
            ("CpuShares", .int(config.cpuShares ?? 0)), ("Memory", .int(config.memory ?? 0)),
            ("NanoCpus", .int(config.nanoCpus ?? 0)), ("CgroupParent", .string(config.cgroupParent ?? "")),
            ("BlkioWeight", JSON(config.blkioWeight ?? 0)),
            (
                "BlkioWeightDevice",
                JSON(list: config.blkioWeightDevice ?? []) {
                    ["Path": .string($0.path ?? ""), "Weight": JSON($0.weight ?? 0)]
                }
            ), ("BlkioDeviceReadBps", throttles(config.blkioDeviceReadBps)),
            ("BlkioDeviceWriteBps", throttles(config.blkioDeviceWriteBps)),
            ("BlkioDeviceReadIOps", throttles(config.blkioDeviceReadIOps)),
            ("BlkioDeviceWriteIOps", throttles(config.blkioDeviceWriteIOps)),
            ("CpuPeriod", .int(config.cpuPeriod ?? 0)),
            ("CpuQuota", .int(config.cpuQuota ?? 0)), ("CpuRealtimePeriod", .int(config.cpuRealtimePeriod ?? 0)),
            ("CpuRealtimeRuntime", .int(config.cpuRealtimeRuntime ?? 0)),
            ("CpusetCpus", .string(config.cpusetCpus ?? "")),
            ("CpusetMems", .string(config.cpusetMems ?? "")), ("Devices", JSON(list: config.devices ?? [], device)),
            ("DeviceCgroupRules", JSON(config.deviceCgroupRules)), ("DeviceRequests", nil),
            ("MemoryReservation", .int(config.memoryReservation ?? 0)), ("MemorySwap", .int(config.memorySwap ?? 0)),
            ("MemorySwappiness", JSON(config.memorySwappiness.flatMap { $0 < 0 ? nil : $0 })),
            ("OomKillDisable", JSON(config.oomKillDisable)),
            ("PidsLimit", JSON(config.pidsLimit.flatMap { $0 == 0 ? nil : $0 })),
            (
                "Ulimits",
                JSON(list: config.ulimits ?? []) {
                    ["Name": .string($0.name ?? ""), "Hard": .int($0.hard ?? 0), "Soft": .int($0.soft ?? 0)]
                }
            ), ("CpuCount", 0), ("CpuPercent", 0), ("IOMaximumIOps", 0), ("IOMaximumBandwidth", 0),
        ]
    }

    private static func throttles(_ devices: [ThrottleDevice]?) -> JSON {
        JSON(list: devices ?? []) { ["Path": .string($0.path ?? ""), "Rate": .int($0.rate ?? 0)] }
    }

    private static func device(_ device: DeviceMapping) -> JSON {
        [
            "PathOnHost": .string(device.pathOnHost ?? ""), "PathInContainer": .string(device.pathInContainer ?? ""),
            "CgroupPermissions": .string(device.cgroupPermissions ?? ""),
        ]
    }

    private static func mount(_ mount: Mount) -> JSON {
        var value: JSON = [:]
        value.appendUnlessNull("Type", JSON(mount.type))
        value.appendUnlessNull("Source", JSON(mount.source))
        value.appendUnlessNull("Target", JSON(mount.target))
        if mount.readOnly == true { value.append("ReadOnly", true) }
        value.appendUnlessNull("Consistency", JSON(mount.consistency))
        if let options = mount.bindOptions {
            var bind: JSON = [:]
            bind.appendUnlessNull("Propagation", JSON(options.propagation))
            if options.nonRecursive == true { bind.append("NonRecursive", true) }
            if options.createMountpoint == true { bind.append("CreateMountpoint", true) }
            if options.readOnlyNonRecursive == true { bind.append("ReadOnlyNonRecursive", true) }
            if options.readOnlyForceRecursive == true { bind.append("ReadOnlyForceRecursive", true) }
            value.append("BindOptions", bind)
        }
        if let options = mount.volumeOptions {
            var volume: JSON = [:]
            if options.noCopy == true { volume.append("NoCopy", true) }
            volume.appendUnlessNull("Labels", JSON(options.labels))
            volume.appendUnlessNull("Subpath", JSON(options.subpath))
            if let driver = options.driverConfig {
                volume.append("DriverConfig", ["Name": .string(driver.name ?? ""), "Options": JSON(driver.options)])
            }
            value.append("VolumeOptions", volume)
        }
        if let options = mount.tmpfsOptions {
            var tmpfs: JSON = [:]
            tmpfs.appendUnlessNull("SizeBytes", JSON(options.sizeBytes))
            tmpfs.appendUnlessNull("Mode", JSON(options.mode))
            if let flags = options.options, !flags.isEmpty {
                tmpfs.append("Options", .array(flags.map { JSON($0) }))
            }
            value.append("TmpfsOptions", tmpfs)
        }
        if let options = mount.imageOptions {
            var image: JSON = [:]
            image.appendUnlessNull("Subpath", JSON(options.subpath))
            value.append("ImageOptions", image)
        }
        return value
    }
}
