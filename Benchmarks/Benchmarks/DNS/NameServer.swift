import DNS
import Glibc
import Kernel
import Logging
import NIOCore
import NIOPosix

/// The name server of containers by itself, for a load generator to ask.
///
///     NameServer serve PORT UPSTREAM-PORT    on loopback, until standard input ends
///     NameServer memory CONTAINERS           what they add to the process, idle and after a query each
@main
enum NameServer {
    private struct Failure: Error { let call: String }

    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        let numbers = arguments.dropFirst().compactMap { UInt16($0) }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let resolver = DNS.Resolver(eventLoopGroup: group, logger: Logger(label: "bench"))
        switch (arguments.first, numbers.count) {
        case ("serve", 2): try await serve(resolver, numbers[0], upstream: numbers[1])
        case ("memory", 1): try await memory(resolver, containers: Int(numbers[0]))
        default: print("usage: NameServer serve PORT UPSTREAM-PORT | memory CONTAINERS")
        }
        await resolver.close()
        try await group.shutdownGracefully()
    }

    /// A thousand names, as a large network has.
    private static let names: NameTable = {
        var table = NameTable()
        for number in 0..<1000 as Range<UInt32> {
            table.answers["c\(number)"] = NameAnswer(ipv4: [0x0A00_0100 + number])
            table.names[.v4(0x0A00_0100 + number)] = "c\(number)"
        }
        return table
    }()

    private static func serve(_ resolver: DNS.Resolver, _ port: UInt16, upstream: UInt16) async throws {
        let server = DNSEndpoint(.v4(0x7f00_0001), port: upstream)
        try await resolver.serve(
            "bench", udp: socket(SOCK_DGRAM, port), tcp: socket(SOCK_STREAM, port),
            configuration: ClientConfiguration(names: names, upstream: [server]))
        print("ready")
        fflush(nil)
        // Nothing else is to be done on this thread's pool.
        while getchar() != EOF {}
    }

    private static func memory(_ resolver: DNS.Resolver, containers: Int) async throws {
        var ports: [UInt16] = []
        let before = residentKiB()
        for number in 0..<containers {
            let tcp = try socket(SOCK_STREAM, 0)
            let port = port(of: tcp)
            // A port that the other transport uses: any other will do.
            let udp = try (try? socket(SOCK_DGRAM, port)) ?? socket(SOCK_DGRAM, 0)
            ports.append(Self.port(of: udp))
            try await resolver.serve(
                "c\(number)", udp: udp, tcp: tcp, configuration: ClientConfiguration(names: names, upstream: []))
        }
        report("idle", before, containers)
        for port in ports {
            let client = try socket(SOCK_DGRAM, 0)
            var query: [UInt8] = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0x63, 0x31, 0, 0, 1, 0, 1]
            let raw = client.raw
            guard withAddress(port, { connect(raw, $0, $1) }) == 0, send(raw, query, query.count, 0) > 0,
                recv(raw, &query, query.count, 0) > 0
            else { throw Failure(call: "query") }
        }
        report("asked", before, containers)
    }

    private static func report(_ state: String, _ before: Int, _ containers: Int) {
        let added = residentKiB() - before
        print("memory_\(state)_kib\t\(added)\tper container \(Double(added) / Double(containers))")
    }

    private static func residentKiB() -> Int {
        var usage = [UInt8](repeating: 0, count: 4096)
        guard let file = try? OwnedFD.open("/proc/self/statm", O_RDONLY) else { return 0 }
        let raw = file.raw
        let count = read(raw, &usage, usage.count)
        let fields = String(decoding: usage.prefix(max(0, count)), as: UTF8.self).split(separator: " ")
        return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4 : 0
    }

    private static func socket(_ type: __socket_type, _ port: UInt16) throws -> OwnedFD {
        let raw = Glibc.socket(AF_INET, CInt(type.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw Failure(call: "socket") }
        let socket = OwnedFD(adopting: raw)
        guard withAddress(port, { bind(raw, $0, $1) }) == 0 else { throw Failure(call: "bind \(port)") }
        if type == SOCK_STREAM, listen(raw, 128) != 0 { throw Failure(call: "listen") }
        return socket
    }

    private static func port(of socket: borrowing OwnedFD) -> UInt16 {
        var address = sockaddr()
        var length = socklen_t(MemoryLayout<sockaddr>.size)
        getsockname(socket.raw, &address, &length)
        return withUnsafeBytes(of: address) { UInt16($0[2]) << 8 | UInt16($0[3]) }
    }

    /// Calls with a loopback address as the kernel takes it.
    private static func withAddress(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
        var address = sockaddr()
        address.sa_family = sa_family_t(AF_INET)
        withUnsafeMutableBytes(of: &address) {
            $0.copyBytes(from: [UInt8(AF_INET), 0, UInt8(port >> 8), UInt8(port & 255), 127, 0, 0, 1])
        }
        return body(&address, socklen_t(MemoryLayout<sockaddr>.size))
    }
}
