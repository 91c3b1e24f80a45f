import DNS
import Kernel
import Logging
import NIOPosix
import Netlink

/// What one container's queries see, in the terms of networks.
struct ClientView: Sendable {
    let names: ContainerNames
    /// False on internal networks alone: nothing leaves the host for its queries.
    let forwards: Bool
    /// Name servers that are asked (none: those of the host) and what else the container wants of its resolver.
    let resolver: HostResolver.Wanted

    /// What the DNS server is told.
    func configuration(host: HostResolver) -> ClientConfiguration {
        let servers = resolver.servers.isEmpty ? host.servers : resolver.servers
        return ClientConfiguration(
            names: names, upstream: servers.compactMap { DNSEndpoint($0) }, forwards: forwards,
            forwardsSingleLabels: !HostResolver.setNdots(host.options(resolver)))
    }
}

/// The embedded DNS server: answers containers at 127.0.0.11, each from its own view.
actor NameService {
    private let resolver: DNS.Resolver
    private var views: [String: ClientView] = [:]
    private var served: Set<String> = []

    init(logger: Logger) {
        resolver = DNS.Resolver(eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: logger)
    }

    func isServing(_ container: String) -> Bool { served.contains(container) }

    /// Enters or replaces what a container sees; its next query is answered from that.
    func set(_ container: String, _ view: ClientView) async {
        views[container] = view
        if served.contains(container) { await resolver.update(container, view.configuration(host: .read())) }
    }

    /// Begins to answer a container whose view was set.
    func serve(_ container: String, _ sockets: consuming ResolverSockets) async throws {
        guard let view = views[container], served.insert(container).inserted else { return }
        let (udp, tcp) = sockets.take()
        do {
            try await resolver.serve(
                container, udp: OwnedFD(adopting: udp), tcp: OwnedFD(adopting: tcp),
                configuration: view.configuration(host: .read()))
        } catch {
            served.remove(container)
            throw error
        }
    }

    func stop(_ container: String) async {
        views[container] = nil
        if served.remove(container) != nil { await resolver.stop(container) }
    }

    func close() async { await resolver.close() }
}

extension ContainerNames: NameSource {
    func addresses(of name: String) -> NameAnswer? {
        guard let found: [IPAddress] = addresses(of: name) else { return nil }
        return NameAnswer(
            ipv4: found.filter { $0.family == .v4 }.map { UInt32(truncatingIfNeeded: $0.value) },
            ipv6: found.filter { $0.family == .v6 }.map(\.value))
    }

    func name(of address: DNSAddress) -> String? {
        switch address {
        case .v4(let value): name(of: IPAddress(.v4, UInt128(value)))
        case .v6(let value): name(of: IPAddress(.v6, value))
        }
    }
}
