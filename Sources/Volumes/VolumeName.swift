/// The name of a volume: at least two of `[a-zA-Z0-9_.-]`, the first a letter or digit. It is a path component, never more.
package struct VolumeName: Sendable, Hashable, CustomStringConvertible {
    package let text: String

    /// - Throws: `VolumeError` with Docker's text.
    package init(_ text: String) throws(VolumeError) {
        let bytes = text.utf8
        guard bytes.count != 1 else {
            throw VolumeError(
                .invalid, "volume name is too short, names should be at least two alphanumeric characters")
        }
        guard let first = bytes.first, Self.isAlphanumeric(first), bytes.allSatisfy(Self.isAllowed) else {
            throw VolumeError(
                .invalid,
                "\(Quoted(text)) includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. "
                    + "If you intended to pass a host directory, use absolute path")
        }
        guard bytes.count <= nameBytesMax else {
            throw VolumeError(.invalid, "volume name is too long, \(nameBytesMax) characters are the most")
        }
        self.text = text
    }

    package var description: String { text }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }

    private static func isAllowed(_ byte: UInt8) -> Bool {
        isAlphanumeric(byte) || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-")
    }
}

/// Text in double quotes with control characters escaped, so that a hostile name cannot break a log line.
struct Quoted: CustomStringConvertible {
    private let text: String
    init(_ text: String) { self.text = text }

    var description: String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16)
                result += "\\x" + (digits.count == 1 ? "0" : "") + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
