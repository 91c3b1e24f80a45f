import Glibc
import Kernel

@testable import Netlink

/// Sockets of both families at a place.
extension Place {
    /// Milliseconds that one try waits for an answer.
    private static let patience = 400
    private static let tries = 8

    /// Waits until the neighbour at the address answers (by refusing a connection): fresh links lose packets.
    func settle(_ address: IPAddress) async throws {
        for _ in 0..<100 {
            let isThere = try await run { () throws(SystemError) in
                let socket = try Station.socket(address.family, .tcp, milliseconds: 50)
                do throws(SystemError) {
                    try Station.call("connect", socket, address, 1, Glibc.connect)
                    return true
                } catch { return error.code == ECONNREFUSED }
            }
            if isThere { return }
        }
        throw SystemError("settle", ETIMEDOUT, "\(address)")
    }

    /// A server's socket on every address of the family.
    func serve(_ port: UInt16, _ family: IPAddress.Family = .v4, _ transport: Transport = .tcp) async throws
        -> NamespaceHandle
    {
        try await run { () throws(SystemError) in
            let socket = try Station.socket(family, transport, milliseconds: Self.patience)
            try Station.call("bind", socket, .any(family), port, Glibc.bind)
            if transport == .tcp { try checked("listen") { Glibc.listen(socket.raw, 16) } }
            return NamespaceHandle(socket)
        }
    }

    /// Sends "ping" to the address and waits for the "pong" of the server; the address that the server saw, nil when nothing
    /// came back.
    ///
    /// - Parameter isExpected: false where nothing should come back: tried once only.
    func reach(
        _ address: IPAddress, _ port: UInt16, _ transport: Transport = .tcp, at server: NamespaceHandle,
        isExpected: Bool = true
    ) async throws -> IPAddress? {
        for _ in 0..<(isExpected ? Self.tries : 1) {
            if let seen = try await tryOnce(address, port, transport, at: server) { return seen }
        }
        return nil
    }

    /// True when nothing of what is sent comes back.
    func isRefused(
        _ address: IPAddress, _ port: UInt16, _ transport: Transport = .tcp, at server: NamespaceHandle
    ) async throws -> Bool {
        try await reach(address, port, transport, at: server, isExpected: false) == nil
    }

    private func tryOnce(
        _ address: IPAddress, _ port: UInt16, _ transport: Transport, at server: NamespaceHandle
    ) async throws -> IPAddress? {
        let client: NamespaceHandle? = try await run { () throws(SystemError) in
            let socket = try Station.socket(address.family, transport, milliseconds: Self.patience)
            if transport != .tcp { Station.empty(server.descriptor) }
            do throws(SystemError) {
                try Station.call("connect", socket, address, port, Glibc.connect)
                try Traffic.send(socket, "ping")
            } catch { return nil }
            return NamespaceHandle(socket)
        }
        guard let client else { return nil }
        return try await run { () throws(SystemError) in
            do throws(SystemError) {
                let seen = try Station.answer(server.descriptor, address.family, transport)
                return try Traffic.receive(client.descriptor) == "pong" ? seen : nil
            } catch { return nil }
        }
    }
}

/// System calls of sockets of both families.
enum Station {
    static func socket(
        _ family: IPAddress.Family, _ transport: Transport, milliseconds: Int
    ) throws(SystemError) -> OwnedFD {
        let kind = transport == .tcp ? SOCK_STREAM.rawValue : SOCK_DGRAM.rawValue
        let descriptor = OwnedFD(
            adopting: try checked("socket") {
                Glibc.socket(family == .v4 ? AF_INET : AF_INET6, CInt(kind | SOCK_CLOEXEC.rawValue), 0)
            })
        let raw = descriptor.raw
        var on: CInt = 1
        try checked("setsockopt") { setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &on, 4) }
        if family == .v6 { try checked("setsockopt") { setsockopt(raw, CInt(IPPROTO_IPV6), IPV6_V6ONLY, &on, 4) } }
        var limit = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            try checked("setsockopt") {
                setsockopt(raw, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
            }
        }
        return descriptor
    }

    /// bind(2) or connect(2).
    static func call(
        _ call: String, _ socket: borrowing OwnedFD, _ address: IPAddress, _ port: UInt16,
        _ body: (CInt, UnsafePointer<sockaddr>, socklen_t) -> CInt
    ) throws(SystemError) {
        let raw = socket.raw
        var name = sockaddr_storage()
        name.ss_family = sa_family_t(address.family == .v4 ? AF_INET : AF_INET6)
        withUnsafeMutableBytes(of: &name) { bytes in
            bytes[2] = UInt8(port >> 8)
            bytes[3] = UInt8(port & 255)
            UnsafeMutableRawBufferPointer(rebasing: bytes[offset(address.family)...]).copyBytes(from: address.bytes)
        }
        let size = socklen_t(address.family == .v4 ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size)
        try withUnsafePointer(to: &name) { pointer throws(SystemError) -> Void in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic throws(SystemError) -> Void in
                try checked(call) { body(raw, generic, size) }
            }
        }
    }

    /// Where the address begins in its structure.
    private static func offset(_ family: IPAddress.Family) -> Int { family == .v4 ? 4 : 8 }

    /// Drops the datagrams of earlier tries that have come late.
    static func empty(_ socket: borrowing OwnedFD) {
        var byte: UInt8 = 0
        let raw = socket.raw
        while recv(raw, &byte, 1, CInt(MSG_DONTWAIT)) >= 0 {}
    }

    /// Serves one client: reads, answers "pong", and says who it was.
    static func answer(
        _ server: borrowing OwnedFD, _ family: IPAddress.Family, _ transport: Transport
    ) throws(SystemError) -> IPAddress {
        let raw = server.raw
        var name = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        try withUnsafeMutablePointer(to: &name) { pointer throws(SystemError) -> Void in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { peer throws(SystemError) -> Void in
                if transport == .tcp {
                    let connection = OwnedFD(adopting: try checked("accept") { accept(raw, peer, &size) })
                    _ = try Traffic.receive(connection)
                    try Traffic.send(connection, "pong")
                } else {
                    var text = [UInt8](repeating: 0, count: 64)
                    try checked("recvfrom") { recvfrom(raw, &text, text.count, 0, peer, &size) }
                    try checked("sendto") { sendto(raw, Array("pong".utf8), 4, 0, peer, size) }
                }
            }
        }
        let bytes = withUnsafeBytes(of: name) { Array($0[offset(family)...].prefix(Int(family.bits) / 8)) }
        guard let address = IPAddress(bytes: bytes) else { throw SystemError("accept", EINVAL) }
        return address
    }
}
