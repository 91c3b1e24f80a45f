import FoundationEssentials
import Glibc
import Kernel
import OCI
import RegistryStore
import SwiftASN1
import X509

/// The keys of a token service that is not ours: a set of keys, and certificates that it or its authority has.
struct ExternalKeys: Sendable {
    /// Certificates of a token's chain: a signer, two authorities between, and the root.
    private static let chainCountMax = 4
    private static let fileBytesMax = 1 << 20

    private let keys: [String: VerificationKey]
    /// Of a set with just one key, for services that give it no name.
    private let onlyKey: VerificationKey?
    private let roots: [Certificate]

    /// - Parameters:
    ///   - keySet: file of a JWKS.
    ///   - certificates: file of PEM.
    /// - Throws: what keeps the files from being used.
    init(keySet: String?, certificates: String?) throws {
        var keys: [String: VerificationKey] = [:]
        var found: [VerificationKey] = []
        if let keySet {
            let bytes = try Files.read(keySet, bytesMax: Self.fileBytesMax)
            let set: WebKeySet
            do { set = try JSONDecoder().decode(WebKeySet.self, from: Data(bytes)) } catch {
                throw WebToken.Failure("\(keySet) is not a set of keys (JWKS)")
            }
            for key in set.keys {
                guard let made = VerificationKey(key) else { continue }
                found.append(made)
                keys[key.kid ?? made.name] = made
            }
        }
        if let certificates {
            let text = String(decoding: try Files.read(certificates, bytesMax: Self.fileBytesMax), as: UTF8.self)
            do { roots = try Self.certificates(text) } catch {
                throw WebToken.Failure("\(certificates) has no certificates that can be read (PEM): \(error)")
            }
            for key in roots.compactMap({ VerificationKey($0.publicKey) }) {
                found.append(key)
                keys[key.name] = key
            }
        } else {
            roots = []
        }
        guard !found.isEmpty || !roots.isEmpty else {
            throw WebToken.Failure("no key of a kind that is taken: want RSA of 2048 bits or more, P-256, or Ed25519")
        }
        self.keys = keys
        onlyKey = found.count == 1 ? found[0] : nil
    }

    private static func certificates(_ text: String) throws -> [Certificate] {
        let end = "-----END CERTIFICATE-----"
        return try text.split(separator: end).compactMap { part in
            guard part.contains("-----BEGIN CERTIFICATE-----") else { return nil }
            return try Certificate(pemEncoded: part + end)
        }
    }

    /// The key that a token says it was signed with.
    ///
    /// - Throws: ``WebToken/Failure`` for one that nobody here trusts.
    func key(for header: WebToken.Header) async throws(WebToken.Failure) -> VerificationKey {
        if let chain = header.x5c, !chain.isEmpty, !roots.isEmpty { return try await key(certifiedBy: chain) }
        if let name = header.kid {
            guard let key = keys[name] else { throw WebToken.Failure("the token's key is not known") }
            return key
        }
        guard let onlyKey else { throw WebToken.Failure("the token does not name its key") }
        return onlyKey
    }

    private func key(certifiedBy chain: [String]) async throws(WebToken.Failure) -> VerificationKey {
        guard chain.count <= Self.chainCountMax else {
            throw WebToken.Failure("the token's chain has more than \(Self.chainCountMax) certificates")
        }
        let parsed = chain.compactMap { text in
            Data(base64Encoded: text).flatMap { try? Certificate(derEncoded: Array($0)) }
        }
        guard parsed.count == chain.count, let signer = parsed.first, let key = VerificationKey(signer.publicKey) else {
            throw WebToken.Failure("the token's certificates cannot be read")
        }
        var verifier = Verifier(rootCertificates: CertificateStore(roots)) { RFC5280Policy() }
        let result = await verifier.validate(
            leaf: signer, intermediates: CertificateStore(Array(parsed.dropFirst())))
        guard case .validCertificate = result else {
            throw WebToken.Failure("the token's certificate is not of an authority that is trusted")
        }
        return key
    }
}
