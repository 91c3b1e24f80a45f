import Glibc
package import Kernel
package import Logging
package import NIOCore

/// Why a container cannot be served.
package struct ResolverError: Error, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

/// The name server that containers of user-defined networks have at 127.0.0.11: one for the daemon, with sockets in each
/// container's network namespace.
///
/// It answers for names and addresses of a container's networks and passes everything else on to name servers of the host,
/// which it asks from the namespace of the daemon. Queries are answered on one event loop and never wait for this actor.
package actor Resolver {
    private let loop: any EventLoop
    private let server: NIOLoopBoundBox<ServerLoop>

    /// Takes one event loop of the group.
    package init(eventLoopGroup: any EventLoopGroup, logger: Logger, limits: ResolverLimits = ResolverLimits()) {
        let loop = eventLoopGroup.next()
        self.loop = loop
        server = .makeBoxSendingValue(ServerLoop(loop, logger, limits), eventLoop: loop)
    }

    /// Serves one container on a bound UDP socket and a listening TCP socket of its namespace, which the resolver owns from
    /// here on, also when this fails.
    ///
    /// - Throws: ``ResolverError`` when the container is being served already, or its sockets are none of the kind.
    package func serve(
        _ container: String, udp: consuming OwnedFD, tcp: consuming OwnedFD, configuration: ClientConfiguration
    ) async throws {
        // The event loop would trap on what it cannot poll.
        guard Self.option(SO_TYPE, of: udp) == CInt(SOCK_DGRAM.rawValue), Self.option(SO_ACCEPTCONN, of: tcp) == 1
        else {
            throw ResolverError("name server of container \(container) needs a UDP socket and a listening TCP socket")
        }
        Self.widen(udp)
        let udp = udp.release()
        let tcp = tcp.release()
        try await loop.flatSubmit { [server] in
            server.value.serve(container, udp: udp, tcp: tcp, configuration)
        }.get()
    }

    /// Bytes of waiting queries that the kernel takes for one container: a thousand, since each counts for a page's quarter.
    private static let receiveBytes: CInt = 512 << 10

    /// Gives a burst of queries somewhere to wait.
    private static func widen(_ socket: borrowing OwnedFD) {
        var bytes = receiveBytes
        let length = socklen_t(MemoryLayout<CInt>.size)
        // Without the capability the system's limit holds, which is less and not wrong.
        if setsockopt(socket.raw, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, length) != 0 {
            setsockopt(socket.raw, SOL_SOCKET, SO_RCVBUF, &bytes, length)
        }
    }

    private static func option(_ name: CInt, of socket: borrowing OwnedFD) -> CInt? {
        var value: CInt = 0
        var length = socklen_t(MemoryLayout<CInt>.size)
        return getsockopt(socket.raw, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }

    /// Replaces what the container's queries see; the next one sees nothing but the new. Nothing for a container that is not
    /// served.
    package func update(_ container: String, _ configuration: ClientConfiguration) async {
        // Cannot fail: the loop outlives the resolver.
        try? await loop.submit { [server] in server.value.update(container, configuration) }.get()
    }

    /// Ends the service of a container; its sockets are closed when this returns.
    package func stop(_ container: String) async {
        // A socket that cannot be closed properly is closed all the same.
        try? await loop.flatSubmit { [server] in server.value.stop(container) }.get()
    }

    /// Ends the service of all containers.
    package func close() async {
        // As in ``stop(_:)``.
        try? await loop.flatSubmit { [server] in server.value.close() }.get()
    }
}
