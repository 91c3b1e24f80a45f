import CNftables
import Glibc
import Kernel

@testable import Netlink

/// What it costs to publish the next port and to enter the next network, as the sets grow: by our own nfnetlink messages and
/// by libnftables, alone and beside a table of others. In a network namespace of its own; needs root.
@main
struct PacketRules {
    /// How many of the last changes a figure is the median of.
    private static let window = 50
    private static let ports: [Int] = [50, 100, 1000, 5000]
    private static let networks: [Int] = [50, 500]

    static func main() throws {
        for foreign in [0, 5000] {
            print("beside \(foreign) foreign elements", terminator: "\n")
            try NetworkNamespace.enterNew()
            let library = try Library()
            if foreign > 0 { try library.makeForeign(foreign) }
            try measureOurs()
            try library.measure()
        }
    }

    private static func measureOurs() throws {
        let firewall = try Firewall(table: "docker_swift")
        try firewall.install([], [])
        let address = IPAddress(.v4, 0xAC11_0002)
        for transport in [Transport.tcp, .udp] {
            let mapping = { (index: Int) in
                PortMapping(
                    PortBinding(hostPort: UInt16(10000 + index), containerPort: 80, transport: transport), address)
            }
            try report("publish \(transport.name)", ports) { try firewall.map([mapping($0)], .add) }
            try report("take back \(transport.name)", [window]) { try firewall.map([mapping($0)], .delete) }
        }
        let rules = { (index: Int) in NetworkRules(bridge: "br-\(index)") }
        try report("network", networks) { try firewall.add(rules($0)) }
        let all = (0..<5000).map {
            PortMapping(PortBinding(hostPort: UInt16(10000 + $0), containerPort: 80), address)
        }
        let start = ContinuousClock.now
        for _ in 0..<10 { try firewall.install((0..<500).map(rules), all) }
        print("  ours   install 500 networks, 5000 ports: \(microseconds((ContinuousClock.now - start) / 10)) us")
    }

    /// Runs `change` for 0, 1, 2 and on, and prints the median of the last ones before each of `marks`.
    static func report(_ what: String, by whom: String = "ours  ", _ marks: [Int], _ change: (Int) throws -> Void)
        rethrows
    {
        var costs: [Duration] = []
        var figures: [String] = []
        for index in 0..<(marks.last ?? 0) {
            let start = ContinuousClock.now
            try change(index)
            costs.append(ContinuousClock.now - start)
            guard marks.contains(index + 1) else { continue }
            figures.append("\(index + 1)th \(microseconds(costs.suffix(window).sorted()[window / 2]))")
        }
        print("  \(whom) \(what): \(figures.joined(separator: ", ")) us")
    }

    private static func microseconds(_ duration: Duration) -> Int { Int(duration / .microseconds(1)) }
}

/// The same through libnftables(3), with the same sets and, for networks, a set of subnets.
private struct Library {
    private let context: OpaquePointer

    init() throws {
        guard let context = nft_ctx_new(0) else { throw SystemError("nft_ctx_new", ENOMEM) }
        nft_ctx_buffer_error(context)
        self.context = context
    }

    private func run(_ commands: String) throws {
        guard nft_run_cmd_from_buffer(context, commands) == 0 else {
            throw SystemError("nft", EINVAL, nft_ctx_get_error_buffer(context).map { String(cString: $0) } ?? "")
        }
    }

    func makeForeign(_ count: Int) throws {
        let elements = (0..<count).map { "10.0.\($0 / 120).\($0 % 120 * 2 + 1)" }.joined(separator: ", ")
        try run("add table ip other\nadd set ip other s { type ipv4_addr; flags interval; }")
        try run("add element ip other s { \(elements) }")
    }

    func measure() throws {
        try run(
            """
            add table inet lib
            add map inet lib ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
            add set inet lib bridges { type ifname; }
            add set inet lib subnets { type ipv4_addr; flags interval; }
            """)
        try PacketRules.report("publish tcp", by: "library", [50, 100, 1000, 5000]) {
            try run("add element inet lib ports { tcp . \(10000 + $0) : 172.17.0.2 . 80 }")
        }
        try PacketRules.report("network", by: "library", [50, 500]) {
            try run(
                """
                add element inet lib bridges { "br-\($0)" }
                add element inet lib subnets { 10.\($0 / 250).\($0 % 250).0/24 }
                """)
        }
    }
}
