import FoundationEssentials
import Isolation
import Kernel
import struct Volumes.TmpfsOptions
import struct Volumes.VolumeError

/// Compiles a container's record into what the isolation layer is told.
struct LaunchSpec {
    private let world: ContainerStore.Surroundings
    private let paths: ContainerPaths

    init(_ world: ContainerStore.Surroundings, _ paths: ContainerPaths) {
        self.world = world
        self.paths = paths
    }

    /// Namespaces of other containers that this one joins, by the pid of their first process.
    struct Joined: Sendable {
        var network: Int32?
        var ipc: Int32?
        var pid: Int32?
        /// What links of the default network tell in the environment.
        var variables: [String] = []
        /// Files of the container whose network this one shares.
        var files: ContainerPaths?
    }

    /// - Parameter roots: directories of ``ContainerRecord/images``, in that order.
    func container(
        _ record: ContainerRecord, roots: [String], network: NetworkMode, joined: Joined
    ) throws -> ContainerSpec {
        let (config, host) = (record.config, record.hostConfig)
        var spec = ContainerSpec(
            id: record.id, rootfs: RootFilesystem(lowers: Array(roots.prefix(1)), upper: paths.upper, work: paths.work),
            args: [record.path] + record.args)
        spec.hostname = config.hostname ?? ""
        spec.domainname = config.domainname ?? ""
        spec.env = environment(config, more: joined.variables)
        spec.workingDirectory = (config.workingDir ?? "").isEmpty ? "/" : config.workingDir ?? "/"
        spec.user = config.user ?? ""
        spec.additionalGroups = host.groupAdd ?? []
        spec.terminal = config.tty ?? false
        spec.openStdin = config.openStdin ?? false
        spec.stdinOnce = config.stdinOnce ?? false
        if let size = host.consoleSize, size.count == 2, let rows = UInt16(exactly: size[0]),
            let columns = UInt16(exactly: size[1])
        {
            spec.terminalSize = TerminalSize(rows: rows, columns: columns)
        }
        let confinement = try Confinement(host)
        spec.privileged = confinement.privileged
        spec.capabilities = confinement.capabilities
        spec.seccomp = confinement.seccomp
        spec.noNewPrivileges = confinement.noNewPrivileges
        spec.readOnlyRootfs = host.readonlyRootfs ?? false
        spec.mounts = try mounts(record, images: roots.dropFirst())
        if let files = joined.files { addFiles(of: files, to: &spec.mounts) }
        spec.devices = (host.devices ?? []).map { device in
            DeviceSpec(
                pathOnHost: device.pathOnHost ?? "",
                pathInContainer: (device.pathInContainer ?? "").isEmpty
                    ? device.pathOnHost ?? "" : device.pathInContainer ?? "",
                permissions: (device.cgroupPermissions ?? "").isEmpty ? "rwm" : device.cgroupPermissions ?? "rwm")
        }
        spec.deviceRules = host.deviceCgroupRules ?? []
        spec.rlimits = limits(host)
        spec.sysctls = host.sysctls ?? [:]
        spec.shmSize = host.shmSize ?? HostConfig.shmBytesDefault
        spec.hasSharedMemory = host.ipcMode != "none"
        spec.network = network
        spec.pidNamespace = joined.pid.map { .join($0) } ?? (host.pidMode == "host" ? .host : .private)
        spec.ipcNamespace = joined.ipc.map { .join($0) } ?? (host.ipcMode == "host" ? .host : .private)
        spec.utsNamespace = host.utsMode == "host" ? .host : .private
        spec.cgroupNamespace = host.cgroupnsMode == "host" ? .host : .private
        spec.maskedPaths =
            confinement.showsSystemPaths ? [] : host.maskedPaths ?? ContainerSpec.maskedPathsDefault
        spec.readonlyPaths =
            confinement.showsSystemPaths ? [] : host.readonlyPaths ?? ContainerSpec.readonlyPathsDefault
        spec.useInit = host.usesInit ?? false
        spec.oomScoreAdj = host.oomScoreAdj ?? 0
        spec.cgroup = Self.cgroup(host, world.configuration)
        spec.log = try log(record)
        return spec
    }

    /// - Parameter variables: what links tell in the environment.
    func exec(
        _ record: ContainerRecord, _ config: ExecConfig, process: StartedProcess, variables: [String], rows: Int,
        columns: Int
    ) throws -> ExecSpec {
        var spec = ExecSpec(containerPID: process.pid, args: config.cmd)
        spec.containerStartTime = process.startTime
        spec.env = ConfigMerge.environment(
            environment(record.config, tty: config.tty, more: variables), config.env)
        spec.workingDirectory = [config.workingDir, record.config.workingDir ?? ""].first { !$0.isEmpty } ?? "/"
        spec.user = config.user.isEmpty ? record.config.user ?? "" : config.user
        spec.additionalGroups = record.hostConfig.groupAdd ?? []
        spec.terminal = config.tty
        spec.openStdin = config.attachStdin
        if let rows = UInt16(exactly: rows), let columns = UInt16(exactly: columns) {
            spec.terminalSize = TerminalSize(rows: rows, columns: columns)
        }
        let confinement = try Confinement(record.hostConfig)
        spec.privileged = config.privileged || confinement.privileged
        spec.capabilities = confinement.capabilities
        spec.seccomp = spec.privileged ? .unconfined : confinement.seccomp
        spec.noNewPrivileges = confinement.noNewPrivileges
        spec.rlimits = limits(record.hostConfig)
        spec.cgroup = Self.cgroup(of: record, world)
        return spec
    }

    private func environment(_ config: Config, tty: Bool? = nil, more: [String] = []) -> [String] {
        var defaults = [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=\(config.hostname ?? "")",
        ]
        if tty ?? config.tty ?? false { defaults.append("TERM=xterm") }
        return ConfigMerge.environment(defaults + more, config.env ?? [])
    }

    private func limits(_ host: HostConfig) -> [ResourceLimit] {
        var limits = (host.ulimits ?? []).map {
            ResourceLimit(name: $0.name ?? "", soft: $0.soft ?? 0, hard: $0.hard ?? 0)
        }
        if let given = world.configuration.descriptors, !limits.contains(where: { $0.name == "nofile" }) {
            // A number as large as can be is the kernel's "unlimited".
            func value(_ number: Int) -> Int64 { number == .max ? -1 : Int64(number) }
            limits.append(ResourceLimit(name: "nofile", soft: value(given.soft), hard: value(given.hard)))
        }
        return limits
    }

    // MARK: Limits

    /// The control groups of a container.
    static func cgroup(of record: ContainerRecord, _ world: ContainerStore.Surroundings) -> Cgroup {
        Cgroup(
            hierarchies: world.launcher.hierarchies, parent: cgroup(record.hostConfig, world.configuration).parent,
            id: record.id)
    }

    // MARK: Files

    private func mounts(_ record: ContainerRecord, images: ArraySlice<String>) throws -> [MountSpec] {
        var specs: [MountSpec] = []
        var images = images
        for point in record.mounts where point.type != "tmpfs" {
            let source = point.image == nil ? point.source : images.popFirst() ?? ""
            var spec = MountSpec(
                .bind(source, recursive: point.nonRecursive != true), target: point.destination, readOnly: !point.rw)
            spec.subpath = point.subpath ?? ""
            spec.recursiveReadOnly = point.readOnlyNonRecursive != true
            spec.propagation = MountSpec.Propagation(rawValue: point.propagation) ?? .rprivate
            specs.append(spec)
        }
        for (target, options) in (record.hostConfig.tmpfs ?? [:]).sorted(by: { $0.key < $1.key }) {
            do throws(VolumeError) { specs.append(Self.tmpfs(target, try TmpfsOptions(options))) } catch {
                throw EngineError(.invalidParameter, "\(error)")
            }
        }
        for mount in record.hostConfig.mounts ?? [] where mount.type == "tmpfs" {
            var options = TmpfsOptions()
            if let size = mount.tmpfsOptions?.sizeBytes, size > 0 { options.size = .bytes(UInt64(size)) }
            options.mode = mount.tmpfsOptions?.mode.flatMap { $0 > 0 ? UInt16(exactly: $0) : nil }
            options.readOnly = mount.readOnly == true
            try MountRequests.checked { () throws(VolumeError) in try options.take(mount.tmpfsOptions?.options ?? []) }
            specs.append(Self.tmpfs(mount.target ?? "", options))
        }
        for (path, target) in [
            (paths.resolvConf, "/etc/resolv.conf"), (paths.hostname, "/etc/hostname"), (paths.hosts, "/etc/hosts"),
        ]
        where Files.exists(path) && !specs.contains(where: { $0.target == target }) {
            specs.append(MountSpec(.bind(path, recursive: false), target: target))
        }
        // Outer mounts first, so that an inner one is not hidden.
        return specs.sorted {
            ($0.target.split(separator: "/").count, $0.target) < ($1.target.split(separator: "/").count, $1.target)
        }
    }

    /// Names and name servers belong to the network: who shares it sees the same files, and changes to them.
    private func addFiles(of other: ContainerPaths, to specs: inout [MountSpec]) {
        let files = [
            (other.resolvConf, "/etc/resolv.conf"), (other.hostname, "/etc/hostname"), (other.hosts, "/etc/hosts"),
        ]
        for (path, target) in files where Files.exists(path) && !specs.contains(where: { $0.target == target }) {
            specs.append(MountSpec(.bind(path, recursive: false), target: target))
        }
    }

    private static func tmpfs(_ target: String, _ options: TmpfsOptions) -> MountSpec {
        let data = options.kernelData.split(separator: ",").map(String.init)
        var spec = MountSpec(.tmpfs(options: data), target: target, readOnly: options.readOnly)
        if options.noSUID { spec.flags.insert(.noSetUID) }
        if options.noDev { spec.flags.insert(.noDevices) }
        if options.noExec { spec.flags.insert(.noExec) }
        return spec
    }

    private func log(_ record: ContainerRecord) throws -> LogSpec? {
        let driver = try LogDriver(record.hostConfig.logConfig)
        guard let files = paths.logFiles(driver.kind) else { return nil }
        var spec = LogSpec(path: files.path, format: driver.kind == .local ? .frames : .json)
        spec.bytesMax = driver.fileBytesMax
        spec.filesMax = driver.filesMax
        spec.queueBytes = driver.bufferBytes
        spec.sequence = files.nextNumber()
        spec.attributes = try driver.attributes.json(record)
        return spec
    }
}

/// Sizes as users write them.
package enum ByteCount {
    /// `10m`, `1g`, `512k`, `100` with decimal units; `-1` for no limit; nil for anything else.
    package static func parseDecimal(_ text: String) -> Int64? {
        text == "-1" ? Int64.max : parse(text, base: 1000)
    }

    /// `4m`, `1g`, `512k`, `100` with binary units; nil for anything else.
    package static func parseBinary(_ text: String) -> Int64? { parse(text, base: 1024) }

    private static func parse(_ text: String, base: Double) -> Int64? {
        let digits = text.prefix { $0.isNumber || $0 == "." }
        var unit = text.dropFirst(digits.count).lowercased()
        if unit.hasPrefix(" ") { unit.removeFirst() }
        if unit.count > 1, unit.hasSuffix("b") { unit.removeLast() }
        if unit.count > 1, unit.hasSuffix("i") { unit.removeLast() }
        let powers = ["": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5]
        guard let number = Double(digits), let power = powers[unit] else { return nil }
        let bytes = (0..<power).reduce(number) { bytes, _ in bytes * base }
        guard bytes < Double(Int64.max) else { return nil }
        return Int64(bytes)
    }
}
