import CNetfilter
import Glibc

/// A published port with the address it leads to.
struct BridgePortMapping: Sendable, Hashable {
    let binding: BridgePort
    let address: IPv4Address

    init(_ binding: BridgePort, _ address: IPv4Address) {
        self.binding = binding
        self.address = address
    }
}

/// Our one nftables table, through libnftables(3): rules are fixed, networks and ports are elements of sets and maps.
///
/// Every change is one transaction. Other tables are never touched. Belongs to one thread, which is in the host's namespace.
final class BridgeFirewall {
    enum Change {
        case add, delete
        /// The ports are these and no others.
        case replace
    }

    private let context: OpaquePointer
    private let table: String

    /// - Throws: `translationUnavailable` when the library finds no nftables in the kernel.
    init(table: String) throws(NetworkError) {
        guard let context = nft_ctx_new(0) else {
            throw NetworkError(
                .translationUnavailable, "nftables cannot be opened", remedy: "load the kernel module nf_tables")
        }
        nft_ctx_buffer_error(context)
        self.context = context
        self.table = table
    }

    deinit { nft_ctx_free(context) }

    /// Makes the table and its rules, or renews the rules and keeps the published ports, and enters a bridge.
    func install(bridge: String, subnet: IPv4Subnet) throws(NetworkError) {
        let elements = """
            add element ip \(table) bridges { "\(bridge)" }
            add element ip \(table) links { "\(bridge)" . "\(bridge)" }
            add element ip \(table) subnets { \(subnet) }

            """
        do throws(NetworkError) {
            try run(rules + elements)
        } catch {
            // A table of another version: its sets have other types.
            try run("add table ip \(table)\ndelete table ip \(table)\n" + rules + elements)
        }
    }

    /// Changes the published ports, all at once.
    func map(_ mappings: [BridgePortMapping], _ change: Change) throws(NetworkError) {
        var commands = ""
        if change == .replace {
            for map in ["anywhere", "addressed"] { commands += "flush map ip \(table) \(map)\n" }
        }
        let verb = change == .delete ? "delete" : "add"
        for mapping in mappings {
            let binding = mapping.binding
            let key = "\(binding.transport.name) . \(binding.hostPort)"
            let element =
                binding.hostAddress == .any ? "anywhere { \(key)" : "addressed { \(binding.hostAddress) . \(key)"
            let target = change == .delete ? "" : " : \(mapping.address) . \(binding.containerPort)"
            commands += "\(verb) element ip \(table) \(element)\(target) }\n"
        }
        if !commands.isEmpty { try run(commands) }
    }

    private func run(_ commands: String) throws(NetworkError) {
        guard nft_run_cmd_from_buffer(context, commands) != 0 else { return }
        let text = nft_ctx_get_error_buffer(context).map { String(cString: $0) } ?? ""
        let reason = text.split(separator: "\n").first.map(String.init) ?? "no reason given"
        throw NetworkError(
            .translationUnavailable, "nftables: \(reason)",
            remedy:
                "check that the kernel has nf_tables, nft_nat and nft_masq and that table \"\(table)\" is not used by others"
        )
    }

    /// The rules; they name no network, no container and no port.
    ///
    /// - `guard`: `route_localnet` is on for our bridges, so nothing that comes in by one may claim to be, or reach, the loopback.
    /// - `prerouting`: 127.0.0.0/8 is left alone, so a port published there cannot be reached from outside.
    /// - `postrouting`: out of our networks; back into one from itself (hairpin; by address,
    ///   because a bridged packet has no incoming interface there); from the host's loopback.
    /// - `forward`: into a bridge only answers, its own network and what was published.
    private var rules: String {
        """
        add table ip \(table)
        add set ip \(table) bridges { type ifname; }
        add set ip \(table) links { type ifname . ifname; }
        add set ip \(table) subnets { type ipv4_addr; flags interval; auto-merge; }
        add map ip \(table) anywhere { type inet_proto . inet_service : ipv4_addr . inet_service; }
        add map ip \(table) addressed { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
        add chain ip \(table) publish
        add chain ip \(table) guard { type filter hook prerouting priority -300; }
        add chain ip \(table) prerouting { type nat hook prerouting priority -100; }
        add chain ip \(table) output { type nat hook output priority -100; }
        add chain ip \(table) postrouting { type nat hook postrouting priority 100; }
        add chain ip \(table) forward { type filter hook forward priority 0; }
        flush table ip \(table)
        add rule ip \(table) publish dnat ip to ip daddr . meta l4proto . th dport map @addressed
        add rule ip \(table) publish dnat ip to meta l4proto . th dport map @anywhere
        add rule ip \(table) guard iifname @bridges ip daddr 127.0.0.0/8 drop
        add rule ip \(table) guard iifname @bridges ip saddr 127.0.0.0/8 drop
        add rule ip \(table) prerouting ip daddr != 127.0.0.0/8 fib daddr type local jump publish
        add rule ip \(table) output fib daddr type local jump publish
        add rule ip \(table) postrouting oifname != @bridges iifname @bridges masquerade
        add rule ip \(table) postrouting oifname @bridges ip saddr @subnets ct status dnat masquerade
        add rule ip \(table) postrouting oifname @bridges ip saddr 127.0.0.0/8 masquerade
        add rule ip \(table) forward ct state established,related accept
        add rule ip \(table) forward iifname . oifname @links accept
        add rule ip \(table) forward oifname @bridges ct status dnat accept
        add rule ip \(table) forward oifname @bridges drop
        add rule ip \(table) forward iifname @bridges accept

        """
    }
}
