@preconcurrency import Glibc

/// Starts `dockerd` in the background when nobody listens at the standard socket.
enum DaemonStarter {
    /// How long a daemon may take to answer; ours needs 50 ms, a first start on a slow disk more.
    private static let millisecondsMax = 10_000
    private static let runDirectory = "/var/run/docker-swift"

    /// Starts the daemon and connects to it as soon as it listens.
    static func startAndConnect(_ host: Host) throws(CLIError) -> Connection {
        guard let binary = find() else { throw .unreachable(host.description) }
        mkdir(runDirectory, 0o711)
        let log = "\(runDirectory)/dockerd.log"
        try spawn(binary, log)
        for _ in 0..<(millisecondsMax / 5) {
            usleep(5000)
            if let connection = try? Connection(to: host) {
                complain("docker: started dockerd in the background (\(binary), log \(log))")
                return connection
            }
        }
        throw CLIError("started \(binary), but it does not answer at \(host.description); see \(log)")
    }

    /// The `dockerd` beside this program, else in its libexec folder, else on the path.
    private static func find() -> String? {
        var folders: [String] = []
        if let own = realpath("/proc/self/exe", nil) {
            let folder = String(cString: own).split(separator: "/").dropLast().joined(separator: "/")
            free(own)
            folders = ["/" + folder, "/\(folder)/../libexec/docker"]
        }
        folders += (environment("PATH") ?? "/usr/sbin:/usr/bin").split(separator: ":").map(String.init)
        return folders.map { "\($0)/dockerd" }.first { access($0, X_OK) == 0 }
    }

    private static func spawn(_ binary: String, _ log: String) throws(CLIError) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o640)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // POSIX_SPAWN_SETSID: a session of its own, so that the terminal's signals do not reach it.
        posix_spawnattr_setflags(&attributes, 0x80)
        var pid: pid_t = 0
        let name = strdup(binary)
        defer { free(name) }
        var arguments: [UnsafeMutablePointer<CChar>?] = [name, nil]
        let code = posix_spawn(&pid, binary, &actions, &attributes, &arguments, environ)
        guard code == 0 else { throw .system("starting \(binary)", code) }
    }
}
