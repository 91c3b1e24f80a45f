import CLinux
import Glibc
import Kernel

/// Tells when somebody else has changed, flushed or removed our table: `nft flush ruleset`, another firewall's reload.
///
/// Listens to what the kernel tells of every change of nf_tables (NFNLGRP_NFTABLES), on a thread of its own. Our own changes
/// are left out, and the operator's in the chain that is theirs. When the kernel had to leave something out (ENOBUFS), it
/// may have been about us.
final class RulesetMonitor: Sendable {
    /// The end of a pipe whose closing ends the thread.
    private let lifeline: NamespaceHandle

    /// Changes come in bursts; they are told of once.
    private static let gathering: CInt = 50
    /// The longest time from a change to its telling, while others keep changing: two that restore their own table
    /// against each other are slowed down to this.
    private static let gatheringMax: CInt = 800
    /// After so much quiet the next change is told of soon again.
    private static let quiet: CInt = 5000
    private static let datagramMax = 65536
    /// NFNLGRP_NFTABLES
    private static let group: UInt32 = 7

    /// Call it in the host's namespace.
    ///
    /// - Parameters:
    ///   - ours: ``Firewall/port``.
    ///   - bufferBytes: of what the kernel keeps for us while the thread is not at it.
    ///   - onChange: called on the monitor's thread; the table must be installed again.
    init(
        table: String, ours: UInt32, bufferBytes: CInt = 1 << 20, onChange: @escaping @Sendable () -> Void
    ) throws(NetworkError) {
        do throws(SystemError) {
            let socket = NamespaceHandle(try Self.open(ours, bufferBytes))
            var ends: [CInt] = [-1, -1]
            try checked("pipe2") { cl_pipe(&ends) }
            let stopping = NamespaceHandle(OwnedFD(adopting: ends[0]))
            lifeline = NamespaceHandle(OwnedFD(adopting: ends[1]))
            try Threads.start("ruleset") { Self.watch(PacketTable(name: table), socket, stopping, onChange) }
        } catch {
            throw NetworkError("watch the packet rules", error)
        }
    }

    private static func open(_ ours: UInt32, _ bufferBytes: CInt) throws(SystemError) -> OwnedFD {
        let descriptor = OwnedFD(
            adopting: try checked("socket", "netlink") {
                socket(
                    NetlinkSocket.addressFamily,
                    CInt(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue),
                    NetlinkSocket.Family.netfilter.rawValue)
            })
        let raw = descriptor.raw
        // Before anything is heard: a table of thousands of ports of ours would fill the buffer.
        try checked("setsockopt", "netlink") { cl_ignore_netlink_port(raw, ours) }
        var size = bufferBytes
        try checked("setsockopt", "netlink") {
            setsockopt(raw, SOL_SOCKET, SO_RCVBUFFORCE, &size, socklen_t(MemoryLayout<CInt>.size))
        }
        try NetlinkSocket.bind(descriptor, groups: 1 << (group - 1))
        return descriptor
    }

    /// The thread: until the monitor goes.
    private static func watch(
        _ table: PacketTable, _ socket: NamespaceHandle, _ stopping: NamespaceHandle,
        _ onChange: @Sendable () -> Void
    ) {
        var pause = gathering
        while true {
            switch wait(socket, stopping, milliseconds: pause > gathering ? quiet : -1) {
            case .stop: return
            case .quiet: pause = gathering
            case .message:
                guard isAboutUs(table, socket) else { continue }
                guard wait(nil, stopping, milliseconds: pause) == .quiet else { return }
                // Everything that came in the meantime is answered by the same restoration.
                _ = isAboutUs(table, socket)
                pause = min(pause * 2, gatheringMax)
                onChange()
            }
        }
    }

    private enum Wake { case stop, quiet, message }

    private static func wait(_ socket: NamespaceHandle?, _ stopping: NamespaceHandle, milliseconds: CInt) -> Wake {
        // poll(2) leaves out what is negative.
        var polled = [
            pollfd(fd: stopping.descriptor.raw, events: Int16(POLLIN), revents: 0),
            pollfd(fd: socket?.descriptor.raw ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        while true {
            let count = poll(&polled, nfds_t(polled.count), milliseconds)
            if count < 0 && errno == EINTR { continue }
            if polled[0].revents != 0 { return .stop }
            return polled[1].revents != 0 ? .message : .quiet
        }
    }

    /// Reads everything that is there; true when any of it is about our table or was lost.
    private static func isAboutUs(_ table: PacketTable, _ socket: NamespaceHandle) -> Bool {
        var isAboutUs = false
        while true {
            var failure: CInt = 0
            let datagram = [UInt8](unsafeUninitializedCapacity: datagramMax) { buffer, count in
                count = max(0, recv(socket.descriptor.raw, buffer.baseAddress, buffer.count, 0))
                if count == 0 { failure = errno }
            }
            if datagram.isEmpty {
                if failure == EINTR { continue }
                if failure != ENOBUFS { return isAboutUs }
                isAboutUs = true
                continue
            }
            let messages = NetlinkReply.parse(datagram[...])
            if messages?.contains(where: table.isConcerned) ?? true { isAboutUs = true }
        }
    }
}

extension PacketTable {
    /// True when the message tells of a change in this table outside of the operator's chain.
    func isConcerned(by message: NetlinkReply) -> Bool {
        let attributes = message.attributes(after: 4)
        guard message.type >> 8 == NetlinkMessage.Subsystem.tables.rawValue, message.payload.first == family,
            attributes[1]?.netlinkName == name
        else { return false }
        // A rule names its chain in attribute 2, a chain itself in 3.
        switch message.type & 0xFF {
        case Kind.newRule, Kind.deleteRule: return attributes[2]?.netlinkName != Ruleset.operatorsChain
        case Kind.newChain: return attributes[3]?.netlinkName != Ruleset.operatorsChain
        default: return true
        }
    }
}
