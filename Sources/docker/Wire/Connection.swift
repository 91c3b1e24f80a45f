@preconcurrency import Glibc

/// One connection to a daemon: a blocking socket and the bytes received but not yet taken.
final class Connection {
    /// Longest response head accepted; Go's own client stops at 10 MiB, real heads are below 2 KiB.
    static let headBytesMax = 1 << 20

    private let socket: Descriptor
    /// The program at the other end of the socket, when it is one that speaks to the daemon for us.
    private let proxy: ConnectionProxy?
    private var buffer: [UInt8] = []
    private var start = 0

    /// The descriptor, for poll(2).
    var raw: CInt { socket.raw }

    /// Whether received bytes wait here, which poll(2) cannot see.
    var hasBuffered: Bool { start < buffer.count }

    /// Whether the other end has closed, or sent what nobody asked for: nothing more can be asked here.
    var isClosedByPeer: Bool {
        var state = pollfd(fd: raw, events: Int16(POLLIN), revents: 0)
        return poll(&state, 1, 0) != 0
    }

    /// Connects; the error is the errno of connect(2), so that callers can tell "nobody listens" from the rest.
    init(to endpoint: Endpoint) throws(ConnectFailure) {
        switch endpoint.host {
        case .unix(let path):
            proxy = nil
            socket = try Self.connectUnix(path)
        case .tcp(let name, let port, _):
            guard let files = endpoint.tls else {
                proxy = nil
                socket = try Self.connectTCP(name, port)
                return
            }
            (proxy, socket) = try ConnectionProxy.start(ConnectionProxy.tls(name, port, files), isTLS: true)
        case .ssh(let address): (proxy, socket) = try ConnectionProxy.start(address.command)
        }
    }

    /// Why the other end is gone, when it is a program that says so.
    func endOfProxy() -> CLIError? { proxy?.failure() }

    /// Whether a program connects for us, of which only its end tells that it cannot.
    var isProxied: Bool { proxy != nil }

    /// The errno of a failed connect(2), or why a program that connects could not be started.
    struct ConnectFailure: Error {
        var code: CInt
        var message: String?
    }

    private static func connectUnix(_ path: String) throws(ConnectFailure) -> Descriptor {
        let raw = Glibc.socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw ConnectFailure(code: errno) }
        let socket = Descriptor(adopting: raw)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw ConnectFailure(code: ENAMETOOLONG)
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw ConnectFailure(code: errno) }
        return socket
    }

    private static func connectTCP(_ name: String, _ port: UInt16) throws(ConnectFailure) -> Descriptor {
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, String(port), &hints, &list) == 0 else { throw ConnectFailure(code: EHOSTUNREACH) }
        defer { freeaddrinfo(list) }
        var failure: CInt = EHOSTUNREACH
        var next = list
        while let candidate = next {
            let raw = Glibc.socket(
                candidate.pointee.ai_family, candidate.pointee.ai_socktype | CInt(SOCK_CLOEXEC.rawValue), 0)
            let socket = Descriptor(adopting: raw)
            if raw >= 0, connect(raw, candidate.pointee.ai_addr, candidate.pointee.ai_addrlen) == 0 { return socket }
            failure = errno
            next = candidate.pointee.ai_next
        }
        throw ConnectFailure(code: failure)
    }

    /// Sends all of `bytes`.
    func send(_ bytes: some Collection<UInt8>) throws(CLIError) { try writeAll(raw, bytes) }

    /// Closes the sending side: the other end reads its end of file.
    func finishSending() { shutdown(raw, CInt(SHUT_WR)) }

    /// Up to `countMax` bytes, buffered ones first; empty at the end of the stream.
    func receive(_ countMax: Int = 65536) throws(CLIError) -> [UInt8] {
        if !hasBuffered { return try readSome(raw, countMax) }
        let end = min(buffer.count, start + countMax)
        let part = Array(buffer[start..<end])
        start = end
        if start == buffer.count {
            buffer.removeAll(keepingCapacity: true)
            start = 0
        }
        return part
    }

    /// A line without its CRLF or LF; `nil` at the end of the stream.
    func line() throws(CLIError) -> String? {
        var scanned = start
        while true {
            if let end = buffer[scanned...].firstIndex(of: 0x0a) {
                var text = buffer[start..<end]
                if text.last == 0x0d { text = text.dropLast() }
                start = end + 1
                return String(decoding: text, as: UTF8.self)
            }
            scanned = buffer.count
            guard buffer.count - start < Self.headBytesMax else {
                throw CLIError("the daemon sent an endless header line")
            }
            let part = try readSome(raw, 16384)
            if part.isEmpty { return nil }
            if start > 0 {
                buffer.removeFirst(start)
                scanned -= start
                start = 0
            }
            buffer += part
        }
    }
}
