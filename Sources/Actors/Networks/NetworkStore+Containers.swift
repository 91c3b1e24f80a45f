import Kernel
import Netlink
import OCI

/// A container's place on its networks.
struct Attachment: Sendable {
    /// Opens the network namespace until the container is detached.
    let namespacePath: String
    /// The settings with what the networks gave, by network name.
    var networks: [String: EndpointSettings]
    var ports: [String: [PortBindingRequest]]
    /// What a daemon that starts again needs to know; its path of the namespace is the process's.
    var kept: AdoptedSandbox
    let hasResolver: Bool
}

/// Containers come to networks and leave them.
extension NetworkStore {
    /// One network of a container and what it asks of it.
    private struct Place {
        let network: NetworkRecord
        let settings: EndpointSettings
    }

    /// Puts a container on all of its networks and publishes its ports, or leaves nothing.
    ///
    /// - Throws: ``EngineError`` in Docker's words.
    func attach(_ record: ContainerRecord) async throws -> Attachment {
        let places = try places(of: record)
        let kernel = try await kernel(for: places.map(\.network))
        let hasResolver = places.contains { !$0.network.isDefaultBridge }
        let requests = try places.map { try Self.request($0, record) }
        do {
            let sandbox: Sandbox
            do throws(NetworkError) {
                sandbox = try await kernel.attach(record.id, requests, resolver: hasResolver)
            } catch { throw EngineError.network(error) }
            try await publishPorts(record, kernel)
            for endpoint in sandbox.endpoints { await enter(record, endpoint) }
            if hasResolver { try await serve(record, kernel) }
            let attachment = try await attachment(record, sandbox, record.networks, kernel)
            for place in places { await publish("connect", place.network, container: record.id) }
            return attachment
        } catch {
            await detach(record)
            throw error
        }
    }

    private func publishPorts(_ record: ContainerRecord, _ kernel: HostNetworks) async throws {
        let wanted = try PublishedPorts.requests(
            record.hostConfig, exposed: record.config.exposedPorts.map { Array($0.keys) })
        guard !wanted.isEmpty else { return }
        do throws(NetworkError) { try await kernel.publish(wanted, for: record.id) } catch {
            throw EngineError(
                .system,
                "failed to set up container networking: driver failed programming external connectivity on endpoint "
                    + "\(record.name): \(error)")
        }
    }

    /// Takes an ended container off everything. Unknown containers are no error.
    func detach(_ record: ContainerRecord) async {
        let present = record.networks.values.compactMap(\.networkID).filter { members(of: $0)[record.id] != nil }
        for id in present { table(of: id)?.remove(record.id) }
        await names.stop(record.id)
        await (try? opening?.value)?.detach(record.id)
        for id in present {
            if let network = try? network(id) { await publish("disconnect", network, container: record.id) }
        }
    }

    /// Puts a running container on one more network.
    ///
    /// - Parameter record: with the new network's settings among its networks.
    func connect(_ record: ContainerRecord, to network: NetworkRecord) async throws -> Attachment {
        let place = Place(network: network, settings: record.networks[network.name] ?? EndpointSettings())
        let kernel = try await kernel(for: [network])
        let sandbox: Sandbox
        do throws(NetworkError) {
            let request: EndpointRequest
            do { request = try Self.request(place, record) } catch { throw NetworkError(.invalid, "\(error)") }
            sandbox = try await kernel.connect(record.id, request, resolver: !network.isDefaultBridge)
        } catch { throw EngineError.network(error) }
        for endpoint in sandbox.endpoints where endpoint.network == network.id { await enter(record, endpoint) }
        if sandbox.hasResolver { try await serve(record, kernel) }
        let attachment = try await attachment(record, sandbox, record.networks, kernel)
        await publish("connect", network, container: record.id)
        return attachment
    }

    /// Takes a running container off a network.
    ///
    /// - Parameter record: without that network.
    func disconnect(_ record: ContainerRecord, from network: NetworkRecord) async throws -> Attachment {
        let kernel = try await kernel()
        let sandbox: Sandbox
        do throws(NetworkError) { sandbox = try await kernel.disconnect(record.id, from: network.id) } catch {
            throw EngineError.network(error)
        }
        table(of: network.id)?.remove(record.id)
        await names.set(record.id, view(of: record))
        let attachment = try await attachment(record, sandbox, record.networks, kernel)
        await publish("disconnect", network, container: record.id)
        return attachment
    }

    /// Enters a container's new name; its neighbours find it by that at once.
    func renamed(_ record: ContainerRecord) async {
        guard let sandbox = await (try? opening?.value)?.sandbox(of: record.id) else { return }
        for endpoint in sandbox.endpoints { await enter(record, endpoint) }
    }

    // MARK: Parts

    /// The container's networks, that of its mode first, the others by name.
    private func places(of record: ContainerRecord) throws -> [Place] {
        let mode = record.hostConfig.networkMode ?? "default"
        let first = ["default", ""].contains(mode) ? "bridge" : mode
        if first == "bridge", !configuration.bridgeEnabled {
            throw EngineError.invalid("the default bridge is disabled: use --network host or none")
        }
        let places = try record.networks.map { name, settings in
            let id = settings.networkID ?? ""
            // A network that was made anew under its name is the one that is meant.
            let network = try (try? self.network(id)) ?? self.network(name)
            return Place(network: network, settings: settings)
        }
        func isFirst(_ place: Place) -> Bool { place.network.name == first || place.network.id.hasPrefix(first) }
        return places.sorted { left, right in
            isFirst(left) != isFirst(right) ? isFirst(left) : left.network.name < right.network.name
        }
    }

    private static func request(_ place: Place, _ record: ContainerRecord) throws -> EndpointRequest {
        let settings = place.settings
        let before = record.leases?[place.network.name] ?? []
        var request = EndpointRequest(network: place.network.id)
        request.ipv4 = settings.ipamConfig?.ipv4Address.flatMap { IPAddress($0) }
        request.ipv6 = settings.ipamConfig?.ipv6Address.flatMap { IPAddress($0) }
        request.preferred4 = before.first { $0.family == .v4 }
        request.preferred6 = before.first { $0.family == .v6 }
        request.mac = settings.wantedMACAddress.flatMap { MACAddress($0) }
        request.gatewayPriority = settings.gatewayPriority ?? 0
        return request
    }

    /// Enters a container in its network's table of names.
    func enter(_ record: ContainerRecord, _ endpoint: Endpoint) async {
        guard let network = try? network(endpoint.network) else { return }
        let aliases = record.networks[network.name]?.aliases ?? []
        table(of: network.id)?.set(
            record.id,
            NetworkNames.Member(
                name: record.name,
                names: network.isDefaultBridge ? [] : Self.names(record, aliases).map { $0.lowercased() },
                addresses: [endpoint.ipv4, endpoint.ipv6].compactMap { $0 }))
        await names.set(record.id, view(of: record))
    }

    /// `DNSNames`: its name, its aliases, its short id and its host name, each once.
    private static func names(_ record: ContainerRecord, _ aliases: [String]) -> [String] {
        let hostname = record.config.hostname ?? ""
        var seen: Set<String> = []
        return ([record.name] + aliases + [String(record.id.prefix(12)), hostname]).filter {
            !$0.isEmpty && seen.insert($0).inserted
        }
    }

    /// What the container's own queries see.
    private func view(of record: ContainerRecord) -> ClientView {
        var links: [String: String] = [:]
        var tables: [NetworkNames] = []
        var forwards = false
        for (name, settings) in record.networks.sorted(by: { $0.key < $1.key }) {
            guard let network = try? network(name), let table = table(of: network.id) else { continue }
            if !network.isDefaultBridge { tables.append(table) }
            if !network.isInternal { forwards = true }
            for link in settings.links ?? [] {
                let parts = link.split(separator: ":", maxSplits: 1).map { $0.lowercased() }
                if let target = parts.first { links[parts.last ?? target] = target }
            }
        }
        return ClientView(
            names: ContainerNames(networks: tables, links: links), forwards: forwards,
            resolver: configuration.network.resolver(for: record.hostConfig))
    }

    private func serve(_ record: ContainerRecord, _ kernel: HostNetworks) async throws {
        await names.set(record.id, view(of: record))
        guard !(await names.isServing(record.id)) else { return }
        do {
            guard let sockets = try await kernel.resolverSockets(of: record.id) else { return }
            try await names.serve(record.id, sockets)
        } catch { throw EngineError(.system, "cannot serve names at 127.0.0.11: \(error)") }
    }

    private func attachment(
        _ record: ContainerRecord, _ sandbox: Sandbox, _ settings: [String: EndpointSettings], _ kernel: HostNetworks
    ) async throws -> Attachment {
        var networks = settings
        for endpoint in sandbox.endpoints {
            guard let network = try? network(endpoint.network) else { continue }
            var filled = networks[network.name] ?? EndpointSettings()
            filled.take(endpoint, in: network)
            filled.dnsNames = network.isDefaultBridge ? nil : Self.names(record, filled.aliases ?? [])
            networks[network.name] = filled
        }
        let bound = await kernel.ports(of: record.id)
        return Attachment(
            namespacePath: sandbox.namespacePath, networks: networks, ports: PublishedPorts.shown(bound),
            kept: AdoptedSandbox(
                container: record.id, namespacePath: "", endpoints: sandbox.endpoints, ports: bound,
                resolver: sandbox.resolver),
            hasResolver: sandbox.hasResolver)
    }
}

extension EndpointSettings {
    /// Fills in what the network gave.
    mutating func take(_ endpoint: Endpoint, in network: NetworkRecord) {
        networkID = network.id
        endpointID = endpoint.id
        macAddress = "\(endpoint.mac)"
        ipAddress = endpoint.ipv4.map { "\($0)" } ?? ""
        ipPrefixLength = endpoint.ipv4 == nil ? 0 : Int(endpoint.prefixLength4)
        gateway = endpoint.gateway4.map { "\($0)" } ?? ""
        globalIPv6Address = endpoint.ipv6.map { "\($0)" } ?? ""
        globalIPv6PrefixLength = endpoint.ipv6 == nil ? 0 : Int(endpoint.prefixLength6)
        ipv6Gateway = endpoint.gateway6.map { "\($0)" } ?? ""
    }

    /// Forgets it again.
    mutating func release() {
        endpointID = ""
        macAddress = wantedMACAddress ?? ""
        (ipAddress, ipPrefixLength, gateway) = ("", 0, "")
        (globalIPv6Address, globalIPv6PrefixLength, ipv6Gateway) = ("", 0, "")
    }

    /// The addresses it has now.
    var addresses: [IPAddress] { [ipAddress, globalIPv6Address].compactMap { $0 }.compactMap { IPAddress($0) } }
}
