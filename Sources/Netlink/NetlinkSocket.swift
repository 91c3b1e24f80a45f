import Glibc
import Kernel

/// A netlink(7) socket. It belongs to the network namespace its thread was in when it was opened.
///
/// Every call waits for the kernel's answer: use it on a thread of its own.
struct NetlinkSocket: ~Copyable, Sendable {
    /// The families of netlink that are used here (linux/netlink.h).
    enum Family: CInt {
        case route = 0
        case netfilter = 12
    }

    let descriptor: OwnedFD
    var sequence: UInt32 = 0

    // linux/netlink.h; Glibc's module has none of it.
    static let addressFamily: CInt = 16
    private static let optionLevel: CInt = 270
    private static let capAcknowledgement: CInt = 10
    private static let extendedAcknowledgement: CInt = 11
    private static let dumpInterrupted: UInt16 = 0x10

    /// The largest datagram: the kernel fills dumps up to 32 KiB.
    private static let datagramMax = 65536
    /// The kernel answers at once; a second is a fault, ten are certain.
    private static let answerSeconds = 10
    /// How often a dump that raced with a change is asked for again.
    private static let dumpTriesMax = 8

    init(_ family: Family = .route) throws(SystemError) { descriptor = try Self.open(family) }

    private static func open(_ family: Family) throws(SystemError) -> OwnedFD {
        let descriptor = OwnedFD(
            adopting: try checked("socket", "netlink") {
                socket(addressFamily, CInt(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), family.rawValue)
            })
        let raw = descriptor.raw
        var on: CInt = 1
        for option in [Self.capAcknowledgement, Self.extendedAcknowledgement] {
            try checked("setsockopt", "netlink") {
                setsockopt(raw, Self.optionLevel, option, &on, socklen_t(MemoryLayout<CInt>.size))
            }
        }
        var limit = timeval(tv_sec: Self.answerSeconds, tv_usec: 0)
        try checked("setsockopt", "netlink") {
            setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        return descriptor
    }

    /// Sends the requests in one datagram and checks the acknowledgement of each.
    ///
    /// The kernel goes on after a failed one: what the others did stays.
    /// - Throws: the first failure, with the request's object and the kernel's explanation.
    mutating func transact(_ messages: [NetlinkMessage]) throws(SystemError) {
        guard !messages.isEmpty else { return }
        let first = sequence &+ 1
        var datagram: [UInt8] = []
        for message in messages {
            sequence &+= 1
            datagram += message.finished(sequence: sequence, asking: .acknowledge)
        }
        try send(datagram)
        var missing = messages.count
        var failure: (index: Int, error: SystemError)?
        while missing > 0 {
            for reply in try receive() where reply.type == NetlinkReply.error {
                let index = Int(reply.sequence &- first)
                guard messages.indices.contains(index) else { continue }
                missing -= 1
                if let error = Self.failure(in: reply, messages[index].object), index < failure?.index ?? .max {
                    failure = (index, error)
                }
            }
        }
        if let failure { throw failure.error }
    }

    /// Every answer to a dump request, or the one answer to a request for one object.
    mutating func query(_ message: NetlinkMessage) throws(SystemError) -> [NetlinkReply] {
        for _ in 0..<Self.dumpTriesMax {
            if let replies = try queryOnce(message) { return replies }
        }
        throw SystemError("netlink", EAGAIN, message.object)
    }

    /// nil when the kernel says that the dump is inconsistent.
    private mutating func queryOnce(_ message: NetlinkMessage) throws(SystemError) -> [NetlinkReply]? {
        sequence &+= 1
        try send(message.finished(sequence: sequence, asking: .acknowledge))
        var replies: [NetlinkReply] = []
        var isConsistent = true
        while true {
            for reply in try receive() where reply.sequence == sequence {
                if reply.flags & Self.dumpInterrupted != 0 { isConsistent = false }
                switch reply.type {
                case NetlinkReply.error:
                    if let error = Self.failure(in: reply, message.object) { throw error }
                    return replies
                case NetlinkReply.done: return isConsistent ? replies : nil
                default: replies.append(reply)
                }
            }
        }
    }

    func send(_ datagram: [UInt8]) throws(SystemError) {
        let raw = descriptor.raw
        try checked("send", "netlink") { Glibc.send(raw, datagram, datagram.count, 0) }
    }

    func receive() throws(SystemError) -> [NetlinkReply] {
        let raw = descriptor.raw
        var failure: SystemError?
        let datagram = [UInt8](unsafeUninitializedCapacity: Self.datagramMax) { buffer, count in
            do throws(SystemError) {
                count = try checked("recv", "netlink") { recv(raw, buffer.baseAddress, buffer.count, 0) }
            } catch { failure = error }
        }
        if let failure { throw failure }
        guard let replies = NetlinkReply.parse(datagram[...]) else { throw SystemError("recv", EBADMSG, "netlink") }
        return replies
    }

    /// The error of an NLMSG_ERROR message, with the text of its extended acknowledgement; nil for success.
    static func failure(in reply: NetlinkReply, _ object: String) -> SystemError? {
        guard let code: CInt = reply.payload.number(at: 0) else { return SystemError("netlink", EBADMSG, object) }
        guard code != 0 else { return nil }
        // After the code comes the header of the request, and with NETLINK_CAP_ACK nothing else of it.
        let attributes = reply.attributes(after: 4 + NetlinkMessage.headerSize)
        let explanation = attributes[1].map { " (\($0.netlinkName))" } ?? ""
        return SystemError("netlink", -code, object + explanation)
    }
}
