import struct Crypto.SHA256
import struct Crypto.SHA512
import OCI

extension Digest {
    /// The digest of `bytes`.
    static func of(_ bytes: [UInt8], _ algorithm: Algorithm) -> Digest {
        switch algorithm {
        case .sha256: return Digest(sha256: SHA256.hash(data: bytes))
        case .sha512: return Digest(sha512: SHA512.hash(data: bytes))
        }
    }
}
