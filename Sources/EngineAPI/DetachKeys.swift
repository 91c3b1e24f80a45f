import Actors
import HTTP

/// The keys that leave a container's terminal while the container goes on.
struct DetachKeys {
    /// ctrl-p, ctrl-q.
    private static let usual: [UInt8] = [0x10, 0x11]
    private static let delete: UInt8 = 0x7f

    /// What the keys send; empty where the usual ones apply.
    let bytes: [UInt8]

    /// Reads Docker's notation: characters, `ctrl-x` and `DEL`, with commas between.
    ///
    /// - Throws: ``EngineError`` `.invalidParameter`.
    init(_ text: String?) throws {
        let text = text ?? ""
        bytes =
            try text.isEmpty
            ? []
            : text.split(separator: ",", omittingEmptySubsequences: false).map { key in
                guard let byte = Self.byte(key) else {
                    throw EngineError(.invalidParameter, "Invalid detach keys (\(text)) provided")
                }
                return byte
            }
    }

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var sequence: EscapeSequence? { EscapeSequence(bytes.isEmpty ? Self.usual : bytes) }

    private static func byte(_ key: Substring) -> UInt8? {
        if key.utf8.count == 1 { return key.utf8.first }
        if key == "DEL" { return delete }
        guard key.hasPrefix("ctrl-"), key.utf8.count == 6, let last = key.utf8.last else { return nil }
        return switch last {
        case UInt8(ascii: "a")...UInt8(ascii: "z"): last - 0x60
        case UInt8(ascii: "@"), UInt8(ascii: "[")...UInt8(ascii: "_"): last - 0x40
        default: nil
        }
    }
}
