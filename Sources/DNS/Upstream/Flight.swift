import NIOCore

/// A list of servers that some containers' queries go to.
final class ServerList {
    let servers: [DNSEndpoint]
    /// What the cache knows it by; a list that nobody uses any more is forgotten, and its number never used again.
    let number: UInt32
    var users = 0

    init(_ servers: [DNSEndpoint], number: UInt32) {
        self.servers = servers
        self.number = number
    }
}

/// One question on its way to servers, and the queries that wait for its answer.
final class Flight {
    let number: UInt64
    /// Nil for a query whose answer is for nobody else.
    let key: AnswerKey?
    /// What servers are sent; the id before it is every attempt's own.
    let message: [UInt8]
    let questionEnd: Int
    /// In the order in which they are asked; one that is alone has a second chance, for datagrams are lost.
    let servers: [DNSEndpoint]
    /// Whether the second chance is all there is: no use when the server has said no.
    let isOneServer: Bool
    let startsWithStream: Bool
    var waiting: [PendingQuery] = []
    /// The attempt under way, by its place among the servers.
    private(set) var attempt = -1
    var deadline = NIODeadline.distantFuture
    /// All attempts that may still be answered: a slow server's answer is as good as the next one's.
    var datagrams: [(socket: UpstreamSocket, id: UInt16)] = []
    var exchanges: [StreamExchange] = []
    /// What there is when a cut answer cannot be had whole.
    var cut: UpstreamAnswer?

    init(
        _ number: UInt64, _ key: AnswerKey?, message: [UInt8], questionEnd: Int, _ servers: [DNSEndpoint],
        startsWithStream: Bool
    ) {
        self.number = number
        self.key = key
        self.message = message
        self.questionEnd = questionEnd
        isOneServer = servers.count == 1
        self.servers = isOneServer ? servers + servers : servers
        self.startsWithStream = startsWithStream
    }

    /// Goes on to the next server; nil when all were asked.
    func next() -> DNSEndpoint? {
        guard attempt + 1 < servers.count else { return nil }
        attempt += 1
        return servers[attempt]
    }

    /// Whether a message answers this question: an answer with the same question, whatever its case.
    func isAnswered(by message: ByteBuffer) -> Bool {
        let span = message.readableBytesUInt8Span
        guard span.count >= questionEnd, span[2] & 0xF8 == 0x80, span[4] == 0, span[5] == 1 else { return false }
        let fields = questionEnd - 4
        for offset in Wire.headerBytes..<questionEnd where span[offset] != self.message[offset] {
            // Type and class have no case; a label's length is below the letters.
            guard offset < fields, Self.lowercased(span[offset]) == Self.lowercased(self.message[offset]) else {
                return false
            }
        }
        return true
    }

    /// Whether a message says, without repeating the question, that the server will not look at it.
    static func isRefusal(_ message: ByteBuffer) -> Bool {
        let span = message.readableBytesUInt8Span
        guard span.count >= Wire.headerBytes else { return false }
        return span[2] & 0xF8 == 0x80 && span[3] & 15 != 0 && span[4] == 0 && span[5] == 0
    }

    static func lowercased(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
}
