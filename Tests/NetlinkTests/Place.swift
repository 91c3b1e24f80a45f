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
            try socket.transact([RouteMessages.bringUp(1)])
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
}

/// Short messages over connected sockets, for places' threads.
enum Traffic {
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
}
