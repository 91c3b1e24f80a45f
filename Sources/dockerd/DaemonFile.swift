import FoundationEssentials
import Kernel

/// `daemon.json`: the members of Docker's that this engine knows. Flags win over the file.
struct DaemonFile: Decodable {
    var dataRoot: String?
    var execRoot: String?
    var hosts: [String]?
    var bridge: String?
    var bip: String?
    var storageDriver: String?
    var cgroupParent: String?
    var registryMirrors: [String]?
    var insecureRegistries: [String]?
    var maxConcurrentDownloads: Int?
    var maxConcurrentUploads: Int?
    var keepBlobs: String?
    var labels: [String]?
    var debug: Bool?
    var pidfile: String?
    var group: String?

    enum CodingKeys: String, CodingKey, CaseIterable {
        case dataRoot = "data-root"
        case execRoot = "exec-root"
        case hosts, bridge, bip, labels, debug, pidfile, group
        case storageDriver = "storage-driver"
        case cgroupParent = "cgroup-parent"
        case registryMirrors = "registry-mirrors"
        case insecureRegistries = "insecure-registries"
        case maxConcurrentDownloads = "max-concurrent-downloads"
        case maxConcurrentUploads = "max-concurrent-uploads"
        case keepBlobs = "keep-blobs"
    }

    init() {}

    /// - Throws: `DaemonFailure` that names the file and the member at fault.
    static func read(_ path: String, isDefault: Bool) throws -> DaemonFile {
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try Files.read(path, bytesMax: 1 << 20) } catch {
            if isDefault { return DaemonFile() }
            throw DaemonFailure("unable to configure the daemon with file \(path): \(error.reason)")
        }
        do {
            return try JSONDecoder().decode(DaemonFile.self, from: Data(bytes))
        } catch let DecodingError.typeMismatch(_, context) {
            let member = context.codingPath.map(\.stringValue).joined(separator: ".")
            throw DaemonFailure("unable to configure the daemon with file \(path): \(member): \(context.debugDescription)")
        } catch {
            throw DaemonFailure("unable to configure the daemon with file \(path): it is not well-formed JSON")
        }
    }
}

/// Why the daemon does not start; printed as it is.
struct DaemonFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
