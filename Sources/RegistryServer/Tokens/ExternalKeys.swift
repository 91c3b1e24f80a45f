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

    /// A key, and when it may be used.
    private struct Known {
        let key: VerificationKey
        /// nil for one that is in no certificate.
        var validity: ClosedRange<Date>?

        func isValid(at time: Date) -> Bool { validity?.contains(time) ?? true }
    }

    /// By name: a certificate that was renewed has its key once more.
    private let keys: [String: [Known]]
    /// Of a set with just one key, for services that give it no name.
    private let onlyName: String?
    private let roots: [Certificate]

    /// - Parameters:
    ///   - keySet: file of a JWKS.
    ///   - certificates: file of PEM.
    /// - Throws: what keeps the files from being used.
    init(keySet: String?, certificates: String?) throws {
        var keys: [String: [Known]] = [:]
        if let keySet {
            let bytes = try Files.read(keySet, bytesMax: Self.fileBytesMax)
            let set: WebKeySet
            do { set = try JSONDecoder().decode(WebKeySet.self, from: Data(bytes)) } catch {
                throw WebToken.Failure("\(keySet) is not a set of keys (JWKS)")
            }
            for key in set.keys {
                guard let made = VerificationKey(key) else { continue }
                keys[key.kid ?? made.name, default: []].append(Known(key: made))
            }
        }
        if let certificates {
            let text = String(decoding: try Files.read(certificates, bytesMax: Self.fileBytesMax), as: UTF8.self)
            do { roots = try Self.certificates(text) } catch {
                throw WebToken.Failure("\(certificates) has no certificates that can be read (PEM): \(error)")
            }
            for certificate in roots {
                guard let key = VerificationKey(certificate.publicKey) else { continue }
                // One that ends before it begins is never valid.
                let (begin, end) = (certificate.notValidBefore, certificate.notValidAfter)
                guard begin <= end else { continue }
                keys[key.name, default: []].append(Known(key: key, validity: begin...end))
            }
        } else {
            roots = []
        }
        guard !keys.isEmpty || !roots.isEmpty else {
            throw WebToken.Failure("no key of a kind that is taken: want RSA of 2048 bits or more, P-256, or Ed25519")
        }
        self.keys = keys
        onlyName = keys.count == 1 ? keys.keys.first : nil
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
        guard let name = header.kid ?? onlyName else { throw WebToken.Failure("the token does not name its key") }
        guard let known = keys[name] else { throw WebToken.Failure("the token's key is not known") }
        let now = Date()
        guard let valid = known.last(where: { $0.isValid(at: now) }) else {
            throw WebToken.Failure("the certificate of the token's key has expired, or is not valid yet")
        }
        return valid.key
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
