import CLinux
import Glibc

/// Settings of a whole server process.
package enum ProcessSettings {
    /// Arenas beyond this only keep freed memory from coming back.
    private static let mallocArenas: CInt = 2
    /// Bytes from which an allocation is mapped by itself, and above which free memory at the end of the heap goes back.
    /// Left alone, glibc raises both to the largest block it has seen, and a pull's tables would stay for good.
    private static let mallocThreshold: CInt = 256 << 10

    package static func apply() {
        signal(SIGPIPE, SIG_IGN)
        var ending = SignalWatch.signals
        pthread_sigmask(SIG_BLOCK, &ending, nil)
        umask(0o022)
        cl_tune_malloc(Self.mallocArenas, Self.mallocThreshold)
        _ = descriptors
    }

    /// Descriptors that the process was started with; from then on it may have as many open as it may allow itself.
    package static let descriptors: (soft: Int, hard: Int) = {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return (soft: 1024, hard: 1024)
        }
        let given = (soft: Int(clamping: limit.rlim_cur), hard: Int(clamping: limit.rlim_max))
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return given
    }()
}

/// Text on the standard stream for errors.
package enum StandardError {
    package static func write(_ text: String) {
        _ = Array(text.utf8).withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }
}
