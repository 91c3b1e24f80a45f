import FoundationEssentials
import Glibc
import Kernel
import OCI

/// What `docker info` tells about the machine; read once.
package struct HostFacts: Sendable {
    /// Stable over restarts: derived from the machine's id and the data root.
    package let id: String
    package let name: String
    package let kernelVersion: String
    package let operatingSystem: String
    package let osVersion: String
    package let architecture: String
    package let cpus: Int
    /// Bytes.
    package let memory: Int64
    /// "1" or "2".
    package let cgroupVersion: String
    package let cgroupDriver = "cgroupfs"
    package let storageDriver: String
    package let driverStatus: [(String, String)]
    package let securityOptions: [String]

    init(_ configuration: EngineConfiguration, driver: String) {
        var names = utsname()
        uname(&names)
        func text<Value>(_ value: Value) -> String {
            withUnsafeBytes(of: value) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        name = text(names.nodename)
        kernelVersion = text(names.release)
        architecture = text(names.machine)
        let release = Self.osRelease()
        operatingSystem = release["PRETTY_NAME"] ?? "Linux"
        osVersion = release["VERSION_ID"] ?? ""
        cpus = sysconf(Int32(_SC_NPROCESSORS_ONLN))
        memory = Int64(sysconf(Int32(_SC_PHYS_PAGES))) * Int64(sysconf(Int32(_SC_PAGESIZE)))
        cgroupVersion = Files.exists("/sys/fs/cgroup/cgroup.controllers") ? "2" : "1"
        storageDriver = driver
        driverStatus = [
            ("Layer format", driver.hasPrefix("erofs") ? "tar with EROFS index" : "directory"),
            ("Writable layers", "overlayfs"),
        ]
        var options = ["name=seccomp,profile=builtin"]
        if cgroupVersion == "2" { options.append("name=cgroupns") }
        securityOptions = options
        // A machine without an id gets one from its name; only stability matters.
        let machine = (try? Files.read("/etc/machine-id", bytesMax: 64)) ?? Array(name.utf8)
        let hex = SHA256Bytes.digest(machine + Array(configuration.dataRoot.utf8)).hex
        id = [(0, 8), (8, 4), (12, 4), (16, 4), (20, 12)].map { start, count in
            String(hex.dropFirst(start).prefix(count))
        }.joined(separator: "-")
    }

    private static func osRelease() -> [String: String] {
        // A host without the file is shown as "Linux".
        guard let bytes = try? Files.read("/etc/os-release", bytesMax: 64 << 10) else { return [:] }
        var values: [String: String] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { continue }
            values[String(parts[0])] = parts[1].filter { $0 != "\"" }
        }
        return values
    }
}
