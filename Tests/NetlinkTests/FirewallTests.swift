import Glibc
import Kernel
import Testing

@testable import Netlink

private let isRoot = geteuid() == 0

/// What packets meet, with (`true`) and without the module br_netfilter at work.
@Suite(.serialized, .enabled(if: isRoot, "makes network namespaces")) struct FirewallTests {
    @Test(arguments: IPAddress.Family.allCases, [Transport.tcp, .udp])
    func `a container reaches the outside under the host's address`(
        _ family: IPAddress.Family, _ transport: Transport
    ) async throws {
        let world = try await FirewallWorld()
        try await world.network(1)
        let a = try await world.container(1, 2)
        let server = try await world.outside.serve(7, family, transport)
        let seen = try await a.place.reach(FirewallWorld.outside(family), 7, transport, at: server)
        #expect(seen == FirewallWorld.host(family))
    }

    @Test(arguments: IPAddress.Family.allCases)
    func `without masquerading a container's own address reaches the outside`(_ family: IPAddress.Family) async throws {
        let world = try await FirewallWorld()
        try await world.network(1) {
            $0.masquerade4 = false
            $0.masquerade6 = false
        }
        try await world.outside.shell(
            "ip route add 172.30.0.0/16 via 203.0.113.1; ip -6 route add fd00:1::/64 via 2001:db8::1")
        let a = try await world.container(1, 2)
        let server = try await world.outside.serve(7, family)
        #expect(
            try await a.place.reach(FirewallWorld.outside(family), 7, at: server) == a.address(family))
        let inside = try await a.place.serve(80, family)
        #expect(try await world.outside.isRefused(a.address(family), 80, at: inside))
    }

    @Test(arguments: IPAddress.Family.allCases, [Transport.tcp, .udp])
    func `a port published on every address is reached from outside under the client's own address`(
        _ family: IPAddress.Family, _ transport: Transport
    ) async throws {
        let world = try await FirewallWorld()
        try await world.network(1)
        let a = try await world.container(1, 2)
        let server = try await a.place.serve(80, family, transport)
        #expect(try await world.outside.isRefused(FirewallWorld.host(family), 8080, transport, at: server))
        let mapping = a.mapping(8080, on: .any(family), transport)
        try await world.publish(mapping)
        for address in [FirewallWorld.host(family), FirewallWorld.second(family)] {
            #expect(
                try await world.outside.reach(address, 8080, transport, at: server) == FirewallWorld.outside(family))
        }
        try await world.unpublish(mapping)
        #expect(try await world.outside.isRefused(FirewallWorld.host(family), 8080, transport, at: server))
    }

    @Test(arguments: IPAddress.Family.allCases)
    func `a port published on one address is reached there only`(_ family: IPAddress.Family) async throws {
        let world = try await FirewallWorld()
        try await world.network(1)
        let (a, b) = (try await world.container(1, 2), try await world.container(1, 3))
        let (first, second) = (try await a.place.serve(80, family), try await b.place.serve(80, family))
        try await world.publish(a.mapping(8080, on: FirewallWorld.second(family)))
        #expect(try await world.outside.reach(FirewallWorld.second(family), 8080, at: first) != nil)
        #expect(try await world.host.reach(FirewallWorld.second(family), 8080, at: first) != nil)
        #expect(try await world.outside.isRefused(FirewallWorld.host(family), 8080, at: first))
        try await world.publish(b.mapping(8080, on: FirewallWorld.host(family)))
        #expect(try await world.outside.reach(FirewallWorld.host(family), 8080, at: second) != nil)
        #expect(try await world.outside.reach(FirewallWorld.second(family), 8080, at: first) != nil)
    }

    @Test(arguments: [false, true])
    func `the host, the container itself and others of its network reach a published port`(
        _ bridged: Bool
    ) async throws {
        let world = try await FirewallWorld(bridged: bridged)
        try await world.network(1)
        let (a, b) = (try await world.container(1, 2), try await world.container(1, 3))
        for family in IPAddress.Family.allCases {
            for transport in [Transport.tcp, .udp] {
                let server = try await a.place.serve(80, family, transport)
                try await world.publish(a.mapping(8080, on: .any(family), transport))
                let address = FirewallWorld.host(family)
                for (name, place) in [("host", world.host), ("itself", a.place), ("other", b.place)] {
                    #expect(
                        try await place.reach(address, 8080, transport, at: server) != nil,
                        "\(name), \(family), \(transport)")
                }
                // ::1 is translated where the answer can come back.
                if family == .v4 || !bridged {
                    let loopback = FirewallWorld.loopback(family)
                    #expect(try await world.host.reach(loopback, 8080, transport, at: server) != nil)
                }
            }
        }
    }

    @Test(arguments: IPAddress.Family.allCases)
    func `a container reaches another network's published port by the host's address and nothing else of it`(
        _ family: IPAddress.Family
    ) async throws {
        let world = try await FirewallWorld()
        try await world.network(1)
        try await world.network(2)
        let (a, b) = (try await world.container(1, 2), try await world.container(2, 2))
        let server = try await a.place.serve(80, family)
        let other = try await b.place.serve(80, family)
        try await world.publish(a.mapping(8080, on: .any(family)))
        #expect(try await b.place.reach(FirewallWorld.host(family), 8080, at: server) != nil)
        #expect(try await b.place.isRefused(a.address(family), 80, at: server))
        #expect(try await a.place.isRefused(b.address(family), 80, at: other))
    }

    @Test(arguments: IPAddress.Family.allCases)
    func `a port published on the loopback is out of reach for everyone else`(
        _ family: IPAddress.Family
    ) async throws {
        let world = try await FirewallWorld()
        try await world.network(1)
        let (a, b) = (try await world.container(1, 2), try await world.container(1, 3))
        let server = try await a.place.serve(80, family)
        let loopback = FirewallWorld.loopback(family)
        try await world.publish(a.mapping(8080, on: loopback))
        // Neighbours that send the loopback's packets here, and a host that lets them in.
        try await world.host.shell("sysctl -w net.ipv4.conf.all.route_localnet=1")
        let route =
            "sysctl -w net.ipv4.conf.all.route_localnet=1; ip addr del 127.0.0.1/8 dev lo; ip addr del ::1 dev lo"
        try await world.outside.shell(
            "\(route); ip route add 127.0.0.1 via 203.0.113.1; ip -6 route add ::1 via 2001:db8::1")
        try await b.place.shell("\(route); ip route add 127.0.0.1 via 172.30.1.1; ip -6 route add ::1 via fd00:1::1")
        for place in [world.outside, b.place] {
            #expect(try await place.isRefused(loopback, 8080, at: server))
            #expect(try await place.isRefused(FirewallWorld.host(family), 8080, at: server))
        }
        #expect(try await world.host.reach(loopback, 8080, at: server) != nil)
    }

    @Test(arguments: [false, true])
    func `the host's loopback is out of reach for a container`(_ bridged: Bool) async throws {
        let world = try await FirewallWorld(bridged: bridged)
        try await world.network(1)
        let a = try await world.container(1, 2)
        try await a.place.shell(
            """
            sysctl -w net.ipv4.conf.all.route_localnet=1; ip addr del 127.0.0.1/8 dev lo; ip addr del ::1 dev lo
            ip route add 127.0.0.1 via 172.30.1.1; ip -6 route add ::1 via fd00:1::1
            """)
        for family in IPAddress.Family.allCases {
            let server = try await world.host.serve(9, family)
            #expect(try await a.place.isRefused(FirewallWorld.loopback(family), 9, at: server))
            #expect(try await a.place.reach(FirewallWorld.host(family), 9, at: server) != nil)
        }
    }

    @Test(arguments: IPAddress.Family.allCases)
    func `a container's own address is out of reach for a neighbour of the host that routes to it`(
        _ family: IPAddress.Family
    ) async throws {
        let world = try await FirewallWorld()
        try await world.network(1)
        let a = try await world.container(1, 2)
        let server = try await a.place.serve(80, family)
        try await world.outside.shell(
            "ip route add 172.30.0.0/16 via 203.0.113.1; ip -6 route add fd00:1::/64 via 2001:db8::1")
        #expect(try await world.outside.isRefused(a.address(family), 80, at: server))
        try await world.publish(a.mapping(80, on: .any(family)))
        #expect(try await world.outside.isRefused(a.address(family), 80, at: server))
        #expect(try await world.outside.reach(FirewallWorld.host(family), 80, at: server) != nil)
    }

    @Test(arguments: IPAddress.Family.allCases)
    func `an internal network has no way in or out but the host's, by the bridge's address`(
        _ family: IPAddress.Family
    ) async throws {
        let world = try await FirewallWorld(bridged: true)
        try await world.network(1) { $0.isInternal = true }
        try await world.network(2)
        let a = try await world.container(1, 2, isInternal: true)
        let b = try await world.container(1, 3, isInternal: true)
        let c = try await world.container(2, 2)
        let inside = try await a.place.serve(80, family)
        #expect(try await b.place.reach(a.address(family), 80, at: inside) != nil)
        #expect(try await world.host.reach(a.address(family), 80, at: inside) != nil)
        #expect(try await c.place.isRefused(a.address(family), 80, at: inside))
        try await world.publish(a.mapping(8080, on: .any(family)))
        #expect(try await world.outside.isRefused(FirewallWorld.host(family), 8080, at: inside))

        let server = try await world.outside.serve(7, family)
        #expect(try await a.place.isRefused(FirewallWorld.outside(family), 7, at: server))
        let local = try await world.host.serve(9, family)
        let gateway = try #require(IPAddress(family == .v4 ? "172.30.1.1" : "fd00:1::1"))
        #expect(try await a.place.reach(gateway, 9, at: local) != nil)
        #expect(try await a.place.isRefused(FirewallWorld.host(family), 9, at: local))
        let other = try await c.place.serve(80, family)
        try await world.publish(c.mapping(8081, on: .any(family)))
        #expect(try await c.place.reach(FirewallWorld.host(family), 8081, at: other) != nil)
        #expect(try await a.place.isRefused(FirewallWorld.host(family), 8081, at: other))
    }

    @Test(arguments: [false, true])
    func `without icc containers of a network meet by published ports only`(_ bridged: Bool) async throws {
        let world = try await FirewallWorld(bridged: bridged)
        try await world.network(1) { $0.icc = false }
        // Where bridged packets do not pass the rules, the bridge's own isolation keeps its ports apart.
        let a = try await world.container(1, 2, isolated: !bridged)
        let b = try await world.container(1, 3, isolated: !bridged)
        for family in IPAddress.Family.allCases {
            let server = try await a.place.serve(80, family)
            #expect(try await b.place.isRefused(a.address(family), 80, at: server))
            try await world.publish(a.mapping(8080, on: .any(family)))
            #expect(try await b.place.reach(FirewallWorld.host(family), 8080, at: server) != nil)
            #expect(try await b.place.isRefused(a.address(family), 80, at: server))
            let outside = try await world.outside.serve(7, family)
            #expect(try await b.place.reach(FirewallWorld.outside(family), 7, at: outside) != nil)
        }
    }

    @Test(arguments: IPAddress.Family.allCases)
    func `datagrams of one flow follow the published port`(_ family: IPAddress.Family) async throws {
        let world = try await FirewallWorld()
        try await world.network(1)
        let (a, b) = (try await world.container(1, 2), try await world.container(1, 3))
        let first = try await a.place.serve(80, family, .udp)
        let second = try await b.place.serve(80, family, .udp)
        let address = FirewallWorld.host(family)
        let client = try await world.outside.run { () throws(SystemError) in
            let socket = try Station.socket(family, .udp, milliseconds: 400)
            try Station.call("connect", socket, address, 53, Glibc.connect)
            return NamespaceHandle(socket)
        }
        /// Whether the datagram that the client sends now arrives at the server, and its answer at the client.
        func arrives(at server: NamespaceHandle) async throws -> Bool {
            try await world.outside.run { () throws(SystemError) in
                do throws(SystemError) {
                    try Traffic.send(client.descriptor, "ping")
                    _ = try Station.answer(server.descriptor, family, .udp)
                    return try Traffic.receive(client.descriptor) == "pong"
                } catch { return false }
            }
        }
        func arrivesSoon(at server: NamespaceHandle) async throws -> Bool {
            for _ in 0..<3 where try await arrives(at: server) { return true }
            return false
        }
        // To another on the host: the flow begins untranslated.
        let local = try await world.host.serve(53, family, .udp)
        #expect(try await arrives(at: local))
        try await world.publish(a.mapping(53, on: .any(family), .udp))
        #expect(try await arrivesSoon(at: first))
        try await world.unpublish(a.mapping(53, on: .any(family), .udp))
        try await Task.sleep(for: .milliseconds(300))
        Station.empty(local.descriptor)
        #expect(try await arrives(at: local))
        try await world.publish(b.mapping(53, on: .any(family), .udp))
        #expect(try await arrivesSoon(at: second))
        // Without a word in between, as at a restart of a container under another address.
        try await world.rules.call { owner throws(NetworkError) in
            try owner.firewall.map([a.mapping(53, on: .any(family), .udp)], .replace)
        }
        #expect(try await arrivesSoon(at: first))
    }

    @Test func `SCTP to a published port arrives at the container's port`() async throws {
        let world = try await FirewallWorld()
        try await world.network(1)
        let a = try await world.container(1, 2)
        let receiver = try await a.place.run { () throws(SystemError) in NamespaceHandle(try SCTP.socket()) }
        let binding = PortBinding(hostPort: 3868, containerPort: 80, transport: .sctp)
        let arrives = { () async throws -> UInt16? in
            try await world.outside.run { () throws(SystemError) in
                try SCTP.send(to: FirewallWorld.host(.v4), port: 3868)
                return try? SCTP.receive(receiver.descriptor)
            }
        }
        #expect(try await arrives() == nil)
        // Its flow began untranslated; another association begins anew.
        try await world.publish(PortMapping(binding, a.v4))
        #expect(try await arrives() == 80)
    }
}

/// Associations' first packets by raw sockets: the kernel need not speak SCTP (RFC 9260).
enum SCTP {
    private static let transport: CInt = 132
    private nonisolated(unsafe) static var source: UInt16 = 40000  // the suite is serialized

    static func socket() throws(SystemError) -> OwnedFD {
        let descriptor = OwnedFD(
            adopting: try checked("socket") {
                Glibc.socket(AF_INET, CInt(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), transport)
            })
        let raw = descriptor.raw
        var limit = timeval(tv_sec: 0, tv_usec: 400_000)
        try checked("setsockopt") {
            setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        return descriptor
    }

    /// Sends an INIT chunk from a new port.
    static func send(to address: IPAddress, port: UInt16) throws(SystemError) {
        source += 1
        var packet: [UInt8] = [UInt8(source >> 8), UInt8(source & 255), UInt8(port >> 8), UInt8(port & 255)]
        packet += [0, 0, 0, 0, 0, 0, 0, 0]  // verification tag, checksum
        packet += [1, 0, 0, 20, 1, 2, 3, 4, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1]
        let sum = checksum(packet)
        for index in 0..<4 { packet[8 + index] = UInt8(truncatingIfNeeded: sum >> (8 * UInt32(index))) }
        let socket = try Self.socket()
        try Station.call("connect", socket, address, 0, Glibc.connect)
        let raw = socket.raw
        try checked("send") { Glibc.send(raw, packet, packet.count, 0) }
    }

    /// The destination port of the next packet.
    static func receive(_ socket: borrowing OwnedFD) throws(SystemError) -> UInt16 {
        var packet = [UInt8](repeating: 0, count: 256)
        let raw = socket.raw
        try checked("recv") { recv(raw, &packet, packet.count, 0) }
        let start = Int(packet[0] & 15) * 4
        return UInt16(packet[start + 2]) << 8 | UInt16(packet[start + 3])
    }

    /// CRC32c, as it goes over the wire: least significant byte first.
    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        ~bytes.reduce(~UInt32(0)) { crc, byte in
            (0..<8).reduce(crc ^ UInt32(byte)) { value, _ in value >> 1 ^ (value & 1 == 0 ? 0 : 0x82F6_3B78) }
        }
    }
}
