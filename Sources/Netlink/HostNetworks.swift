package import Kernel

/// Owns everything kernel-facing of all networks of one daemon: bridges and parents, addresses, namespaces, endpoints,
/// published ports, packet rules, and the sockets of the embedded DNS server.
///
/// It runs on a thread of its own inside the host's network namespace, so that neither netlink nor nftables ever blocks the
/// cooperative pool; namespaces and endpoints are made on a second thread.
package actor HostNetworks {
    /// One subnet of the pools of which networks get theirs.
    package struct Pool: Sendable, Hashable, Codable {
        package var base: IPSubnet
        /// Prefix length of each network's subnet.
        package var size: UInt8

        package init(_ base: IPSubnet, size: UInt8) {
            self.base = base
            self.size = size
        }
    }

    package struct Configuration: Sendable, Hashable {
        /// The nftables table that is ours alone, in the family `inet`.
        package var table: String
        /// A network-namespace file (namespaces(7)) whose interfaces play the host; nil: the process's own.
        package var hostNamespace: String?
        /// `default-address-pools`, in the order in which they are tried.
        package var pools: [Pool]
        /// The same for all runs of one daemon and different for others: the IPv6 pool is derived from it.
        package var seed: String
        /// Ready endpoints kept for the next starts on the default network; each holds an address.
        package var spareCount: Int

        package init(
            table: String = "docker_swift", hostNamespace: String? = nil, pools: [Pool]? = nil, seed: String,
            spareCount: Int = 4
        ) {
            self.table = table
            self.hostNamespace = hostNamespace
            self.pools = pools ?? []
            self.seed = seed
            self.spareCount = spareCount
        }
    }

    /// Why ports cannot be published and containers do not reach beyond the host; nil when they can.
    package nonisolated let translationFailure: NetworkError? = nil

    private init() {}

    package static func open(_ configuration: Configuration) async throws(NetworkError) -> HostNetworks {
        throw absent
    }

    private static let absent = NetworkError(.system, "networks are not there yet")

    // MARK: Networks

    /// Makes a network: picks free subnets (no overlap with other networks of ours, nor with routes and addresses of the
    /// host), makes the bridge, its addresses and rules. Nothing is left when it throws.
    package func create(_ request: NetworkRequest) throws(NetworkError) -> NetworkPlan { throw Self.absent }

    /// Makes or takes over the network of an earlier run. A bridge that is there keeps its ports.
    package func restore(_ plan: NetworkPlan) throws(NetworkError) { throw Self.absent }

    /// Removes a network with its bridge, rules and spares.
    ///
    /// - Throws: `inUse` while containers are attached, `unknownNetwork`.
    package func remove(_ id: String) async throws(NetworkError) { throw Self.absent }

    // MARK: Containers

    /// A namespace with `lo` and every requested endpoint, ready for a process.
    ///
    /// - Parameter resolver: also the sockets of the embedded DNS server at 127.0.0.11 and the redirection of port 53.
    package func attach(
        _ container: String, _ requests: [EndpointRequest], resolver: Bool
    ) async throws(NetworkError) -> Sandbox { throw Self.absent }

    /// The UDP and the listening TCP socket on 127.0.0.11 in the container's namespace, non-blocking; duplicates that the
    /// caller closes when the container is detached. nil without a resolver.
    package func resolverSockets(
        of container: String
    ) throws(NetworkError) -> ResolverSockets? { throw Self.absent }

    /// Adds a container, running or adopted, to one more network; default route and published ports follow the choice of
    /// the gateway.
    ///
    /// - Parameter resolver: the sockets of the embedded DNS server are made when there are none yet.
    package func connect(
        _ container: String, _ request: EndpointRequest, resolver: Bool
    ) async throws(NetworkError) -> Sandbox { throw Self.absent }

    /// Takes a container off one network.
    ///
    /// - Throws: `notOnNetwork`, `notAttached`.
    package func disconnect(
        _ container: String, from network: String
    ) async throws(NetworkError) -> Sandbox { throw Self.absent }

    /// Takes a container off all networks; call it when its processes have ended. Unknown containers are no error.
    package func detach(_ container: String) {}

    package func sandbox(of container: String) -> Sandbox? { nil }

    package func endpoints(on network: String) -> [(container: String, endpoint: Endpoint)] { [] }

    // MARK: Ports

    /// Publishes ports through the endpoints that give the default routes: all or none.
    ///
    /// - Returns: the bindings with their host ports.
    @discardableResult
    package func publish(
        _ bindings: [PortBinding], for container: String
    ) throws(NetworkError) -> [PortBinding] { throw Self.absent }

    package func unpublish(_ container: String) throws(NetworkError) { throw Self.absent }

    package func ports(of container: String) -> [PortBinding] { [] }

    // MARK: Restart

    /// After ``restore(_:)`` of all networks, once: takes over what outlived the previous daemon and removes what it left.
    package func adopt(_ sandboxes: [AdoptedSandbox]) async throws(NetworkError) -> Adoption { throw Self.absent }

    /// Lets the spares go and waits for work in the background. Attached containers keep their networks.
    package func close() async {}
}

/// Two sockets of the embedded DNS server, for its owner to read.
package struct ResolverSockets: ~Copyable, Sendable {
    package let udp: OwnedFD
    package let tcp: OwnedFD

    /// The two, to be owned one by one.
    package consuming func take() -> (udp: CInt, tcp: CInt) { (udp.release(), tcp.release()) }
}
