import CLinux
import Glibc
import Kernel

/// Compiles a ``ContainerSpec`` into the operations of a launch plan.
struct ContainerPlan {
    private static let characterNode: UInt64 = 0o020000

    private let spec: ContainerSpec
    private let cgroup: Cgroup
    private var plan = LaunchPlan()
    private let userTargets: Set<String>

    init(_ spec: ContainerSpec, cgroup: Cgroup) {
        self.spec = spec
        self.cgroup = cgroup
        userTargets = Set(spec.mounts.map { Self.clean($0.target) })
    }

    /// The plan. `cgroupFiles` are the descriptor numbers the monitor will find the cgroup.procs files at.
    consuming func compiled(
        cgroupFiles: [Int32], cgroupDirectory: Int32?, oomFile: Int32?, pidNamespace: Int32?, seccomp: [UInt8]?
    ) throws(LaunchError) -> LaunchPlan {
        try validate()
        setHeader(cgroupDirectory: cgroupDirectory, oomFile: oomFile, pidNamespace: pidNamespace)
        for file in cgroupFiles { plan.add(LP_OP_CGROUP, a: UInt64(file)) }
        addNamespaces()
        openBinds()
        plan.add(LP_OP_PRIVATE)
        if spec.rootfs.upper.isEmpty {
            plan.add(LP_OP_ROOT_BIND, spec.rootfs.lowers.first ?? "")
        } else {
            plan.add(LP_OP_ROOT_OVERLAY, spec.rootfs.upper, spec.rootfs.work, list: spec.rootfs.lowers)
        }
        addKernelFileSystems()
        try addDevices()
        attachBinds()
        addRestrictions()
        try addSysctls()
        if spec.oomScoreAdj != 0 { plan.add(LP_OP_OOM_SCORE, "\(spec.oomScoreAdj)") }
        plan.add(LP_OP_PIVOT)
        try addProcess(seccomp)
        return plan
    }

    // MARK: Checks

    static func clean(_ path: String) -> String {
        "/" + path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    }

    private func validate() throws(LaunchError) {
        func refuse(_ message: String) throws(LaunchError) { throw LaunchError(.invalid, step: "spec", message) }
        if spec.args.isEmpty { try refuse("no command specified") }
        if spec.rootfs.lowers.isEmpty { try refuse("no root file system") }
        if !spec.workingDirectory.hasPrefix("/") {
            try refuse("the working directory '\(spec.workingDirectory)' is invalid, it needs to be an absolute path")
        }
        for text in [spec.hostname, spec.domainname, spec.user] + spec.env where text.utf8.contains(0) {
            try refuse("a value holds a NUL byte")
        }
        if spec.user.contains("\n") || spec.hostname.contains("\n") { try refuse("invalid user or host name") }
        if !(-1000...1000).contains(spec.oomScoreAdj) {
            try refuse("Invalid value \(spec.oomScoreAdj), range for oom score adj is [-1000, 1000]")
        }
        for mount in spec.mounts {
            let target = Self.clean(mount.target)
            guard mount.target.hasPrefix("/"), target != "/", !target.split(separator: "/").contains("..") else {
                throw LaunchError(
                    .invalid, step: "mount",
                    "invalid mount path: '\(mount.target)' mount path must be absolute and not '/'")
            }
            if (target == "/proc" || target.hasPrefix("/proc/"))
                && !DockerDefaults.replaceableProcFiles.contains(target)
                && !spec.privileged
            {
                throw LaunchError(.invalid, step: "mount", "\"\(target)\" cannot be mounted because it is inside /proc")
            }
        }
    }

    // MARK: Namespaces

    private mutating func setHeader(cgroupDirectory: Int32?, oomFile: Int32?, pidNamespace: Int32?) {
        var flags = Namespace.mount
        if spec.pidNamespace == .private { flags |= Namespace.pid }
        if spec.ipcNamespace == .private { flags |= Namespace.ipc }
        if spec.utsNamespace == .private { flags |= Namespace.uts }
        if spec.network == .none { flags |= Namespace.network }
        plan.header.clone_flags = flags
        plan.header.cgroup_fd = cgroupDirectory ?? -1
        plan.header.oom_fd = oomFile ?? -1
        plan.header.pid_namespace_fd = pidNamespace ?? -1
        plan.header.flags = UInt32(
            (spec.terminal ? LP_TERMINAL : 0) | (spec.openStdin ? LP_OPEN_STDIN : 0)
                | (spec.stdinOnce ? LP_STDIN_ONCE : 0) | (spec.useInit ? LP_INIT : 0))
        plan.header.rows = spec.terminalSize.rows
        plan.header.columns = spec.terminalSize.columns
        plan.header.stall_seconds = UInt32(clamping: spec.attachStall.components.seconds)
        if let log = spec.log { plan.setLog(log) }
        plan.setProgram(arguments: spec.args, environment: spec.env)
    }

    private mutating func addNamespaces() {
        switch spec.network {
        case .namespace(let path): plan.add(LP_OP_SETNS, path, b: Namespace.network)
        case .none: plan.add(LP_OP_LOOPBACK_UP)
        case .host: break
        }
        if case .join(let pid) = spec.ipcNamespace { plan.add(LP_OP_SETNS, "/proc/\(pid)/ns/ipc", b: Namespace.ipc) }
        if case .join(let pid) = spec.utsNamespace { plan.add(LP_OP_SETNS, "/proc/\(pid)/ns/uts", b: Namespace.uts) }
        if spec.cgroupNamespace == .private { plan.add(LP_OP_UNSHARE, a: Namespace.cgroup) }
        if spec.utsNamespace != .host {
            if !spec.hostname.isEmpty { plan.add(LP_OP_HOSTNAME, spec.hostname) }
            if !spec.domainname.isEmpty { plan.add(LP_OP_DOMAINNAME, spec.domainname) }
        }
    }

    // MARK: File systems

    private func isTaken(_ target: String) -> Bool { userTargets.contains(target) }

    private mutating func mount(_ type: String, _ target: String, _ attributes: UInt64, _ options: [String] = []) {
        guard !isTaken(target) else { return }
        plan.add(LP_OP_MOUNT, type, type, target, list: options, flags: LP_NO_SYMLINKS, a: attributes)
    }

    private mutating func addKernelFileSystems() {
        typealias D = DockerDefaults
        let quiet = D.noSetUID | D.noExec | D.noDevices
        let guarded = spec.privileged ? quiet : quiet | D.readOnly
        mount("proc", "/proc", quiet)
        mount("tmpfs", "/dev", D.noSetUID | D.strictAccessTime, ["mode=755", "size=65536k"])
        mount("devpts", "/dev/pts", D.noSetUID | D.noExec, ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"])
        mount("sysfs", "/sys", guarded)
        addCgroupMounts(guarded)
        switch spec.ipcNamespace {
        case .private:
            mount("mqueue", "/dev/mqueue", quiet)
            if spec.hasSharedMemory { mount("tmpfs", "/dev/shm", quiet, ["mode=1777", "size=\(spec.shmSize)"]) }
        case .join: mount("mqueue", "/dev/mqueue", quiet)
        case .host: break
        }
    }

    private mutating func addCgroupMounts(_ attributes: UInt64) {
        guard !isTaken("/sys/fs/cgroup"), !isTaken("/sys") else { return }
        // Of the whole tree in the host's namespace.
        if cgroup.hierarchies.isUnified {
            mount("cgroup2", "/sys/fs/cgroup", attributes)
            return
        }
        guard !cgroup.hierarchies.controllers.isEmpty else { return }
        mount("tmpfs", "/sys/fs/cgroup", attributes & ~DockerDefaults.readOnly, ["mode=755"])
    }

    private mutating func addDevices() throws(LaunchError) {
        guard !isTaken("/dev") else { return }
        for node in DockerDefaults.nodes where !isTaken(node.path) {
            plan.add(
                LP_OP_MKNOD, node.path, a: Self.characterNode | 0o666, b: UInt64(cl_makedev(node.major, node.minor)))
        }
        for (path, content) in DockerDefaults.links where !isTaken(path) { plan.add(LP_OP_SYMLINK, path, content) }
        for device in spec.devices {
            var status = stat()
            guard stat(device.pathOnHost, &status) == 0 else {
                throw LaunchError(
                    .invalid, step: "device", code: errno,
                    "error gathering device information while adding custom device \"\(device.pathOnHost)\": "
                        + SystemError("stat").reason)
            }
            guard status.st_mode & S_IFMT == S_IFCHR || status.st_mode & S_IFMT == S_IFBLK else {
                throw LaunchError(
                    .invalid, step: "device",
                    "error gathering device information while adding custom device \"\(device.pathOnHost)\": not a device node"
                )
            }
            plan.add(
                LP_OP_MKNOD, Self.clean(device.pathInContainer), a: UInt64(status.st_mode), b: UInt64(status.st_rdev))
        }
    }

    // MARK: Mounts of the user

    /// Parents before children, as Docker sorts them.
    private var sortedMounts: [MountSpec] {
        spec.mounts.enumerated().sorted { left, right in
            let depths = (left.element, right.element)
            let (a, b) = (
                Self.clean(depths.0.target).split(separator: "/").count,
                Self.clean(depths.1.target).split(separator: "/").count
            )
            return a == b ? left.offset < right.offset : a < b
        }.map(\.element)
    }

    private mutating func openBinds() {
        var slot: UInt64 = 0
        for mount in sortedMounts {
            guard case .bind(let path, let recursive) = mount.source else { continue }
            plan.add(
                LP_OP_BIND_OPEN, path, mount.subpath.isEmpty ? nil : mount.subpath, flags: recursive ? LP_RECURSIVE : 0,
                c: slot)
            slot += 1
        }
        if !isTaken("/dev/shm") {
            if case .join(let pid) = spec.ipcNamespace {
                plan.add(LP_OP_BIND_OPEN, "/dev/shm", a: UInt64(pid), c: slot)
            } else if spec.ipcNamespace == .host {
                plan.add(LP_OP_BIND_OPEN, "/dev/shm", c: slot)
                plan.add(LP_OP_BIND_OPEN, "/dev/mqueue", flags: LP_OPTIONAL, c: slot + 1)
            }
        }
        for (index, item) in cgroupBinds.enumerated() {
            plan.add(LP_OP_BIND_OPEN, item.directory, c: slot + 2 + UInt64(index))
        }
    }

    /// With version 1 the container sees its own directory of every controller.
    private var cgroupBinds: [(directory: String, target: String)] {
        guard !cgroup.hierarchies.controllers.isEmpty, !isTaken("/sys/fs/cgroup"), !isTaken("/sys") else { return [] }
        return cgroup.hierarchies.controllers.sorted { $0.key < $1.key }.map {
            ("\($0.value)/\(cgroup.path)", "/sys/fs/cgroup/\($0.key)")
        }
    }

    private mutating func attachBinds() {
        typealias D = DockerDefaults
        var binds: UInt64 = 0
        let count = UInt64(spec.mounts.count { if case .bind = $0.source { true } else { false } })
        let quiet = D.noSetUID | D.noExec | D.noDevices
        for (index, item) in cgroupBinds.enumerated() {
            let attributes = spec.privileged ? quiet : quiet | D.readOnly
            plan.add(LP_OP_BIND_ATTACH, item.target, a: attributes, b: UInt64(MS_PRIVATE), c: count + 2 + UInt64(index))
        }
        if !cgroupBinds.isEmpty && !spec.privileged { plan.add(LP_OP_READ_ONLY, "/sys/fs/cgroup") }
        if spec.ipcNamespace != .private && !isTaken("/dev/shm") {
            plan.add(LP_OP_BIND_ATTACH, "/dev/shm", a: quiet, b: UInt64(MS_PRIVATE), c: count)
            if spec.ipcNamespace == .host {
                plan.add(LP_OP_BIND_ATTACH, "/dev/mqueue", a: quiet, b: UInt64(MS_PRIVATE), c: count + 1)
            }
        }
        for mount in sortedMounts {
            var attributes = UInt64(mount.flags.rawValue)
            if mount.readOnly { attributes |= D.readOnly }
            switch mount.source {
            case .bind:
                let deep = mount.readOnly && mount.recursiveReadOnly ? LP_RECURSIVE_FLAGS : 0
                plan.add(
                    LP_OP_BIND_ATTACH, Self.clean(mount.target), flags: deep, a: attributes,
                    b: mount.propagation.flags, c: binds)
                binds += 1
            case .tmpfs(let options):
                plan.add(LP_OP_MOUNT, "tmpfs", "tmpfs", Self.clean(mount.target), list: options, a: attributes)
            }
        }
    }

    // MARK: Restrictions

    private mutating func addRestrictions() {
        if !spec.privileged {
            // Docker hides the per-processor throttling counters too; they exist only on machines that have them.
            for path in spec.maskedPaths { plan.add(LP_OP_MASK, path) }
            for path in spec.readonlyPaths { plan.add(LP_OP_READ_ONLY, path) }
        }
        // Made while the root can still be written.
        plan.add(LP_OP_WORKING_DIRECTORY, Self.clean(spec.workingDirectory), flags: LP_CREATE)
    }

    private mutating func addSysctls() throws(LaunchError) {
        if spec.network == .none {
            // As in the namespaces the engine makes: ports below 1024 and ping need no privilege.
            plan.add(LP_OP_SYSCTL, "net/ipv4/ip_unprivileged_port_start", "0")
            plan.add(LP_OP_SYSCTL, "net/ipv4/ping_group_range", "0 2147483647")
        }
        let settings = try KernelSettings.files(
            spec.sysctls, ownNetwork: spec.network != .host, ownIPC: spec.ipcNamespace != .host)
        for (path, value) in settings { plan.add(LP_OP_SYSCTL, path, value) }
    }

    // MARK: The process

    private mutating func addProcess(_ seccomp: [UInt8]?) throws(LaunchError) {
        if spec.terminal { plan.add(LP_OP_CONSOLE, flags: LP_CREATE) }
        if spec.readOnlyRootfs { plan.add(LP_OP_ROOT_READ_ONLY) }
        plan.add(LP_OP_KEYRING, spec.id)
        try plan.addProcess(
            rlimits: spec.rlimits, user: spec.user, groups: spec.additionalGroups,
            capabilities: spec.privileged ? .all : spec.capabilities, noNewPrivileges: spec.noNewPrivileges,
            seccomp: seccomp)
    }
}

extension LaunchPlan {
    /// The last operations of containers and execs alike.
    mutating func addProcess(
        rlimits: [ResourceLimit], user: String, groups: [String], capabilities: CapabilitySet, noNewPrivileges: Bool,
        seccomp: [UInt8]?
    ) throws(LaunchError) {
        for limit in rlimits {
            guard let resource = DockerDefaults.resources[limit.name] else {
                throw LaunchError(.invalid, step: "rlimit", "invalid ulimit type: \(limit.name)")
            }
            func value(_ number: Int64) -> UInt64 { number < 0 ? .max : UInt64(number) }
            add(LP_OP_RLIMIT, limit.name, a: resource, b: value(limit.soft), c: value(limit.hard))
        }
        add(LP_OP_USER, user, list: groups)
        add(LP_OP_CAPABILITIES, a: capabilities.bits)
        if noNewPrivileges { add(LP_OP_NO_NEW_PRIVILEGES) }
        if let seccomp { add(filter: seccomp) }
        add(LP_OP_EXECUTE)
    }
}

extension MountSpec.Propagation {
    /// As in mount(2).
    var flags: UInt64 {
        let recursive: UInt64 = 0x4000
        return switch self {
        case .private: UInt64(MS_PRIVATE)
        case .rprivate: UInt64(MS_PRIVATE) | recursive
        case .slave: UInt64(MS_SLAVE)
        case .rslave: UInt64(MS_SLAVE) | recursive
        case .shared: UInt64(MS_SHARED)
        case .rshared: UInt64(MS_SHARED) | recursive
        }
    }
}
