/// Why bytes are not a message that can be worked with.
enum MessageError: Error, Equatable {
    /// Ends inside a field.
    case short
    /// A label that is neither of at most 63 bytes nor a pointer.
    case label
    /// A name of more than 255 bytes.
    case nameTooLong
    /// A pointer that does not lead backwards, or one in a question.
    case pointer
    /// Bytes after the last record.
    case trailingBytes
    /// An answer where a question was expected, or the other way round.
    case direction
    /// A kind of query other than the standard one.
    case opcode
    /// Other than one question.
    case questionCount
    /// Records that no query has.
    case recordCount
    /// OPT twice, or with a name.
    case options
}

/// Numbers of RFC 1035 and its successors.
enum RecordType {
    static let a: UInt16 = 1
    static let cname: UInt16 = 5
    static let soa: UInt16 = 6
    static let ptr: UInt16 = 12
    static let mx: UInt16 = 15
    static let aaaa: UInt16 = 28
    static let opt: UInt16 = 41
    static let ixfr: UInt16 = 251
    static let axfr: UInt16 = 252
    static let any: UInt16 = 255
}

enum RecordClass {
    static let internet: UInt16 = 1
}

enum ResponseCode {
    static let noError: UInt8 = 0
    static let formatError: UInt8 = 1
    static let serverFailure: UInt8 = 2
    static let nameError: UInt8 = 3
    static let notImplemented: UInt8 = 4
    static let refused: UInt8 = 5
    /// The lower four bits are in the header, the rest is in the OPT record (RFC 6891).
    static let badVersion: UInt8 = 16
}

/// The second word of the header.
struct HeaderFlags: OptionSet, Hashable {
    let rawValue: UInt16
    static let response = HeaderFlags(rawValue: 0x8000)
    static let truncated = HeaderFlags(rawValue: 0x0200)
    static let recursionDesired = HeaderFlags(rawValue: 0x0100)
    static let recursionAvailable = HeaderFlags(rawValue: 0x0080)
    static let authenticData = HeaderFlags(rawValue: 0x0020)
    static let checkingDisabled = HeaderFlags(rawValue: 0x0010)

    var opcode: UInt16 { rawValue >> 11 & 15 }
    var responseCode: UInt8 { UInt8(rawValue & 15) }
}

/// Checked reading. Every access to a message that came from outside is one of these.
enum Wire {
    static let headerBytes = 12
    static let labelBytesMax = 63
    static let nameBytesMax = 255
    /// Pointers of one name: there are no more labels that could each be one.
    private static let hopsMax = 127
    /// What a datagram may have when nothing else was agreed on.
    static let datagramBytesMin = 512
    /// What a datagram can have at all.
    static let datagramBytesMax = 65_507
    /// What a datagram of ours asks for: fits any path without fragments (DNS flag day 2020).
    static let datagramBytesOffered: UInt16 = 1232

    static func byte(_ message: Span<UInt8>, _ offset: Int) throws(MessageError) -> UInt8 {
        guard message.indices.contains(offset) else { throw .short }
        return message[offset]
    }

    static func word(_ message: Span<UInt8>, _ offset: Int) throws(MessageError) -> UInt16 {
        guard offset >= 0, offset < message.count - 1 else { throw .short }
        return UInt16(message[offset]) << 8 | UInt16(message[offset + 1])
    }

    static func long(_ message: Span<UInt8>, _ offset: Int) throws(MessageError) -> UInt32 {
        UInt32(try word(message, offset)) << 16 | UInt32(try word(message, offset + 2))
    }

    /// Where the name at `start` ends, which has been checked up to its root.
    ///
    /// - Parameter pointers: false for names that must be spelled out, such as the first of a message.
    static func endOfName(_ message: Span<UInt8>, at start: Int, pointers: Bool) throws(MessageError) -> Int {
        var position = start
        // Each pointer leads before the place where the labels it ends began, so that there is an end to it.
        var bound = start
        var end: Int?
        var bytes = 0
        var hops = 0
        while true {
            let length = try byte(message, position)
            switch length {
            case 0:
                guard bytes + 1 <= nameBytesMax else { throw .nameTooLong }
                return end ?? position + 1
            case 1...UInt8(labelBytesMax):
                bytes += 1 + Int(length)
                guard bytes < nameBytesMax else { throw .nameTooLong }
                position += 1 + Int(length)
            case 0xC0...0xFF:
                let target = Int(try word(message, position) & 0x3FFF)
                hops += 1
                guard pointers, target < bound, target >= headerBytes, hops <= hopsMax else { throw .pointer }
                end = end ?? position + 2
                bound = target
                position = target
            default:
                throw .label
            }
        }
    }
}

/// One resource record, as far as anybody here needs it.
struct RecordView {
    let type: UInt16
    /// The class; of OPT the size of datagrams.
    let recordClass: UInt16
    let ttl: UInt32
    let ttlOffset: Int
    let data: Range<Int>
    /// True for the root, as OPT has it.
    let isNamedRoot: Bool

    /// Reads the record at `offset`; ``data``'s end is the next one's start.
    init(_ message: Span<UInt8>, at offset: Int) throws(MessageError) {
        let fields = try Wire.endOfName(message, at: offset, pointers: true)
        isNamedRoot = fields == offset + 1
        type = try Wire.word(message, fields)
        recordClass = try Wire.word(message, fields + 2)
        ttlOffset = fields + 4
        ttl = try Wire.long(message, ttlOffset)
        let start = fields + 10
        let end = start + Int(try Wire.word(message, fields + 8))
        guard end <= message.count else { throw .short }
        data = start..<end
    }
}
