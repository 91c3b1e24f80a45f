import Glibc
import Kernel
import Testing

@testable import Netlink

private let isRoot = geteuid() == 0

/// Reservations in a namespace of the test.
@Suite(.enabled(if: isRoot, "makes network namespaces")) struct PortTableTests {
    private static let target4 = IPAddress(.v4, 0xAC11_0002)
    private static let target6 = IPAddress(.v6, 0xFD00 << 112 | 2)

    /// Runs `body` with an empty table at a place where 10.0.0.1 and fd00::1 are the host's.
    private func with<Value: Sendable>(
        _ body: @escaping @Sendable (inout PortTable) throws(NetworkError) -> Value
    ) async throws -> Value {
        let place = try await Place()
        try await place.shell("ip addr add 10.0.0.1/8 dev lo; ip addr add fd00::1/64 dev lo nodad")
        return try await place.run { () throws(SystemError) in
            Result { () throws(NetworkError) in
                var table = PortTable()
                return try body(&table)
            }
        }.get()
    }

    private static func refusal(_ body: () throws(NetworkError) -> PortBinding) -> NetworkError? {
        do throws(NetworkError) {
            _ = try body()
            return nil
        } catch { return error }
    }

    private struct Clash: Sendable, CustomTestStringConvertible {
        let first, second: String
        let isRefused: Bool
        var testDescription: String { "\(first) then \(second)" }
    }

    private static let clashes = [
        Clash(first: "0.0.0.0", second: "0.0.0.0", isRefused: true),
        Clash(first: "0.0.0.0", second: "10.0.0.1", isRefused: true),
        Clash(first: "10.0.0.1", second: "0.0.0.0", isRefused: true),
        Clash(first: "10.0.0.1", second: "10.0.0.1", isRefused: true),
        Clash(first: "10.0.0.1", second: "127.0.0.1", isRefused: false),
        Clash(first: "0.0.0.0", second: "::", isRefused: false),
        Clash(first: "::", second: "0.0.0.0", isRefused: false),
        Clash(first: "::", second: "fd00::1", isRefused: true),
        Clash(first: "fd00::1", second: "::1", isRefused: false),
    ]

    @Test(arguments: clashes) private func `an address clashes with itself and with every address of its family`(
        _ clash: Clash
    ) async throws {
        let error = try await with { table throws(NetworkError) in
            guard let first = IPAddress(clash.first), let second = IPAddress(clash.second) else {
                throw NetworkError(.invalid, "address")
            }
            _ = try table.reserve(
                PortBinding(hostAddress: first, hostPort: 80, containerPort: 80), for: "one", at: Self.target4)
            return Self.refusal { () throws(NetworkError) in
                try table.reserve(
                    PortBinding(hostAddress: second, hostPort: 80, containerPort: 80), for: "two", at: Self.target4)
            }
        }
        guard clash.isRefused else {
            #expect(error == nil)
            return
        }
        #expect(error?.code == .portTaken)
        #expect(error?.message == "Bind for \(clash.second):80 failed: port is already allocated")
        #expect(error?.remedy == "container one has it")
    }

    @Test func `a port of a process is refused in Docker's words, and ours are refused to processes`() async throws {
        let place = try await Place()
        let other = try await place.serve(80)
        let outcome = try await place.run { () throws(SystemError) in
            Result { () throws(NetworkError) in
                var table = PortTable()
                let refusal = Self.refusal { () throws(NetworkError) in
                    try table.reserve(PortBinding(hostPort: 80, containerPort: 8000), for: "a", at: Self.target4)
                }
                for transport in [Transport.tcp, .udp] {
                    _ = try table.reserve(
                        PortBinding(hostPort: 81, containerPort: 80, transport: transport), for: "a", at: Self.target4)
                }
                let isOursAlone = [Transport.tcp, .udp].allSatisfy { transport in
                    guard let socket = try? Station.socket(.v4, transport, milliseconds: 100) else { return false }
                    return (try? Station.call("bind", socket, .any4, 81, Glibc.bind)) == nil
                }
                return (refusal, isOursAlone)
            }
        }.get()
        _ = other
        #expect(
            outcome.0?.message
                == "failed to bind host port for 0.0.0.0:80:172.17.0.2:8000/tcp: address already in use")
        #expect(outcome.0?.code == .portTaken)
        #expect(outcome.1)
    }

    @Test func `a range gives its first free port, and says when there is none`() async throws {
        let (ports, error) = try await with { table throws(NetworkError) in
            let range = PortBinding(hostPort: 8000, hostPortEnd: 8002, containerPort: 80)
            _ = try table.reserve(PortBinding(hostPort: 8001, containerPort: 80), for: "a", at: Self.target4)
            let taken = [
                try table.reserve(range, for: "b", at: Self.target4),
                try table.reserve(range, for: "c", at: Self.target4),
            ]
            let error = Self.refusal { () throws(NetworkError) in try table.reserve(range, for: "d", at: Self.target4) }
            table.release(taken[0])
            return (taken + [try table.reserve(range, for: "e", at: Self.target4)], error)
        }
        #expect(ports.map(\.hostPort) == [8000, 8002, 8000])
        #expect(ports.allSatisfy { $0.hostPortEnd == 0 })
        #expect(error?.code == .portTaken)
        #expect(error?.message == "Bind for 0.0.0.0:8000-8002 failed: port is already allocated")
    }

    @Test func `port 0 takes different ports of the kernel's range, and its twin's number where that is free`()
        async throws
    {
        let place = try await Place()
        try await place.shell("sysctl -w net.ipv4.ip_local_port_range=\"40000 40003\"")
        let outcome = try await place.run { () throws(SystemError) in
            Result { () throws(NetworkError) in
                var table = PortTable()
                let any = PortBinding(containerPort: 80)
                let any6 = PortBinding(hostAddress: .any6, containerPort: 80)
                var ports: [UInt16] = []
                for _ in 0..<3 { ports.append(try table.reserve(any, for: "a", at: Self.target4).hostPort) }
                let twin = try table.reserve(any6, for: "a", at: Self.target6, preferring: ports[1])
                let taken = try table.reserve(any6, for: "b", at: Self.target6, preferring: ports[1])
                ports.append(try table.reserve(any, for: "a", at: Self.target4).hostPort)
                let error = Self.refusal { () throws(NetworkError) in
                    try table.reserve(any, for: "a", at: Self.target4)
                }
                table.release(PortBinding(hostPort: ports[2], containerPort: 80))
                ports.append(try table.reserve(any, for: "a", at: Self.target4).hostPort)
                return (ports, twin.hostPort, taken.hostPort, error?.code)
            }
        }.get()
        #expect(outcome.0 == [40000, 40001, 40002, 40003, 40002])
        #expect(outcome.1 == 40001)
        #expect(outcome.2 != 40001)
        #expect(outcome.3 == .portsExhausted)
    }

    @Test func `an address that the host does not have is refused`() async throws {
        let error = try await with { table throws(NetworkError) in
            Self.refusal { () throws(NetworkError) in
                try table.reserve(
                    PortBinding(hostAddress: IPAddress(.v4, 0x0808_0808), hostPort: 80, containerPort: 80), for: "a",
                    at: Self.target4)
            }
        }
        #expect(
            error?.message
                == "failed to bind host port for 8.8.8.8:80:172.17.0.2:80/tcp: cannot assign requested address")
    }

    @Test func `a port that a process has taken meanwhile is kept for the container that answers on it`() async throws {
        let (isForced, isForcedTwice, error) = try await with { table throws(NetworkError) in
            let binding = PortBinding(hostPort: 80, containerPort: 80)
            let isForced = table.force(binding, for: "a", at: Self.target4)
            let isForcedTwice = table.force(binding, for: "b", at: Self.target4)
            let error = Self.refusal { () throws(NetworkError) in
                try table.reserve(binding, for: "b", at: Self.target4)
            }
            table.release(binding)
            _ = try table.reserve(binding, for: "b", at: Self.target4)
            return (isForced, isForcedTwice, error)
        }
        #expect(isForced && !isForcedTwice)
        #expect(error?.message == "Bind for 0.0.0.0:80 failed: port is already allocated")
    }

    @Test func `SCTP is reserved whether or not the kernel speaks it`() async throws {
        let error = try await with { table throws(NetworkError) in
            let binding = PortBinding(hostPort: 3868, containerPort: 80, transport: .sctp)
            _ = try table.reserve(binding, for: "a", at: Self.target4)
            _ = try table.reserve(PortBinding(hostPort: 3868, containerPort: 80), for: "a", at: Self.target4)
            return Self.refusal { () throws(NetworkError) in try table.reserve(binding, for: "b", at: Self.target4) }
        }
        #expect(error?.code == .portTaken)
    }

    @Test func `five thousand ports are reserved and freed, each at the same cost, and leave no descriptor`()
        async throws
    {
        let before = try Files.list("/proc/self/fd").count
        let (first, last) = try await with { table throws(NetworkError) in
            let clock = ContinuousClock()
            var costs: [Duration] = []
            var taken: [PortBinding] = []
            for _ in 0..<5000 {
                let start = clock.now
                taken.append(try table.reserve(PortBinding(containerPort: 80), for: "a", at: Self.target4))
                costs.append(clock.now - start)
            }
            for binding in taken { table.release(binding) }
            return (costs[..<500].sorted()[250], costs[4500...].sorted()[250])
        }
        #expect(last < first * 3, "first \(first), last \(last)")
        #expect(try Files.list("/proc/self/fd").count < before + 100)
    }

    @Test func `listeners are the sockets of IPv6 that take connections`() async throws {
        let listeners = try await with { table throws(NetworkError) in
            for transport in [Transport.tcp, .udp] {
                for (address, target) in [(IPAddress.any4, Self.target4), (.any6, Self.target6)] {
                    _ = try table.reserve(
                        PortBinding(hostAddress: address, hostPort: 80, containerPort: 8000, transport: transport),
                        for: "a", at: target)
                }
            }
            return table.listeners.map { ($0.container, $0.address, $0.port) }
        }
        #expect(listeners.count == 1)
        #expect(listeners.first.map { $0 == ("a", Self.target6, 8000) } == true)
    }
}
