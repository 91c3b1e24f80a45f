import CLinux
import Glibc
package import Kernel

/// Starts containers and execs, each under a monitor process of its own that outlives this one.
package struct Launcher: Sendable {
    /// The monitor's socket in a container's directory.
    static let socketName = "monitor.sock"
    /// Clients that may wait to be accepted.
    private static let backlog: CInt = 64

    /// A sealed copy of the monitor in memory: containers never see, and cannot change, the file it came from.
    private let program: SharedFD
    /// Waits for everything that the monitors say.
    package let poller: Poller
    private let compiler = SeccompCompiler()
    private let pool: BlockingPool
    /// Where this machine keeps control groups.
    package let hierarchies: CgroupHierarchies

    /// - Parameter monitorPath: the `docker-monitor` executable, read once.
    /// - Throws: `LaunchError` when it cannot be read or the machine has no control groups we can find.
    package init(monitorPath: String, pool: BlockingPool = .shared) throws(LaunchError) {
        do throws(SystemError) {
            program = SharedFD(try Self.copy(monitorPath))
            poller = try Poller()
            hierarchies = try CgroupHierarchies.detect()
            self.pool = pool
        } catch { throw LaunchError(error, step: "monitor") }
    }

    private static func copy(_ path: String) throws(SystemError) -> OwnedFD {
        let bytes = try Files.read(path)
        let file = OwnedFD(adopting: try checked("memfd_create") { cl_memfd_executable("docker-monitor") })
        var failure: SystemError?
        bytes.withUnsafeBytes { data in
            do throws(SystemError) { try file.writeAll(data) } catch { failure = error }
        }
        if let failure { throw failure }
        let descriptor = file.raw
        try checked("fcntl") { cl_memfd_seal(descriptor) }
        return file
    }

    /// The control groups a container has or would have.
    package func cgroup(_ spec: CgroupSpec, id: String) -> Cgroup {
        Cgroup(hierarchies: hierarchies, parent: spec.parent, id: id)
    }

    /// Compiles a system-call filter, for a start that follows or for the error.
    ///
    /// - Throws: `LaunchError` when the profile is malformed.
    package func check(_ choice: SeccompChoice, _ capabilities: CapabilitySet) async throws(LaunchError) {
        try await pool.run { () throws(LaunchError) in _ = try compiler.program(choice, capabilities) }
    }

    /// Makes the control groups and starts the monitor, which listens for clients and waits for ``MonitorConnection/start()``.
    ///
    /// - Parameter directory: of this container; holds the socket and later the exit record. Made when missing.
    /// - Throws: `LaunchError` for a spec that cannot work, or a resource the system does not give.
    package func prepare(_ spec: ContainerSpec, directory: String) async throws(LaunchError) -> MonitorConnection {
        try await pool.run { () throws(LaunchError) in try prepareBlocking(spec, directory) }
    }

    /// The same for one more process in a running container.
    package func prepareExec(_ spec: ExecSpec, directory: String) async throws(LaunchError) -> MonitorConnection {
        try await pool.run { () throws(LaunchError) in try prepareExecBlocking(spec, directory) }
    }

    private func prepareBlocking(_ spec: ContainerSpec, _ directory: String) throws(LaunchError) -> MonitorConnection {
        let cgroup = cgroup(spec.cgroup, id: spec.id)
        let seccomp = try spec.privileged ? nil : compiler.program(spec.seccomp, spec.capabilities)
        let rules = try deviceRules(spec)
        try cgroup.create(spec.cgroup.limits, devices: rules)
        do throws(LaunchError) {
            var files = Handover()
            let (cgroupFiles, cgroupDirectory) = try files.add(cgroup)
            var oom: Int32?
            if let path = cgroup.oomFile { oom = try files.open(path) }
            var pidNamespace: Int32?
            if case .join(let pid) = spec.pidNamespace { pidNamespace = try files.addPidfd(pid) }
            let plan = try ContainerPlan(spec, cgroup: cgroup).compiled(
                cgroupFiles: cgroupFiles, cgroupDirectory: cgroupDirectory, oomFile: oom, pidNamespace: pidNamespace,
                seccomp: seccomp)
            return try spawn(plan.sealed(), files, directory, cgroup: cgroup, isExec: false)
        } catch {
            // Nothing runs in it yet; what cannot be removed now is removed with the container.
            try? cgroup.remove()
            throw error
        }
    }

    private func deviceRules(_ spec: ContainerSpec) throws(LaunchError) -> [DeviceRule]? {
        if spec.privileged { return nil }
        var rules = DeviceRule.defaults
        for device in spec.devices {
            var status = stat()
            guard stat(device.pathOnHost, &status) == 0 else { continue }  // the plan refuses it with Docker's words
            let type: Character = status.st_mode & S_IFMT == S_IFBLK ? "b" : "c"
            rules.append(
                .init(type, Int32(cl_major(status.st_rdev)), Int32(cl_minor(status.st_rdev)), device.permissions))
        }
        for rule in spec.deviceRules { rules.append(try DeviceRule(parsing: rule)) }
        return rules
    }

    private func prepareExecBlocking(_ spec: ExecSpec, _ directory: String) throws(LaunchError) -> MonitorConnection {
        var files = Handover()
        let container = try files.addPidfd(spec.containerPID)
        if spec.containerStartTime != 0, Self.startTime(of: spec.containerPID) != spec.containerStartTime {
            throw LaunchError(.monitor, step: "exec", code: ESRCH, "the container's process has ended")
        }
        let (cgroupFiles, cgroupDirectory) =
            if let cgroup = spec.cgroup { try files.add(cgroup) } else { ([Int32](), Int32?.none) }
        let seccomp = try spec.privileged ? nil : compiler.program(spec.seccomp, spec.capabilities)
        let plan = try ExecPlan.compiled(
            spec, container: container, cgroupFiles: cgroupFiles, cgroupDirectory: cgroupDirectory, seccomp: seccomp)
        return try spawn(plan.sealed(), files, directory, cgroup: nil, isExec: true)
    }

    private func spawn(
        _ plan: consuming OwnedFD, _ files: borrowing Handover, _ path: String, cgroup: Cgroup?, isExec: Bool
    ) throws(LaunchError) -> MonitorConnection {
        do throws(SystemError) {
            try Files.makeDirectories(path)
            let directory = try OwnedFD.open(path, O_RDONLY | O_DIRECTORY)
            let raw = directory.raw
            unlinkat(raw, Self.socketName, 0)
            unlinkat(raw, ExitRecord.fileName, 0)
            let listener = OwnedFD(
                adopting: try checked("bind", path) { cl_unix_listen(raw, Self.socketName, Self.backlog) })
            let null = try OwnedFD.open("/dev/null", O_RDWR)
            var ends: [CInt] = [-1, -1]
            try checked("socketpair") { cl_socketpair(&ends) }
            let ours = OwnedFD(adopting: ends[0])
            let theirs = OwnedFD(adopting: ends[1])
            let placed = [null.raw, null.raw, null.raw, plan.raw, theirs.raw, raw, listener.raw] + files.descriptors
            let pid = try start(placed)
            let monitor = OwnedFD(adopting: try checked("pidfd_open") { cl_pidfd_open(pid) })
            return try MonitorConnection(
                control: ours, monitor: monitor, directory: directory, path: path, poller: poller, cgroup: cgroup,
                isExec: isExec)
        } catch { throw LaunchError(error, step: "monitor") }
    }

    private func start(_ placed: [CInt]) throws(SystemError) -> pid_t {
        // Not /proc/self: there the new process has already closed every descriptor it was not given.
        let path = "/proc/\(getpid())/fd/\(program.raw)"
        var name = Array("docker-monitor".utf8CString)
        return try name.withUnsafeMutableBufferPointer { name throws(SystemError) in
            var arguments: [UnsafeMutablePointer<CChar>?] = [name.baseAddress, nil]
            var environment: [UnsafeMutablePointer<CChar>?] = [nil]
            return try checked("posix_spawn", path) {
                cl_spawn(path, &arguments, &environment, placed, CInt(placed.count), 1)
            }
        }
    }

    // MARK: After a restart

    /// The monitor of a container that an earlier engine started; nil when none listens in `directory`.
    package func reconnect(directory path: String, cgroup: Cgroup? = nil, isExec: Bool = false) async
        -> MonitorConnection?
    {
        await pool.run {
            do throws(SystemError) {
                let directory = try OwnedFD.open(path, O_RDONLY | O_DIRECTORY)
                let raw = directory.raw
                let control = OwnedFD(adopting: try checked("connect") { cl_unix_connect(raw, Self.socketName) })
                var request = lp_request()
                request.magic = LP_REQUEST_MAGIC
                request.kind = UInt8(LP_REQ_CONTROL.rawValue)
                try MonitorConnection.send(request, to: control.raw)
                return try MonitorConnection(
                    control: control, monitor: nil, directory: directory, path: path, poller: poller, cgroup: cgroup,
                    isExec: isExec)
            } catch { return nil }
        }
    }

    /// What the monitor of a container wrote before it left; nil when it has not, or was cut short.
    package static func exitRecord(directory: String) -> ExitRecord? {
        guard let opened = try? OwnedFD.open(directory, O_RDONLY | O_DIRECTORY) else { return nil }
        return exitRecord(in: opened)
    }

    static func exitRecord(in directory: borrowing OwnedFD) -> ExitRecord? {
        guard let file = try? directory.open(ExitRecord.fileName, O_RDONLY),
            let text = try? file.readAll(bytesMax: 4096)
        else { return nil }
        return ExitRecord(text: text)
    }

    /// Field 22 of `/proc/<pid>/stat`; nil when there is no such process.
    package static func startTime(of pid: Int32) -> UInt64? {
        guard let text = try? Files.read("/proc/\(pid)/stat", bytesMax: 4096) else { return nil }
        // The name in parentheses may hold anything, spaces and parentheses too.
        guard let end = text.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let fields = String(decoding: text[(end + 1)...], as: UTF8.self).split(separator: " ")
        return fields.count > 19 ? UInt64(fields[19]) : nil
    }
}

/// A descriptor several values share.
private final class SharedFD: Sendable {
    private let descriptor: OwnedFD
    var raw: CInt { descriptor.raw }
    init(_ descriptor: consuming OwnedFD) { self.descriptor = descriptor }
}

/// Descriptors a plan names by the number they will have in the monitor.
private struct Handover: ~Copyable {
    private(set) var descriptors: [CInt] = []

    deinit { for descriptor in descriptors { close(descriptor) } }

    private mutating func add(_ descriptor: CInt) -> Int32 {
        descriptors.append(descriptor)
        return Int32(LP_FD_FIRST) + Int32(descriptors.count - 1)
    }

    mutating func open(_ path: String) throws(LaunchError) -> Int32 {
        do throws(SystemError) {
            return add(try OwnedFD.open(path, O_RDONLY).release())
        } catch { throw LaunchError(error, step: "monitor") }
    }

    mutating func addPidfd(_ pid: Int32) throws(LaunchError) -> Int32 {
        do throws(SystemError) {
            return add(try checked("pidfd_open", "\(pid)") { cl_pidfd_open(pid) })
        } catch { throw LaunchError(error, step: "namespace") }
    }

    /// The procs files of version 1 and the directory of version 2.
    mutating func add(_ cgroup: Cgroup) throws(LaunchError) -> (files: [Int32], directory: Int32?) {
        do throws(SystemError) {
            var files: [Int32] = []
            for file in try cgroup.processFiles() { files.append(add(file)) }
            guard let path = cgroup.unifiedDirectory else { return (files, nil) }
            return (files, add(try OwnedFD.open(path, O_RDONLY | O_DIRECTORY).release()))
        } catch { throw LaunchError(error, step: "cgroup") }
    }
}
