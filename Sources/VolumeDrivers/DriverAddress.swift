import Glibc
import Kernel

/// Where a driver listens.
package struct DriverAddress: Sendable, Hashable {
    /// `http+unix://…` or `http://host:port`, without a path.
    let base: String

    /// - Throws: ``DriverError`` `.invalid` for what is no address, or wants TLS.
    package init(_ text: String, driver: String) throws(DriverError) {
        let parts = text.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[1].isEmpty else {
            throw DriverError(
                .invalid, "plugin \(driver): invalid address \(text.prefix(200)): want unix:///path or tcp://host:port")
        }
        switch parts[0] {
        case "unix" where parts[1].hasPrefix("/"): base = "http+unix://" + Self.escaped(parts[1])
        case "tcp", "http":
            let host = parts[1].hasSuffix("/") ? String(parts[1].dropLast()) : parts[1]
            guard host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && !"/?#@%\\".utf8.contains($0) }) else {
                throw DriverError(.invalid, "plugin \(driver): invalid address \(text.prefix(200))")
            }
            base = "http://" + host
        case "https":
            throw DriverError(
                .invalid, "plugin \(driver): TLS to plugins is not supported: let it listen on unix:///path")
        default: throw DriverError(.invalid, "plugin \(driver): unknown protocol in address \(text.prefix(200))")
        }
    }

    private static func escaped(_ path: String) -> String {
        var result = ""
        for byte in path.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
                result.unicodeScalars.append(UnicodeScalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                result += byte < 16 ? "%0" + digits : "%" + digits
            }
        }
        return result
    }
}

/// The directories in which drivers are found by name, as Docker has them.
///
/// A name is that of a socket `NAME.sock`, of a file `NAME.spec` with an address, or of a file `NAME.json` with `Addr`; each may
/// also be in a directory `NAME`.
package struct DriverDirectories: Sendable {
    /// Bytes of a file about a driver: an address and some paths.
    private static let fileBytesMax = 64 << 10
    /// Drivers looked at: each is asked when volumes are listed.
    private static let countMax = 64

    package var sockets = "/run/docker/plugins"
    package var specs = ["/etc/docker/plugins", "/usr/lib/docker/plugins"]

    package init() {}

    /// Where the driver `name` listens; nil when nothing tells. Blocks.
    ///
    /// - Throws: ``DriverError`` `.invalid` for a file about it that cannot be used.
    package func address(of name: String) throws(DriverError) -> DriverAddress? {
        guard Self.isName(name) else { return nil }
        for path in ["\(sockets)/\(name).sock", "\(sockets)/\(name)/\(name).sock"] where Self.kind(path) == S_IFSOCK {
            return try DriverAddress("unix://" + path, driver: name)
        }
        for folder in specs {
            for stem in ["\(folder)/\(name)", "\(folder)/\(name)/\(name)"] {
                if let text = try Self.read(stem + ".spec", name) {
                    return try DriverAddress(text.trimmed, driver: name)
                }
                if let text = try Self.read(stem + ".json", name) {
                    return try DriverManifest.address(in: text, driver: name)
                }
            }
        }
        return nil
    }

    /// Names of all drivers there may be, sorted. Blocks.
    package func names() -> [String] {
        var found: Set<String> = []
        for (folder, endings) in [(sockets, [".sock"])] + specs.map({ ($0, [".spec", ".json"]) }) {
            // A directory that is not there has none.
            for entry in Self.entries(folder) {
                let inside = Self.kind("\(folder)/\(entry)") == S_IFDIR ? Self.entries("\(folder)/\(entry)") : [entry]
                for file in inside {
                    for ending in endings where file.hasSuffix(ending) {
                        let name = String(file.dropLast(ending.count))
                        if Self.isName(name) { found.insert(name) }
                    }
                }
            }
        }
        return Array(found.sorted().prefix(Self.countMax))
    }

    /// The same that names volumes: nothing that leads out of a directory.
    private static func isName(_ name: String) -> Bool {
        guard let first = name.utf8.first, name.utf8.count <= 255 else { return false }
        func isAlphanumeric(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte & 0xdf)
        }
        return isAlphanumeric(first) && name.utf8.allSatisfy { isAlphanumeric($0) || "_.-".utf8.contains($0) }
    }

    private static func kind(_ path: String) -> mode_t {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & S_IFMT : 0
    }

    private static func entries(_ folder: String) -> [String] {
        ((try? Files.list(folder)) ?? []).filter { !$0.hasPrefix(".") }
    }

    private static func read(_ path: String, _ driver: String) throws(DriverError) -> String? {
        guard kind(path) == S_IFREG else { return nil }
        do throws(SystemError) {
            let bytes = try Files.read(path, bytesMax: fileBytesMax)
            return String(decoding: bytes, as: UTF8.self)
        } catch { throw DriverError(.invalid, "plugin \(driver): cannot read \(path): \(error)") }
    }
}

extension String {
    fileprivate var trimmed: String {
        func isBlank(_ character: Character) -> Bool { character.isWhitespace }
        let start = drop(while: isBlank)
        return String(start.reversed().drop(while: isBlank).reversed())
    }
}
