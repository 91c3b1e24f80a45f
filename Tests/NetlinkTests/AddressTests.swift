import Testing

@testable import Netlink

struct AddressTests {
    @Test(arguments: ["", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.+4", "1.2.3. 4", "1.2.3.-1", "a.b.c.d"])
    func `text that is no IPv4 address is refused`(_ text: String) { #expect(IPv4Address(text) == nil) }

    @Test(arguments: ["0.0.0.0", "127.0.0.1", "172.17.0.2", "255.255.255.255"])
    func `an IPv4 address reads and writes the same`(_ text: String) { #expect(IPv4Address(text)?.description == text) }

    @Test(arguments: ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "/8", "10.0.0.0/08x", "10.0.0.0/8/9", "10.0.0.0/+8"])
    func `text that is no subnet is refused`(_ text: String) { #expect(IPv4Subnet(text) == nil) }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.0/16", true), ("10.0.0.0/8", "11.0.0.0/8", false), ("0.0.0.0/0", "1.2.3.4/32", true),
        ("172.17.0.0/16", "172.16.0.0/12", true),
    ])
    func `subnets that share an address overlap`(_ left: String, _ right: String, _ overlaps: Bool) throws {
        let (left, right) = (try #require(IPv4Subnet(left)), try #require(IPv4Subnet(right)))
        #expect(left.overlaps(right) == overlaps && right.overlaps(left) == overlaps)
    }

    @Test func `the default pools are Docker's`() {
        let pools = BridgeConfiguration.defaultPools.map(\.description)
        #expect(pools.count == 15 + 16)
        #expect(pools.first == "172.17.0.0/16" && pools[14] == "172.31.0.0/16" && pools[15] == "192.168.0.0/20")
    }

    @Test(arguments: [
        "", "02:42", "02:42:ac:11:00:zz", "03:42:ac:11:00:02", "02:42:ac:11:00:02:03", "+2:42:ac:11:00:02",
    ])
    func `text that is no interface's Ethernet address is refused`(_ text: String) { #expect(MACAddress(text) == nil) }

    @Test func `an endpoint's Ethernet address is made of its IPv4 address`() {
        #expect(MACAddress(for: IPv4Address(0xAC11_0002)).description == "02:42:ac:11:00:02")
    }
}

struct AddressPoolTests {
    @Test func `addresses are handed out in order without network, broadcast and reserved ones`() throws {
        let subnet = try #require(IPv4Subnet("10.0.0.0/29"))
        var pool = BridgeAddressPool(subnet, reserved: [subnet.hosts.lowerBound])
        let all = (0..<6).map { _ in pool.allocate()?.description }
        #expect(all == ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", nil])
    }

    @Test func `a released address comes back last and only once`() throws {
        var pool = BridgeAddressPool(try #require(IPv4Subnet("10.0.0.0/29")), reserved: [])
        let next = pool.allocate()
        let first = try #require(next)
        pool.release(first)
        pool.release(first)
        let rest = (0..<6).compactMap { _ in pool.allocate() }
        let none = pool.allocate()
        #expect(rest.count == 6 && rest.last == first && none == nil)
    }

    @Test func `an address taken by name is skipped, before and after its release`() throws {
        var pool = BridgeAddressPool(try #require(IPv4Subnet("10.0.0.0/29")), reserved: [])
        let named = try #require(IPv4Address("10.0.0.2"))
        let reserved = [pool.reserve(named), pool.reserve(named)]
        let next = [pool.allocate()?.description, pool.allocate()?.description]
        pool.release(named)
        let again = pool.reserve(named)
        #expect(reserved == [true, false] && next == ["10.0.0.1", "10.0.0.3"] && again)
        let rest = (0..<4).map { _ in pool.allocate()?.description }
        #expect(rest == ["10.0.0.4", "10.0.0.5", "10.0.0.6", nil])
    }

    @Test func `an address outside the subnet cannot be taken`() throws {
        var pool = BridgeAddressPool(try #require(IPv4Subnet("10.0.0.0/29")), reserved: [])
        let reserved = [0x0A00_0009, 0x0A00_0000].map { pool.reserve(IPv4Address($0)) }
        #expect(reserved == [false, false])
    }

    @Test func `ten thousand addresses go round without a double`() throws {
        var pool = BridgeAddressPool(try #require(IPv4Subnet("10.0.0.0/16")), reserved: [])
        var held: Set<IPv4Address> = []
        for round in 0..<80_000 {
            let next = pool.allocate()
            let address = try #require(next)
            let isNew = held.insert(address).inserted
            #expect(isNew)
            if round >= 10_000, let oldest = held.first {
                held.remove(oldest)
                pool.release(oldest)
            }
        }
    }
}

struct NetlinkMessageTests {
    @Test func `a bridge request is the bytes the kernel documents`() {
        let mac = MACAddress(for: IPv4Address(0xAC11_0001))
        let bytes = BridgeMessages.createBridge("br0", mac, mtu: 1500).finished(sequence: 7, asking: .acknowledge)
        #expect(
            bytes == [
                76, 0, 0, 0, 16, 0, 0x05, 0x06, 7, 0, 0, 0, 0, 0, 0, 0,  // nlmsghdr: NEWLINK, REQUEST ACK EXCL CREATE
                0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,  // ifinfomsg: up
                8, 0, 3, 0, 0x62, 0x72, 0x30, 0,  // IFLA_IFNAME br0
                10, 0, 1, 0, 0x02, 0x42, 0xAC, 0x11, 0, 1, 0, 0,  // IFLA_ADDRESS
                8, 0, 4, 0, 0xDC, 5, 0, 0,  // IFLA_MTU 1500
                16, 0, 18, 0, 11, 0, 1, 0, 0x62, 0x72, 0x69, 0x64, 0x67, 0x65, 0, 0,  // IFLA_LINKINFO { kind bridge }
            ])
    }

    @Test(arguments: [0, 1, 15, 17, 77, 4096])
    func `a reply whose length lies is refused`(_ length: UInt32) {
        var bytes = BridgeMessages.allLinks().finished(sequence: 1, asking: [])
        withUnsafeBytes(of: length) { bytes.replaceSubrange(0..<4, with: $0) }
        // Within the datagram: what follows is refused or not, but never read beyond the end.
        if length == 17 { return }
        #expect(NetlinkReply.parse(bytes[...]) == nil)
    }

    @Test func `no cut of a reply is read beyond its end`() {
        let bytes = BridgeMessages.createPair(
            "veth0", master: 3, mtu: 1500, peer: "eth0", peerMAC: MACAddress(for: .any), namespace: 5
        ).finished(sequence: 1, asking: [])
        for end in bytes.indices {
            _ = NetlinkReply.parse(bytes[..<end])
            _ = bytes[16..<max(16, end)].netlinkAttributes()
        }
    }
}

struct SubnetChoiceTests {
    @Test(arguments: [
        ([], "172.17.0.0/16"), (["172.17.4.0/24"], "172.18.0.0/16"), (["172.16.0.0/12"], "192.168.0.0/20"),
        (["172.16.0.0/12", "192.168.0.0/24", "192.168.16.1/32"], "192.168.32.0/20"),
    ])
    func `the first pool that the host does not route is chosen`(_ routes: [String], _ expected: String) throws {
        let routed = routes.compactMap { IPv4Subnet($0) }
        let (subnet, gateway) = try BridgeConfiguration().choose(current: nil, routed: routed)
        #expect(subnet.description == expected && gateway == subnet.hosts.lowerBound)
    }

    @Test func `with every pool routed the error is Docker's`() throws {
        let all = try #require(IPv4Subnet("0.0.0.0/1"))
        let rest = try #require(IPv4Subnet("128.0.0.0/1"))
        let error = #expect(throws: NetworkError.self) {
            try BridgeConfiguration().choose(current: nil, routed: [all, rest])
        }
        #expect(
            error?.code == .subnetOverlap && error?.message == "all predefined address pools have been fully subnetted")
    }

    @Test func `the address a bridge has already stays`() throws {
        let address = try #require(IPv4Address("10.9.0.1"))
        let (subnet, gateway) = try BridgeConfiguration().choose(current: (address, 24), routed: [])
        #expect(subnet.description == "10.9.0.0/24" && gateway == address)
    }

    @Test(arguments: ["", "a/b", "sixteen-bytes-ab", "a b", "..", "a\"b"])
    func `a bridge name the kernel or nftables would misread is refused`(_ name: String) {
        let error = #expect(throws: NetworkError.self) { try BridgeConfiguration(bridgeName: name).validate() }
        #expect(error?.code == .invalid)
    }

    @Test(arguments: ["", "1a", "a b", "a;flush ruleset", "a-b"])
    func `a table name that is no plain word is refused`(_ name: String) {
        let error = #expect(throws: NetworkError.self) { try BridgeConfiguration(table: name).validate() }
        #expect(error?.code == .invalid)
    }
}
