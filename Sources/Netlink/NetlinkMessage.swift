/// One netlink request, built as bytes: header, a fixed structure, attributes. See netlink(7), rtnetlink(7).
struct NetlinkMessage: Sendable {
    /// Bytes of `struct nlmsghdr`.
    static let headerSize = 16

    /// Flags of a request (linux/netlink.h).
    struct Flags: OptionSet, Sendable {
        let rawValue: UInt16
        static let request = Flags(rawValue: 0x1)
        static let acknowledge = Flags(rawValue: 0x4)
        static let dump = Flags(rawValue: 0x300)
        static let replace = Flags(rawValue: 0x100)
        static let exclusive = Flags(rawValue: 0x200)
        static let create = Flags(rawValue: 0x400)
    }

    /// What the request is about, for errors: "interface docker0".
    let object: String
    private(set) var bytes: [UInt8] = []

    init(_ type: UInt16, _ flags: Flags, _ object: String) {
        self.object = object
        bytes.reserveCapacity(160)
        append(UInt32(0))  // the length, set by finish
        append(type)
        append(flags.union(.request).rawValue)
        append(UInt32(0))  // the sequence number, set by finish
        append(UInt32(0))  // the port: the kernel knows it
    }

    /// Appends a number in the machine's byte order, as netlink headers are.
    mutating func append(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    /// Appends an attribute: length, type, bytes, padded to four.
    mutating func attribute(_ type: UInt16, _ value: some Collection<UInt8>) {
        append(UInt16(4 + value.count))
        append(type)
        bytes.append(contentsOf: value)
        pad()
    }

    mutating func attribute(_ type: UInt16, _ value: UInt32) { attribute(type, withUnsafeBytes(of: value, Array.init)) }

    /// A zero-terminated name.
    mutating func attribute(_ type: UInt16, _ value: String) { attribute(type, Array(value.utf8) + [0]) }

    /// An attribute made of attributes.
    mutating func nested(_ type: UInt16, _ body: (inout Self) -> Void) {
        let start = bytes.count
        append(UInt16(0))
        append(type)
        body(&self)
        set(UInt16(bytes.count - start), at: start)
    }

    /// The message with its length and sequence number.
    func finished(sequence: UInt32, asking extra: Flags) -> [UInt8] {
        var copy = self
        copy.set(UInt32(bytes.count), at: 0)
        copy.bytes[6] |= UInt8(extra.rawValue & 255)
        copy.set(sequence, at: 8)
        return copy.bytes
    }

    private mutating func pad() { while bytes.count % 4 != 0 { bytes.append(0) } }

    private mutating func set(_ value: some FixedWidthInteger, at offset: Int) {
        withUnsafeBytes(of: value) { bytes.replaceSubrange(offset..<offset + $0.count, with: $0) }
    }
}

/// One received netlink message: its header's fields and its bytes after the header.
struct NetlinkReply: Sendable {
    /// NLMSG_ERROR (an acknowledgement when its code is 0) and NLMSG_DONE.
    static let error: UInt16 = 2
    static let done: UInt16 = 3

    let type: UInt16
    let flags: UInt16
    let sequence: UInt32
    let payload: ArraySlice<UInt8>

    /// The messages in one datagram; nil when a length lies.
    static func parse(_ datagram: ArraySlice<UInt8>) -> [NetlinkReply]? {
        var replies: [NetlinkReply] = []
        var rest = datagram
        while !rest.isEmpty {
            guard let length: UInt32 = rest.number(at: 0), let type: UInt16 = rest.number(at: 4),
                let flags: UInt16 = rest.number(at: 6), let sequence: UInt32 = rest.number(at: 8),
                length >= NetlinkMessage.headerSize, length <= rest.count
            else { return nil }
            let payload = rest.dropFirst(NetlinkMessage.headerSize).prefix(Int(length) - NetlinkMessage.headerSize)
            replies.append(NetlinkReply(type: type, flags: flags, sequence: sequence, payload: payload))
            rest = rest.dropFirst((Int(length) + 3) & ~3)
        }
        return replies
    }

    /// The attributes after a fixed structure of `offset` bytes, by type; what follows a lying length is left out.
    func attributes(after offset: Int) -> [UInt16: ArraySlice<UInt8>] { payload.dropFirst(offset).netlinkAttributes() }
}

extension ArraySlice<UInt8> {
    /// The number at `offset` from the start, in the machine's byte order; nil beyond the end.
    func number<Number: FixedWidthInteger>(at offset: Int) -> Number? {
        let size = MemoryLayout<Number>.size
        guard offset >= 0, offset + size <= count else { return nil }
        var value: Number = 0
        Swift.withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: dropFirst(offset).prefix(size)) }
        return value
    }

    /// These bytes as attributes, by type without its flag bits; the last of a type wins.
    func netlinkAttributes() -> [UInt16: ArraySlice<UInt8>] {
        var result: [UInt16: ArraySlice<UInt8>] = [:]
        var rest = self
        while let length: UInt16 = rest.number(at: 0), let type: UInt16 = rest.number(at: 2),
            length >= 4, length <= rest.count
        {
            result[type & 0x3FFF] = rest.dropFirst(4).prefix(Int(length) - 4)
            rest = rest.dropFirst((Int(length) + 3) & ~3)
        }
        return result
    }

    /// A zero-terminated name.
    var netlinkName: String { String(decoding: prefix { $0 != 0 }, as: UTF8.self) }
}
