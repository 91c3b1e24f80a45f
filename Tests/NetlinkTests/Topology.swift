import Glibc
import Kernel

@testable import Netlink

/// A network namespace with a thread inside it, from which sockets are opened and commands run.
final class Place: Sendable {
    let namespace: NamespaceHandle
    private let thread: NetworkThread

    /// - Parameter existing: the namespace to be in; nil: a new one with `lo` up.
    init(_ existing: NamespaceHandle? = nil) async throws {
        let thread = try NetworkThread(name: "place")
        self.thread = thread
        namespace = try await thread.run { () throws(SystemError) in
            if let existing {
                try NetworkNamespace.enter(existing.descriptor)
                return existing
            }
            try NetworkNamespace.enterNew()
            var socket = try NetlinkSocket()
            try socket.transact([BridgeMessages.bringUp(1)])
            return NamespaceHandle(try NetworkNamespace.current())
        }
    }

    deinit { thread.stop() }

    func run<Value: Sendable>(_ body: @escaping @Sendable () throws(SystemError) -> Value) async throws(SystemError)
        -> Value
    {
        try await thread.run(body)
    }

    /// A shell command inside; its status.
    @discardableResult
    func shell(_ command: String) async throws -> CInt {
        let path = namespace.path
        return try await run { system("nsenter --net=\(path) sh -c '\(command)' >/dev/null 2>&1") }
    }

    /// A server's socket on every address.
    func listen(_ port: UInt16, _ transport: Transport = .tcp) async throws -> NamespaceHandle {
        try await run { () throws(SystemError) in
            let socket = try Traffic.socket(transport)
            try Traffic.bind(socket, .any, port)
            if transport == .tcp { try checked("listen") { Glibc.listen(socket.raw, 16) } }
            return NamespaceHandle(socket)
        }
    }

    /// Sends "ping" to a server and waits for its "pong"; the address the server saw, or nil when nothing came back.
    ///
    /// Tries again: while the kernel brings a fresh link up it may lose the first packet, and datagrams are sent once.
    func ping(_ address: IPv4Address, _ port: UInt16, _ transport: Transport = .tcp, at server: NamespaceHandle)
        async throws -> IPv4Address?
    {
        for _ in 0..<3 {
            if let seen = try await pingOnce(address, port, transport, at: server) { return seen }
        }
        return nil
    }

    private func pingOnce(_ address: IPv4Address, _ port: UInt16, _ transport: Transport, at server: NamespaceHandle)
        async throws -> IPv4Address?
    {
        let client: NamespaceHandle? = try await run { () throws(SystemError) in
            let socket = try Traffic.socket(transport)
            do throws(SystemError) {
                try Traffic.connect(socket, address, port)
                try Traffic.send(socket, "ping")
            } catch { return nil }
            return NamespaceHandle(socket)
        }
        guard let client else { return nil }
        return try await run { () throws(SystemError) in
            do throws(SystemError) {
                let seen = try Traffic.answer(server.descriptor, transport)
                return try Traffic.receive(client.descriptor) == "pong" ? seen : nil
            } catch { return nil }
        }
    }
}

/// Blocking sockets with a short limit, for places' threads.
enum Traffic {
    static func socket(_ transport: Transport) throws(SystemError) -> OwnedFD {
        let kind = transport == .tcp ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue
        let descriptor = OwnedFD(
            adopting: try checked("socket") { Glibc.socket(AF_INET, CInt(kind | SOCK_CLOEXEC.rawValue), 0) })
        let raw = descriptor.raw
        var limit = timeval(tv_sec: 1, tv_usec: 200_000)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            try checked("setsockopt") {
                setsockopt(raw, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
            }
        }
        return descriptor
    }

    static func bind(_ socket: borrowing OwnedFD, _ address: IPv4Address, _ port: UInt16) throws(SystemError) {
        let raw = socket.raw
        try withName(address, port) { name, size throws(SystemError) in
            try checked("bind") { Glibc.bind(raw, name, size) }
        }
    }

    static func connect(_ socket: borrowing OwnedFD, _ address: IPv4Address, _ port: UInt16) throws(SystemError) {
        let raw = socket.raw
        try withName(address, port) { name, size throws(SystemError) in
            try checked("connect") { Glibc.connect(raw, name, size) }
        }
    }

    static func send(_ socket: borrowing OwnedFD, _ text: String) throws(SystemError) {
        let raw = socket.raw
        let bytes = Array(text.utf8)
        try checked("send") { Glibc.send(raw, bytes, bytes.count, CInt(MSG_NOSIGNAL)) }
    }

    static func receive(_ socket: borrowing OwnedFD) throws(SystemError) -> String {
        let raw = socket.raw
        var buffer = [UInt8](repeating: 0, count: 64)
        let count = try checked("recv") { recv(raw, &buffer, buffer.count, 0) }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// Serves one client: reads, answers "pong", and says who it was.
    static func answer(_ server: borrowing OwnedFD, _ transport: Transport) throws(SystemError) -> IPv4Address {
        let raw = server.raw
        var name = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        return try withUnsafeMutablePointer(to: &name) { pointer throws(SystemError) -> IPv4Address in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { peer throws(SystemError) -> Void in
                if transport == .tcp {
                    let connection = OwnedFD(adopting: try checked("accept") { accept(raw, peer, &size) })
                    _ = try receive(connection)
                    try send(connection, "pong")
                } else {
                    var buffer = [UInt8](repeating: 0, count: 64)
                    try checked("recvfrom") { recvfrom(raw, &buffer, buffer.count, 0, peer, &size) }
                    try checked("sendto") { sendto(raw, Array("pong".utf8), 4, 0, peer, size) }
                }
            }
            return IPv4Address(UInt32(bigEndian: pointer.pointee.sin_addr.s_addr))
        }
    }

    private static func withName(
        _ address: IPv4Address, _ port: UInt16,
        _ body: (UnsafePointer<sockaddr>, socklen_t) throws(SystemError) -> CInt
    ) throws(SystemError) {
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = port.bigEndian
        name.sin_addr.s_addr = address.value.bigEndian
        _ = try withUnsafePointer(to: &name) { pointer throws(SystemError) -> CInt in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic throws(SystemError) -> CInt in
                try body(generic, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

/// A private host with an uplink, 203.0.113.1, to an outside, 203.0.113.2, that knows no way to the containers.
struct Topology {
    let host: Place
    let outside: Place
    static let hostAddress = IPv4Address(0xCB00_7101)
    static let outsideAddress = IPv4Address(0xCB00_7102)
    static let loopback = IPv4Address(0x7F00_0001)

    init() async throws {
        host = try await Place()
        outside = try await Place()
        let far = outside.namespace.path
        try await host.shell(
            "ip link add up0 type veth peer name up1 netns \(far) && ip addr add 203.0.113.1/24 dev up0 && ip link set up0 up"
        )
        try await outside.shell("ip addr add 203.0.113.2/24 dev up1; ip link set up1 up")
    }

    /// A network on this host.
    func network(_ addressing: BridgeConfiguration.Addressing? = nil, spares: Int = 2) async throws -> BridgeNetwork {
        var configuration = BridgeConfiguration(spareCount: spares, hostNamespace: host.namespace.path)
        if let addressing { configuration.addressing = addressing }
        return try await BridgeNetwork.open(configuration)
    }

    /// A container on the network, as a place.
    func container(_ id: String, on network: BridgeNetwork) async throws -> (place: Place, endpoint: BridgeEndpoint) {
        let endpoint = try await network.attach(id)
        return (try await Place(NamespaceHandle(try await network.namespace(of: id))), endpoint)
    }
}
