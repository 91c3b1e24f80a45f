import Glibc

/// An IPv4 or IPv6 address. One type for both, so that pools, endpoints, ports and rules are written once.
package struct IPAddress: Sendable, Hashable, Comparable, TextCoded {
    package static let kind = "an IP address"

    package enum Family: UInt8, Sendable, Codable, CaseIterable {
        case v4, v6

        /// Bits of an address.
        package var bits: UInt8 { self == .v4 ? 32 : 128 }
    }

    package let family: Family
    /// The address as a number, in host byte order; an IPv4 address in the low 32 bits.
    package let value: UInt128

    /// Bits of `value` beyond those of the family are left out.
    package init(_ family: Family, _ value: UInt128) {
        self.family = family
        self.value = family == .v4 ? value & 0xFFFF_FFFF : value
    }

    /// From 4 or 16 bytes in network order; nil for another count.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        self.init(bytes.count == 4 ? .v4 : .v6, bytes.reduce(0) { $0 << 8 | UInt128($1) })
    }

    /// The forms of inet_pton(3): no zone, no leading zeros in a dotted quad; nil for anything else.
    package init?(_ text: some StringProtocol) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard let address = Self.parse6(text) else { return nil }
            self = address
        } else {
            guard let address = Self.parse4(text) else { return nil }
            self = address
        }
    }

    /// The longest text of an IPv6 address, with an IPv4 address at its end.
    private static let textMax = 45

    private static func parse4(_ text: some StringProtocol) -> IPAddress? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt128 = 0
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let byte = UInt8(part), part.utf8.count == 1 || part.utf8.first != 0x30
            else { return nil }
            value = value << 8 | UInt128(byte)
        }
        return IPAddress(.v4, value)
    }

    private static func parse6(_ text: some StringProtocol) -> IPAddress? {
        guard text.utf8.count <= textMax, !text.utf8.contains(0) else { return nil }
        var bytes = [UInt8](repeating: 0, count: 16)
        guard String(text).withCString({ inet_pton(AF_INET6, $0, &bytes) }) == 1 else { return nil }
        return IPAddress(bytes: bytes)
    }

    /// 0.0.0.0: every IPv4 address of the host.
    package static let any4 = IPAddress(.v4, 0)
    /// `::`: every IPv6 address of the host.
    package static let any6 = IPAddress(.v6, 0)

    /// Every address of the family.
    package static func any(_ family: Family) -> IPAddress { family == .v4 ? any4 : any6 }

    /// 127.0.0.0/8 or `::1`.
    package var isLoopback: Bool { family == .v4 ? value >> 24 == 127 : value == 1 }
    package var isUnspecified: Bool { value == 0 }
    /// 224.0.0.0/4 or ff00::/8.
    package var isMulticast: Bool { family == .v4 ? value >> 28 == 0xE : value >> 120 == 0xFF }
    /// 169.254.0.0/16 or fe80::/10.
    package var isLinkLocal: Bool { family == .v4 ? value >> 16 == 0xA9FE : value >> 118 == 0x3FA }
    /// ::ffff:0:0/96: an IPv4 address as an IPv6 one (RFC 4291, 2.5.5.2).
    package var isIPv4Mapped: Bool { family == .v6 && value >> 32 == 0xFFFF }

    /// 4 or 16 bytes in network order.
    package var bytes: [UInt8] {
        stride(from: Int(family.bits) - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> UInt128($0)) }
    }

    /// A dotted quad, or the canonical text of RFC 5952.
    package var description: String {
        if family == .v4 || isIPv4Mapped {
            let quad = (0..<4).map { String((value >> UInt128(24 - 8 * $0)) & 255) }.joined(separator: ".")
            return family == .v4 ? quad : "::ffff:\(quad)"
        }
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: value >> UInt128(112 - 16 * $0)) }
        let text = { (part: ArraySlice<UInt16>) in part.map { String($0, radix: 16) }.joined(separator: ":") }
        guard let zeros = Self.longestZeros(groups) else { return text(groups[...]) }
        return "\(text(groups[..<zeros.lowerBound]))::\(text(groups[zeros.upperBound...]))"
    }

    /// The first of the longest runs of two or more zeros.
    private static func longestZeros(_ groups: [UInt16]) -> Range<Int>? {
        var longest = 0..<0
        var start = 0
        for end in 1...groups.count {
            if groups[end - 1] != 0 { start = end }
            if end - start > longest.count { longest = start..<end }
        }
        return longest.count > 1 ? longest : nil
    }

    /// IPv4 before IPv6, then by number.
    package static func < (left: Self, right: Self) -> Bool {
        left.family == right.family ? left.value < right.value : left.family == .v4
    }
}
