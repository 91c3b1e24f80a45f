import CLinux
import Glibc
package import Kernel

/// One container's control groups, in whichever trees the machine has. Paths only: nothing is held open.
package struct Cgroup: Sendable, Hashable {
    package let hierarchies: CgroupHierarchies
    /// Below the root of every tree: `docker/<id>`.
    package let path: String

    package init(hierarchies: CgroupHierarchies, parent: String, id: String) {
        self.hierarchies = hierarchies
        let names = parent.split(separator: "/").filter { $0 != ".." && $0 != "." }
        path = (names.map(String.init) + [id]).joined(separator: "/")
    }

    /// The directory in the version 2 tree.
    package var unifiedDirectory: String? { hierarchies.unified.map { "\($0)/\(path)" } }

    /// The directory of one controller, in whichever tree has it.
    func directory(of controller: String) -> String? {
        if let root = hierarchies.controllers[controller] { return "\(root)/\(path)" }
        return hierarchies.unifiedControllers.contains(controller) ? unifiedDirectory : nil
    }

    /// Every directory, the version 2 one last; several controllers may share one.
    package var directories: [String] {
        var result = Set(hierarchies.controllers.values.map { "\($0)/\(path)" }).sorted()
        if let unifiedDirectory { result.append(unifiedDirectory) }
        return result
    }

    /// Makes the groups and sets the limits. Groups that exist are used as they are.
    ///
    /// - Throws: `LaunchError` naming the limit the kernel refused.
    package func create(_ limits: ResourceLimits, devices: [DeviceRule]?) throws(LaunchError) {
        do throws(SystemError) {
            for directory in directories { try Self.make(directory) }
            if hierarchies.isUnified { enableControllers() }
            try prepareCpuset()
            if let devices { try restrictDevices(devices) }
        } catch { throw LaunchError(error, step: "cgroup") }
        try write(settings(limits) + (try deviceSettings(limits)))
    }

    private static func make(_ directory: String) throws(SystemError) {
        if mkdir(directory, 0o755) == 0 || errno == EEXIST { return }
        try Files.makeDirectories(directory, mode: 0o755)
    }

    /// Controllers reach a group only when each of its parents passes them on.
    private func enableControllers() {
        guard let root = hierarchies.unified else { return }
        let wanted = ["cpu", "cpuset", "io", "memory", "pids"].filter(hierarchies.unifiedControllers.contains)
        var directory = root
        for name in path.split(separator: "/") {
            // One at a time and without complaint: a controller a parent keeps for itself must not cost us the others.
            for controller in wanted { try? Self.write("+\(controller)", to: directory + "/cgroup.subtree_control") }
            directory += "/\(name)"
        }
    }

    /// A new version 1 cpuset is empty and takes no process; it starts as a copy of its parent's, from the top down.
    private func prepareCpuset() throws(SystemError) {
        guard let root = hierarchies.controllers["cpuset"] else { return }
        var parent = root
        for name in path.split(separator: "/") {
            let directory = "\(parent)/\(name)"
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let own = try Files.read("\(directory)/\(file)")
                guard own.allSatisfy({ $0 == 10 }) else { continue }
                try Self.write(
                    String(decoding: try Files.read("\(parent)/\(file)"), as: UTF8.self), to: "\(directory)/\(file)")
            }
            parent = directory
        }
    }

    private func restrictDevices(_ rules: [DeviceRule]) throws(SystemError) {
        if let directory = hierarchies.controllers["devices"].map({ "\($0)/\(path)" }) {
            try Self.write("a", to: directory + "/devices.deny")
            let allowed = try OwnedFD.open(directory + "/devices.allow", O_WRONLY)
            for rule in rules { try Self.write(rule.text, to: allowed, directory) }
        } else if let unifiedDirectory {
            let directory = try OwnedFD.open(unifiedDirectory, O_RDONLY | O_DIRECTORY)
            let list = rules.map(\.kernelRule)
            let descriptor = directory.raw
            try checked("bpf", unifiedDirectory) { cl_attach_device_filter(descriptor, list, list.count) }
        }
    }

    /// Changes the limits of the group that has processes; those that are nil, and those of devices, stay as they are.
    package func change(_ limits: ResourceLimits) throws(LaunchError) { try write(settings(limits)) }

    private func write(_ settings: [CgroupSetting]) throws(LaunchError) {
        for setting in settings {
            guard let directory = directory(of: setting.controller) else { continue }
            do throws(SystemError) {
                try Self.write(setting.value, to: "\(directory)/\(setting.file)")
            } catch {
                if setting.optional { continue }
                throw LaunchError(
                    .setup, step: "cgroup", code: error.code,
                    "failed to write \"\(setting.value)\" to \(setting.file): \(error.reason)")
            }
        }
    }

    /// Descriptors of the version 1 files a new process writes itself into; the version 2 directory goes to clone3(2) instead.
    ///
    /// `tasks` and not `cgroup.procs`: a thread that moves itself needs no lock against every fork of the machine, whose
    /// price is an RCU grace period (10 ms and more on a busy machine). The new process has one thread.
    func processFiles() throws(SystemError) -> [CInt] {
        var result: [CInt] = []
        for directory in Set(hierarchies.controllers.values.map { "\($0)/\(path)" }).sorted() {
            result.append(try OwnedFD.open(directory + "/tasks", O_WRONLY).release())
        }
        return result
    }

    /// Kills every process of the group at once (cgroup.kill), or one by one until none is left.
    package func killAll() throws(SystemError) {
        if let unifiedDirectory, (try? Self.write("1", to: unifiedDirectory + "/cgroup.kill")) != nil { return }
        for _ in 0..<64 {
            let all = try processes()
            if all.isEmpty { return }
            for pid in all { kill(pid, SIGKILL) }
        }
    }

    /// The processes of the group, as the host numbers them.
    package func processes() throws(SystemError) -> [Int32] {
        guard let directory = unifiedDirectory ?? directories.first else { return [] }
        return String(decoding: try Files.read(directory + "/cgroup.procs"), as: UTF8.self).split(separator: "\n")
            .compactMap { Int32($0) }
    }

    /// Stops or continues every process of the group (cgroup.freeze, or the freezer of version 1). Returns when the kernel
    /// has done it, or takes longer than a fifth of a second. Call from a thread that may block.
    package func setFrozen(_ frozen: Bool) throws(SystemError) {
        let (state, wanted): (String, String)
        if let unifiedDirectory {
            try Self.write(frozen ? "1" : "0", to: unifiedDirectory + "/cgroup.freeze")
            (state, wanted) = (unifiedDirectory + "/cgroup.events", "frozen \(frozen ? 1 : 0)")
        } else if let root = hierarchies.controllers["freezer"] {
            state = "\(root)/\(path)/freezer.state"
            wanted = frozen ? "FROZEN" : "THAWED"
            try Self.write(wanted, to: state)
        } else {
            throw SystemError("freeze", ENOTSUP, path)
        }
        for _ in 0..<Self.freezePolls where !String(decoding: try Files.read(state), as: UTF8.self).contains(wanted) {
            usleep(1000)
        }
    }

    /// Milliseconds to wait for processes to stop.
    private static let freezePolls = 200

    /// Removes the groups; processes that are still ending are waited for a little. Call from a thread that may block.
    package func remove() throws(SystemError) {
        for directory in directories { try Self.remove(directory, attempts: 200) }
    }

    private static func remove(_ directory: String, attempts: Int) throws(SystemError) {
        for attempt in 0... {
            if rmdir(directory) == 0 || errno == ENOENT { return }
            let code = errno
            guard code == EBUSY, attempt < attempts else { throw SystemError("rmdir", code, directory) }
            // The container may have made groups of its own below.
            for name in try Files.list(directory) {
                var status = stat()
                guard lstat("\(directory)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { continue }
                try remove("\(directory)/\(name)", attempts: attempts)
            }
            usleep(1000)
        }
    }

    static func write(_ text: String, to path: String) throws(SystemError) {
        try write(text, to: try OwnedFD.open(path, O_WRONLY), path)
    }

    private static func write(_ text: String, to file: borrowing OwnedFD, _ path: String) throws(SystemError) {
        let descriptor = file.raw
        let bytes = Array(text.utf8)
        try checked("write", path) { Glibc.write(descriptor, bytes, bytes.count) }
    }
}
