package import Kernel
import Glibc

/// One bridge network: its bridge, its addresses, its endpoints and their published ports.
///
/// The serial owner of all of it. It runs on a thread of its own inside the host's network namespace, so that neither
/// netlink nor nftables ever blocks the cooperative pool; endpoints are made ahead on a second thread.
package actor BridgeNetwork {
    /// An endpoint's life: reserved before the first suspension, so that a second attach of the container fails.
    private enum Slot {
        case attaching
        case attached(Attached)
    }

    private struct Attached {
        let endpoint: BridgeEndpoint
        /// nil after an adoption: only the container itself holds its namespace then.
        let namespace: NamespaceHandle?
        var ports: [BridgePort] = []
    }

    package nonisolated let configuration: BridgeConfiguration
    package nonisolated let subnet: IPv4Subnet
    package nonisolated let gateway: IPv4Address
    /// Why ports cannot be published and containers do not reach beyond the host; nil when they can.
    package nonisolated let translationFailure: NetworkError?

    private nonisolated let thread: NetworkThread
    private let host: HostSide
    private let builder: BridgeBuilder
    private var addresses: BridgeAddressPool
    private var ports = BridgePortTable()
    private var slots: [String: Slot] = [:]
    private var spares: [BridgePrepared] = []
    private var refill: Task<Void, Never>?
    private var retired = BridgeRetirement()
    private var retirement: Task<Void, Never>?
    private var isClosed = false

    package nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    /// Makes the bridge, its gateway address and the packet rules, or takes over those that are there.
    ///
    /// Ports published by an earlier run stay until ``adopt(_:)`` replaces them, which must be called once, first.
    /// - Throws: `subnetOverlap` when the host routes every candidate already, `invalid` for a configuration that cannot
    ///   be meant, `system` when the kernel refuses.
    package static func open(_ configuration: BridgeConfiguration) async throws(NetworkError) -> BridgeNetwork {
        try configuration.validate()
        let thread = try doing("start the thread of network \(configuration.name)") { () throws(SystemError) in
            try NetworkThread(name: "net-\(configuration.name)")
        }
        do throws(NetworkError) {
            let host = try await thread.run { () throws(NetworkError) in try HostSide(configuration) }
            let builder = try await BridgeBuilder.start(configuration, bridgeIndex: host.bridgeIndex)
            return BridgeNetwork(configuration, thread, host, builder)
        } catch {
            thread.stop()
            throw error
        }
    }

    private init(
        _ configuration: BridgeConfiguration, _ thread: NetworkThread, _ host: HostSide, _ builder: BridgeBuilder
    ) {
        self.configuration = configuration
        self.thread = thread
        self.host = host
        self.builder = builder
        subnet = host.subnet
        gateway = host.gateway
        translationFailure = host.firewallFailure
        addresses = BridgeAddressPool(host.subnet, reserved: [host.gateway])
    }

    deinit { thread.stop() }

    // MARK: Endpoints

    /// Gives a container its place on the network: a namespace with `lo` and `eth0` up, addressed and routed.
    ///
    /// Costs nothing but a hand-over when a prepared endpoint is there. The namespace is held until ``detach(_:)``.
    /// - Parameter address: a particular one; nil: the next free.
    /// - Throws: `alreadyAttached`, `addressTaken`, `addressesExhausted`, `invalid` or `system`.
    package func attach(_ containerID: String, address: IPv4Address? = nil) async throws(NetworkError) -> BridgeEndpoint
    {
        guard slots[containerID] == nil else {
            throw NetworkError(
                .alreadyAttached, "container \(containerID) is already attached to network \(configuration.name)")
        }
        slots[containerID] = .attaching
        defer { startRefill() }
        do throws(NetworkError) {
            let prepared = try await prepared(at: address)
            guard case .attaching = slots[containerID] else {
                retire(prepared.plan.address, prepared.plan.hostInterface, prepared.namespace)
                throw NetworkError(.notAttached, "container \(containerID) was detached while it was being attached")
            }
            let endpoint = BridgeEndpoint(
                containerID: containerID, address: prepared.plan.address, prefixLength: subnet.prefixLength,
                gateway: gateway,
                mac: prepared.plan.mac, hostInterface: prepared.plan.hostInterface,
                namespacePath: prepared.namespace.path)
            slots[containerID] = .attached(Attached(endpoint: endpoint, namespace: prepared.namespace))
            return endpoint
        } catch {
            if case .attaching = slots[containerID] { slots[containerID] = nil }
            throw error
        }
    }

    /// A descriptor of the container's network namespace, to be passed to the process that starts it.
    ///
    /// - Throws: `notAttached`, also for an adopted endpoint, whose namespace only its processes hold.
    package func namespace(of containerID: String) throws(NetworkError) -> OwnedFD {
        guard let held = try attached(containerID).namespace else {
            throw NetworkError(
                .notAttached, "the network namespace of container \(containerID) is held by its processes only")
        }
        return try doing("keep the network namespace of container \(containerID)") { () throws(SystemError) in
            try held.descriptor.duplicate()
        }
    }

    /// The endpoint of a container; nil when it has none.
    package func endpoint(of containerID: String) -> BridgeEndpoint? {
        guard case .attached(let attached) = slots[containerID] else { return nil }
        return attached.endpoint
    }

    /// Takes a container off the network; call it when its processes have ended. Unknown containers are no error.
    ///
    /// Returns at once: the namespace and its veth go in the background, in batches, and only then is the address free again.
    package func detach(_ containerID: String) throws(NetworkError) {
        guard let slot = slots.removeValue(forKey: containerID) else { return }
        guard case .attached(let attached) = slot else { return }
        defer { retire(attached.endpoint.address, attached.endpoint.hostInterface, attached.namespace) }
        try remove(attached.ports, of: attached.endpoint)
    }

    // MARK: Ports

    /// Publishes ports of a container, all or none.
    ///
    /// Each is reserved with a listening socket, so that no process of the host can take it meanwhile.
    /// - Returns: the bindings with the ports that were picked.
    /// - Throws: `portTaken` in Docker's words, `portsExhausted`, `notAttached`, `translationUnavailable`, `invalid` or `system`.
    @discardableResult
    package func publish(_ bindings: [BridgePort], for containerID: String) throws(NetworkError) -> [BridgePort] {
        let attached = try attached(containerID)
        if let translationFailure, !bindings.isEmpty { throw translationFailure }
        var taken: [BridgePort] = []
        do throws(NetworkError) {
            for binding in bindings { taken.append(try ports.reserve(binding, for: attached.endpoint)) }
            var after = attached
            after.ports += taken
            slots[containerID] = .attached(after)
            try host.map(taken.map { BridgePortMapping($0, after.endpoint.address) }, .add, all: mappings)
            return taken
        } catch {
            slots[containerID] = .attached(attached)
            for binding in taken { ports.release(binding) }
            throw error
        }
    }

    /// Takes back every published port of a container and leaves it attached.
    package func unpublish(_ containerID: String) throws(NetworkError) {
        var attached = try attached(containerID)
        let bindings = attached.ports
        attached.ports = []
        slots[containerID] = .attached(attached)
        try remove(bindings, of: attached.endpoint)
    }

    /// The published ports of a container, in the order of their publication.
    package func ports(of containerID: String) -> [BridgePort] {
        guard case .attached(let attached) = slots[containerID] else { return [] }
        return attached.ports
    }

    private func remove(_ bindings: [BridgePort], of endpoint: BridgeEndpoint) throws(NetworkError) {
        guard !bindings.isEmpty else { return }
        defer { for binding in bindings { ports.release(binding) } }
        try host.map(bindings.map { BridgePortMapping($0, endpoint.address) }, .delete, all: mappings)
    }

    /// Every published port, from the records.
    private func mappings() -> [BridgePortMapping] {
        slots.values.flatMap { slot -> [BridgePortMapping] in
            guard case .attached(let attached) = slot else { return [] }
            return attached.ports.map { BridgePortMapping($0, attached.endpoint.address) }
        }
    }

    // MARK: Restart

    /// Takes over the endpoints of containers that outlived the previous daemon, and removes what that one left behind.
    ///
    /// The port map is replaced in one transaction, so that packets to containers that stay never meet a gap.
    package func adopt(_ endpoints: [AdoptedEndpoint]) throws(NetworkError) -> BridgeAdoption {
        var report = BridgeAdoption()
        for var adopted in endpoints {
            let endpoint = adopted.endpoint
            guard slots[endpoint.containerID] == nil, addresses.reserve(endpoint.address) else {
                report.refused.append(endpoint.containerID)
                continue
            }
            if translationFailure != nil { adopted.ports = [] }
            var kept: [BridgePort] = []
            for binding in adopted.ports {
                do throws(NetworkError) {
                    kept.append(try ports.reserve(binding, for: endpoint))
                } catch {
                    report.contestedPorts.append(binding)
                    if ports.force(binding, for: endpoint) { kept.append(binding) }
                }
            }
            slots[endpoint.containerID] = .attached(Attached(endpoint: endpoint, namespace: nil, ports: kept))
        }
        if translationFailure == nil { try host.map(mappings(), .replace, all: mappings) }
        let ours = Set(
            slots.values.compactMap {
                if case .attached(let attached) = $0 { attached.endpoint.hostInterface } else { nil }
            }
        )
        .union(spares.map(\.plan.hostInterface))
        report.removedInterfaces = try host.removePorts(except: ours)
        startRefill()
        return report
    }

    /// Lets the spare endpoints go and waits for work in the background. Attached containers keep their network.
    package func close() async {
        isClosed = true
        await refill?.value
        retirement?.cancel()
        await retirement?.value
        spares.removeAll()
    }

    // MARK: Spares and leftovers

    private func attached(_ containerID: String) throws(NetworkError) -> Attached {
        guard case .attached(let attached) = slots[containerID] else {
            throw NetworkError(
                .notAttached, "container \(containerID) is not attached to network \(configuration.name)")
        }
        return attached
    }

    /// A spare endpoint, or a new one.
    private func prepared(at address: IPv4Address?) async throws(NetworkError) -> BridgePrepared {
        if let address {
            if let index = spares.firstIndex(where: { $0.plan.address == address }) { return spares.remove(at: index) }
            guard subnet.hosts.contains(address) else {
                throw NetworkError(
                    .invalid, "address \(address) is not in the subnet \(subnet) of network \(configuration.name)")
            }
            guard addresses.reserve(address) else {
                throw NetworkError(
                    .addressTaken, "Address already in use", remedy: "pick another address than \(address)")
            }
            return try await build(address)
        }
        if !spares.isEmpty { return spares.removeFirst() }
        if let free = addresses.allocate() { return try await build(free) }
        guard let free = await addressAfterRetirement() else {
            throw NetworkError(
                .addressesExhausted,
                "no available IPv4 addresses on this network's address pools: \(configuration.name)",
                remedy: "remove containers, or use a network with a wider subnet than \(subnet)")
        }
        return try await build(free)
    }

    /// Builds the endpoint of an address that is reserved for it, and frees the address when that fails.
    private func build(_ address: IPv4Address) async throws(NetworkError) -> BridgePrepared {
        do throws(NetworkError) {
            return try await builder.build(
                BridgeEndpointPlan(address: address, subnet: subnet, gateway: gateway, mtu: configuration.mtu))
        } catch {
            addresses.release(address)
            throw error
        }
    }

    private func startRefill() {
        guard refill == nil, !isClosed, spares.count < spareTarget else { return }
        refill = Task {
            await fillSpares()
            refill = nil
        }
    }

    /// At most an eighth of the subnet waits unused.
    private var spareTarget: Int { min(configuration.spareCount, addresses.capacity / 8) }

    private func fillSpares() async {
        while !isClosed, spares.count < spareTarget, let address = addresses.allocate() {
            do throws(NetworkError) {
                spares.append(try await build(address))
            } catch {
                return  // an attach that finds no spare builds its own and reports the reason
            }
        }
    }

    private func retire(_ address: IPv4Address, _ hostInterface: String, _ namespace: NamespaceHandle?) {
        retired.add(address, hostInterface, namespace)
        guard retirement == nil else { return }
        retirement = Task {
            while !Task.isCancelled, let pause = retired.pause {
                // A cancelled pause ends the loop above; nothing else can fail in it.
                try? await Task.sleep(for: pause)
                retireBatch()
            }
            retirement = nil
        }
    }

    /// One round: closes namespaces, then frees the addresses of those whose interface is gone.
    private func retireBatch() {
        retired.closeBatch()
        for address in retired.finished(isGone: host.isInterfaceGone, remove: host.removeInterface) {
            addresses.release(address)
        }
    }

    /// With every address in use: waits for those of ended containers, which the kernel frees within a fraction of a second.
    private func addressAfterRetirement() async -> IPv4Address? {
        for _ in 0..<Self.exhaustionRounds where !retired.isEmpty {
            retireBatch()
            if let address = addresses.allocate() { return address }
            // A cancelled caller gives up waiting sooner, with the same answer.
            try? await Task.sleep(for: .milliseconds(20))
        }
        return addresses.allocate()
    }

    /// Times 20 ms: two seconds, many times what the kernel takes for a namespace.
    private static let exhaustionRounds = 100
}
