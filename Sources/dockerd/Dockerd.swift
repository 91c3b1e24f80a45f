import Actors
import ArgumentParser
import EngineAPI
import Glibc
import HTTP
import Kernel
import Logging
import ServerProcess

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
            StandardError.write("dockerd: \(error)\n")
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
        let descriptors = ProcessSettings.descriptors
        configuration.descriptors = DescriptorLimit(soft: descriptors.soft, hard: descriptors.hard)
        let engine = try await Engine.open(configuration, logger: logger)
        let api = EngineAPI(engine, logger: logger)
        let server = HTTPServer(
            sockets, service: api.service, limits: Limits(descriptors: descriptors.hard))
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
