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
    static let used = ["cpu", "cpuacct", "memory", "pids", "devices", "blkio", "cpuset"]

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
            if fields[dash + 1] == "cgroup2" && result.unified == nil {
                result.unified = mountPoint
                let available = (try? Files.read(mountPoint + "/cgroup.controllers")) ?? []  // absent below a delegated root
                result.unifiedControllers = Set(
                    String(decoding: available, as: UTF8.self).split { $0.isWhitespace }.map(String.init))
            } else if fields[dash + 1] == "cgroup" {
                for option in fields[dash + 3].split(separator: ",") where used.contains(String(option)) {
                    result.controllers[String(option)] = mountPoint
                }
            }
        }
        return result
    }
}
