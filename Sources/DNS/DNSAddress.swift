import Glibc
import NIOCore

/// An address of a container or of a name server.
package enum DNSAddress: Hashable, Sendable {
    /// In host byte order: 127.0.0.1 is 0x7f00_0001.
    case v4(UInt32)
    /// In host byte order: ::1 is 1.
    case v6(UInt128)

    /// Reads inet_pton(3)'s forms, `192.0.2.1` and `2001:db8::1`; nil for anything else.
    package init?(_ text: String) {
        var four = in_addr()
        var six = in6_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            self = .v4(UInt32(bigEndian: four.s_addr))
        } else if inet_pton(AF_INET6, text, &six) == 1 {
            self = .v6(withUnsafeBytes(of: six) { $0.reduce(UInt128(0)) { $0 << 8 | UInt128($1) } })
        } else {
            return nil
        }
    }

    /// In network byte order: 4 or 16 bytes.
    var bytes: [UInt8] {
        switch self {
        case .v4(let value): (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
        case .v6(let value): (0..<16).map { UInt8(truncatingIfNeeded: value >> (120 - 8 * $0)) }
        }
    }
}

/// Where a name server listens.
package struct DNSEndpoint: Hashable, Sendable {
    package var address: DNSAddress
    package var port: UInt16
    /// The interface of a link-local address, by its index in the host's namespace; otherwise 0.
    package var zone: UInt32

    package init(_ address: DNSAddress, port: UInt16 = 53, zone: UInt32 = 0) {
        self.address = address
        self.port = port
        self.zone = zone
    }

    /// Reads what a `nameserver` line of resolv.conf(5) holds: an address, which may have a zone (`fe80::1%eth0`).
    ///
    /// Nil when that is no address, or when the zone is no interface of the host.
    package init?(_ text: String) {
        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = DNSAddress(String(first)) else { return nil }
        self.init(address)
        guard parts.count == 2 else { return }
        guard case .v6 = address else { return nil }
        zone = UInt32(parts[1]) ?? if_nametoindex(String(parts[1]))
        guard zone != 0 else { return nil }
    }

    /// The address for a socket.
    ///
    /// - Throws: what getaddrinfo(3) says of a zone that is no interface any more.
    func socketAddress() throws -> SocketAddress {
        guard zone == 0,
            let address = try? SocketAddress(packedIPAddress: ByteBuffer(bytes: address.bytes), port: Int(port))
        else {
            // A number asks nobody: this does not block.
            return try SocketAddress.makeAddressResolvingHost("\(text)%\(zone)", port: Int(port))
        }
        return address
    }

    private var text: String {
        let bytes = address.bytes
        guard bytes.count == 16 else { return bytes.map(String.init).joined(separator: ".") }
        return stride(from: 0, to: 16, by: 2)
            .map { String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16) }.joined(separator: ":")
    }
}
