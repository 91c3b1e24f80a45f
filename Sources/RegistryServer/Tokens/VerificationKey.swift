import Crypto
import CryptoExtras
import FoundationEssentials
import OCI
import X509

/// A key that tokens are checked with. Its kind says by which algorithm: what a token's header says has to be the same, so that
/// nobody can have a public key taken for a secret.
enum VerificationKey: Sendable {
    case rsa(_RSA.Signing.PublicKey)
    case p256(P256.Signing.PublicKey)
    case ed25519(Curve25519.Signing.PublicKey)

    /// Bits of an RSA key: what is shorter can be factored.
    private static let rsaBitsMin = 2048
    /// Bits of an RSA key: what is longer takes too much time of a processor.
    private static let rsaBitsMax = 8192

    /// nil for a key of another kind, or of a size that is not taken.
    init?(_ key: Certificate.PublicKey) {
        if let key = P256.Signing.PublicKey(key) {
            self = .p256(key)
        } else if let key = Curve25519.Signing.PublicKey(key) {
            self = .ed25519(key)
        } else if let key = _RSA.Signing.PublicKey(key), Self.isTaken(key) {
            self = .rsa(key)
        } else {
            return nil
        }
    }

    private static func isTaken(_ key: _RSA.Signing.PublicKey) -> Bool {
        (rsaBitsMin...rsaBitsMax).contains(key.keySizeInBits)
    }

    /// A key of a set (RFC 7517); nil for one that is not for signatures or of no kind that is taken.
    init?(_ key: WebKey) {
        guard key.use == nil || key.use == "sig" else { return nil }
        func bytes(_ text: String?) -> Data? { text.flatMap { Base64URL.decode($0) } }
        switch (key.kty, key.crv) {
        case ("RSA", _):
            guard let modulus = bytes(key.n), let exponent = bytes(key.e),
                let made = try? _RSA.Signing.PublicKey(n: modulus, e: exponent), Self.isTaken(made)
            else { return nil }
            self = .rsa(made)
        case ("EC", "P-256"):
            guard let x = bytes(key.x), let y = bytes(key.y), x.count == 32, y.count == 32,
                let made = try? P256.Signing.PublicKey(rawRepresentation: x + y)
            else { return nil }
            self = .p256(made)
        case ("OKP", "Ed25519"):
            guard let x = bytes(key.x), let made = try? Curve25519.Signing.PublicKey(rawRepresentation: x) else {
                return nil
            }
            self = .ed25519(made)
        default: return nil
        }
        guard key.alg == nil || key.alg == algorithm else { return nil }
    }

    /// Of tokens' headers (RFC 7518 §3.1, RFC 8037).
    var algorithm: String {
        switch self {
        case .rsa: "RS256"
        case .p256: "ES256"
        case .ed25519: "EdDSA"
        }
    }

    func isRight(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
        switch self {
        case .rsa(let key):
            return key.isValidSignature(
                .init(rawRepresentation: signature), for: SHA256.hash(data: bytes), padding: .insecurePKCS1v1_5)
        case .p256(let key):
            guard let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature) else { return false }
            return key.isValidSignature(signature, for: SHA256.hash(data: bytes))
        case .ed25519(let key): return key.isValidSignature(signature, for: bytes)
        }
    }

    /// The key's name where its set gives none, as token services of distribution write it: 240 bits of the SHA-256 of its
    /// DER, in base32, in fours.
    var name: String {
        let information: Data =
            switch self {
            case .rsa(let key): key.derRepresentation
            case .p256(let key): key.derRepresentation
            case .ed25519(let key): Self.ed25519Prefix + key.rawRepresentation
            }
        return Self.inFours(Array(SHA256.hash(data: information).prefix(30)))
    }

    /// SubjectPublicKeyInfo of Ed25519 up to the key (RFC 8410 §4).
    private static let ed25519Prefix = Data([0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00])

    private static func inFours(_ bytes: [UInt8]) -> String {
        let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
        var text = ""
        for (position, start) in stride(from: 0, to: bytes.count * 8, by: 5).enumerated() {
            var value = 0
            for bit in start..<start + 5 { value = value << 1 | Int(bytes[bit / 8] >> UInt8(7 - bit % 8) & 1) }
            if position > 0, position % 4 == 0 { text.append(":") }
            text.append(digits[value])
        }
        return text
    }
}

/// A key as sets of keys have it (RFC 7517, RFC 7518 §6, RFC 8037 §2).
struct WebKey: Codable, Sendable, Hashable {
    let kty: String
    var kid: String?
    var use: String?
    var alg: String?
    var crv: String?
    var x: String?
    var y: String?
    var n: String?
    var e: String?
}

struct WebKeySet: Codable, Sendable {
    let keys: [WebKey]
}
