@preconcurrency import Glibc

/// Starts `dockerd` in the background when nobody listens at the standard socket.
enum DaemonStarter {
    /// How long a daemon may take to answer; ours needs 50 ms, a first start on a slow disk more.
    private static let millisecondsMax = 10_000
    private static let runDirectory = "/var/run/docker-swift"

    /// How long another program's daemon may take to answer after ours has ended because of it.
    private static let millisecondsForOther = 1500
    /// Lines of the log shown when the daemon ends at once.
    private static let linesShown = 10

    /// Starts the daemon and connects to it, or to one somebody else starts at the same time, as soon as one listens.
    static func startAndConnect(_ endpoint: Endpoint) throws(CLIError) -> Connection {
        let host = endpoint.host.description
        guard let binary = find() else { throw .unreachable(host) }
        mkdir(runDirectory, 0o711)
        let log = "\(runDirectory)/dockerd.log"
        var before = stat()
        let logBytes = stat(log, &before) == 0 ? Int(before.st_size) : 0
        let child = try spawn(binary, log)
        var ended = false
        var end = now + millisecondsMax
        while case let left = end - now, left > 0 {
            usleep(5000)
            if let connection = try? Connection(to: endpoint), answers(endpoint, within: left) {
                if !ended { complain("docker: started dockerd in the background (\(binary), log \(log))") }
                return connection
            }
            var status: CInt = 0
            if !ended, waitpid(child, &status, WNOHANG) == child {
                ended = true
                // It may have ended because another one holds the data root, which will answer in a moment.
                end = min(end, now + millisecondsForOther)
            }
        }
        let said = lastLines(of: log, from: logBytes)
        guard !ended else { throw CLIError("dockerd (\(binary)) could not start:\n\(said)\nThe whole log is \(log)") }
        throw CLIError("started \(binary), but it does not answer at \(host); the end of \(log):\n\(said)")
    }

    /// Milliseconds of a clock that nobody sets.
    private static var now: Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }

    /// Whether a daemon answers: one that listens may still find that it cannot start.
    private static func answers(_ endpoint: Endpoint, within milliseconds: Int) -> Bool {
        guard let probe = try? Connection(to: endpoint) else { return false }
        do throws(CLIError) {
            try probe.send(Array("HEAD /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n".utf8))
            var state = pollfd(fd: probe.raw, events: Int16(POLLIN), revents: 0)
            guard poll(&state, 1, CInt(milliseconds)) > 0 else { return false }
            return try !probe.receive().isEmpty
        } catch {
            return false
        }
    }

    /// What a daemon wrote since its log had `offset` bytes.
    private static func lastLines(of log: String, from offset: Int) -> String {
        // A log that cannot be read has nothing to say.
        let text = String(decoding: ((try? readFile(log)) ?? []).dropFirst(offset), as: UTF8.self)
        let lines = text.split(separator: "\n").suffix(linesShown)
        return lines.isEmpty ? "  (it wrote nothing)" : lines.map { "  \($0)" }.joined(separator: "\n")
    }

    private static func find() -> String? { Siblings.find("dockerd") }

    // MARK: docker -d

    /// The arguments of the daemon that `docker -d` has started since the first versions of Docker; nil for other command
    /// lines.
    static func heritage(_ words: [String]) -> [String]? {
        // The flags of then: whether it restarts containers is said by each container's policy today.
        let renamed = ["-D": "--debug", "-H": "--host", "-b": "--bridge", "-p": "--pidfile"]
        var arguments: [String] = []
        var isDaemon = false
        var rest = words[...]
        while let word = rest.popFirst() {
            guard word.hasPrefix("-") else { return nil }
            let (name, joined) = word.cut("=")
            if word == "-d" {
                isDaemon = true
            } else if name == "-r" {
                continue
            } else if let today = renamed[name], today != "--debug" {
                guard let value = joined ?? rest.popFirst() else { return nil }
                arguments += [today, value]
            } else {
                arguments.append(renamed[word] ?? word)
            }
        }
        return isDaemon ? arguments : nil
    }

    /// Becomes the daemon; returns only when it cannot.
    static func become(_ arguments: [String]) throws(CLIError) {
        guard let binary = find() else {
            throw CLIError("docker -d: there is no dockerd beside this program or on the path")
        }
        try Siblings.become(binary, arguments)
    }

    private static func spawn(_ binary: String, _ log: String) throws(CLIError) -> pid_t {
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
        return pid
    }
}

/// Programs that are installed with this one.
enum Siblings {
    /// The program of a name beside this one, else in its libexec folder, else on the path.
    ///
    /// - Parameter usesPath: false for a name that others' programs have, too.
    static func find(_ name: String, usesPath: Bool = true) -> String? {
        var folders: [String] = []
        if let own = realpath("/proc/self/exe", nil) {
            let folder = String(cString: own).split(separator: "/").dropLast().joined(separator: "/")
            free(own)
            folders = ["/" + folder, "/\(folder)/../libexec/docker-swift"]
        }
        if usesPath { folders += path }
        return folders.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    private static var path: [String] {
        (environment("PATH") ?? "/usr/sbin:/usr/bin").split(separator: ":").map(String.init)
    }

    /// Becomes that program; returns only when it cannot.
    static func become(_ binary: String, _ arguments: [String]) throws(CLIError) {
        var words = ([binary] + arguments).map { strdup($0) } + [nil]
        defer { words.forEach { free($0) } }
        execv(binary, &words)
        throw .system("starting \(binary)", errno)
    }

    /// `docker registry ...`: the registry is a program of its own, with flags of its own.
    static func becomeRegistry(_ arguments: [String]) throws(CLIError) {
        guard let binary = find("docker-registry", usesPath: false) else {
            throw CLIError("docker registry: there is no docker-registry beside this program")
        }
        try become(binary, arguments)
    }
}
