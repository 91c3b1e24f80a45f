package import struct Crypto.SHA256
package import struct Crypto.SHA512
package import OCI

/// The digest of bytes that come piece by piece.
package enum StreamHash: Sendable {
    case sha256(SHA256)
    case sha512(SHA512)

    package init(_ algorithm: Digest.Algorithm) {
        switch algorithm {
        case .sha256: self = .sha256(SHA256())
        case .sha512: self = .sha512(SHA512())
        }
    }

    package var algorithm: Digest.Algorithm {
        switch self {
        case .sha256: .sha256
        case .sha512: .sha512
        }
    }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        switch self {
        case .sha256(var hash):
            hash.update(bufferPointer: bytes)
            self = .sha256(hash)
        case .sha512(var hash):
            hash.update(bufferPointer: bytes)
            self = .sha512(hash)
        }
    }

    package var digest: Digest {
        switch self {
        case .sha256(let hash): Digest(sha256: hash.finalize())
        case .sha512(let hash): Digest(sha512: hash.finalize())
        }
    }

    /// The digest of `bytes`.
    package static func digest(of bytes: [UInt8], _ algorithm: Digest.Algorithm) -> Digest {
        var hash = StreamHash(algorithm)
        bytes.withUnsafeBytes { hash.update($0) }
        return hash.digest
    }
}
