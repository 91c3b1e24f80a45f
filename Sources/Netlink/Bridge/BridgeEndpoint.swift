/// How a bridge network is made. Nothing of it is global: two networks with different names live side by side.
package struct BridgeConfiguration: Sendable, Hashable {
    /// Where the addresses come from.
    package enum Addressing: Sendable, Hashable {
        /// The first of these subnets that the host does not route yet; the gateway is its first address.
        case firstFree([IPv4Subnet])
        /// This one, or an error when the host routes it elsewhere.
        case fixed(IPv4Subnet, gateway: IPv4Address)
    }

    /// The network's name in messages: "bridge".
    package var name: String
    /// The name of the bridge interface, at most 15 bytes: "docker0".
    package var bridgeName: String
    package var addressing: Addressing
    /// Bytes of the largest packet, of the bridge and of every endpoint.
    package var mtu: UInt32
    /// The nftables table that is ours alone, in the family `ip`.
    package var table: String
    /// Ready endpoints kept for the next starts; each holds an address.
    package var spareCount: Int
    /// A network-namespace file (namespaces(7)) whose interfaces play the host; nil: the process's own.
    package var hostNamespace: String?

    package init(
        name: String = "bridge", bridgeName: String = "docker0", addressing: Addressing = .firstFree(Self.defaultPools),
        mtu: UInt32 = 1500, table: String = "docker_swift", spareCount: Int = 4, hostNamespace: String? = nil
    ) {
        self.name = name
        self.bridgeName = bridgeName
        self.addressing = addressing
        self.mtu = mtu
        self.table = table
        self.spareCount = spareCount
        self.hostNamespace = hostNamespace
    }

    /// Docker's default address pools: 172.17.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 and on.
    package static let defaultPools: [IPv4Subnet] =
        (IPv4Subnet("172.16.0.0/12")?.subnets(of: 16).dropFirst() ?? [])
        + (IPv4Subnet("192.168.0.0/16")?.subnets(of: 20) ?? [])
}

/// One container's place on a network. A plain record: keep it, and hand it to ``BridgeNetwork/adopt(_:)`` after a restart.
package struct BridgeEndpoint: Sendable, Hashable, Codable {
    package let containerID: String
    package let address: IPv4Address
    /// Bits of the network part of `address`.
    package let prefixLength: UInt8
    package let gateway: IPv4Address
    package let mac: MACAddress
    /// The host's end of the veth(4) pair, a port of the bridge. The container's end is `eth0`.
    package let hostInterface: String
    /// Opens the container's network namespace (setns(2)) as long as this process lives and the endpoint is attached;
    /// a running container's own `/proc/<pid>/ns/net` is the same one and outlives us.
    package let namespacePath: String
}

/// A port of the host that leads to a port of a container.
package struct BridgePort: Sendable, Hashable, Codable, CustomStringConvertible {
    /// ``IPv4Address/any``: on every address of the host.
    package var hostAddress: IPv4Address
    /// 0: any free one of 32768...60999.
    package var hostPort: UInt16
    package var containerPort: UInt16
    package var transport: Transport

    package init(
        hostAddress: IPv4Address = .any, hostPort: UInt16 = 0, containerPort: UInt16, transport: Transport = .tcp
    ) {
        self.hostAddress = hostAddress
        self.hostPort = hostPort
        self.containerPort = containerPort
        self.transport = transport
    }

    package var description: String { "\(hostAddress):\(hostPort)->\(containerPort)/\(transport.name)" }
}

/// An endpoint of an earlier run of the daemon whose container still runs.
package struct AdoptedEndpoint: Sendable, Hashable, Codable {
    package var endpoint: BridgeEndpoint
    package var ports: [BridgePort]

    package init(_ endpoint: BridgeEndpoint, ports: [BridgePort]) {
        self.endpoint = endpoint
        self.ports = ports
    }
}

/// What ``BridgeNetwork/adopt(_:)`` found and did.
package struct BridgeAdoption: Sendable, Hashable {
    /// Interfaces of ours without a record, removed.
    package var removedInterfaces: [String] = []
    /// Containers whose record does not fit this network any more (another subnet, an address twice): they have no endpoint now.
    package var refused: [String] = []
    /// Published again, but a process of the host listens there meanwhile.
    package var contestedPorts: [BridgePort] = []
}
