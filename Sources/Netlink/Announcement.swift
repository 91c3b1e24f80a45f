import Glibc
import Kernel

/// Frames that tell neighbours at once which interface has an address now: those that knew an earlier owner would send to
/// its Ethernet address for seconds.
enum Announcement {
    private static let broadcast = [UInt8](repeating: 0xFF, count: 6)
    /// ff02::1, all nodes, and its Ethernet address (RFC 2464, 7).
    private static let allNodes = IPAddress(.v6, 0xFF02 << 112 | 1)
    private static let allNodesEthernet: [UInt8] = [0x33, 0x33, 0, 0, 0, 1]

    /// Sends the frames for an endpoint's addresses from an interface of the calling thread's namespace.
    ///
    /// An address that always comes with the same Ethernet address needs none.
    /// - Parameter closer: closes the socket, for which the kernel takes ten milliseconds.
    static func send(_ endpoint: Endpoint, from index: Int32, closer: NetworkThread) throws(SystemError) {
        var frames: [[UInt8]] = []
        if let address = endpoint.ipv4, endpoint.mac != MACAddress(for: address) {
            frames.append(arp(address, endpoint.mac))
        }
        if let address = endpoint.ipv6 { frames.append(advertisement(address, endpoint.mac)) }
        guard !frames.isEmpty else { return }
        let descriptor = OwnedFD(
            adopting: try checked("socket", "packet") {
                socket(AF_PACKET, CInt(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), 0)
            })
        let raw = descriptor.raw
        // struct sockaddr_ll: family, protocol, interface; the rest is in the frame.
        let name =
            withUnsafeBytes(of: UInt16(AF_PACKET), Array.init) + [0, 0] + withUnsafeBytes(of: index, Array.init)
            + [UInt8](repeating: 0, count: 12)
        for frame in frames {
            try checked("sendto", "announcement of \(endpoint.interface)") {
                name.withUnsafeBytes {
                    $0.withMemoryRebound(to: sockaddr.self) { address in
                        sendto(raw, frame, frame.count, 0, address.baseAddress, socklen_t(name.count))
                    }
                }
            }
        }
        let closing = descriptor.release()
        closer.perform { _ = Glibc.close(closing) }
    }

    /// A gratuitous ARP request (RFC 5227, 3).
    static func arp(_ address: IPAddress, _ mac: MACAddress) -> [UInt8] {
        let header: [UInt8] = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1]  // ARP; Ethernet, IPv4, their sizes, request
        let none = [UInt8](repeating: 0, count: 6)
        return broadcast + mac.bytes + header + mac.bytes + address.bytes + none + address.bytes
    }

    /// An unsolicited neighbour advertisement (RFC 4861, 7.2.6) that overrides what is known.
    static func advertisement(_ address: IPAddress, _ mac: MACAddress) -> [UInt8] {
        var message: [UInt8] = [136, 0, 0, 0, 0x20, 0, 0, 0] + address.bytes + [2, 1] + mac.bytes
        let pseudo = address.bytes + allNodes.bytes + [0, 0, 0, UInt8(message.count), 0, 0, 0, 58]
        let sum = checksum(pseudo + message)
        message[2] = UInt8(sum >> 8)
        message[3] = UInt8(sum & 255)
        let packet: [UInt8] = [0x60, 0, 0, 0, 0, UInt8(message.count), 58, 255] + address.bytes + allNodes.bytes
        return allNodesEthernet + mac.bytes + [0x86, 0xDD] + packet + message
    }

    /// The Internet checksum (RFC 1071) of an even number of bytes.
    private static func checksum(_ bytes: [UInt8]) -> UInt16 {
        var sum = stride(from: 0, to: bytes.count, by: 2).reduce(0 as UInt32) {
            $0 + (UInt32(bytes[$1]) << 8 | UInt32(bytes[$1 + 1]))
        }
        while sum >> 16 != 0 { sum = sum & 0xFFFF + sum >> 16 }
        return ~UInt16(sum)
    }
}
