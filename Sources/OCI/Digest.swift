/// A content digest: algorithm and lower-case hex, as the OCI image specification writes it (descriptor.md, "Digests").
///
/// Only `sha256` and `sha512` are accepted, with exactly as many hex digits as they have: a digest is used as a file
/// name, so nothing else may pass.
package struct Digest: Sendable, Hashable, Codable, CustomStringConvertible {
    package enum Algorithm: String, Sendable, Hashable, CaseIterable {
        case sha256, sha512
        /// Length of the hex part, in characters.
        package var hexCount: Int { self == .sha256 ? 64 : 128 }
    }

    package let algorithm: Algorithm
    package let hex: String

    /// - Throws: ``OCIError`` when `text` is not `sha256:` and 64, or `sha512:` and 128, lower-case hex digits.
    package init(_ text: String) throws(OCIError) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let algorithm = Algorithm(rawValue: String(parts[0])),
            parts[1].utf8.count == algorithm.hexCount,
            parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
        else { throw OCIError("invalid digest \(OCIError.quoted(text)): want sha256: and 64 lower-case hex digits") }
        self.algorithm = algorithm
        hex = String(parts[1])
    }

    /// From the raw bytes of a SHA-256.
    package init(sha256 bytes: some Sequence<UInt8>) {
        algorithm = .sha256
        hex = Self.hex(bytes)
    }

    /// From the raw bytes of a SHA-512.
    package init(sha512 bytes: some Sequence<UInt8>) {
        algorithm = .sha512
        hex = Self.hex(bytes)
    }

    /// Lower-case hex of `bytes`.
    package static func hex(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The twelve characters Docker prints.
    package var short: String { String(hex.prefix(12)) }
    package var description: String { "\(algorithm.rawValue):\(hex)" }

    package init(from decoder: any Decoder) throws {
        try self.init(decoder.singleValueContainer().decode(String.self))
    }
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// What is wrong with an OCI or Docker value that came from outside.
package struct OCIError: Error, Sendable, Hashable, CustomStringConvertible {
    package let message: String
    package init(_ message: String) { self.message = message }
    package var description: String { message }

    /// `text` in quotes, cut so that a hostile value cannot fill a log.
    package static func quoted(_ text: String) -> String {
        let visible = String(text.unicodeScalars.prefix(120).map { $0.value < 0x20 ? "?" : Character($0) })
        return "\"\(visible)\(text.unicodeScalars.count > 120 ? "…" : "")\""
    }
}
