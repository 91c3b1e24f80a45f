package import Glibc
package import NIOCore
import Synchronization

/// A bound socket that a server may listen on; closes itself when nobody did.
package final class ListeningSocket: Sendable {
    /// Why a socket cannot be had.
    package struct Failure: Error, Sendable, CustomStringConvertible {
        package let description: String
    }

    /// Connections that may wait to be accepted.
    static let backlog: CInt = 1024

    /// The address, for messages: a path or `127.0.0.1:2375`.
    package let address: String
    /// True for a unix socket.
    package let isLocal: Bool
    /// What clients must come with; nil for none.
    let tls: ServerTLS?
    private let handle: Mutex<NIOBSDSocket.Handle>

    /// Takes over a socket that somebody else bound, such as a service manager.
    package init(adopting handle: NIOBSDSocket.Handle, address: String, isLocal: Bool, tls: ServerTLS? = nil) {
        self.tls = tls
        self.address = address
        self.isLocal = isLocal
        self.handle = Mutex(handle)
    }

    deinit {
        let last = handle.withLock { $0 }
        if last >= 0 { _ = close(last) }
    }

    func release() -> NIOBSDSocket.Handle {
        handle.withLock { value in
            defer { value = -1 }
            return value
        }
    }

    /// A unix socket at `path`. A socket file that nobody answers on is replaced; one that somebody does is an error, as is
    /// any other file.
    ///
    /// - Parameters:
    ///   - group: a number; nil for root's.
    ///   - mode: of the file: who may connect.
    package static func unix(_ path: String, group: gid_t? = nil, mode: mode_t = 0o660) throws(Failure)
        -> ListeningSocket
    {
        let address = try unixAddress(path)
        try makeParents(of: path)
        try removeStale(path, address)
        let socket = try make(AF_UNIX)
        let result = ListeningSocket(adopting: socket, address: path, isLocal: true)
        try bind(socket, address, path)
        // Nobody can connect before listen(2), so the file never offers more than this.
        if let group, chown(path, 0, group) != 0 { throw failure("chown", path) }
        guard chmod(path, mode) == 0 else { throw failure("chmod", path) }
        try listen(socket, path)
        return result
    }

    /// A TCP socket on an address of this host: the API gives whoever gets through it the machine.
    ///
    /// - Parameters:
    ///   - host: a name or an address; empty for every address.
    ///   - port: where clients connect.
    package static func tcp(host: String, port: UInt16, tls: ServerTLS?) throws(Failure) -> ListeningSocket {
        let text = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        var hints = addrinfo()
        hints.ai_socktype = CInt(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_PASSIVE
        var found: UnsafeMutablePointer<addrinfo>?
        let result = getaddrinfo(host.isEmpty ? nil : host, "\(port)", &hints, &found)
        guard result == 0, let info = found?.pointee else {
            throw Failure(description: "cannot listen on \(text): \(String(cString: gai_strerror(result)))")
        }
        defer { freeaddrinfo(found) }
        let socket = try make(info.ai_family)
        let listening = ListeningSocket(adopting: socket, address: text, isLocal: false, tls: tls)
        var reuse: CInt = 1
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<CInt>.size))
        guard Glibc.bind(socket, info.ai_addr, info.ai_addrlen) == 0 else { throw failure("bind", text) }
        try listen(socket, text)
        return listening
    }

    private static func make(_ family: CInt) throws(Failure) -> CInt {
        let type = CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue)
        let socket = Glibc.socket(family, type, 0)
        guard socket >= 0 else { throw failure("socket", "") }
        return socket
    }

    private static func bind<Address>(_ socket: CInt, _ address: Address, _ text: String) throws(Failure) {
        let result = call(address) { Glibc.bind(socket, $0, $1) }
        guard result == 0 else { throw failure("bind", text) }
    }

    /// From here clients are queued, before anybody accepts.
    private static func listen(_ socket: CInt, _ text: String) throws(Failure) {
        guard Glibc.listen(socket, backlog) == 0 else { throw failure("listen", text) }
    }

    private static func call<Address>(_ address: Address, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt
    {
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<Address>.size))
            }
        }
    }

    private static func unixAddress(_ path: String) throws(Failure) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.hasPrefix("/"), path.utf8.count < capacity, !path.utf8.contains(0) else {
            throw Failure(description: "socket path \(path) must be absolute and shorter than \(capacity) bytes")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return address
    }

    private static func makeParents(of path: String) throws(Failure) {
        var parent = ""
        for name in path.split(separator: "/").dropLast() {
            parent += "/\(name)"
            guard mkdir(parent, 0o755) == 0 || errno == EEXIST else { throw failure("mkdir", parent) }
        }
    }

    private static func removeStale(_ path: String, _ address: sockaddr_un) throws(Failure) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw Failure(description: "\(path) exists and is not a socket")
        }
        let probe = try make(AF_UNIX)
        defer { _ = close(probe) }
        guard call(address, { connect(probe, $0, $1) }) != 0 else {
            throw Failure(description: "another daemon answers on \(path): stop it, or choose another socket with -H")
        }
        guard errno == ECONNREFUSED else { throw failure("connect", path) }
        guard unlink(path) == 0 else { throw failure("unlink", path) }
    }

    private static func failure(_ call: String, _ object: String) -> Failure {
        Failure(description: "\(call) \(object): \(String(cString: strerror(errno)))")
    }
}
