@preconcurrency import Glibc

/// An IPv4 or IPv6 address. An IPv4 address in IPv6 notation (`::ffff:1.2.3.4`) is the IPv4 one, as in Go's net package.
struct IPAddress: Equatable {
    /// 4 or 16 bytes in network order.
    let bytes: [UInt8]

    /// nil when the text is no address; zones (`fe80::1%eth0`) and leading zeros are not taken.
    init?(_ text: String) {
        guard let bytes = Self.parse(text) else { return nil }
        self.bytes = bytes.count == 16 && bytes.starts(with: Self.mappedPrefix) ? Array(bytes[12...]) : bytes
    }

    static let mappedPrefix = [UInt8](repeating: 0, count: 10) + [0xff, 0xff]

    /// The bytes as they are written: 4 for dotted notation, 16 otherwise.
    static func parse(_ text: String) -> [UInt8]? {
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 { return withUnsafeBytes(of: &four) { Array($0) } }
        var six = in6_addr()
        return inet_pton(AF_INET6, text, &six) == 1 ? withUnsafeBytes(of: &six) { Array($0) } : nil
    }

    /// The shortest usual notation (RFC 5952).
    var description: String {
        guard bytes.count == 16 else { return bytes.map { String($0) }.joined(separator: ".") }
        let groups = stride(from: 0, to: 16, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
        var longest = 0..<0
        var start = 0
        while start < 8 {
            let count = groups[start...].prefix { $0 == 0 }.count
            if count > max(1, longest.count) { longest = start..<start + count }
            start += max(1, count)
        }
        func text(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
        guard !longest.isEmpty else { return text(groups[...]) }
        return text(groups[..<longest.lowerBound]) + "::" + text(groups[longest.upperBound...])
    }
}

/// A network in CIDR notation: an address and how many of its bits name the network.
struct IPNetwork {
    /// The address before the slash, host bits and all.
    let address: IPAddress
    private let bitCount: Int

    /// nil when the text is not `ADDRESS/BITS`.
    init?(_ text: String) {
        let (front, back) = text.cut("/")
        guard let digits = back, !digits.isEmpty, digits.utf8.count < 8,
            digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let written = IPAddress.parse(front), let address = IPAddress(front),
            let bits = Int(digits), bits <= written.count * 8
        else { return nil }
        self.address = address
        // Of an IPv4 address in IPv6 notation, the first 96 bits are the notation's.
        bitCount = max(0, bits - (written.count - address.bytes.count) * 8)
    }

    func contains(_ other: IPAddress) -> Bool {
        guard other.bytes.count == address.bytes.count else { return false }
        for (index, (left, right)) in zip(address.bytes, other.bytes).enumerated() {
            let bits = min(8, max(0, bitCount - index * 8))
            let mask = ~UInt8(truncatingIfNeeded: 0xff >> bits)
            guard left & mask == right & mask else { return false }
        }
        return true
    }
}
