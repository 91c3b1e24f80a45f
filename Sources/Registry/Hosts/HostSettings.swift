import Kernel
import NIOSSL
import OCI

/// How one host of a hosts.toml is reached, beyond its address.
struct HostSettings: Sendable, Hashable {
    /// Path of its API: what stands for `/v2`.
    var root: String
    /// The registry that it stands in for, which requests name (`ns`); nil for the registry itself.
    var namespace: String?
    var capabilities: HostCapabilities
    var headers: [HostHeader]
    var trust: HostTrust?
    /// Longest wait for a connection, in whole seconds; nil for the patience of all.
    var connectSeconds: Int64?

    /// What it is asked for a path of the protocol.
    func target(of path: String) -> String {
        guard path.hasPrefix(Routes.base) else { return path }
        let target = root + path.dropFirst(Routes.base.utf8.count - 1)
        guard let namespace else { return target }
        return target + (target.contains("?") ? "&" : "?") + "ns=" + Location.encoded(namespace)
    }
}

/// Whom a host's certificate may be from, and what is shown to it, besides what all hosts have.
struct HostTrust: Sendable, Hashable {
    /// Bytes of one file: a system's whole bundle has a fifth.
    private static let fileBytesMax = 1 << 20

    let authorities: [NIOSSLCertificate]
    let certificates: [NIOSSLCertificate]
    let key: NIOSSLPrivateKey?
    /// Of the bytes of all files: one that has changed makes another value, and no longer the old connections.
    private let stamp: Digest

    static func == (left: Self, right: Self) -> Bool { left.stamp == right.stamp }
    func hash(into hasher: inout Hasher) { hasher.combine(stamp) }

    /// Reads the files that `entry` names; blocks. Relative paths are from `folder`.
    ///
    /// - Throws: `TOMLError` for one that cannot be read or is no PEM, at the line that names it.
    init(_ entry: HostsFile.Entry, folder: String) throws(TOMLError) {
        // With what each file is for, too.
        var hashed = Array("\(entry.authorities.count) ".utf8)
        func read(_ file: HostsFile.File) throws(TOMLError) -> [UInt8] {
            let path = file.path.hasPrefix("/") ? file.path : "\(folder)/\(file.path)"
            do throws(SystemError) {
                let bytes = try Files.read(path, bytesMax: Self.fileBytesMax)
                hashed += Array("\(bytes.count) ".utf8) + bytes
                return bytes
            } catch { throw TOMLError(file.line, "cannot read \(path): \(error.reason)") }
        }
        func parsed<Value>(_ file: HostsFile.File, _ what: String, _ body: ([UInt8]) throws -> Value) throws(TOMLError)
            -> Value
        {
            let bytes = try read(file)
            do { return try body(bytes) } catch {
                throw TOMLError(file.line, "\(file.path) has no \(what)", remedy: "it must be a PEM file")
            }
        }
        var authorities: [NIOSSLCertificate] = []
        for file in entry.authorities {
            authorities += try parsed(file, "certificate") { try NIOSSLCertificate.fromPEMBytes($0) }
        }
        self.authorities = authorities
        if let client = entry.client {
            certificates = try parsed(client.certificate, "certificate") { try NIOSSLCertificate.fromPEMBytes($0) }
            key = try parsed(client.key ?? client.certificate, "private key") {
                try NIOSSLPrivateKey(bytes: $0, format: .pem)
            }
        } else {
            (certificates, key) = ([], nil)
        }
        stamp = Digest.of(hashed, .sha256)
    }
}
