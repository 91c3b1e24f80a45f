import Glibc
import Isolation
import Kernel
import Netlink
import OCI

/// Brings up what a start needs, and takes it down again when a part fails.
struct ContainerSetup: Sendable {
    private let world: ContainerStore.Surroundings
    private let paths: ContainerPaths
    /// Finds the containers whose namespaces are shared.
    private let resolve: @Sendable (String) async throws -> Container

    init(
        _ world: ContainerStore.Surroundings, _ paths: ContainerPaths,
        resolve: @escaping @Sendable (String) async throws -> Container
    ) {
        self.world = world
        self.paths = paths
        self.resolve = resolve
    }

    /// A monitor that listens, and where the container is on its networks.
    struct Result: Sendable {
        let connection: MonitorConnection
        var networks: [String: EndpointSettings]
        var ports: [String: [PortBindingRequest]]
        /// With `--network none`: the namespace, held until the container has ended.
        var empty: EmptyNamespace?
    }

    func prepare(_ record: ContainerRecord) async throws -> Result {
        let lower = try await world.layers.acquire(record.diffIDs)
        do {
            for point in record.mounts where point.type == "bind" { try Self.checkSource(point) }
            try Files.makeDirectories(paths.run)
            var record = record
            let (joined, sharer) = try await joined(record.hostConfig)
            if let sharer {
                record.config.hostname = sharer.config.hostname
                record.config.domainname = sharer.config.domainname
            }
            let place = try await network(record, joined)
            try await writeFiles(record, place.networks)
            let spec = try LaunchSpec(world, paths).container(
                record, lower: lower, network: place.mode, joined: joined)
            let connection = try await world.launcher.prepare(spec, directory: paths.run)
            return Result(connection: connection, networks: place.networks, ports: place.ports, empty: place.empty)
        } catch {
            if Container.usesBridge(record) {
                // The first failure is the one to tell.
                try? await world.networks.bridge().detach(record.id)
            }
            await world.layers.release(record.diffIDs)
            throw error
        }
    }

    private static func checkSource(_ point: ContainerRecord.MountPoint) throws {
        guard Files.exists(point.source) else {
            throw EngineError(
                .invalidParameter,
                "invalid mount config for type \"bind\": bind source path does not exist: \(point.source)")
        }
    }

    /// What is shared with other containers, and the record of the one whose network it is.
    private func joined(_ host: HostConfig) async throws -> (LaunchSpec.Joined, ContainerRecord?) {
        func pid(_ mode: String?) async throws -> Int32? {
            guard let mode, mode.hasPrefix("container:") else { return nil }
            let other = try await resolve(String(mode.dropFirst("container:".count)))
            do { return try await other.running().process.pid } catch {
                throw EngineError(
                    .conflict,
                    "cannot join namespace of a non running container: "
                        + "container \(other.id) is not running: start it first"
                )
            }
        }
        var joined = LaunchSpec.Joined(
            network: try await pid(host.networkMode), ipc: try await pid(host.ipcMode), pid: try await pid(host.pidMode)
        )
        let owner = try await networkOwner(host)
        joined.files = owner.map { ContainerPaths(world.configuration, id: $0.id) }
        return (joined, owner)
    }

    /// The container that has the network this one shares: the last of a chain in which each shares that of the next.
    private func networkOwner(_ host: HostConfig) async throws -> ContainerRecord? {
        var owner: ContainerRecord?
        var mode = host.networkMode ?? ""
        while mode.hasPrefix("container:") {
            let next = try await resolve(String(mode.dropFirst("container:".count))).snapshot().record
            guard next.id != owner?.id else { break }
            owner = next
            mode = next.hostConfig.networkMode ?? ""
        }
        return owner
    }

    // MARK: Network

    private struct Place {
        var mode: NetworkMode
        var networks: [String: EndpointSettings]
        var ports: [String: [PortBindingRequest]] = [:]
        var empty: EmptyNamespace?
    }

    private func network(_ record: ContainerRecord, _ joined: LaunchSpec.Joined) async throws -> Place {
        if let pid = joined.network { return Place(mode: .namespace("/proc/\(pid)/ns/net"), networks: record.networks) }
        guard Container.usesBridge(record) else {
            if record.hostConfig.networkMode == "host" { return Place(mode: .host, networks: record.networks) }
            let empty = await world.networks.empty.take()
            return Place(mode: empty.map { .namespace($0.path) } ?? .none, networks: record.networks, empty: empty)
        }
        let bridge = try await world.networks.bridge()
        let endpoint = try await bridge.attach(record.id)
        var place = Place(mode: .namespace(endpoint.namespacePath), networks: record.networks)
        var settings = place.networks["bridge"] ?? EndpointSettings()
        settings.ipAddress = "\(endpoint.address)"
        settings.ipPrefixLength = Int(endpoint.prefixLength)
        settings.gateway = "\(endpoint.gateway)"
        settings.macAddress = "\(endpoint.mac)"
        settings.endpointID = SHA256Bytes.digest(Array("\(record.id)/\(endpoint.hostInterface)".utf8)).hex
        place.networks["bridge"] = settings
        let wanted = try PublishedPorts.requests(
            record.hostConfig, exposed: record.config.exposedPorts.map { Array($0.keys) })
        let bound = wanted.isEmpty ? [] : try await bridge.publish(wanted, for: record.id)
        place.ports = PublishedPorts.shown(bound)
        try paths.store(endpoint: AdoptedEndpoint(endpoint, ports: bound))
        return place
    }

    private func writeFiles(_ record: ContainerRecord, _ networks: [String: EndpointSettings]) async throws {
        let host = record.hostConfig
        guard !(host.networkMode ?? "").hasPrefix("container:") else { return }
        let name = record.config.hostname ?? ""
        let isHost = host.networkMode == "host"
        let address = networks.values.compactMap(\.ipAddress).lazy.compactMap { IPv4Address($0) }.first
        let domain = record.config.domainname ?? ""
        let names = domain.isEmpty ? [name] : ["\(name).\(domain)", name]
        try Self.write(paths.hostname, ContainerFiles.hostname(name))
        try Self.write(
            paths.hosts,
            isHost
                ? Self.hostFile("/etc/hosts")
                : ContainerFiles.hosts(address: address, names: names, extra: try await extraHosts(host)))
        var resolver = Self.hostFile("/etc/resolv.conf")
        if ContainerFiles.namesOnlyStubResolver(resolver), !isHost {
            resolver = Self.hostFile("/run/systemd/resolve/resolv.conf")
        }
        let isPlain = (host.dns ?? []).isEmpty && (host.dnsSearch ?? []).isEmpty && (host.dnsOptions ?? []).isEmpty
        try Self.write(
            paths.resolvConf,
            isHost && isPlain
                ? resolver
                : ContainerFiles.resolver(
                    host: resolver, nameservers: host.dns ?? [], search: host.dnsSearch ?? [],
                    options: host.dnsOptions ?? []))
    }

    /// Names of `--add-host` with their addresses.
    ///
    /// - Throws: ``EngineError`` when the bridge's address is asked for and there is no bridge.
    private func extraHosts(_ host: HostConfig) async throws -> [(name: String, address: String)] {
        var result: [(name: String, address: String)] = []
        for entry in host.extraHosts ?? [] {
            let extra = try ExtraHost(entry)
            let isGateway = extra.address == ExtraHost.gateway
            result.append((extra.name, isGateway ? "\(try await world.networks.bridge().gateway)" : extra.address))
        }
        return result
    }

    /// A file of the host, or nothing where it has none.
    private static func hostFile(_ path: String) -> String {
        guard let bytes = try? Files.read(path, bytesMax: 1 << 20) else { return "" }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Not synced: rendered again at every start.
    private static func write(_ path: String, _ text: String) throws {
        let file = try OwnedFD.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
        try Array(text.utf8).withUnsafeBytes { (bytes) throws -> Void in try file.writeAll(bytes) }
    }

    // MARK: Failure

    /// What a failed start tells: Docker's error and the exit code it leaves.
    static func failure(_ error: any Error) -> (error: EngineError, exitCode: Int) {
        switch error {
        case let error as LaunchError:
            let isUsers = [.commandNotFound, .commandNotExecutable, .invalid].contains(error.kind)
            return (EngineError(isUsers ? .invalidParameter : .system, error.message), Int(error.exitCode))
        case let error as NetworkError:
            return (EngineError(.system, "failed to set up container networking: \(error)"), 128)
        default:
            return (EngineError.wrapping(error), 128)
        }
    }
}

/// Ports between the API's maps and the bridge's bindings.
enum PublishedPorts {
    /// Every port of `-p` and, with `-P`, every exposed one that has none.
    ///
    /// - Parameter exposed: `port/protocol`, of the request and the image.
    /// - Throws: ``EngineError`` `.invalidParameter` in Docker's words.
    static func requests(_ host: HostConfig, exposed: [String]?) throws -> [BridgePort] {
        var result: [BridgePort] = []
        let bindings = host.portBindings ?? [:]
        for (port, sides) in bindings.sorted(by: { $0.key < $1.key }) {
            let (number, transport) = try parse(port)
            for side in sides ?? [PortBindingRequest()] {
                result.append(try binding(side, number, transport))
            }
        }
        guard host.publishAllPorts == true else { return result }
        for port in (exposed ?? []).sorted() where bindings[port] == nil {
            let (number, transport) = try parse(port)
            result.append(BridgePort(hostAddress: .any, hostPort: 0, containerPort: number, transport: transport))
        }
        return result
    }

    /// `80/tcp`, or `80` alone.
    static func parse(_ text: String) throws -> (UInt16, Transport) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let name = parts.count == 2 ? parts[1].lowercased() : "tcp"
        guard let transport = Transport.allCases.first(where: { $0.name == name }) else {
            throw EngineError.invalid("invalid proto: \(name.printable)")
        }
        guard let number = number(parts[0]), number > 0 else {
            throw EngineError.invalid("invalid port specification: \"\(text.printable)\"")
        }
        return (number, transport)
    }

    /// Digits alone, without the sign that Swift takes.
    private static func number(_ text: some StringProtocol) -> UInt16? {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt16(text) : nil
    }

    private static func binding(_ side: PortBindingRequest, _ port: UInt16, _ transport: Transport) throws
        -> BridgePort
    {
        let hostPort = side.hostPort ?? ""
        guard let number = hostPort.isEmpty ? 0 : number(hostPort) else {
            throw EngineError.invalid("invalid hostPort: \(hostPort.printable)")
        }
        let hostIP = side.hostIp ?? ""
        guard let address = hostIP.isEmpty ? .any : IPv4Address(hostIP) else {
            throw EngineError(
                .invalidParameter, "invalid IP address: \(hostIP.printable): only IPv4 addresses can be published")
        }
        return BridgePort(hostAddress: address, hostPort: number, containerPort: port, transport: transport)
    }

    static func shown(_ bindings: [BridgePort]) -> [String: [PortBindingRequest]] {
        var result: [String: [PortBindingRequest]] = [:]
        for binding in bindings {
            var side = PortBindingRequest()
            side.hostIp = "\(binding.hostAddress)"
            side.hostPort = "\(binding.hostPort)"
            result["\(binding.containerPort)/\(binding.transport.name)", default: []].append(side)
        }
        return result
    }
}
