import Netlink
import Synchronization

/// The names of one network's containers. Shared by every container of the network, changed in place: a container that
/// comes or goes costs the same whatever the number of the others.
final class NetworkNames: Sendable {
    /// One container as its neighbours see it.
    struct Member: Sendable {
        /// What the container is called by people; the answer to a reverse query.
        let name: String
        /// Lower case: its name, aliases, short id and host name.
        let names: [String]
        let addresses: [IPAddress]
    }

    private struct Tables {
        var members: [String: Member] = [:]
        /// Containers by lower-case name.
        var holders: [String: [String]] = [:]
        var owners: [IPAddress: String] = [:]
    }

    /// The network's own name, lower case: `web.frontend` means `web` on `frontend`.
    let network: String
    private let tables = Mutex(Tables())

    init(network: String) { self.network = network.lowercased() }

    /// Enters or replaces a container.
    func set(_ container: String, _ member: Member) {
        tables.withLock { tables in
            Self.remove(container, &tables)
            tables.members[container] = member
            for name in Set(member.names) { tables.holders[name, default: []].append(container) }
            for address in member.addresses { tables.owners[address] = container }
        }
    }

    func remove(_ container: String) { tables.withLock { Self.remove(container, &$0) } }

    private static func remove(_ container: String, _ tables: inout Tables) {
        guard let member = tables.members.removeValue(forKey: container) else { return }
        for name in Set(member.names) {
            tables.holders[name]?.removeAll { $0 == container }
            if tables.holders[name]?.isEmpty == true { tables.holders[name] = nil }
        }
        for address in member.addresses where tables.owners[address] == container { tables.owners[address] = nil }
    }

    /// Addresses of every container of that name; nil when none is called so.
    func addresses(of name: String) -> [IPAddress]? {
        tables.withLock { tables in
            tables.holders[name].map { $0.flatMap { tables.members[$0]?.addresses ?? [] } }
        }
    }

    /// What the container with that address is called.
    func name(of address: IPAddress) -> String? {
        tables.withLock { tables in tables.owners[address].flatMap { tables.members[$0]?.name } }
    }

    /// The containers there are, id → name.
    var members: [String: String] { tables.withLock { $0.members.mapValues(\.name) } }
}

/// What one container's queries are answered from: the tables of its networks, and its links.
struct ContainerNames: Sendable {
    let networks: [NetworkNames]
    /// Lower-case alias → lower-case name, of `--link`.
    let links: [String: String]

    /// - Parameter name: lower case, without a dot at its end.
    func addresses(of name: String) -> [IPAddress]? {
        if let target = links[name], let found = plain(target) { return found }
        if let found = plain(name) { return found }
        for network in networks where name.hasSuffix("." + network.network) {
            if let found = network.addresses(of: String(name.dropLast(network.network.count + 1))) { return found }
        }
        return nil
    }

    private func plain(_ name: String) -> [IPAddress]? {
        var found: [IPAddress]?
        for network in networks {
            if let addresses = network.addresses(of: name) { found = (found ?? []) + addresses }
        }
        return found
    }

    /// `web.frontend`, as Docker answers.
    func name(of address: IPAddress) -> String? {
        for network in networks {
            if let name = network.name(of: address) { return "\(name).\(network.network)" }
        }
        return nil
    }
}
