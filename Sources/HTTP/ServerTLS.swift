import NIOCore
import NIOSSL

/// Mutual TLS of a listening socket: who has no certificate of the authority's does not reach HTTP.
package struct ServerTLS: Sendable {
    let context: NIOSSLContext

    /// - Parameters: paths of PEM files: the authority of clients' certificates, the server's certificate with its chain,
    ///   and its key.
    /// - Throws: ``ListeningSocket/Failure`` that names the file at fault.
    package init(authority: String, certificate: String, key: String) throws(ListeningSocket.Failure) {
        let chain = try Self.reading(certificate, "--tlscert") { try NIOSSLCertificate.fromPEMFile($0) }
        let privateKey = try Self.reading(key, "--tlskey") { try NIOSSLPrivateKey(file: $0, format: .pem) }
        let authorities = try Self.reading(authority, "--tlscacert") { try NIOSSLCertificate.fromPEMFile($0) }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv12
        configuration.trustRoots = .certificates(authorities)
        // Of a server: a client must show a certificate; which name is in it does not matter, as in Docker.
        configuration.certificateVerification = .noHostnameVerification
        do { context = try NIOSSLContext(configuration: configuration) } catch {
            throw ListeningSocket.Failure(description: "\(certificate) and \(key) do not belong together: \(error)")
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
