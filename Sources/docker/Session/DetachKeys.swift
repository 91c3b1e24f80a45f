/// Finds the key sequence that leaves a container running and the client gone (`ctrl-p,ctrl-q` unless told otherwise).
struct DetachKeys {
    private let sequence: [UInt8]
    private var matched = 0

    /// Reads `ctrl-x,y,…`; an empty text is the default.
    init(_ text: String) throws(CLIError) {
        var sequence: [UInt8] = []
        for key in (text.isEmpty ? "ctrl-p,ctrl-q" : text).split(separator: ",", omittingEmptySubsequences: false) {
            let lower = key.lowercased()
            if lower.hasPrefix("ctrl-"), lower.utf8.count == 6, let last = lower.utf8.last,
                let code = Self.control(last)
            {
                sequence.append(code)
            } else if key.utf8.count == 1, let byte = key.utf8.first {
                sequence.append(byte)
            } else {
                throw CLIError("invalid detach keys (\(text)): Unknown character: '\(key)'")
            }
        }
        self.sequence = sequence
    }

    private static func control(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - 0x60
        case UInt8(ascii: "@"): 0
        case UInt8(ascii: "["), UInt8(ascii: "\\"), UInt8(ascii: "]"), UInt8(ascii: "^"), UInt8(ascii: "_"): byte - 0x40
        default: nil
        }
    }

    /// What of `bytes` is to be sent, and whether the sequence was completed.
    mutating func filter(_ bytes: [UInt8]) -> (send: [UInt8], detached: Bool) {
        var out: [UInt8] = []
        for byte in bytes {
            if byte == sequence[matched] {
                matched += 1
                if matched == sequence.count { return (out, true) }
                continue
            }
            out += sequence[..<matched]
            matched = byte == sequence[0] && sequence.count > 1 ? 1 : 0
            if matched == 0 { out.append(byte) }
        }
        return (out, false)
    }
}
