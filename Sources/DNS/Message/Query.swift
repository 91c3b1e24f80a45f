/// A client's question.
struct Query {
    let id: UInt16
    let flags: HeaderFlags
    let type: UInt16
    let recordClass: UInt16
    /// The question is the bytes from the header's end to here.
    let questionEnd: Int
    /// What the OPT record says (RFC 6891).
    let options: Options?
    /// True when it has what only the server can make sense of: end-to-end options or a signature. Then it is passed on as
    /// it is, and its answer is for nobody else.
    let isOpaque: Bool

    struct Options {
        /// Bytes that the client takes in a datagram.
        let datagramBytes: Int
        let version: UInt8
        /// DO: the client wants DNSSEC records.
        let wantsSignatures: Bool
    }

    /// Options that are between neighbours: cookie, keep-alive and padding. We are the client's neighbour.
    private static let neighbourOptions: Set<UInt16> = [10, 11, 12]
    /// OPT and a signature.
    private static let additionalMax = 2

    /// Reads a message that has a header.
    init(_ message: Span<UInt8>) throws(MessageError) {
        id = try Wire.word(message, 0)
        flags = HeaderFlags(rawValue: try Wire.word(message, 2))
        guard !flags.contains(.response) else { throw .direction }
        guard flags.opcode == 0 else { throw .opcode }
        guard try Wire.word(message, 4) == 1 else { throw .questionCount }
        let additional = Int(try Wire.word(message, 10))
        guard try Wire.long(message, 6) == 0, additional <= Self.additionalMax else { throw .recordCount }
        let end = try Wire.endOfName(message, at: Wire.headerBytes, pointers: false)
        type = try Wire.word(message, end)
        recordClass = try Wire.word(message, end + 2)
        questionEnd = end + 4

        var position = questionEnd
        var options: Options?
        var isOpaque = false
        for _ in 0..<additional {
            let record = try RecordView(message, at: position)
            position = record.data.upperBound
            guard record.type == RecordType.opt else {
                isOpaque = true
                continue
            }
            guard options == nil, record.isNamedRoot else { throw .options }
            options = Options(
                datagramBytes: Int(record.recordClass), version: UInt8(truncatingIfNeeded: record.ttl >> 16),
                wantsSignatures: record.ttl & 0x8000 != 0)
            if try Self.hasEndToEndOptions(message, record.data) { isOpaque = true }
        }
        guard position == message.count else { throw .trailingBytes }
        self.options = options
        self.isOpaque = isOpaque
    }

    private static func hasEndToEndOptions(_ message: Span<UInt8>, _ data: Range<Int>) throws(MessageError) -> Bool {
        var position = data.lowerBound
        var found = false
        while position < data.upperBound {
            let code = try Wire.word(message, position)
            position += 4 + Int(try Wire.word(message, position + 2))
            guard position <= data.upperBound else { throw .options }
            if !neighbourOptions.contains(code) { found = true }
        }
        return found
    }

    /// The name in lower case with dots between its labels; nil when a label has other characters than a container's name
    /// can have, such as a dot.
    func name(in message: Span<UInt8>) -> String? {
        let end = questionEnd - 5  // the root label, type and class follow
        guard end > Wire.headerBytes else { return nil }
        let text = String(unsafeUninitializedCapacity: Wire.nameBytesMax) { output in
            var count = 0
            var labelEnd = Wire.headerBytes
            for position in Wire.headerBytes..<end {
                let byte = message[position]
                if position == labelEnd {
                    labelEnd += 1 + Int(byte)
                    guard position > Wire.headerBytes else { continue }
                    output[count] = UInt8(ascii: ".")
                } else {
                    guard let printed = Self.lowercased(byte) else { return 0 }
                    output[count] = printed
                }
                count += 1
            }
            return count
        }
        return text.isEmpty ? nil : text
    }

    /// Nil for what is neither a printable ASCII character nor, within a label, other than a dot.
    private static func lowercased(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "."): nil
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte | 0x20
        case 0x21...0x7E: byte
        default: nil
        }
    }
}

/// The names of addresses: `1.2.0.192.in-addr.arpa` and the 32 digits of `ip6.arpa`.
enum ReverseName {
    static func address(_ name: String) -> DNSAddress? {
        let labels = name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        switch labels.count {
        case 6 where name.hasSuffix(".in-addr.arpa"):
            var value: UInt32 = 0
            for label in labels[..<4].reversed() {
                guard let byte = octet(label) else { return nil }
                value = value << 8 | UInt32(byte)
            }
            return .v4(value)
        case 34 where name.hasSuffix(".ip6.arpa"):
            var value: UInt128 = 0
            for label in labels[..<32].reversed() {
                guard label.count == 1, let byte = label.first, let digit = digit(byte) else { return nil }
                value = value << 4 | UInt128(digit)
            }
            return .v6(value)
        default:
            return nil
        }
    }

    private static func octet(_ label: Substring.UTF8View) -> UInt8? {
        guard label.allSatisfy({ (0x30...0x39).contains($0) }), label.count == 1 || label.first != 0x30 else {
            return nil
        }
        return UInt8(Substring(label))
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}
