import RegistryStore

/// Ranges of bytes in requests.
enum ByteRange {
    /// Digits of a number that is taken: every position in a file has fewer.
    private static let digitsMax = 18

    static func number(_ text: some StringProtocol) -> Int64? {
        guard (1...digitsMax).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return Int64(text)
    }

    /// The one range that a `Range` header asks for (RFC 9110 §14.2), within `size` bytes.
    ///
    /// - Returns: nil for what is answered as if it had not been asked: no range, several, or none that can be read.
    /// - Throws: ``Refusal`` 416 for one that begins behind the blob's end, or its own.
    static func requested(_ header: String?, size: Int64) throws(Refusal) -> Range<Int64>? {
        guard let header, header.lowercased().hasPrefix("bytes=") else { return nil }
        let text = header.dropFirst("bytes=".count)
        guard !text.contains(",") else { return nil }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2 else { return nil }
        if ends[0].isEmpty {
            guard let count = number(ends[1]) else { return nil }
            guard count > 0, size > 0 else { throw unsatisfiable(header, size) }
            return max(0, size - count)..<size
        }
        guard let first = number(ends[0]) else { return nil }
        let last: Int64
        if ends[1].isEmpty {
            last = max(first, size - 1)
        } else {
            guard let typed = number(ends[1]) else { return nil }
            // A server may ignore this one, too; whoever takes all of a blob for a part of it is worse off.
            guard typed >= first else { throw unsatisfiable(header, size) }
            last = min(typed, size - 1)
        }
        guard first < size else { throw unsatisfiable(header, size) }
        return first..<(last + 1)
    }

    private static func unsatisfiable(_ header: String, _ size: Int64) -> Refusal {
        Refusal(.rangeInvalid, 416, "range \(header.prefix(60)) has none of the blob's \(size) bytes")
    }

    /// The `Content-Range` of a chunk: `first-last`, as the specification has it, or with the unit before and the size behind,
    /// as some clients send it.
    ///
    /// - Throws: ``Refusal`` 400 for what is neither.
    static func chunk(_ header: String) throws(Refusal) -> Range<Int64> {
        var text = Substring(header)
        if text.hasPrefix("bytes ") { text = text.dropFirst("bytes ".count) }
        if let slash = text.firstIndex(of: "/") { text = text[..<slash] }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, let first = number(ends[0]), let last = number(ends[1]), last >= first else {
            throw Refusal(
                .uploadInvalid, 400, "malformed Content-Range \(header.prefix(60)): want FIRST-LAST, in bytes")
        }
        return first..<(last + 1)
    }
}
