import CLinux
package import Kernel
import Synchronization

/// One thread that waits for many descriptors (epoll(7)) and calls back when one is ready.
///
/// A handler runs on the poll thread, must not block, and is called again while its descriptor stays ready. Made once, by
/// whoever starts the engine; its thread lives as long as the process.
package final class Poller: Sendable {
    package typealias Handler = @Sendable () -> Void

    package struct Events: Sendable {
        let rawValue: UInt32
        package static let input = Events(rawValue: CL_POLL_IN)
        package static let hangUp = Events(rawValue: 0)
    }

    private struct State {
        var next: UInt64 = 1
        var handlers: [UInt64: Handler] = [:]
    }

    private let epoll: CInt
    private let state = Mutex(State())

    /// - Throws: `SystemError` when the kernel gives no epoll instance or no thread.
    package init() throws(SystemError) {
        epoll = try checked("epoll_create1") { cl_epoll_create() }
        try Threads.start("poller") { self.loop() }
    }

    /// Watches `descriptor`, which stays open until ``remove(_:descriptor:)``.
    ///
    /// - Parameter events: what to wait for; hang-ups are always reported.
    /// - Returns: the name to remove it by.
    package func add(_ descriptor: CInt, events: Events, _ handler: @escaping Handler) throws(SystemError) -> UInt64 {
        let token = state.withLock { state in
            state.next += 1
            state.handlers[state.next] = handler
            return state.next
        }
        do throws(SystemError) {
            try checked("epoll_ctl") { cl_epoll_add(epoll, descriptor, events.rawValue, token) }
        } catch {
            state.withLock { _ = $0.handlers.removeValue(forKey: token) }
            throw error
        }
        return token
    }

    /// Forgets a descriptor before it is closed. A call of its handler may still be under way.
    package func remove(_ token: UInt64, descriptor: CInt) {
        _ = cl_epoll_remove(epoll, descriptor)
        state.withLock { _ = $0.handlers.removeValue(forKey: token) }
    }

    private func loop() {
        var names = [UInt64](repeating: 0, count: 64)
        while true {
            let count = cl_epoll_wait(epoll, &names, CInt(names.count))
            guard count > 0 else { continue }
            for name in names[..<Int(count)] { state.withLock { $0.handlers[name] }?() }
        }
    }
}
