/// Endpoints of ended containers on their way out, in two steps: the namespace is closed, then the address is freed when
/// the kernel has removed the interface.
///
/// Namespaces are closed in batches, because the kernel takes down a batch as fast as one, and new ones wait meanwhile.
struct BridgeRetirement {
    private struct Leaving {
        let address: IPv4Address
        let hostInterface: String
        var namespace: NamespaceHandle?
        var rounds = 0
    }

    /// Namespaces closed in one round.
    private static let batchMax = 32
    /// Rounds after which the interface is removed by name: a process other than the container's holds its namespace.
    private static let patience = 30

    private var open: [Leaving] = []
    private var closing: [Leaving] = []

    var isEmpty: Bool { open.isEmpty && closing.isEmpty }

    /// Time until the next round; nil when nothing is left to do.
    var pause: Duration? { isEmpty ? nil : .milliseconds(100) }

    mutating func add(_ address: IPv4Address, _ hostInterface: String, _ namespace: NamespaceHandle?) {
        open.append(Leaving(address: address, hostInterface: hostInterface, namespace: namespace))
    }

    /// Closes the namespaces that have waited longest.
    mutating func closeBatch() {
        for var leaving in open.prefix(Self.batchMax) {
            leaving.namespace = nil
            closing.append(leaving)
        }
        open.removeFirst(min(Self.batchMax, open.count))
    }

    /// The addresses whose interfaces are gone; they are free now.
    mutating func finished(isGone: (String) -> Bool, remove: (String) -> Void) -> [IPv4Address] {
        var free: [IPv4Address] = []
        var staying: [Leaving] = []
        for var leaving in closing {
            if isGone(leaving.hostInterface) {
                free.append(leaving.address)
                continue
            }
            leaving.rounds += 1
            if leaving.rounds % Self.patience == 0 { remove(leaving.hostInterface) }
            staying.append(leaving)
        }
        closing = staying
        return free
    }
}
