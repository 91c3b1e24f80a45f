import Glibc

/// The packet rules inside a container's namespace that lead its queries to 127.0.0.11:53 to the ports at which the
/// embedded DNS server listens; answers come back from port 53. What the container binds itself is left alone.
enum ResolverRedirect {
    /// The address of the embedded DNS server, as containers' `/etc/resolv.conf` has it.
    static let address = IPAddress(.v4, 0x7F00_000B)
    private static let port: UInt16 = 53
    private static let table = PacketTable(name: "docker_dns", family: PacketTable.ipv4)
    private static let output = PacketTable.Chain(name: "output", kind: "nat", hook: .output, priority: -100)

    /// The transaction that leads to `ports`.
    ///
    /// - Parameter replacing: in the place of the rules of an earlier run.
    static func changes(_ ports: ResolverPorts, replacing: Bool) -> [NetlinkMessage] {
        let before = replacing ? [table.create(), table.remove()] : []
        return before + [table.create(), table.create(output)]
            + [rule(.udp, ports.udp), rule(.tcp, ports.tcp)].map(table.append)
    }

    private static func rule(_ transport: Transport, _ target: UInt16) -> PacketRule {
        PacketRule(
            output, "embedded DNS server",
            [
                RuleExpression("payload", [(1, .number(1)), (2, .number(1)), (3, .number(16)), (4, .number(4))]),
                compare(address.bytes),  // the network header's destination address
                RuleExpression("meta", [(1, .number(1)), (2, .number(16))]),
                compare([transport.rawValue]),  // the transport
                RuleExpression("payload", [(1, .number(1)), (2, .number(2)), (3, .number(2)), (4, .number(2))]),
                compare(bytes(port)),  // the transport header's destination port
            ],
            [
                RuleExpression("immediate", [(1, .number(1)), (2, .data(address.bytes))]),
                RuleExpression("immediate", [(1, .number(2)), (2, .data(bytes(target)))]),
                // Destination; the registers of its address and port.
                RuleExpression(
                    "nat", [(1, .number(1)), (2, .number(UInt32(AF_INET))), (3, .number(1)), (5, .number(2))]),
            ])
    }

    private static func compare(_ bytes: [UInt8]) -> RuleExpression {
        RuleExpression("cmp", [(1, .number(1)), (2, .number(0)), (3, .data(bytes))])
    }

    private static func bytes(_ port: UInt16) -> [UInt8] { [UInt8(port >> 8), UInt8(port & 255)] }
}
