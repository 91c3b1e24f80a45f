import Crypto
package import OCI

/// Random identifiers of containers, execs and temporary files.
package enum Identifier {
    /// 64 lower-case hex digits. Never all decimal: a host name or uid must not be mistaken for one.
    package static func random() -> String {
        var generator = SystemRandomNumberGenerator()
        while true {
            let text = OCI.Digest.hex((0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) })
            if text.prefix(12).contains(where: { !$0.isNumber }) { return text }
        }
    }

    /// Whether a name looks like one that ``random()`` made.
    static func isOne(_ text: String) -> Bool {
        text.utf8.count == 64 && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}

/// SHA-256 of bytes in memory.
package enum SHA256Bytes {
    /// Of bytes that come in parts.
    package struct Running {
        private var hash = SHA256()
        package init() {}
        package mutating func update(_ bytes: UnsafeRawBufferPointer) { hash.update(bufferPointer: bytes) }
        package func digest() -> OCI.Digest { OCI.Digest(sha256: hash.finalize()) }
    }

    package static func of(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }

    /// As a digest.
    package static func digest(_ bytes: [UInt8]) -> OCI.Digest { OCI.Digest(sha256: of(bytes)) }
}
