import Glibc
import Kernel

/// What an endpoint will be; decided by the network, carried out by ``BridgeBuilder``.
struct BridgeEndpointPlan: Sendable {
    let address: IPv4Address
    let subnet: IPv4Subnet
    let gateway: IPv4Address
    let hostInterface: String
    let mtu: UInt32

    var mac: MACAddress { MACAddress(for: address) }

    /// What host interfaces of ours begin with; eight hexadecimal digits follow.
    static let interfacePrefix = "veth"

    init(address: IPv4Address, subnet: IPv4Subnet, gateway: IPv4Address, mtu: UInt32) {
        self.address = address
        self.subnet = subnet
        self.gateway = gateway
        self.mtu = mtu
        let digits = String(UInt32.random(in: 0...UInt32.max), radix: 16)
        hostInterface = Self.interfacePrefix + String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// True for a name this type could have given.
    static func isOurs(_ name: String) -> Bool {
        name.hasPrefix(interfacePrefix) && name.utf8.count == interfacePrefix.utf8.count + 8
            && name.dropFirst(interfacePrefix.count).allSatisfy { $0.isHexDigit && !$0.isUppercase }
    }
}

/// A namespace ready for a container.
struct BridgePrepared: Sendable {
    let plan: BridgeEndpointPlan
    let namespace: NamespaceHandle
}

/// Makes container namespaces on a thread of its own: a new one there never disturbs the network's owner.
///
/// `@unchecked Sendable`: `socket` is used on `thread` only.
final class BridgeBuilder: @unchecked Sendable {
    private let thread: NetworkThread
    private let host: OwnedFD
    private let bridgeIndex: Int32
    private var socket: NetlinkSocket

    /// Starts the thread in the host's namespace.
    static func start(_ configuration: BridgeConfiguration, bridgeIndex: Int32) async throws(NetworkError)
        -> BridgeBuilder
    {
        let thread = try doing("start the builder of network \(configuration.name)") { () throws(SystemError) in
            try NetworkThread(name: "ns-\(configuration.name)")
        }
        return try await thread.run { () throws(NetworkError) in
            try doing("enter the host's network namespace") { () throws(SystemError) in
                try BridgeBuilder(thread, configuration.hostNamespace, bridgeIndex)
            }
        }
    }

    private init(_ thread: NetworkThread, _ hostNamespace: String?, _ bridgeIndex: Int32) throws(SystemError) {
        self.thread = thread
        self.bridgeIndex = bridgeIndex
        if let hostNamespace {
            host = try OwnedFD.open(hostNamespace, O_RDONLY)
            try NetworkNamespace.enter(host)
        } else {
            host = try NetworkNamespace.current()
        }
        socket = try NetlinkSocket()
    }

    deinit { thread.stop() }

    /// A new namespace with `lo` up and an `eth0` that is addressed, routed and a port of the bridge.
    func build(_ plan: BridgeEndpointPlan) async throws(NetworkError) -> BridgePrepared {
        try await thread.run { () throws(NetworkError) in
            try doing("make the network namespace of \(plan.address)") { () throws(SystemError) in
                try self.buildHere(plan)
            }
        }
    }

    private func buildHere(_ plan: BridgeEndpointPlan) throws(SystemError) -> BridgePrepared {
        try NetworkNamespace.enterNew()
        do throws(SystemError) {
            let namespace = NamespaceHandle(try NetworkNamespace.current())
            try socket.transact([
                BridgeMessages.createPair(
                    plan.hostInterface, master: bridgeIndex, mtu: plan.mtu, peer: "eth0", peerMAC: plan.mac,
                    namespace: namespace.descriptor.raw)
            ])
            try configure(plan)
            try NetworkNamespace.enter(host)
            return BridgePrepared(plan: plan, namespace: namespace)
        } catch {
            try NetworkNamespace.enter(host)
            throw error
        }
    }

    /// The container's side, from inside.
    private func configure(_ plan: BridgeEndpointPlan) throws(SystemError) {
        try NetworkNamespace.setDefaults()
        do throws(SystemError) {
            try NetworkNamespace.set("ipv6/conf/eth0/disable_ipv6", "1")
        } catch  where error.code == ENOENT {
            // A kernel without IPv6 has nothing to turn off.
        }
        var inside = try NetlinkSocket()
        let index = try Self.ethernet(&inside).index
        try inside.transact([
            BridgeMessages.bringUp(1),  // lo is the first interface of every namespace
            BridgeMessages.addAddress(plan.address, in: plan.subnet, to: index),
            BridgeMessages.bringUp(index),
            BridgeMessages.addDefaultRoute(through: plan.gateway, from: index),
        ])
        // Last, so that this end has its carrier at once and the bridge forwards.
        try socket.transact([BridgeMessages.bringPortUp(plan.hostInterface)])
        // The kernel lets the other end send a moment later; a packet lost until then costs its sender a second.
        for _ in 0..<Self.carrierTriesMax {
            if try Self.ethernet(&inside).isRunning { return }
            usleep(500)
        }
    }

    /// Times half a millisecond; past that the container starts anyway, and TCP repeats what is lost.
    private static let carrierTriesMax = 100

    private static func ethernet(_ inside: inout NetlinkSocket) throws(SystemError) -> BridgeMessages.Link {
        let replies = try inside.query(BridgeMessages.link(named: "eth0"))
        guard let link = replies.lazy.compactMap(BridgeMessages.link(in:)).first else {
            throw SystemError("netlink", ENODEV, "eth0")
        }
        return link
    }
}
