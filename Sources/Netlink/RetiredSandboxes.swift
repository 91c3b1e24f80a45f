/// Namespaces of ended containers on their way out, in two steps: the namespace is closed, then the addresses are freed when
/// the kernel has removed the interfaces.
///
/// Namespaces are closed in batches, because the kernel takes down a batch as fast as one, and new ones wait meanwhile.
struct RetiredSandboxes {
    private struct Leaving {
        var endpoints: [Endpoint]
        var prepared: PreparedNamespace?
        var rounds = 0
    }

    /// Namespaces closed in one round.
    private static let batchMax = 32
    /// Rounds after which interfaces are removed by name: a process other than the container's holds the namespace.
    private static let patience = 30

    private var open: [Leaving] = []
    private var closing: [Leaving] = []

    var isEmpty: Bool { open.isEmpty && closing.isEmpty }

    /// Time until the next round; nil when nothing is left to do.
    var pause: Duration? { isEmpty ? nil : .milliseconds(100) }

    /// Host interfaces that will go.
    var hostInterfaces: [String] { (open + closing).flatMap { $0.endpoints.map(\.hostInterface) } }

    func holds(_ address: IPAddress, on network: String) -> Bool {
        (open + closing).contains { $0.endpoints.contains { $0.network == network && $0.addresses.contains(address) } }
    }

    mutating func add(_ endpoints: [Endpoint], _ prepared: PreparedNamespace?) {
        open.append(Leaving(endpoints: endpoints, prepared: prepared))
    }

    /// Closes the namespaces that have waited longest.
    mutating func closeBatch() {
        for var leaving in open.prefix(Self.batchMax) {
            leaving.prepared = nil
            closing.append(leaving)
        }
        open.removeFirst(min(Self.batchMax, open.count))
    }

    /// The endpoints whose interfaces are gone; their addresses are free now.
    mutating func finished(isGone: (String) -> Bool, remove: (String) -> Void) -> [Endpoint] {
        var free: [Endpoint] = []
        var staying: [Leaving] = []
        for var leaving in closing {
            leaving.rounds += 1
            // One without a host interface (macvlan) goes with its namespace; a round later it is gone.
            let gone = leaving.endpoints.filter {
                $0.hostInterface.isEmpty ? leaving.rounds > 1 : isGone($0.hostInterface)
            }
            free += gone
            leaving.endpoints.removeAll(where: gone.contains)
            if leaving.endpoints.isEmpty { continue }
            if leaving.rounds % Self.patience == 0 {
                for endpoint in leaving.endpoints { remove(endpoint.hostInterface) }
            }
            staying.append(leaving)
        }
        closing = staying
        return free
    }
}
