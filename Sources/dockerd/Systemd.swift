import Glibc
import HTTP

/// systemd's side of a service (sd_listen_fds(3), sd_notify(3)): sockets it hands over, and where it wants to be told.
struct Systemd: Sendable {
    /// The first descriptor handed over.
    private static let firstDescriptor: CInt = 3

    private var sockets: [(name: String, descriptor: CInt)] = []
    private let notifySocket: String?

    /// Takes what the environment says, and takes it out of there: it is not for the daemon's children.
    init() {
        func take(_ name: String) -> String? {
            defer { unsetenv(name) }
            return getenv(name).map { String(cString: $0) }
        }
        notifySocket = take("NOTIFY_SOCKET")
        let names = (take("LISTEN_FDNAMES") ?? "").split(separator: ":", omittingEmptySubsequences: false)
        let (count, process) = (take("LISTEN_FDS").flatMap { CInt($0) } ?? 0, take("LISTEN_PID"))
        guard process == "\(getpid())", (1...1024).contains(count) else { return }
        for index in 0..<count {
            let descriptor = Self.firstDescriptor + index
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            sockets.append((Int(index) < names.count ? String(names[Int(index)]) : "unknown", descriptor))
        }
    }

    /// The sockets of that name, or all, which nobody has taken yet.
    ///
    /// - Throws: `DaemonFailure` where there are none, or one cannot be served.
    mutating func sockets(named name: String?, tls: ServerTLS?, isInsecureAllowed: Bool) throws -> [ListeningSocket] {
        let taken = sockets.filter { name == nil || $0.name == name }
        guard !taken.isEmpty else {
            throw DaemonFailure(
                "no sockets found via socket activation\(name.map { " with the name \($0)" } ?? ""): "
                    + "make sure the service was started by systemd")
        }
        sockets.removeAll { name == nil || $0.name == name }
        return try taken.map { socket in
            let family = try Self.family(socket.descriptor, socket.name)
            if family == AF_UNIX {
                return ListeningSocket(adopting: socket.descriptor, address: "fd://\(socket.name)", isLocal: true)
            }
            guard tls != nil || (isInsecureAllowed && Self.isLoopback(socket.descriptor)) else {
                throw DaemonFailure(
                    "cannot listen on fd://\(socket.name), a TCP socket, without TLS: give --tlsverify, or activate by a unix socket"
                )
            }
            return ListeningSocket(
                adopting: socket.descriptor, address: "fd://\(socket.name)", isLocal: false, tls: tls)
        }
    }

    private static func option(_ descriptor: CInt, _ name: CInt) -> CInt? {
        var (value, length) = (CInt(0), socklen_t(MemoryLayout<CInt>.size))
        return getsockopt(descriptor, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }

    private static func family(_ descriptor: CInt, _ name: String) throws -> CInt {
        guard option(descriptor, SO_ACCEPTCONN) == 1, option(descriptor, SO_TYPE) == CInt(SOCK_STREAM.rawValue),
            let family = option(descriptor, SO_DOMAIN), [AF_UNIX, AF_INET, AF_INET6].contains(family)
        else {
            throw DaemonFailure("fd://\(name) is not a listening stream socket: use ListenStream= in the socket unit")
        }
        return family
    }

    private static func isLoopback(_ descriptor: CInt) -> Bool {
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &address) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                guard getsockname(descriptor, $0, &length) == 0 else { return false }
                var host = [CChar](repeating: 0, count: 64)
                guard getnameinfo($0, length, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST) == 0 else {
                    return false
                }
                let text = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                return text.hasPrefix("127.") || text == "::1"
            }
        }
    }

    /// Tells the service manager, where there is one; what it does not hear is its loss.
    func notify(_ state: String) {
        guard let path = notifySocket, path.hasPrefix("/") || path.hasPrefix("@") else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        withUnsafeMutableBytes(of: &address.sun_path) { target in
            target.copyBytes(from: bytes)
            // An abstract name begins with a NUL.
            if bytes[0] == UInt8(ascii: "@") { target[0] = 0 }
        }
        let socket = Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return }
        defer { close(socket) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + (bytes[0] == UInt8(ascii: "@") ? 0 : 1))
        let message = Array(state.utf8)
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(socket, message, message.count, CInt(MSG_NOSIGNAL), $0, length)
            }
        }
    }
}
