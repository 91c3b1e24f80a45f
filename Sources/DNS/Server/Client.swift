import NIOCore

/// One container that is served. Belongs to the event loop, as do all its parts.
final class Client {
    let container: String
    var configuration: ClientConfiguration
    /// The servers to forward to, and their list's number; none when nothing is forwarded.
    var servers: ServerList?
    /// Queries that wait for servers.
    var waiting = 0
    var datagrams: (any Channel)?
    var listener: (any Channel)?
    var connections: [ObjectIdentifier: StreamPort] = [:]

    init(_ container: String, _ configuration: ClientConfiguration) {
        self.container = container
        self.configuration = configuration
    }
}

/// Where an answer goes.
enum Route {
    case datagram(DatagramPort, SocketAddress)
    case stream(StreamPort)

    var isStream: Bool {
        if case .stream = self { true } else { false }
    }

    /// Sends an answer that came later than its query's turn.
    func deliver(_ message: ByteBuffer) {
        switch self {
        case .datagram(let port, let address): port.send(message, to: address)
        case .stream(let port): port.send(message)
        }
    }
}

/// A query that waits for a server's answer.
struct PendingQuery {
    let client: Client
    let route: Route
    let id: UInt16
    let flags: HeaderFlags
    let hasOptions: Bool
    let wantsSignatures: Bool
    /// The question as the client spelled it.
    let question: [UInt8]
    /// Bytes that the client takes.
    let bytesMax: Int

    /// The answer when no server gave one.
    func failure(_ code: UInt8) -> ByteBuffer {
        let framed = route.isStream
        var buffer = ByteBufferAllocator().buffer(capacity: question.count + 32)
        if framed { buffer.writeInteger(UInt16(0)) }
        let start = buffer.writerIndex
        let flags = HeaderFlags([.response, .recursionAvailable]).union(
            self.flags.intersection([.recursionDesired, .checkingDisabled]))
        buffer.writeMultipleIntegers(
            id, flags.rawValue | UInt16(code), UInt16(1), UInt16(0), UInt16(0), UInt16(hasOptions ? 1 : 0))
        buffer.writeBytes(question)
        if hasOptions { Reply.writeOptions(&buffer, code: code, wantsSignatures: wantsSignatures) }
        Reply.frame(&buffer, start)
        return buffer
    }
}
