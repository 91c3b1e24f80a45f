import Glibc
import Kernel

/// A namespace ready for a container.
struct PreparedNamespace: Sendable {
    let namespace: NamespaceHandle
    let resolver: ResolverPair?
}

/// Makes and changes container namespaces on a thread of its own: a new one there never disturbs the owner of the networks.
final class NamespaceBuilder: @unchecked Sendable {  // `socket` is used on `thread` only
    private let thread: NetworkThread
    /// Does what the kernel takes ten milliseconds and more for: removes interfaces, closes packet sockets.
    private let removals: NetworkThread
    private let host: OwnedFD
    /// In the host's namespace, wherever the thread is.
    private var socket: NetlinkSocket

    /// Starts the thread in the host's namespace.
    static func start(hostNamespace: String?) async throws(NetworkError) -> NamespaceBuilder {
        let thread = try doing("start the builder of network namespaces") { () throws(SystemError) in
            try NetworkThread(name: "net-builder")
        }
        do throws(NetworkError) {
            let removals = try doing("start the remover of interfaces") { () throws(SystemError) in
                try NetworkThread(name: "net-removals")
            }
            return try await thread.run { () throws(NetworkError) in
                try doing("enter the host's network namespace") { () throws(SystemError) in
                    try NamespaceBuilder(thread, removals, hostNamespace)
                }
            }
        } catch {
            thread.stop()
            throw error
        }
    }

    private init(
        _ thread: NetworkThread, _ removals: NetworkThread, _ hostNamespace: String?
    ) throws(SystemError) {
        self.thread = thread
        self.removals = removals
        if let hostNamespace {
            host = try OwnedFD.open(hostNamespace, O_RDONLY)
            try NetworkNamespace.enter(host)
        } else {
            host = try NetworkNamespace.current()
        }
        socket = try NetlinkSocket()
    }

    deinit {
        thread.stop()
        removals.stop()
    }

    // MARK: What is asked for

    /// A new namespace with `lo` up and these interfaces, addressed and routed.
    func build(
        _ plans: [InterfacePlan], _ routes: DefaultRoutes, resolver: Bool
    ) async throws(NetworkError) -> PreparedNamespace {
        try await run("make a network namespace") { builder throws(SystemError) in
            try NetworkNamespace.enterNew()
            let namespace = NamespaceHandle(try NetworkNamespace.current())
            try NetworkNamespace.setDefaults()
            var inside = try NetlinkSocket()
            try inside.transact([RouteMessages.bringUp(1)])  // lo is the first interface of every namespace
            // What fails from here on goes with the namespace.
            for plan in plans {
                try builder.create(plan, in: namespace)
                try builder.configure(plan, &inside)
            }
            try Self.set(routes, instead: DefaultRoutes(), &inside)
            return PreparedNamespace(namespace: namespace, resolver: resolver ? try ResolverPair() : nil)
        }
    }

    /// Adds interfaces to a namespace in use, then changes its default routes. Nothing is left when it throws.
    ///
    /// - Returns: the sockets of the embedded DNS server, when `resolver` asks for them.
    func extend(
        _ namespace: NamespaceHandle, with plans: [InterfacePlan], _ routes: DefaultRoutes,
        instead before: DefaultRoutes, resolver: Bool
    ) async throws(NetworkError) -> ResolverPair? {
        try await run("add a network interface") { builder throws(SystemError) in
            try NetworkNamespace.enter(namespace.descriptor)
            var inside = try NetlinkSocket()
            var added: [InterfacePlan] = []
            do throws(SystemError) {
                let pair = resolver ? try ResolverPair() : nil
                for plan in plans {
                    try builder.create(plan, in: namespace)
                    added.append(plan)
                    try builder.configure(plan, &inside)
                }
                try Self.set(routes, instead: before, &inside)
                return pair
            } catch {
                // As it was; what cannot be undone has failed for the reason that is thrown.
                try? Self.set(before, instead: routes, &inside)
                for plan in added { try? Self.remove(plan.endpoint.interface, &inside) }
                throw error
            }
        }
    }

    /// Changes the default routes of a namespace, then removes an endpoint's interface from it.
    func shrink(
        _ namespace: NamespaceHandle, by endpoint: Endpoint, _ routes: DefaultRoutes, instead before: DefaultRoutes
    ) async throws(NetworkError) {
        try await run("remove network interface \(endpoint.interface)", on: removals) { _ throws(SystemError) in
            try NetworkNamespace.enter(namespace.descriptor)
            var inside = try NetlinkSocket()
            try Self.set(routes, instead: before, &inside)
            try Self.remove(endpoint.interface, &inside)
        }
    }

    /// Opens the namespace of a container that an earlier run started, and listens again for its embedded DNS server.
    ///
    /// - Throws: `SystemError` in the cause when it is gone, or is not the one the endpoints are in.
    func adopt(_ sandbox: AdoptedSandbox) async throws(NetworkError) -> PreparedNamespace {
        try await run("enter the network namespace of container \(sandbox.container)") { _ throws(SystemError) in
            let namespace = NamespaceHandle(try OwnedFD.open(sandbox.namespacePath, O_RDONLY))
            try NetworkNamespace.enter(namespace.descriptor)
            var inside = try NetlinkSocket()
            let links = try inside.query(RouteMessages.allLinks()).compactMap(RouteMessages.link(in:))
            for endpoint in sandbox.endpoints where !links.contains(where: { $0.mac == endpoint.mac }) {
                throw SystemError("setns", ENODEV, "interface \(endpoint.interface) of \(sandbox.namespacePath)")
            }
            var resolver: ResolverPair?
            if let ports = sandbox.resolver { resolver = try ResolverPair(again: ports) }
            return PreparedNamespace(namespace: namespace, resolver: resolver)
        }
    }

    // MARK: On the thread

    /// Runs `body` on a thread, by default the one that builds, and brings that back to the host's namespace.
    private func run<Value: Sendable>(
        _ what: @autoclosure @escaping @Sendable () -> String, on other: NetworkThread? = nil,
        _ body: @escaping @Sendable (NamespaceBuilder) throws(SystemError) -> Value
    ) async throws(NetworkError) -> Value {
        try await (other ?? thread).run { () throws(NetworkError) in
            try doing(what()) { () throws(SystemError) in
                let result: Result<Value, SystemError>
                do throws(SystemError) {
                    result = .success(try body(self))
                } catch {
                    result = .failure(error)
                }
                // Otherwise the thread would keep a container's namespace alive.
                try NetworkNamespace.enter(self.host)
                return try result.get()
            }
        }
    }

    /// Makes one interface, down.
    private func create(_ plan: InterfacePlan, in namespace: NamespaceHandle) throws(SystemError) {
        let endpoint = plan.endpoint
        let descriptor = namespace.descriptor.raw
        switch plan.attachment {
        case .port(let bridge):
            try socket.transact([
                RouteMessages.createPair(
                    endpoint.hostInterface, master: bridge, mtu: plan.mtu == 0 ? Self.mtu : plan.mtu,
                    peer: endpoint.interface, peerMAC: endpoint.mac, namespace: descriptor)
            ])
        case .child(let parent, let mode):
            try socket.transact([
                RouteMessages.createMacvlan(
                    endpoint.interface, parent: parent, mode: mode, mac: endpoint.mac, mtu: plan.mtu,
                    namespace: descriptor)
            ])
        }
    }

    /// Addresses an interface and brings it up. The thread is in its namespace.
    private func configure(_ plan: InterfacePlan, _ inside: inout NetlinkSocket) throws(SystemError) {
        let endpoint = plan.endpoint
        try Self.setParameters(of: endpoint)
        let index = try Self.link(endpoint.interface, &inside).index
        var changes: [NetlinkMessage] = []
        if let address = endpoint.ipv4 {
            changes.append(RouteMessages.addAddress(address, prefixLength: endpoint.prefixLength4, to: index))
        }
        if let address = endpoint.ipv6 {
            changes.append(RouteMessages.addAddress(address, prefixLength: endpoint.prefixLength6, to: index))
        }
        try inside.transact(changes + [RouteMessages.bringUp(index)])
        if case .port = plan.attachment {
            // Last, so that this end has its carrier at once and the bridge forwards.
            try socket.transact([
                RouteMessages.bringPortUp(endpoint.hostInterface, alias: plan.alias, isIsolated: plan.isIsolated)
            ])
        }
        // The kernel lets the other end send a moment later; a packet lost until then costs its sender a second.
        for _ in 0..<Self.carrierTriesMax {
            if try Self.link(endpoint.interface, &inside).isRunning { break }
            usleep(500)
        }
        try Announcement.send(endpoint, from: index, closer: removals)
    }

    /// Bytes of the largest packet where nobody says otherwise.
    private static let mtu: UInt32 = 1500
    /// Times half a millisecond; past that the container starts anyway, and TCP repeats what is lost.
    private static let carrierTriesMax = 100

    /// The interface's parameters, before it is up.
    private static func setParameters(of endpoint: Endpoint) throws(SystemError) {
        let folder = "ipv6/conf/\(endpoint.interface)"
        guard endpoint.ipv6 != nil else {
            do throws(SystemError) {
                try NetworkNamespace.set("\(folder)/disable_ipv6", "1")
            } catch  where error.code == ENOENT {
                // A kernel without IPv6 has nothing to turn off.
            }
            return
        }
        // Its routes are ours to give, and its addresses ours to know.
        for (name, value) in [("disable_ipv6", "0"), ("accept_ra", "0"), ("accept_dad", "0")] {
            try NetworkNamespace.set("\(folder)/\(name)", value)
        }
    }

    private static func set(
        _ routes: DefaultRoutes, instead before: DefaultRoutes, _ inside: inout NetlinkSocket
    ) throws(SystemError) {
        for family in IPAddress.Family.allCases where routes[family] != before[family] {
            guard let route = routes[family] else {
                do throws(SystemError) {
                    try inside.transact([RouteMessages.removeDefaultRoute(family)])
                } catch  where error.code == ESRCH {
                    // The container has removed it itself.
                }
                continue
            }
            let index = try link(route.interface, &inside).index
            try inside.transact([RouteMessages.setDefaultRoute(through: route.gateway, from: index)])
        }
    }

    /// Removes an interface; one that is gone already is no loss.
    private static func remove(_ name: String, _ inside: inout NetlinkSocket) throws(SystemError) {
        do throws(SystemError) {
            let index = try link(name, &inside).index
            try inside.transact([RouteMessages.remove(index, name)])
        } catch  where error.code == ENODEV {
        }
    }

    private static func link(_ name: String, _ inside: inout NetlinkSocket) throws(SystemError) -> Link {
        let replies = try inside.query(RouteMessages.link(named: name))
        guard let link = replies.lazy.compactMap(RouteMessages.link(in:)).first else {
            throw SystemError("netlink", ENODEV, name)
        }
        return link
    }
}
