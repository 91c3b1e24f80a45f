import CLinux
import Glibc
import Kernel

/// Waits for SIGTERM or SIGINT.
///
/// Its handler writes to a pipe. Blocking the signals and sigwait(3) is not enough: libdispatch's main thread lets every signal
/// in while it waits (sigsuspend(2)), and the daemon would be killed there.
package struct SignalWatch: Sendable {
    private static let numbers = [SIGTERM, SIGINT]
    private let stream: AsyncStream<Void>

    static var signals: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        return set
    }

    package init() throws {
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        self.stream = stream
        // Open as long as the process.
        let pipe = try checked("pipe", "signals") { cl_signal_pipe(Self.numbers, Int32(Self.numbers.count)) }
        try Threads.start("signals") {
            // Here they arrive, whatever the other threads let in.
            var set = Self.signals
            pthread_sigmask(SIG_UNBLOCK, &set, nil)
            var byte: UInt8 = 0
            while read(pipe, &byte, 1) == 1 { continuation.yield() }
        }
    }

    /// Returns at the first signal.
    package func wait() async { for await _ in stream { return } }
}
