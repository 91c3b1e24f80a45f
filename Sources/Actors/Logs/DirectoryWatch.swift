import Glibc
import Isolation
import Kernel
import Synchronization

/// Something has happened; several times before anybody looks count once.
final class Signal: Sendable {
    private struct State {
        var isSet = false
        var hasNewFiles = false
        var hasEnded = false
        var waiter: CheckedContinuation<Void, Never>?
    }
    private let state = Mutex(State())

    func set() { set { _ in } }

    /// With new files, or old ones of new names.
    func setNewFiles() { set { $0.hasNewFiles = true } }

    /// Nothing more will happen.
    func end() { set { $0.hasEnded = true } }

    private func set(_ change: (inout State) -> Void) {
        let waiter = state.withLock { state in
            change(&state)
            defer { state.waiter = nil }
            state.isSet = state.waiter == nil
            return state.waiter
        }
        waiter?.resume()
    }

    var hasEnded: Bool { state.withLock { $0.hasEnded } }

    func takeNewFiles() -> Bool {
        state.withLock { state in
            defer { state.hasNewFiles = false }
            return state.hasNewFiles
        }
    }

    /// Returns when it is or comes to be set, and clears it; at once when the task is cancelled. For one waiter.
    func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isSet = state.withLock { state in
                    defer { state.isSet = false }
                    if !state.isSet { state.waiter = continuation }
                    return state.isSet
                }
                if isSet { continuation.resume() }
            }
        } onCancel: {
            set()
        }
    }
}

/// Tells who follows files in a directory that one of them was written to, made or renamed (inotify(7)).
final class DirectoryWatch: Sendable {
    private struct State {
        /// By watch descriptor, of which the kernel gives one a directory.
        var signals: [CInt: [ObjectIdentifier: Signal]] = [:]
    }
    private let descriptor: OwnedFD
    private let state = Mutex(State())

    init(_ poller: Poller) throws(SystemError) {
        descriptor = OwnedFD(
            adopting: try checked("inotify_init1") { inotify_init1(CInt(IN_NONBLOCK) | CInt(IN_CLOEXEC)) })
        // As long as the engine: it is never removed.
        _ = try poller.add(descriptor.raw, events: .input) { [weak self] in self?.receive() }
    }

    private static let newFiles = UInt32(IN_CREATE | IN_MOVED_FROM)

    /// Sets `signal` whenever something changes, until the result goes.
    ///
    /// - Throws: `SystemError` with ENOSPC when the system has no watches left.
    func watch(_ directory: String, _ signal: Signal) throws(SystemError) -> Watching {
        let raw = descriptor.raw
        let events = UInt32(IN_MODIFY) | Self.newFiles
        let number = try state.withLock { state throws(SystemError) in
            let number = try checked("inotify_add_watch", directory) { inotify_add_watch(raw, directory, events) }
            state.signals[number, default: [:]][ObjectIdentifier(signal)] = signal
            return number
        }
        return Watching(self, number, signal)
    }

    /// A subscription.
    final class Watching: Sendable {
        private let owner: DirectoryWatch
        private let number: CInt
        private let signal: Signal

        fileprivate init(_ owner: DirectoryWatch, _ number: CInt, _ signal: Signal) {
            (self.owner, self.number, self.signal) = (owner, number, signal)
        }

        deinit { owner.forget(number, signal) }
    }

    private func forget(_ number: CInt, _ signal: Signal) {
        state.withLock { state in
            state.signals[number]?[ObjectIdentifier(signal)] = nil
            guard state.signals[number]?.isEmpty == true else { return }
            state.signals[number] = nil
            // Fails when the directory has gone, and its watch with it.
            _ = inotify_rm_watch(descriptor.raw, number)
        }
    }

    /// On the poll thread.
    private func receive() {
        withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 8) { buffer in
            let count = read(descriptor.raw, buffer.baseAddress, buffer.count)
            /// Whether there are new files.
            var numbers: [CInt: Bool] = [:]
            var offset = 0
            while offset + MemoryLayout<inotify_event>.size <= count {
                let event = buffer.loadUnaligned(fromByteOffset: offset, as: EventHeader.self)
                // Lost events may have been anybody's.
                if event.mask & UInt32(IN_Q_OVERFLOW) != 0 { return wakeAll() }
                numbers[event.watch] = numbers[event.watch] == true || event.mask & Self.newFiles != 0
                offset += MemoryLayout<EventHeader>.size + Int(event.nameBytes)
            }
            for (number, hasNewFiles) in numbers {
                let signals = state.withLock { $0.signals[number].map { Array($0.values) } ?? [] }
                for signal in signals { hasNewFiles ? signal.setNewFiles() : signal.set() }
            }
        }
    }

    private func wakeAll() {
        let signals = state.withLock { $0.signals.values.flatMap(\.values) }
        for signal in signals { signal.setNewFiles() }
    }

    /// `struct inotify_event` without its name.
    private struct EventHeader {
        var watch: CInt
        var mask: UInt32
        var cookie: UInt32
        var nameBytes: UInt32
    }
}
