import Glibc
import Kernel

/// What the kernel's connection tracking knows of one flow (nfnetlink_conntrack.h).
struct Flow: Sendable, Hashable {
    /// One direction's addresses and ports.
    struct Way: Sendable, Hashable {
        var source: IPAddress
        var destination: IPAddress
        var sourcePort: UInt16
        var destinationPort: UInt16
        var transport: UInt8
    }

    let original: Way
    /// Of the answers: differs from the mirror image of `original` where the flow is translated.
    let reply: Way
    /// The attributes that name the flow to the kernel: its original direction, zone and number.
    fileprivate let identity: [UInt16: [UInt8]]

    fileprivate init?(_ message: NetlinkReply) {
        let attributes = message.attributes(after: 4)
        guard let original = attributes[1], let reply = attributes[2], let there = Way(original),
            let back = Way(reply)
        else { return nil }
        self.original = there
        self.reply = back
        identity = [1: Array(original)].merging(
            [12, 18].compactMap { type in attributes[type].map { (type, Array($0)) } }, uniquingKeysWith: { $1 })
    }

    /// True when this flow keeps packets from the way that the mapping gives them now, or gave them.
    ///
    /// - Parameter isPublished: true: flows that go elsewhere; false: flows that still go to the container.
    fileprivate func isStale(_ mapping: PortMapping, _ isPublished: Bool) -> Bool {
        let binding = mapping.binding
        guard original.transport == binding.transport.rawValue, original.destinationPort == binding.hostPort,
            binding.hostAddress.isUnspecified || binding.hostAddress == original.destination
        else { return false }
        let isOurs = reply.source == mapping.address && reply.sourcePort == binding.containerPort
        guard isPublished else { return isOurs }
        // What leaves under another address but goes where it wanted to go never came to the host's port.
        let isOutbound = original.destination == reply.source && original.source != reply.destination
        return !isOurs && !isOutbound
    }
}

extension Flow.Way {
    /// From an attribute CTA_TUPLE_ORIG or CTA_TUPLE_REPLY; nil when something is missing.
    fileprivate init?(_ tuple: ArraySlice<UInt8>) {
        let parts = tuple.netlinkAttributes()
        guard let ends = parts[1]?.netlinkAttributes(), let ports = parts[2]?.netlinkAttributes(),
            let source = (ends[1] ?? ends[3]).flatMap({ IPAddress(bytes: $0) }),
            let destination = (ends[2] ?? ends[4]).flatMap({ IPAddress(bytes: $0) }),
            let transport: UInt8 = ports[1]?.number(at: 0), let from: UInt16 = ports[2]?.number(at: 0),
            let to: UInt16 = ports[3]?.number(at: 0)
        else { return nil }
        self.init(
            source: source, destination: destination, sourcePort: UInt16(bigEndian: from),
            destinationPort: UInt16(bigEndian: to), transport: transport)
    }
}

extension NetlinkSocket {
    /// IPCTNL_MSG_CT_GET and IPCTNL_MSG_CT_DELETE
    private static let getFlow: UInt16 = 1
    private static let deleteFlow: UInt16 = 2

    /// Ends the datagram flows that keep packets from the way that published ports give them now, or gave them.
    ///
    /// TCP needs none of it: a connection is begun anew or ends with its container.
    mutating func forgetFlows(of mappings: [PortMapping], isPublished: Bool) throws(SystemError) {
        for family in IPAddress.Family.allCases {
            let datagrams = mappings.filter {
                $0.binding.transport == .udp && $0.binding.hostAddress.family == family && $0.address.family == family
            }
            guard !datagrams.isEmpty else { continue }
            let byPort = Dictionary(grouping: datagrams, by: \.binding.hostPort)
            // One port is looked for by the kernel; of many, each flow of the transport is looked at here.
            let only = byPort.count == 1 ? byPort.keys.first : nil
            let flows = try query(Self.flows(.udp, to: only, family)).compactMap { Flow($0) }
            for flow in flows {
                let candidates = byPort[flow.original.destinationPort] ?? []
                if candidates.contains(where: { flow.isStale($0, isPublished) }) { try remove(flow) }
            }
        }
    }

    private mutating func remove(_ flow: Flow) throws(SystemError) {
        var message = NetlinkMessage(
            .connections, Self.deleteFlow, family: Self.family(flow.original.source.family), [], "flow")
        for (type, value) in flow.identity.sorted(by: { $0.key < $1.key }) {
            message.attribute(type == 1 ? type | 0x8000 : type, value)
        }
        do throws(SystemError) {
            try transact([message])
        } catch  where error.code == ENOENT {
            return  // it has ended by itself
        }
    }

    private static func flows(
        _ transport: Transport, to port: UInt16?, _ family: IPAddress.Family
    ) -> NetlinkMessage {
        var message = NetlinkMessage(.connections, getFlow, family: Self.family(family), .dump, "flows")
        message.tree(1) { tuple in  // CTA_TUPLE_ORIG
            tuple.tree(2) {
                $0.attribute(1, [transport.rawValue])
                if let port { $0.attribute(3, [UInt8(port >> 8), UInt8(port & 255)]) }
            }
        }
        // CTA_FILTER: which of the above counts. A kernel without it (before 5.8) answers with every flow.
        message.tree(25) {
            $0.attribute(1, UInt32(port == nil ? 0x8 : 0x28))
            $0.attribute(2, UInt32(0))
        }
        return message
    }

    private static func family(_ family: IPAddress.Family) -> UInt8 {
        family == .v4 ? PacketTable.ipv4 : PacketTable.ipv6
    }
}
