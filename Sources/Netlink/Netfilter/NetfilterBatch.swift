import Glibc
import Kernel

extension NetlinkSocket {
    /// Bytes of the largest transaction: half a million published ports.
    private static let transactionMax: CInt = 64 << 20
    /// Bytes for the kernel's answers, of which there is one for every change that it refuses.
    private static let answersMax: CInt = 4 << 20

    /// A socket for ``commit(_:)``.
    static func forTables() throws(SystemError) -> NetlinkSocket {
        let socket = try NetlinkSocket(.netfilter)
        let raw = socket.descriptor.raw
        for (option, size) in [(SO_SNDBUFFORCE, transactionMax / 2), (SO_RCVBUFFORCE, answersMax)] {
            var size = size
            try checked("setsockopt", "netlink") {
                setsockopt(raw, SOL_SOCKET, option, &size, socklen_t(MemoryLayout<CInt>.size))
            }
        }
        return socket
    }

    /// Gives a socket its number, and lets it hear the groups: bit n - 1 for group n.
    ///
    /// A socket without a number hears nothing.
    /// - Returns: the number, which the kernel puts into what it tells others of this socket's changes.
    @discardableResult
    static func bind(_ descriptor: borrowing OwnedFD, groups: UInt32 = 0) throws(SystemError) -> UInt32 {
        // struct sockaddr_nl: family, padding, port, groups.
        var name: (UInt16, UInt16, UInt32, UInt32) = (UInt16(addressFamily), 0, 0, groups)
        let size = socklen_t(MemoryLayout.size(ofValue: name))
        let raw = descriptor.raw
        try withUnsafeMutablePointer(to: &name) { pointer throws(SystemError) -> Void in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic throws(SystemError) -> Void in
                var size = size
                try checked("bind", "netlink") { Glibc.bind(raw, generic, size) }
                try checked("getsockname", "netlink") { getsockname(raw, generic, &size) }
            }
        }
        return name.2
    }

    /// Makes all changes of nf_tables, or none (NFNL_MSG_BATCH_BEGIN to NFNL_MSG_BATCH_END), seen by packets at one moment.
    ///
    /// - Throws: the first failure, with the change's object.
    mutating func commit(_ changes: [NetlinkMessage]) throws(SystemError) {
        guard !changes.isEmpty else { return }
        sequence &+= 1
        let first = sequence
        var datagram = Self.bound(0x10).finished(sequence: first, asking: [])
        for (index, change) in changes.enumerated() {
            sequence &+= 1
            datagram += change.finished(sequence: sequence, asking: index + 1 == changes.count ? .acknowledge : [])
        }
        sequence &+= 1
        datagram += Self.bound(0x11).finished(sequence: sequence, asking: [])
        try send(datagram)
        try awaitCommit(of: changes, first)
    }

    /// The answers: one for each change that failed, and one for the last; for the beginning when all of it failed.
    private func awaitCommit(of changes: [NetlinkMessage], _ first: UInt32) throws(SystemError) {
        var failure: (index: Int, error: SystemError)?
        while true {
            for reply in try receive() where reply.type == NetlinkReply.error {
                let index = Int(reply.sequence &- first)
                guard index <= changes.count else { continue }  // of an earlier transaction
                let object = index == 0 ? "packet rules" : changes[index - 1].object
                if let error = Self.failure(in: reply, object), index < failure?.index ?? .max {
                    failure = (index, error)
                }
                guard index == changes.count || index == 0 else { continue }
                if let failure { throw failure.error }
                return
            }
        }
    }

    private static func bound(_ kind: UInt16) -> NetlinkMessage {
        NetlinkMessage(
            .batch, kind, family: 0, [], "batch", resource: NetlinkMessage.Subsystem.tables.rawValue)
    }
}
