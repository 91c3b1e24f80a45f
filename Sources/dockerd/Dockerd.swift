import Actors
import ArgumentParser
import CLinux
import EngineAPI
import Glibc
import HTTP
import Kernel
import Logging

@main
enum Main {
    /// Signals are blocked while there is one thread, so that every later one inherits it.
    static func main() async {
        ProcessSettings.apply()
        await Dockerd.main()
    }
}

/// The daemon: opens the stores, serves the Engine API, and leaves the containers running when it ends.
struct Dockerd: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dockerd", abstract: "A container engine that speaks Docker's API.", version: Engine.version)

    @OptionGroup var options: Options

    func run() async throws {
        do { try await serve() } catch {
            FileHandleText.standardError("dockerd: \(error)\n")
            throw ExitCode(1)
        }
    }

    private func serve() async throws {
        guard getuid() == 0 else { throw DaemonFailure("dockerd needs to be started with root privileges: use sudo") }
        var service = Systemd()
        let resolved = try options.resolve()
        var logger = Logger(label: "dockerd")
        logger.logLevel = resolved.engine.debug ? .debug : .info
        // Before anything is touched: a daemon that cannot listen, or that runs already, leaves all as it is.
        let sockets = try resolved.listeners.flatMap { try $0.open(&service) }
        var configuration = resolved.engine
        configuration.descriptors = ProcessSettings.descriptors
        let engine = try await Engine.open(configuration, logger: logger)
        let api = EngineAPI(engine, logger: logger)
        let server = HTTPServer(
            sockets, service: api.service, limits: Limits(descriptors: ProcessSettings.descriptors.hard))
        let pidfile = resolved.pidfile
        if let pidfile { try Files.replace(pidfile, with: Array("\(getpid())\n".utf8), mode: 0o644) }
        let signals = try SignalWatch()
        // Clients are queued from here on.
        service.notify("READY=1")
        let manager = service
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask { await engine.networks.warmUp() }
            group.addTask {
                await signals.wait()
                manager.notify("STOPPING=1")
                await server.shutdown(grace: Self.grace)
            }
            // The network's warm-up ends at once; the server or a signal ends the daemon.
            for try await _ in group {}
        }
        await engine.shutdown()
        if let pidfile { unlink(pidfile) }
    }

    /// How long requests under way may go on after SIGTERM.
    private static let grace = Duration.seconds(5)
}

/// Settings of the whole process.
enum ProcessSettings {
    /// Arenas beyond this only keep freed memory from coming back.
    private static let mallocArenas: CInt = 2
    /// Bytes from which an allocation is mapped by itself, and above which free memory at the end of the heap goes back.
    /// Left alone, glibc raises both to the largest block it has seen, and a pull's tables would stay for good.
    private static let mallocThreshold: CInt = 256 << 10

    static func apply() {
        signal(SIGPIPE, SIG_IGN)
        var ending = SignalWatch.signals
        pthread_sigmask(SIG_BLOCK, &ending, nil)
        umask(0o022)
        cl_tune_malloc(Self.mallocArenas, Self.mallocThreshold)
        _ = descriptors
    }

    /// Descriptors that the daemon was started with; from then on it may have as many open as it may allow itself.
    static let descriptors: DescriptorLimit = {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return DescriptorLimit(soft: 1024, hard: 1024)
        }
        let given = DescriptorLimit(soft: Int(clamping: limit.rlim_cur), hard: Int(clamping: limit.rlim_max))
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return given
    }()
}

/// Text on a standard stream.
enum FileHandleText {
    static func standardError(_ text: String) {
        _ = Array(text.utf8).withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    }
}

/// Waits for SIGTERM or SIGINT.
///
/// Its handler writes to a pipe. Blocking the signals and sigwait(3) is not enough: libdispatch's main thread lets every signal
/// in while it waits (sigsuspend(2)), and the daemon would be killed there.
struct SignalWatch: Sendable {
    private static let numbers = [SIGTERM, SIGINT]
    private let stream: AsyncStream<Void>

    static var signals: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        return set
    }

    init() throws {
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
    func wait() async { for await _ in stream { return } }
}
