import Glibc
import Kernel
import Synchronization

/// The beginning of what a process writes to standard output and standard error, in the order it came.
///
/// The rest is read and dropped, so that the process never waits.
package final class CapturedOutput: Sendable {
    private struct State {
        var frames: FrameText
        var token: UInt64?
        var hasEnded = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let socket: OwnedFD
    private let poller: Poller
    private let state: Mutex<State>

    /// - Parameters:
    ///   - socket: of multiplexed frames, as an attached client gets them.
    ///   - bytesMax: how much is kept.
    init(_ socket: consuming OwnedFD, bytesMax: Int, _ poller: Poller) throws(SystemError) {
        self.socket = socket
        self.poller = poller
        state = Mutex(State(frames: FrameText(bytesMax: bytesMax)))
        // The handler is what keeps this object until the stream ends.
        let descriptor = self.socket.raw
        let token = try poller.add(descriptor, events: .input) { [self] in receive() }
        let hasEnded = state.withLock { state in
            state.token = token
            return state.hasEnded
        }
        if hasEnded { poller.remove(token, descriptor: descriptor) }
    }

    /// The text, once the stream has ended: that is when the monitor has told everything. `...` stands for what is missing.
    package func text() async -> String {
        await withCheckedContinuation { continuation in
            let hasEnded = state.withLock { state in
                if !state.hasEnded { state.waiters.append(continuation) }
                return state.hasEnded
            }
            if hasEnded { continuation.resume() }
        }
        return state.withLock { $0.frames.text }
    }

    /// On the poll thread.
    private func receive() {
        withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 1) { buffer in
            let count = recv(socket.raw, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
            if count < 0, errno == EAGAIN || errno == EINTR { return }
            guard count > 0 else { return end() }
            state.withLock { $0.frames.take(UnsafeRawBufferPointer(rebasing: buffer[..<count])) }
        }
    }

    private func end() {
        let (token, waiters) = state.withLock { state in
            state.hasEnded = true
            defer { (state.token, state.waiters) = (nil, []) }
            return (state.token, state.waiters)
        }
        if let token { poller.remove(token, descriptor: socket.raw) }
        for waiter in waiters { waiter.resume() }
    }
}

/// Takes Docker's multiplexed frames apart and keeps the first bytes of their content.
struct FrameText {
    private static let headerBytes = 8
    private let bytesMax: Int
    private var header: [UInt8] = []
    /// Bytes of the current frame that have not come yet.
    private var left = 0
    private var kept: [UInt8] = []
    private var isCut = false

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// What is not UTF-8 is replaced; `...` stands for what was dropped.
    var text: String { String(decoding: kept, as: UTF8.self) + (isCut ? "..." : "") }

    mutating func take(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes[...]
        while !rest.isEmpty {
            if left > 0 {
                let content = rest.prefix(left)
                let taken = content.prefix(bytesMax - kept.count)
                kept += taken
                if taken.count < content.count { isCut = true }
                left -= content.count
                rest = rest.dropFirst(content.count)
            } else {
                let part = rest.prefix(Self.headerBytes - header.count)
                header += part
                rest = rest.dropFirst(part.count)
                guard header.count == Self.headerBytes else { return }
                left = header[4...].reduce(0) { $0 << 8 | Int($1) }
                header = []
            }
        }
    }
}
