import FoundationEssentials
import Glibc
import Kernel
import Logging
import Netlink

/// Where the files of one container are.
struct ContainerPaths: Sendable {
    /// Durable: writable layer, configuration files, logs.
    let directory: String
    /// Of this boot: the monitor's socket and the exit record.
    let run: String
    private let trash: String

    init(_ configuration: EngineConfiguration, id: String) {
        directory = "\(configuration.dataRoot)/containers/\(id)"
        run = "\(configuration.execRoot)/containers/\(id)"
        trash = "\(configuration.dataRoot)/trash"
    }

    var upper: String { directory + "/upper" }
    var work: String { directory + "/work" }
    var log: String { "\(directory)/\(directory.split(separator: "/").last ?? "")-json.log" }
    var hosts: String { directory + "/hosts" }
    var hostname: String { directory + "/hostname" }
    var resolvConf: String { directory + "/resolv.conf" }
    /// The network endpoint of the running process, for a daemon that starts again meanwhile.
    private var endpointFile: String { run + "/endpoint.json" }

    func make() throws {
        for path in [upper, work] { try Files.makeDirectories(path, mode: 0o710) }
        // The writable layer's root is the container's `/`.
        try checked("chmod", upper) { chmod(upper, 0o755) }
    }

    func store(endpoint: AdoptedEndpoint) throws {
        try Files.replace(endpointFile, with: Array(try JSONEncoder().encode(endpoint)))
    }

    /// The stored endpoint; nil where there is none that can be read.
    func endpoint() -> AdoptedEndpoint? {
        guard let bytes = try? Files.read(endpointFile) else { return nil }
        return try? JSONDecoder().decode(AdoptedEndpoint.self, from: Data(bytes))
    }

    /// Moves everything out of the way at once, and removes it in the background.
    ///
    /// - Parameter teardown: what must have ended before the directory of this boot may go.
    func discard(after teardown: Task<Void, Never>? = nil) {
        let (directory, run, trash) = (directory, run, trash)
        Task {
            await teardown?.value
            await BlockingPool.shared.run {
                let target = "\(trash)/\(Identifier.random())"
                // What stays behind is removed when the daemon starts again.
                try? Files.makeDirectories(trash)
                if rename(directory, target) == 0 { try? Files.removeTree(target) }
                try? Files.removeTree(run)
            }
        }
    }

    /// Removes what a killed daemon left of containers that are not known (any more).
    static func clearLeftovers(_ configuration: EngineConfiguration, known: Set<String>, _ logger: Logger) {
        let roots = ["\(configuration.dataRoot)/containers", "\(configuration.execRoot)/containers", "\(configuration.dataRoot)/trash"]
        let doomed = roots.flatMap { root in
            ((try? Files.list(root)) ?? []).filter { !known.contains($0) }.map { "\(root)/\($0)" }
        }
        guard !doomed.isEmpty else { return }
        Task {
            await BlockingPool.shared.run {
                for path in doomed {
                    do throws(SystemError) { try Files.removeTree(path) } catch {
                        logger.warning("cannot remove a leftover", metadata: ["path": "\(path)", "error": "\(error)"])
                    }
                }
            }
        }
    }
}
