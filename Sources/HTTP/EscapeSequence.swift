/// Bytes that end a joined connection when its client sends them in a row; see ``RawStream/splice(adopting:leavingOn:)``.
package struct EscapeSequence: Sendable {
    private let bytes: [UInt8]
    private var matched = 0

    /// - Parameter bytes: at least one.
    package init?(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return nil }
        self.bytes = bytes
    }

    /// What of `input` is to be passed on, and whether the sequence is complete. The beginning of a sequence is kept back
    /// until it is known what it becomes.
    package mutating func filter(_ input: some Sequence<UInt8>) -> (passed: [UInt8], isComplete: Bool) {
        var passed: [UInt8] = []
        for byte in input {
            while matched > 0, byte != bytes[matched] { passed += shortenMatch() }
            guard byte == bytes[matched] else {
                passed.append(byte)
                continue
            }
            matched += 1
            if matched == bytes.count { return (passed, true) }
        }
        return (passed, false)
    }

    /// Goes on with the longest shorter beginning that ends where the match does.
    ///
    /// - Returns: the bytes that are part of no match any more.
    private mutating func shortenMatch() -> ArraySlice<UInt8> {
        let all = bytes[..<matched]
        let length = (0..<matched).reversed().first { all.suffix($0).elementsEqual(bytes[..<$0]) } ?? 0
        defer { matched = length }
        return all.prefix(matched - length)
    }
}
