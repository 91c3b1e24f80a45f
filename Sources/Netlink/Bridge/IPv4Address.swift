/// An IPv4 address, held in host byte order.
package struct IPv4Address: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
    /// The 32 bits; 127.0.0.1 is 0x7F000001.
    package let value: UInt32

    package init(_ value: UInt32) { self.value = value }

    /// Four decimal numbers of 0...255 without leading zeros, as inet_pton(3) takes them; nil for anything else.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let byte = UInt8(part), part.utf8.count == 1 || part.utf8.first != 0x30
            else { return nil }
            value = value << 8 | UInt32(byte)
        }
        self.value = value
    }

    /// 0.0.0.0: every address of the host.
    package static let any = IPv4Address(0)

    /// True in 127.0.0.0/8.
    package var isLoopback: Bool { value >> 24 == 127 }

    /// The four bytes in network order.
    package var bytes: [UInt8] {
        [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)]
    }

    package var description: String { "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)" }

    package static func < (left: Self, right: Self) -> Bool { left.value < right.value }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let address = Self(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "\(text) is not an IPv4 address")
        }
        self = address
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// An IPv4 network in CIDR form (RFC 4632); the host bits of `base` are zero.
package struct IPv4Subnet: Sendable, Hashable, Codable, CustomStringConvertible {
    /// The first address.
    package let base: IPv4Address
    /// Bits of the network part, 0...32.
    package let prefixLength: UInt8

    /// The network that holds `address`; nil when `prefixLength` is more than 32.
    package init?(containing address: IPv4Address, prefixLength: UInt8) {
        guard prefixLength <= 32 else { return nil }
        self.prefixLength = prefixLength
        base = IPv4Address(address.value & Self.mask(prefixLength))
    }

    /// "172.17.0.0/16"; nil when it is not an address, a slash and 0...32.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(parts[0]), (1...2).contains(parts[1].utf8.count),
            parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = UInt8(parts[1])
        else { return nil }
        self.init(containing: address, prefixLength: length)
    }

    private static func mask(_ prefixLength: UInt8) -> UInt32 {
        prefixLength == 0 ? 0 : ~0 << (32 - UInt32(prefixLength))
    }

    /// The last address: the broadcast address of a network of /30 and wider.
    package var last: IPv4Address { IPv4Address(base.value | ~Self.mask(prefixLength)) }

    package func contains(_ address: IPv4Address) -> Bool { base <= address && address <= last }

    /// True when the two share an address.
    package func overlaps(_ other: Self) -> Bool { base <= other.last && other.base <= last }

    /// The addresses a host may have: without network and broadcast address, down to /31 where both are hosts (RFC 3021).
    package var hosts: ClosedRange<IPv4Address> {
        prefixLength >= 31 ? base...last : IPv4Address(base.value + 1)...IPv4Address(last.value - 1)
    }

    /// The networks of `length` bits inside this one, in order.
    package func subnets(of length: UInt8) -> [IPv4Subnet] {
        guard length >= prefixLength, length <= 32 else { return [] }
        let step = UInt64(1) << (32 - UInt64(length))
        return stride(from: UInt64(base.value), through: UInt64(last.value), by: UInt64.Stride(step)).compactMap {
            IPv4Subnet(containing: IPv4Address(UInt32($0)), prefixLength: length)
        }
    }

    package var description: String { "\(base)/\(prefixLength)" }
}
