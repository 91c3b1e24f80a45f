/// What a container wants of one network.
package struct EndpointRequest: Sendable, Hashable {
    /// The network's id.
    package var network: String
    /// These and no others (`--ip`, `--ip6`).
    package var ipv4: IPAddress?
    package var ipv6: IPAddress?
    /// What the container had before: taken when free, else the next free.
    package var preferred4: IPAddress?
    package var preferred6: IPAddress?
    package var mac: MACAddress?
    /// `--gw-priority`: the endpoint with the highest gives the default route.
    package var gatewayPriority: Int

    package init(
        network: String, ipv4: IPAddress? = nil, ipv6: IPAddress? = nil, preferred4: IPAddress? = nil,
        preferred6: IPAddress? = nil, mac: MACAddress? = nil, gatewayPriority: Int = 0
    ) {
        self.network = network
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.preferred4 = preferred4
        self.preferred6 = preferred6
        self.mac = mac
        self.gatewayPriority = gatewayPriority
    }
}

/// One container's place on one network. A plain record: keep it for ``HostNetworks/adopt(_:)``.
package struct Endpoint: Sendable, Hashable, Codable {
    /// 64 hexadecimal digits, random.
    package let id: String
    /// The network's id.
    package let network: String
    package let ipv4: IPAddress?
    package let ipv6: IPAddress?
    /// Bits of the network part; 0 without an address of the family.
    package let prefixLength4: UInt8
    package let prefixLength6: UInt8
    /// nil on an internal network.
    package let gateway4: IPAddress?
    package let gateway6: IPAddress?
    package let mac: MACAddress
    /// The host's end of the veth(4) pair; empty for macvlan.
    package let hostInterface: String
    /// The container's end: `eth0`, `eth1` and on.
    package let interface: String
    package let gatewayPriority: Int

    package init(
        id: String, network: String, ipv4: IPAddress?, ipv6: IPAddress?, prefixLength4: UInt8, prefixLength6: UInt8,
        gateway4: IPAddress?, gateway6: IPAddress?, mac: MACAddress, hostInterface: String, interface: String,
        gatewayPriority: Int
    ) {
        self.id = id
        self.network = network
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.prefixLength4 = prefixLength4
        self.prefixLength6 = prefixLength6
        self.gateway4 = gateway4
        self.gateway6 = gateway6
        self.mac = mac
        self.hostInterface = hostInterface
        self.interface = interface
        self.gatewayPriority = gatewayPriority
    }

    package func address(_ family: IPAddress.Family) -> IPAddress? { family == .v4 ? ipv4 : ipv6 }
    package func gateway(_ family: IPAddress.Family) -> IPAddress? { family == .v4 ? gateway4 : gateway6 }
}

/// Where the embedded DNS server's sockets are on 127.0.0.11, in the container's namespace.
package struct ResolverPorts: Sendable, Hashable, Codable {
    package let udp: UInt16
    package let tcp: UInt16

    package init(udp: UInt16, tcp: UInt16) {
        self.udp = udp
        self.tcp = tcp
    }
}

/// A container's network namespace with its endpoints.
package struct Sandbox: Sendable, Hashable {
    package let container: String
    /// Opens the namespace (setns(2)) while the container is attached.
    package let namespacePath: String
    /// In the order of the requests.
    package var endpoints: [Endpoint]
    /// Ids of the endpoints whose networks give the default routes.
    package var gateway4: String?
    package var gateway6: String?
    /// nil without an embedded DNS server.
    package var resolver: ResolverPorts?

    package var hasResolver: Bool { resolver != nil }

    package init(
        container: String, namespacePath: String, endpoints: [Endpoint], gateway4: String? = nil,
        gateway6: String? = nil, resolver: ResolverPorts? = nil
    ) {
        self.container = container
        self.namespacePath = namespacePath
        self.endpoints = endpoints
        self.gateway4 = gateway4
        self.gateway6 = gateway6
        self.resolver = resolver
    }

    /// The endpoint that gives the default route of the family, through which ports are published.
    package func gatewayEndpoint(_ family: IPAddress.Family) -> Endpoint? {
        let id = family == .v4 ? gateway4 : gateway6
        return endpoints.first { $0.id == id }
    }
}

/// A container that outlived the daemon that started it, as the caller's records have it.
package struct AdoptedSandbox: Sendable, Hashable, Codable {
    package var container: String
    /// `/proc/<pid>/ns/net` of its first process.
    package var namespacePath: String
    package var endpoints: [Endpoint]
    package var ports: [PortBinding]
    package var resolver: ResolverPorts?

    package init(
        container: String, namespacePath: String, endpoints: [Endpoint], ports: [PortBinding] = [],
        resolver: ResolverPorts? = nil
    ) {
        self.container = container
        self.namespacePath = namespacePath
        self.endpoints = endpoints
        self.ports = ports
        self.resolver = resolver
    }
}

/// What ``HostNetworks/adopt(_:)`` found and did.
package struct Adoption: Sendable, Hashable {
    /// Interfaces of ours without a record, removed.
    package var removedInterfaces: [String] = []
    /// Containers whose record does not fit the networks any more (another subnet, an address twice, a namespace that is
    /// gone): they are attached to nothing now.
    package var refused: [String] = []
    /// Published again, but a process of the host listens there meanwhile.
    package var contestedPorts: [PortBinding] = []

    package init() {}
}
