import Glibc
import Kernel

@testable import Netlink

/// A private host of both families with an uplink: the host is 203.0.113.1 and 2001:db8::1, the outside 203.0.113.2 and
/// 2001:db8::2, and knows no way to the containers.
struct HostWorld {
    let host: Place
    let outside: Place
    static let hostAddress4 = IPAddress(.v4, 0xCB00_7101)
    static let outside4 = IPAddress(.v4, 0xCB00_7102)
    static let outside6 = IPAddress(.v6, 0x2001_0DB8 << 96 | 2)

    init() async throws {
        host = try await Place()
        outside = try await Place()
        try await host.shell(
            """
            ip link add up0 type veth peer name up1 netns \(outside.namespace.path)
            ip addr add 203.0.113.1/24 dev up0; ip addr add 2001:db8::1/64 dev up0 nodad; ip link set up0 up
            """)
        try await outside.shell(
            "ip addr add 203.0.113.2/24 dev up1; ip addr add 2001:db8::2/64 dev up1 nodad; ip link set up1 up")
    }

    static func outside(_ family: IPAddress.Family) -> IPAddress { family == .v4 ? outside4 : outside6 }

    /// The networks of a daemon on this host, which has found nothing to adopt.
    func networks(
        pools: [HostNetworks.Pool]? = nil, spares: Int = 0, adopting: [AdoptedSandbox]? = []
    ) async throws -> HostNetworks {
        let networks = try await HostNetworks.open(
            HostNetworks.Configuration(
                hostNamespace: host.namespace.path, pools: pools, seed: "tests", spareCount: spares))
        if let adopting { _ = try await networks.adopt(adopting) }
        return networks
    }

    /// The names of the host's interfaces.
    func interfaces() async throws -> Set<String> {
        try await host.run { () throws(SystemError) in
            var socket = try NetlinkSocket()
            return Set(try socket.query(RouteMessages.allLinks()).compactMap(RouteMessages.link(in:)).map(\.name))
        }
    }
}

extension HostNetworks {
    /// A network of this number, `br-` and the number.
    @discardableResult
    func network(
        _ number: Int, _ ipv4: NetworkRequest.Wanted = .automatic, _ ipv6: NetworkRequest.Wanted = .none,
        _ change: @Sendable (inout NetworkPlan) -> Void = { _ in }
    ) async throws -> NetworkPlan {
        var plan = NetworkPlan(id: Self.id(number), name: "net\(number)")
        change(&plan)
        return try create(NetworkRequest(plan, ipv4: ipv4, ipv6: ipv6))
    }

    static func id(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: 12 - digits.count) + digits + String(repeating: "a", count: 52)
    }

    /// A container on the networks of these numbers, as a place.
    func container(
        _ name: String, on numbers: Int..., resolver: Bool = false
    ) async throws -> (place: Place, sandbox: Sandbox) {
        let requests = numbers.map { EndpointRequest(network: Self.id($0)) }
        let sandbox = try await attach(name, requests, resolver: resolver)
        return (try await Place.of(sandbox), sandbox)
    }
}

extension Place {
    /// The inside of a container.
    static func of(_ sandbox: Sandbox) async throws -> Place {
        try await Place(NamespaceHandle(try OwnedFD.open(sandbox.namespacePath, O_RDONLY)))
    }

    /// What a shell command inside writes.
    func output(_ command: String) async throws -> String {
        let path = namespace.path
        return try await run { () throws(SystemError) in
            guard let stream = popen("nsenter --net=\(path) sh -c '\(command)' 2>&1", "r") else {
                throw SystemError("popen", command)
            }
            defer { pclose(stream) }
            var text: [UInt8] = []
            var block = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = fread(&block, 1, block.count, stream)
                if count == 0 { return String(decoding: text, as: UTF8.self) }
                text += block[..<count]
            }
        }
    }
}
