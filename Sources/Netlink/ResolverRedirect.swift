/// The packet rules inside a container's namespace that lead its queries to 127.0.0.11:53 to the ports at which the
/// embedded DNS server listens, and let answers come from port 53. What the container binds itself is left alone.
///
/// They rewrite ports packet by packet. A translation (`nat`) would have the kernel track every connection of the
/// container, which costs a twentieth of its throughput. One that is tracked for other reasons is seen with the server's
/// own port both ways: queries are rewritten before the tracking (priority -200), answers behind it.
enum ResolverRedirect {
    /// The address of the embedded DNS server, as containers' `/etc/resolv.conf` has it.
    static let address = IPAddress(.v4, 0x7F00_000B)
    private static let port: UInt16 = 53
    private static let table = PacketTable(name: "docker_dns", family: PacketTable.ipv4)
    private static let queries = PacketTable.Chain(name: "queries", hook: .output, priority: -300)
    private static let answers = PacketTable.Chain(name: "answers", hook: .output, priority: -100)

    /// The transaction that leads to `ports`.
    ///
    /// - Parameter replacing: in the place of the rules of an earlier run.
    static func changes(_ ports: ResolverPorts, replacing: Bool) -> [NetlinkMessage] {
        let before = replacing ? [table.create(), table.remove()] : []
        let rules = [(Transport.udp, ports.udp), (.tcp, ports.tcp)].flatMap { transport, own in
            [
                PacketRule(
                    queries, "to the embedded DNS server", .address(.destination, is: address),
                    .port(.destination, of: transport, is: port), .rewritePort(.destination, of: transport, to: own)),
                PacketRule(
                    answers, "of the embedded DNS server", .address(.source, is: address),
                    .port(.source, of: transport, is: own), .rewritePort(.source, of: transport, to: port)),
            ]
        }
        return before + [table.create(), table.create(queries), table.create(answers)] + rules.map(table.append)
    }
}
