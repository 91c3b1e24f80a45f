import Kernel

/// Ends stale datagram flows behind the change that made them stale, on a thread of its own.
///
/// The kernel finds flows by walking its whole table, 20 ms for a quarter of a million buckets: nobody waits for that, and
/// changes that come meanwhile share the next walk.
final class FlowSweep: Sendable {
    private struct State {
        var published: [PortMapping] = []
        var removed: [PortMapping] = []
        var isStopped = false

        var isIdle: Bool { published.isEmpty && removed.isEmpty && !isStopped }
    }

    private final class Connections: @unchecked Sendable {  // made on one thread, then used on the sweep's alone
        var socket: NetlinkSocket

        init() throws(SystemError) { socket = try NetlinkSocket(.netfilter) }
    }

    private let state = Guarded(State())

    /// Call it in the host's namespace.
    init() throws(SystemError) {
        let connections = try Connections()
        let state = state
        try Threads.start("flows") { Self.loop(state, connections) }
    }

    deinit { state.withLock { $0.isStopped = true } }

    /// Ends the flows that keep packets from the way that published ports give them now, or gave them.
    func forget(_ mappings: [PortMapping], isPublished: Bool) {
        let datagrams = mappings.filter { $0.binding.transport == .udp }
        guard !datagrams.isEmpty else { return }
        state.withLock {
            if isPublished { $0.published += datagrams } else { $0.removed += datagrams }
        }
    }

    private static func loop(_ state: Guarded<State>, _ connections: Connections) {
        while true {
            let work = state.wait(until: { !$0.isIdle }) { state in
                defer { (state.published, state.removed) = ([], []) }
                return state
            }
            // A flow that cannot be found or ended now ends by itself, half a minute after its last datagram.
            try? connections.socket.forgetFlows(of: work.removed, isPublished: false)
            try? connections.socket.forgetFlows(of: work.published, isPublished: true)
            if work.isStopped { return }
        }
    }
}
