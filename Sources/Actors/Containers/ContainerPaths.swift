import FoundationEssentials
import Glibc
import Isolation
import Kernel
import Logging
import Netlink

/// Where the files of one container are.
struct ContainerPaths: Sendable {
    /// Durable: writable layer, configuration files, logs.
    let directory: String
    /// Of this boot: the monitor's socket and the exit record.
    let run: String
    private let id: String
    private let trash: String

    init(_ configuration: EngineConfiguration, id: String) {
        self.id = id
        directory = "\(configuration.dataRoot)/containers/\(id)"
        run = "\(configuration.execRoot)/containers/\(id)"
        trash = "\(configuration.dataRoot)/trash"
    }

    var upper: String { directory + "/upper" }
    var work: String { directory + "/work" }
    /// The log's files; nil where a driver keeps none.
    func logFiles(_ kind: LogDriver.Kind) -> LogFiles? {
        switch kind {
        case .jsonFile:
            LogFiles(path: "\(directory)/\(id)-json.log", kind: kind)
        case .local: LogFiles(path: "\(directory)/container.log", kind: kind)
        case .none: nil
        }
    }
    var hosts: String { directory + "/hosts" }
    var hostname: String { directory + "/hostname" }
    var resolvConf: String { directory + "/resolv.conf" }
    /// Of the monitor of the health check that runs.
    var probe: String { run + "/health" }
    /// The networks of the running process, for a daemon that starts again meanwhile.
    private var sandboxFile: String { run + "/networks.json" }
    /// `/etc/hosts` as it was last rendered, to tell what a user has added.
    var renderedHosts: String { directory + "/hosts.rendered" }
    /// `/etc/resolv.conf` as it was last rendered: one that differs is a user's.
    var renderedResolvConf: String { directory + "/resolv.conf.rendered" }

    func make() throws {
        for path in [upper, work] { try Files.makeDirectories(path, mode: 0o710) }
        // The writable layer's root is the container's `/`.
        try checked("chmod", upper) { chmod(upper, 0o755) }
    }

    func store(_ sandbox: AdoptedSandbox) throws {
        try Files.replace(sandboxFile, with: Array(try JSONEncoder().encode(sandbox)))
    }

    /// What was stored of the running container's networks; nil where there is nothing that can be read.
    func sandbox() -> AdoptedSandbox? {
        guard let bytes = try? Files.read(sandboxFile) else { return nil }
        return try? JSONDecoder().decode(AdoptedSandbox.self, from: Data(bytes))
    }

    /// Moves everything out of the way at once, and removes it in the background.
    ///
    /// - Parameters:
    ///   - teardown: what must have ended before the directory of this boot may go.
    ///   - cgroup: control groups that a daemon which died while it prepared a start may have left.
    func discard(after teardown: Task<Void, Never>? = nil, _ cgroup: Cgroup? = nil) {
        let (directory, run, trash) = (directory, run, trash)
        Task {
            await teardown?.value
            await BlockingPool.shared.run {
                let target = "\(trash)/\(Identifier.random())"
                // What stays behind is removed when the daemon starts again.
                try? Files.makeDirectories(trash)
                if rename(directory, target) == 0 { try? Files.removeTree(target) }
                try? Files.removeTree(run)
                try? cgroup?.remove()
            }
        }
    }

    /// Removes the container's files at once: its writable layer and logs, and the directory they were in.
    func empty() async {
        let directory = directory
        // What cannot be removed is removed with the rest, later.
        await BlockingPool.shared.run { try? Files.removeTree(directory) }
    }

    /// Removes what a killed daemon left of containers that are not known (any more).
    ///
    /// - Parameter cgroup: the control groups a container of this id would have; only ids found below the exec root are asked
    ///   for, because other engines may share the parent.
    static func clearLeftovers(
        _ configuration: EngineConfiguration, known: Set<String>, _ logger: Logger,
        cgroup: @escaping @Sendable (String) -> Cgroup
    ) {
        let roots = [
            "\(configuration.dataRoot)/containers", "\(configuration.execRoot)/containers",
            "\(configuration.dataRoot)/trash",
        ]
        let doomed = roots.flatMap { root in
            ((try? Files.list(root)) ?? []).filter { !known.contains($0) }.map { "\(root)/\($0)" }
        }
        guard !doomed.isEmpty else { return }
        let prepared = ((try? Files.list("\(configuration.execRoot)/containers")) ?? []).filter { !known.contains($0) }
        Task {
            await BlockingPool.shared.run {
                for id in prepared {
                    do throws(SystemError) { try cgroup(id).remove() } catch {
                        logger.warning(
                            "cannot remove control group", metadata: ["container": "\(id)", "error": "\(error)"])
                    }
                }
                for path in doomed {
                    do throws(SystemError) { try Files.removeTree(path) } catch {
                        logger.warning("cannot remove a leftover", metadata: ["path": "\(path)", "error": "\(error)"])
                    }
                }
            }
        }
    }
}
