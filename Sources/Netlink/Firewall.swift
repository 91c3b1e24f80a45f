import Glibc
import Kernel

/// What the packet rules must know of one bridge network.
struct NetworkRules: Sendable, Hashable {
    /// The bridge's interface.
    var bridge: String
    /// No way in or out but from the host itself, by the bridge's own address.
    var isInternal = false
    /// Its containers may talk to each other.
    var icc = true
    /// What leaves the host does so under the host's address.
    var masquerade4 = true
    var masquerade6 = true
}

/// A published port with the address it leads to.
struct PortMapping: Sendable, Hashable {
    let binding: PortBinding
    /// The endpoint's, of the family of the binding's host address.
    let address: IPAddress

    init(_ binding: PortBinding, _ address: IPAddress) {
        self.binding = binding
        self.address = address
    }
}

/// Our one nftables table: ``Ruleset``'s rules are fixed, networks and ports are elements of its sets and maps.
///
/// Every change is one transaction, and other tables are never touched. Belongs to one thread, which is in the host's
/// namespace. Changes are written as netlink messages: each command of libnftables reads every set of every other table
/// first, which beside 5,000 foreign elements takes 5 ms.
final class Firewall {
    enum Change: Sendable {
        case add, delete
        /// The ports are these and no others.
        case replace
    }

    /// The number of the socket that makes the changes, for ``RulesetMonitor`` to leave them out.
    let port: UInt32
    /// False when connections to `[::1]` reach the reserved sockets of ``PortTable`` instead of the containers.
    let translatesLoopback6: Bool

    private let table: String
    private let rules: Ruleset
    /// The bridges of internal networks that were entered.
    private var internalBridges: Set<String> = []
    private var socket: NetlinkSocket
    private let flows: FlowSweep

    /// - Throws: `translationUnavailable` when the kernel has no nftables.
    init(table: String) throws(NetworkError) {
        self.table = table
        do throws(SystemError) {
            socket = try NetlinkSocket.forTables()
            port = try NetlinkSocket.bind(socket.descriptor)
            flows = try FlowSweep()
            _ = try socket.query(PacketTable.generation())
        } catch {
            throw NetworkError(
                .translationUnavailable, "nftables cannot be used: \(error)",
                remedy: "load the kernel module nf_tables", cause: error)
        }
        translatesLoopback6 = !Self.bridgesCallRules6()
        rules = Ruleset(table: table, translatesLoopback6: translatesLoopback6)
    }

    /// Makes the table, or renews it under traffic: rules, networks and ports are these and no others afterwards.
    ///
    /// The operator's chain and whatever else others keep in the table stay. A table of an earlier version goes.
    func install(_ networks: [NetworkRules], _ mappings: [PortMapping]) throws(NetworkError) {
        let content = networks.flatMap(rules.add) + rules.add(mappings)
        let bridges = Set(networks.filter(\.isInternal).map(\.bridge))
        let confines = !bridges.isEmpty
        do throws(SystemError) {
            try socket.commit(rules.renew(confines: confines) + content)
        } catch  where [EEXIST, EBUSY, EOPNOTSUPP, EINVAL].contains(error.code) {
            // Sets or chains of our names but of another shape: another version's.
            try run(rules.renew(insteadOf: try names(), confines: confines) + content)
        } catch {
            throw Self.failed(error, table)
        }
        internalBridges = bridges
        flows.forget(mappings, isPublished: true)
    }

    /// Enters a network.
    func add(_ network: NetworkRules) throws(NetworkError) {
        let isFirst = network.isInternal && internalBridges.isEmpty
        try run((isFirst ? rules.confine(true) : []) + rules.add(network))
        if network.isInternal { internalBridges.insert(network.bridge) }
    }

    /// Takes a network out that was entered with the same values.
    func remove(_ network: NetworkRules) throws(NetworkError) {
        let isLast = internalBridges == [network.bridge]
        try run(rules.remove(network) + (isLast ? rules.confine(false) : []))
        internalBridges.remove(network.bridge)
    }

    /// Changes the published ports, all at once. A datagram flow, which would keep the way that it had when it began, finds
    /// its new way some hundredth of a second later.
    func map(_ mappings: [PortMapping], _ change: Change) throws(NetworkError) {
        switch change {
        case .add: try run(rules.add(mappings))
        case .delete: try run(rules.remove(mappings))
        case .replace: try run(rules.removeAllMappings() + rules.add(mappings))
        }
        flows.forget(mappings, isPublished: change != .delete)
    }

    /// The names of all sets and chains in the table.
    private func names() throws(NetworkError) -> Set<String> {
        let table = PacketTable(name: table)
        do throws(SystemError) {
            return Set(
                try socket.query(table.listSets()).compactMap(table.setName)
                    + socket.query(table.listChains()).compactMap(table.chainName))
        } catch {
            throw Self.failed(error, table.name)
        }
    }

    private func run(_ changes: [NetlinkMessage]) throws(NetworkError) {
        do throws(SystemError) { try socket.commit(changes) } catch { throw Self.failed(error, table) }
    }

    private static func failed(_ error: SystemError, _ table: String) -> NetworkError {
        NetworkError(
            .system, "change the packet rules: \(error)",
            remedy:
                "check that the kernel has nf_tables, nft_nat, nft_masq and nft_fib_inet and that table \"\(table)\" is not used by others",
            cause: error)
    }

    /// True when bridged IPv6 packets pass the IP rules (module br_netfilter): then an answer to `::1` is translated before
    /// the kernel looks whether a packet from the wire claims to be for `::1`, and is dropped.
    private static func bridgesCallRules6() -> Bool {
        guard let file = try? OwnedFD.open("/proc/sys/net/bridge/bridge-nf-call-ip6tables", O_RDONLY),
            let text = try? file.readBlock(bytesMax: 16)
        else { return false }  // no such module
        return text.first != UInt8(ascii: "0")
    }
}
