import Glibc
package import Kernel

/// Where this machine keeps its control groups (cgroups(7)): one unified tree, one tree a controller, or both.
package struct CgroupHierarchies: Sendable, Hashable {
    /// Mount point of the version 2 tree, if there is one.
    package var unified: String?
    /// The controllers the version 2 tree offers: `memory`, `pids`…
    package var unifiedControllers: Set<String> = []
    /// Mount point of each version 1 controller.
    package var controllers: [String: String] = [:]

    /// True when every controller we use is in the version 2 tree: servers of today.
    package var isUnified: Bool { controllers.isEmpty && unified != nil }

    /// Version 1 controllers a container is put into; the others would only cost time.
    static let used = ["cpu", "cpuacct", "memory", "pids", "devices", "blkio", "cpuset", "freezer"]

    /// The controllers that `limits` ask something of and this machine does not have, by their version 1 names.
    package func unheld(_ limits: ResourceLimits) -> [String] {
        let asked = [
            ("memory", limits.memory != nil || limits.memorySwap != nil || limits.memoryReservation != nil),
            ("cpu", limits.cpuPeriod != nil || limits.cpuQuota != nil || limits.cpuShares != nil),
            ("cpuset", limits.cpusetCPUs != nil || limits.cpusetMemories != nil),
            ("pids", limits.pids ?? 0 > 0), ("blkio", limits.blkioWeight != nil || !limits.blkioDevices.isEmpty),
        ]
        return asked.filter { name, isAsked in
            isAsked && controllers[name] == nil && !unifiedControllers.contains(name == "blkio" ? "io" : name)
        }.map(\.0)
    }

    /// Reads the mount table once.
    ///
    /// - Throws: `SystemError` when `/proc/self/mountinfo` cannot be read.
    package static func detect() throws(SystemError) -> CgroupHierarchies {
        var result = CgroupHierarchies()
        let text = String(decoding: try Files.read("/proc/self/mountinfo"), as: UTF8.self)
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), fields.count > dash + 3, fields.count > 4 else { continue }
            let mountPoint = String(fields[4])
            // Something else may be mounted over it.
            guard Files.exists(mountPoint + "/cgroup.procs") else { continue }
            if fields[dash + 1] == "cgroup2" && result.unified == nil {
                result.unified = mountPoint
                // Absent before Linux 4.15 in the root of the tree: then it has none that we could use.
                let available = (try? Files.read(mountPoint + "/cgroup.controllers")) ?? []
                result.unifiedControllers = Set(
                    String(decoding: available, as: UTF8.self).split { $0.isWhitespace }.map(String.init))
            } else if fields[dash + 1] == "cgroup" {
                for option in fields[dash + 3].split(separator: ",") where used.contains(String(option)) {
                    result.controllers[String(option)] = mountPoint
                }
            }
        }
        // Version 2 freezes and kills every group, whichever controllers it has.
        if result.unified != nil { result.controllers["freezer"] = nil }
        return result
    }
}
