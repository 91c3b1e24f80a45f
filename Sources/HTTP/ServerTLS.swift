import Glibc
import NIOCore
import NIOSSL
import Synchronization

/// TLS of a listening socket. With an authority it is mutual: who has no certificate of the authority's does not reach HTTP.
package final class ServerTLS: Sendable {
    /// What tells that a file has been replaced.
    private struct Stamp: Hashable {
        var seconds: Int
        var nanoseconds: Int
        var inode: UInt64
    }

    private let files: Files
    private let state: Mutex<(context: NIOSSLContext, stamps: [Stamp?])>

    private struct Files: Sendable {
        let authority: String?
        let certificate: String
        let key: String
    }

    /// For connections that are accepted from now on.
    var context: NIOSSLContext { state.withLock { $0.context } }

    /// - Parameters: paths of PEM files: the authority of clients' certificates, nil where anybody may connect; the server's
    ///   certificate with its chain, and its key.
    /// - Throws: ``ListeningSocket/Failure`` that names the file at fault.
    package init(authority: String?, certificate: String, key: String) throws(ListeningSocket.Failure) {
        files = Files(authority: authority, certificate: certificate, key: key)
        let stamps = Self.stamps(files)
        state = Mutex((try Self.load(files), stamps))
    }

    /// Reads the files again when one has been replaced. Connections that are open keep theirs.
    ///
    /// - Returns: whether they were.
    /// - Throws: ``ListeningSocket/Failure``; the certificate of before then goes on, and the next call tries again.
    package func reload() throws(ListeningSocket.Failure) -> Bool {
        let stamps = Self.stamps(files)
        guard state.withLock({ $0.stamps != stamps }) else { return false }
        let context = try Self.load(files)
        state.withLock { $0 = (context, stamps) }
        return true
    }

    private static func stamps(_ files: Files) -> [Stamp?] {
        [files.authority, files.certificate, files.key].map { path in
            var status = stat()
            guard let path, stat(path, &status) == 0 else { return nil }
            return Stamp(
                seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec, inode: UInt64(status.st_ino))
        }
    }

    private static func load(_ files: Files) throws(ListeningSocket.Failure) -> NIOSSLContext {
        let chain = try reading(files.certificate, "--tlscert") { try NIOSSLCertificate.fromPEMFile($0) }
        let privateKey = try reading(files.key, "--tlskey") { try NIOSSLPrivateKey(file: $0, format: .pem) }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv12
        if let authority = files.authority {
            let authorities = try reading(authority, "--tlscacert") { try NIOSSLCertificate.fromPEMFile($0) }
            configuration.trustRoots = .certificates(authorities)
            // Of a server: a client must show a certificate; which name is in it does not matter, as in Docker.
            configuration.certificateVerification = .noHostnameVerification
        }
        do { return try NIOSSLContext(configuration: configuration) } catch {
            throw ListeningSocket.Failure(
                description: "\(files.certificate) and \(files.key) do not belong together: \(error)")
        }
    }

    private static func reading<Value>(
        _ path: String, _ option: String, _ body: (String) throws -> Value
    ) throws(ListeningSocket.Failure) -> Value {
        do { return try body(path) } catch {
            throw ListeningSocket.Failure(description: "cannot read \(path): \(error): give a PEM file with \(option)")
        }
    }
}
