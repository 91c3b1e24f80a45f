/// Settings of the kernel (sysctl(8)) that a container may have for itself.
package enum KernelSettings {
    /// - Parameters:
    ///   - settings: values by keys with dots.
    ///   - ownNetwork, ownIPC: whether the container has these namespaces apart from the host's.
    /// - Throws: `LaunchError` that names the key which belongs to the host, or whose value is none.
    package static func check(
        _ settings: [String: String], ownNetwork: Bool, ownIPC: Bool
    ) throws(LaunchError) {
        for (key, value) in settings.sorted(by: { $0.key < $1.key }) {
            _ = try ContainerPlan.sysctlPath(key, ownNetwork: ownNetwork, ownIPC: ownIPC)
            guard !value.contains("\n"), !value.utf8.contains(0) else {
                throw LaunchError(.invalid, step: "sysctl", "sysctl \"\(key)\" has an invalid value")
            }
        }
    }
}

extension ResourceLimit {
    /// True for a name of setrlimit(2) that this engine knows.
    package static func isKnown(_ name: String) -> Bool { DockerDefaults.resources[name] != nil }
}
