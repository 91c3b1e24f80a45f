import Glibc
package import Kernel

/// Network namespaces with nothing but `lo`, made before a container of `--network none` asks for one.
///
/// Making one takes most of a millisecond, and ten times that while the kernel takes others down, so neither belongs on
/// the way of a start: spares are refilled in the background, and used ones are closed in batches.
package actor EmptyNamespaces {
    /// Namespaces that wait unused; ten containers started at once find one each.
    private static let sparesMax = 12
    /// Used namespaces are closed so long after the first of a batch: the kernel takes down many as fast as one.
    private static let retirement = Duration.milliseconds(100)

    private let thread: NetworkThread
    private var spares: [NamespaceHandle] = []
    private var refill: Task<Void, Never>?
    private var retired: [NamespaceHandle] = []
    private var closing: Task<Void, Never>?
    private var isClosed = false

    /// - Throws: `SystemError` when the system gives no thread.
    package init() throws(SystemError) { thread = try NetworkThread(name: "ns-none", niceness: 10) }

    deinit { thread.stop() }

    /// A namespace of the caller's own; nil when no spare is there, and then it is as fast to make one with the process.
    package func take() -> EmptyNamespace? {
        defer { startRefill() }
        return spares.popLast().map(EmptyNamespace.init)
    }

    /// Makes the first spares.
    package func warmUp() { startRefill() }

    /// Takes back a namespace that no process is in any more. It is not used again: its processes may have changed it.
    package func retire(_ namespace: EmptyNamespace) {
        retired.append(namespace.handle)
        guard closing == nil, !isClosed else { return }
        closing = Task {
            // Cancelled when the daemon ends, which closes everything.
            try? await Task.sleep(for: Self.retirement)
            retired = []
            closing = nil
        }
    }

    /// Lets the spares go; the namespaces of running containers live on with their processes.
    package func close() {
        isClosed = true
        closing?.cancel()
        spares = []
        retired = []
    }

    private func startRefill() {
        guard refill == nil, !isClosed, spares.count < Self.sparesMax else { return }
        refill = Task {
            await fill()
            refill = nil
        }
    }

    private func fill() async {
        while !isClosed, spares.count < Self.sparesMax {
            do throws(SystemError) {
                spares.append(try await thread.run { () throws(SystemError) in try Self.make() })
            } catch {
                return  // containers make their own and report what is wrong
            }
        }
    }

    private static func make() throws(SystemError) -> NamespaceHandle {
        // The thread stays in the namespace it made last: the next one replaces it.
        try NetworkNamespace.enterNew()
        try NetworkNamespace.setDefaults()
        var inside = try NetlinkSocket()
        try inside.transact([RouteMessages.bringUp(1)])  // lo is the first interface of every namespace
        return NamespaceHandle(try NetworkNamespace.current())
    }
}

/// A namespace that one container uses; it lives while somebody holds this or is in it.
package struct EmptyNamespace: Sendable {
    fileprivate let handle: NamespaceHandle

    /// Opens it from any process that may look into this one.
    package var path: String { handle.path }
}
