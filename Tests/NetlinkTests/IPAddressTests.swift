import Testing

@testable import Netlink

struct IPAddressTests {
    @Test(arguments: [
        "", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.+4", "1.2.3. 4", "1.2.3.-1", "a.b.c.d", ":", ":::",
        "1::2::3", "fe80::1%eth0", "12345::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::1 ", "[::1]", "::1\0",
        "::1.2.3", "g::", "1:2:3:4:5:6:7:",
    ])
    func `text that is no IP address is refused`(_ text: String) { #expect(IPAddress(text) == nil) }

    @Test(arguments: [
        "0.0.0.0", "127.0.0.1", "172.17.0.2", "255.255.255.255", "::", "::1", "fd00::1", "2001:db8::8:800:200c:417a",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:0:1:1:1:1:1", "2001:0:0:1::1", "1::", "::ffff:192.0.2.1",
        "2001:db8::1:0:0:1",
    ])
    func `canonical text reads and writes the same`(_ text: String) { #expect(IPAddress(text)?.description == text) }

    @Test(arguments: [("FD00:0:0::01", "fd00::1"), ("1:0:0:2:0:0:0:3", "1:0:0:2::3"), ("::1.2.3.4", "::102:304")])
    func `other spellings become the canonical one`(_ text: String, _ canonical: String) {
        #expect(IPAddress(text)?.description == canonical)
    }

    @Test func `the bytes are those of the wire, and make the address again`() throws {
        let address = try #require(IPAddress("fd00::102"))
        #expect(address.bytes == [0xFD] + [UInt8](repeating: 0, count: 13) + [1, 2])
        #expect(IPAddress(bytes: address.bytes) == address)
        #expect(IPAddress(bytes: [172, 17, 0, 2]) == IPAddress("172.17.0.2") && IPAddress(bytes: [1, 2, 3]) == nil)
    }

    @Test func `kinds of addresses are told apart in both families`() throws {
        func all(_ texts: [String], _ kind: (IPAddress) -> Bool) throws -> Bool {
            try texts.allSatisfy { kind(try #require(IPAddress($0))) }
        }
        #expect(try all(["127.0.0.1", "127.255.0.1", "::1"], \.isLoopback))
        #expect(try all(["0.0.0.0", "::"], \.isUnspecified) && IPAddress.any(.v6) == IPAddress("::"))
        #expect(try all(["224.0.0.1", "239.1.2.3", "ff02::1"], \.isMulticast))
        #expect(try all(["169.254.1.1", "fe80::1", "febf::1"], \.isLinkLocal))
        #expect(try all(["::2", "fec0::1", "10.0.0.1"]) { !$0.isLoopback && !$0.isLinkLocal && !$0.isMulticast })
        #expect(try all(["::ffff:1.2.3.4"], \.isIPv4Mapped) && !all(["::1.2.3.4", "1.2.3.4"], \.isIPv4Mapped))
    }
}

struct IPSubnetTests {
    @Test(arguments: [
        "10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "/8", "10.0.0.0/08x", "10.0.0.0/8/9", "10.0.0.0/+8", "fd00::/129",
        "fd00::/", "fd00::/1280",
    ])
    func `text that is no subnet is refused`(_ text: String) { #expect(IPSubnet(text) == nil) }

    @Test(arguments: [
        ("10.1.2.3/8", "10.0.0.0/8", "10.0.0.1", "10.255.255.254"),
        ("10.0.0.5/31", "10.0.0.4/31", "10.0.0.4", "10.0.0.5"),
        ("10.0.0.5/32", "10.0.0.5/32", "10.0.0.5", "10.0.0.5"),
        ("0.0.0.0/0", "0.0.0.0/0", "0.0.0.1", "255.255.255.254"),
        ("fd00::5/64", "fd00::/64", "fd00::1", "fd00::ffff:ffff:ffff:ffff"),
        ("fd00::5/127", "fd00::4/127", "fd00::4", "fd00::5"),
        ("::/0", "::/0", "::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("fd00::5/128", "fd00::5/128", "fd00::5", "fd00::5"),
    ])
    func `host bits are cleared and hosts are what hosts may have`(
        _ text: String, _ canonical: String, _ first: String, _ last: String
    ) throws {
        let subnet = try #require(IPSubnet(text))
        #expect(subnet.description == canonical)
        #expect("\(subnet.hosts.lowerBound)" == first && "\(subnet.hosts.upperBound)" == last)
        #expect(subnet.contains(subnet.base) && subnet.contains(subnet.last))
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.0/16", true), ("10.0.0.0/8", "11.0.0.0/8", false), ("0.0.0.0/0", "1.2.3.4/32", true),
        ("172.17.0.0/16", "172.16.0.0/12", true), ("::/0", "fd00::/8", true), ("::/0", "1.2.3.4/32", false),
        ("fd00::/64", "fd00:0:0:1::/64", false),
    ])
    func `subnets that share an address overlap, within one family`(
        _ left: String, _ right: String, _ overlaps: Bool
    ) throws {
        let (left, right) = (try #require(IPSubnet(left)), try #require(IPSubnet(right)))
        #expect(left.overlaps(right) == overlaps && right.overlaps(left) == overlaps)
    }

    @Test func `subnets of a subnet are counted from its base to its last`() throws {
        let pool = try #require(IPSubnet("192.168.0.0/16"))
        let all = (0...16).map { pool.subnet(of: 20, at: $0)?.description }
        #expect(all[0] == "192.168.0.0/20" && all[15] == "192.168.240.0/20" && all[16] == nil)
        let wide = try #require(IPSubnet("fd00::/48"))
        #expect(wide.subnet(of: 64, at: 65535)?.description == "fd00:0:0:ffff::/64")
        #expect(wide.subnet(of: 64, at: 65536) == nil && wide.subnet(of: 48, at: 0) == wide)
        #expect(
            wide.subnet(of: 47, at: 0) == nil
                && IPSubnet("::/0")?.subnet(of: 128, at: .max)?.description.hasPrefix("ffff:") == true)
    }
}

struct MACAddressTests {
    @Test(arguments: [
        "", "02:42", "02:42:ac:11:00:zz", "03:42:ac:11:00:02", "02:42:ac:11:00:02:03", "+2:42:ac:11:00:02",
    ])
    func `text that is no interface's Ethernet address is refused`(_ text: String) { #expect(MACAddress(text) == nil) }

    @Test func `an endpoint's Ethernet address is made of its IPv4 address`() throws {
        #expect(MACAddress(for: try #require(IPAddress("172.17.0.2"))).description == "02:42:ac:11:00:02")
    }

    @Test func `an IPv6 endpoint's Ethernet address is a random one of the locally administered kind`() throws {
        let address = try #require(IPAddress("fd00::2"))
        let all = Set((0..<64).map { _ in MACAddress(for: address) })
        #expect(all.count > 60 && all.allSatisfy { $0.bytes[0] == 2 && MACAddress($0.description) == $0 })
    }
}
