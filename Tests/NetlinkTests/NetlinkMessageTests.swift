import Testing

@testable import Netlink

struct NetlinkMessageTests {
    @Test func `a bridge request is the bytes the kernel documents`() {
        let mac = MACAddress(for: IPAddress(.v4, 0xAC11_0001))
        let bytes = RouteMessages.createBridge("br0", mac, mtu: 1500).finished(sequence: 7, asking: .acknowledge)
        #expect(
            bytes == [
                76, 0, 0, 0, 16, 0, 0x05, 0x06, 7, 0, 0, 0, 0, 0, 0, 0,  // nlmsghdr: NEWLINK, REQUEST ACK EXCL CREATE
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // ifinfomsg: down
                8, 0, 3, 0, 0x62, 0x72, 0x30, 0,  // IFLA_IFNAME br0
                10, 0, 1, 0, 0x02, 0x42, 0xAC, 0x11, 0, 1, 0, 0,  // IFLA_ADDRESS
                8, 0, 4, 0, 0xDC, 5, 0, 0,  // IFLA_MTU 1500
                16, 0, 18, 0, 11, 0, 1, 0, 0x62, 0x72, 0x69, 0x64, 0x67, 0x65, 0, 0,  // IFLA_LINKINFO { kind bridge }
            ])
    }

    @Test(arguments: [0, 1, 15, 17, 77, 4096])
    func `a reply whose length lies is refused`(_ length: UInt32) {
        var bytes = RouteMessages.allLinks().finished(sequence: 1, asking: [])
        withUnsafeBytes(of: length) { bytes.replaceSubrange(0..<4, with: $0) }
        // Within the datagram: what follows is refused or not, but never read beyond the end.
        if length == 17 { return }
        #expect(NetlinkReply.parse(bytes[...]) == nil)
    }

    @Test func `no cut of a reply is read beyond its end`() {
        let mac = MACAddress(for: IPAddress(.v4, 0xAC11_0001))
        let bytes = RouteMessages.createBridge("br0", mac, mtu: 1500).finished(sequence: 1, asking: [])
        for end in bytes.indices {
            _ = NetlinkReply.parse(bytes[..<end])
            _ = bytes[16..<max(16, end)].netlinkAttributes()
        }
    }
}
