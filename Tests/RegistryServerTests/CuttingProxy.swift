import Foundation
import Synchronization
import Testing

/// Stands between a registry and its database, and cuts a connection around a commit.
final class CuttingProxy: Sendable {
    enum Cut: Sendable {
        /// The server never sees the commit.
        case beforeCommit
        /// The server commits, and its answer is lost.
        case afterCommit
    }

    let port: UInt16
    private let listener: CInt
    private let path: String
    /// What is done with the next commit.
    private let next = Mutex<Cut?>(nil)
    /// Commits that were cut.
    private let count = Mutex(0)

    init(_ server: PostgresServer) throws {
        path = server.directory + "/.s.PGSQL.5432"
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        port = try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                try #require(bind(listener, $0, length) == 0 && listen(listener, 64) == 0)
                try #require(getsockname(listener, $0, &length) == 0)
            }
            return UInt16(bigEndian: pointer.pointee.sin_port)
        }
        Thread.detachNewThread { [weak self] in
            while true {
                let client = accept(listener, nil, nil)
                guard client >= 0, let self else { return }
                self.connect(client)
            }
        }
    }

    deinit { shutdown(listener, Int32(SHUT_RDWR)) }

    /// Cuts at the next commit.
    func cut(_ cut: Cut) { next.withLock { $0 = cut } }
    var cuts: Int { count.withLock { $0 } }

    private func connect(_ client: CInt) {
        let server = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8.prefix($0.count - 1)) }
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(server, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        let pair = Pair(client: client, server: server)
        Thread.detachNewThread { self.copyRequests(pair) }
        Thread.detachNewThread { Self.copyAnswers(pair) }
    }

    /// Both sides of a connection; closed when neither direction needs them.
    private final class Pair: Sendable {
        let client: CInt
        let server: CInt
        /// Nothing more goes to the client.
        let isCut = Atomic(false)

        init(client: CInt, server: CInt) {
            self.client = client
            self.server = server
        }

        deinit {
            close(client)
            close(server)
        }
    }

    private func copyRequests(_ pair: Pair) {
        var block = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(pair.client, &block, block.count, 0)
            guard count > 0 else { break }
            if block[..<count].firstRange(of: Array("COMMIT\0".utf8)) != nil, let cut = takeCut() {
                pair.isCut.store(true, ordering: .sequentiallyConsistent)
                shutdown(pair.client, Int32(SHUT_RDWR))
                if cut == .beforeCommit { break }
            }
            guard send(pair.server, block, count, Int32(MSG_NOSIGNAL)) == count else { break }
        }
        // The server sees the end after all that was sent.
        shutdown(pair.server, Int32(SHUT_WR))
    }

    private static func copyAnswers(_ pair: Pair) {
        var block = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = recv(pair.server, &block, block.count, 0)
            guard count > 0 else { break }
            if pair.isCut.load(ordering: .sequentiallyConsistent) { continue }
            guard send(pair.client, block, count, Int32(MSG_NOSIGNAL)) == count else { break }
        }
        shutdown(pair.client, Int32(SHUT_RDWR))
    }

    private func takeCut() -> Cut? {
        let cut = next.withLock { next in
            defer { next = nil }
            return next
        }
        if cut != nil { count.withLock { $0 += 1 } }
        return cut
    }
}
