/// An Ethernet address.
package struct MACAddress: Sendable, Hashable, TextCoded {
    package static let kind = "an Ethernet address"

    /// Six bytes, first on the wire first.
    package let bytes: [UInt8]

    /// The address of the interface with `address`: as Docker's, 02:42 and the four bytes of an IPv4 address. An interface
    /// with an IPv6 address alone gets a random one of the locally administered kind.
    package init(for address: IPAddress) {
        switch address.family {
        case .v4: bytes = [0x02, 0x42] + address.bytes
        case .v6: bytes = [0x02, 0x42] + (0..<4).map { _ in UInt8.random(in: 0...255) }
        }
    }

    /// Six bytes as the kernel gives them; nil for another count.
    init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 6 else { return nil }
        self.bytes = Array(bytes)
    }

    /// Six hexadecimal bytes with colons between; nil for anything else, and for group addresses.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { $0.utf8.count == 2 && $0.first != "+" ? UInt8($0, radix: 16) : nil }
        guard parts.count == 6, bytes.count == 6, bytes[0] & 1 == 0 else { return nil }
        self.bytes = bytes
    }

    package var description: String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }
}
