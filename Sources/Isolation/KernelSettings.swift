/// Settings of the kernel (sysctl(8)) that a container may have for itself.
package enum KernelSettings {
    /// - Parameters:
    ///   - settings: values by keys with dots.
    ///   - ownNetwork, ownIPC: whether the container has these namespaces apart from the host's.
    /// - Throws: `LaunchError` that names the key which belongs to the host, or whose value is none.
    package static func check(
        _ settings: [String: String], ownNetwork: Bool, ownIPC: Bool
    ) throws(LaunchError) {
        _ = try files(settings, ownNetwork: ownNetwork, ownIPC: ownIPC)
    }

    /// The same, with the files below /proc/sys and what is written into them, in order of the keys.
    static func files(
        _ settings: [String: String], ownNetwork: Bool, ownIPC: Bool
    ) throws(LaunchError) -> [(path: String, value: String)] {
        var files: [(path: String, value: String)] = []
        for (key, value) in settings.sorted(by: { $0.key < $1.key }) {
            let path = try path(key, ownNetwork: ownNetwork, ownIPC: ownIPC)
            guard !value.contains("\n"), !value.utf8.contains(0) else {
                throw LaunchError(.invalid, step: "sysctl", "sysctl \"\(key)\" has an invalid value")
            }
            files.append((path, value))
        }
        return files
    }

    private static let ipcSysctls: Set<String> = [
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ]

    /// The file below /proc/sys, only for settings of a namespace the container has for itself.
    private static func path(_ key: String, ownNetwork: Bool, ownIPC: Bool) throws(LaunchError) -> String {
        let parts = key.split(separator: ".", omittingEmptySubsequences: false)
        let plain = parts.allSatisfy { part in
            !part.isEmpty
                && part.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" || $0 == "/") }
                && !part.split(separator: "/", omittingEmptySubsequences: false).contains("")
        }
        let isOwn =
            (ownIPC && (ipcSysctls.contains(key) || key.hasPrefix("fs.mqueue.")))
            || (ownNetwork && key.hasPrefix("net."))
        guard plain, isOwn else {
            throw LaunchError(.invalid, step: "sysctl", "sysctl \"\(key)\" is not in a separate kernel namespace")
        }
        // An interface name with dots is written with slashes: net.ipv4.conf.eth0/100.forwarding.
        return parts.map { $0.replacing("/", with: ".") }.joined(separator: "/")
    }
}

extension ResourceLimit {
    /// True for a name of setrlimit(2) that this engine knows.
    package static func isKnown(_ name: String) -> Bool { DockerDefaults.resources[name] != nil }
}
