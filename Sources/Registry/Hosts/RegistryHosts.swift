import Glibc
import Kernel
import OCI

/// A hosts.toml as it is on disk now, with the certificates that it names.
struct RegistryHosts: Sendable {
    /// Of the file, for errors.
    let path: String
    /// The hosts in the file's order, the server last.
    let hosts: [(entry: HostsFile.Entry, trust: HostTrust?)]

    /// Names of the folder that is for `domain`, in the order they are looked for (containerd's HostDirFromRoot).
    static func folderNames(_ domain: String) -> [String] {
        guard domain != ".", domain != ".." else { return [] }
        guard let colon = domain.lastIndex(of: ":"), !domain.hasSuffix("]") else { return [domain] }
        return ["\(domain[..<colon])_\(domain[domain.index(after: colon)...])_", domain]
    }

    /// Where no folder is for a registry alone.
    private static let defaultFolder = "_default"

    /// Reads the file for `domain`: in the first of `directories` that has a folder for it, or the one for all. Blocks.
    ///
    /// - Returns: nil where there is no folder, or none of these files in it: the folder may hold certificates alone.
    /// - Throws: `RegistryError` (`invalid`) for a file that is wrong or cannot be read, with its path and line.
    static func find(_ domain: String, in directories: [String]) throws(RegistryError) -> RegistryHosts? {
        for directory in directories {
            for name in folderNames(domain) + [defaultFolder] {
                let folder = "\(directory)/\(name)"
                guard Files.exists(folder) else { continue }
                return try read(folder)
            }
        }
        return nil
    }

    private static func read(_ folder: String) throws(RegistryError) -> RegistryHosts? {
        let path = folder + "/hosts.toml"
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try Files.read(path, bytesMax: HostsFile.bytesMax) } catch {
            guard error.code != ENOENT, error.code != ENOTDIR else { return nil }
            throw RegistryError(
                .invalid, "cannot read \(path): \(error.reason)",
                remedy: error.code == EFBIG ? "it may have \(HostsFile.bytesMax) bytes" : nil, cause: error)
        }
        guard !bytes.isEmpty else { return nil }
        do throws(TOMLError) {
            let file = try HostsFile(bytes)
            var hosts: [(HostsFile.Entry, HostTrust?)] = []
            for entry in file.hosts + [file.server] {
                let namesFiles = !entry.authorities.isEmpty || entry.client != nil
                hosts.append((entry, namesFiles ? try HostTrust(entry, folder: folder) : nil))
            }
            return RegistryHosts(path: path, hosts: hosts)
        } catch {
            throw RegistryError(
                .invalid, "\(path), line \(error.line): \(error.message)", remedy: error.remedy ?? "mend the file",
                cause: error)
        }
    }
}
