/// An IPv4 or IPv6 network in CIDR form (RFC 4632); the host bits of `base` are zero.
package struct IPSubnet: Sendable, Hashable, TextCoded {
    package static let kind = "a subnet"

    /// The first address.
    package let base: IPAddress
    /// Bits of the network part, 0...32 or 0...128.
    package let prefixLength: UInt8

    package var family: IPAddress.Family { base.family }

    /// The network that holds `address`; nil when `prefixLength` is more than the family's bits.
    package init?(containing address: IPAddress, prefixLength: UInt8) {
        guard prefixLength <= address.family.bits else { return nil }
        self.prefixLength = prefixLength
        base = IPAddress(address.family, address.value & ~Self.hostMask(address.family, prefixLength))
    }

    /// "172.17.0.0/16", "fd00::/64"; nil when it is not an address, a slash and a length. Host bits are cleared.
    package init?(_ text: some StringProtocol) {
        guard let parts = Self.parts(text) else { return nil }
        self.init(containing: parts.address, prefixLength: parts.prefixLength)
    }

    /// An address and a prefix length with a slash between, as in `--bip`; nil for anything else.
    package static func parts(_ text: some StringProtocol) -> (address: IPAddress, prefixLength: UInt8)? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(parts[0]), (1...3).contains(parts[1].utf8.count),
            parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = UInt8(parts[1]),
            length <= address.family.bits
        else { return nil }
        return (address, length)
    }

    /// Ones in the bits of the host part.
    private static func hostMask(_ family: IPAddress.Family, _ prefixLength: UInt8) -> UInt128 {
        // A shift by all of the type's bits gives zero, so ::/0 has every bit.
        ((1 as UInt128) << UInt128(family.bits - prefixLength)) &- 1
    }

    /// The last address: the broadcast address of an IPv4 network of /30 and wider.
    package var last: IPAddress { IPAddress(family, base.value | Self.hostMask(family, prefixLength)) }

    package func contains(_ address: IPAddress) -> Bool {
        address.family == family && base <= address && address <= last
    }

    package func contains(_ other: IPSubnet) -> Bool { contains(other.base) && contains(other.last) }

    /// True when the two share an address.
    package func overlaps(_ other: IPSubnet) -> Bool {
        other.family == family && base <= other.last && other.base <= last
    }

    /// The addresses a host may have. IPv4: without network and broadcast address, down to /31 where both are hosts
    /// (RFC 3021). IPv6: all but the first, the routers' anycast address (RFC 4291, 2.6.1); of a /127 both (RFC 6164).
    package var hosts: ClosedRange<IPAddress> {
        if prefixLength + 1 >= family.bits { return base...last }
        let first = IPAddress(family, base.value + 1)
        return first...(family == .v4 ? IPAddress(family, last.value - 1) : last)
    }

    /// The network of `length` bits that is number `index` inside this one; nil beyond the last.
    package func subnet(of length: UInt8, at index: UInt128) -> IPSubnet? {
        guard length >= prefixLength, length <= family.bits else { return nil }
        let count = Self.hostMask(family, family.bits - (length - prefixLength))
        guard index <= count else { return nil }
        let offset = index << UInt128(family.bits - length)
        return IPSubnet(containing: IPAddress(family, base.value | offset), prefixLength: length)
    }

    package var description: String { "\(base)/\(prefixLength)" }
}
