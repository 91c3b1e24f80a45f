@preconcurrency import Glibc

/// A program whose standard streams are a connection to a daemon: `ssh … docker system dial-stdio`, or the one that speaks
/// TLS. The client itself is thin, and most daemons are at a socket of the same machine.
final class ConnectionProxy {
    private let words: [String]
    /// Whether the program speaks TLS: then what it says is what is to be told.
    private let isTLS: Bool
    private let process: pid_t
    /// What the program says on its standard error.
    private let errors: Descriptor
    /// What the program that speaks TLS ends with when nobody listens.
    private static let unreachable: CInt = 2
    /// The most that is shown of it.
    private static let bytesShown = 4096

    private init(words: [String], isTLS: Bool, process: pid_t, errors: Descriptor) {
        self.words = words
        self.isTLS = isTLS
        self.process = process
        self.errors = errors
    }

    deinit {
        // It ends when its streams do; one that still connects is told to. Nobody waits for it.
        kill(process, SIGTERM)
        var status: CInt = 0
        waitpid(process, &status, WNOHANG)
    }

    /// The command that speaks TLS with a daemon.
    static func tls(_ name: String, _ port: UInt16, _ files: Endpoint.TLSFiles) -> [String] {
        var words = [Siblings.find("docker-tls") ?? "docker-tls", name, String(port)]
        if let authority = files.authority { words += ["--ca", authority] }
        if let certificate = files.certificate { words += ["--cert", certificate] }
        if let key = files.key { words += ["--key", key] }
        return files.verifies ? words : words + ["--insecure"]
    }

    /// Starts a program in a process group of its own, so that the terminal's signals do not reach it.
    static func start(
        _ words: [String], isTLS: Bool = false
    ) throws(Connection.ConnectFailure) -> (proxy: ConnectionProxy, socket: Descriptor) {
        var ends: [CInt] = [-1, -1]
        guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw Connection.ConnectFailure(code: errno)
        }
        let (own, other) = (Descriptor(adopting: ends[0]), Descriptor(adopting: ends[1]))
        let errors = try fileWithoutName()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, other.raw, 0)
        posix_spawn_file_actions_adddup2(&actions, other.raw, 1)
        posix_spawn_file_actions_adddup2(&actions, errors.raw, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // What this client does with signals is not the program's business.
        var (none, pipes) = (sigset_t(), sigset_t())
        sigemptyset(&none)
        sigemptyset(&pipes)
        sigaddset(&pipes, SIGPIPE)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &pipes)
        let flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
        posix_spawnattr_setflags(&attributes, Int16(flags))
        let pointers = words.map { strdup($0) }
        defer { pointers.forEach { free($0) } }
        var process: pid_t = 0
        let code = posix_spawnp(&process, words[0], &actions, &attributes, pointers + [nil], environ)
        guard code == 0 else {
            let reason = code == ENOENT ? "executable file not found in $PATH" : systemMessage(code).lowercasedFirst
            throw Connection.ConnectFailure(code: code, message: "exec: \(words[0].goQuoted): \(reason)")
        }
        withExtendedLifetime(other) {}
        return (ConnectionProxy(words: words, isTLS: isTLS, process: process, errors: errors), own)
    }

    private static func fileWithoutName() throws(Connection.ConnectFailure) -> Descriptor {
        guard let file = tmpfile() else { throw Connection.ConnectFailure(code: errno) }
        defer { fclose(file) }
        let copy = fcntl(fileno(file), F_DUPFD_CLOEXEC, 3)
        guard copy >= 0 else { throw Connection.ConnectFailure(code: errno) }
        return Descriptor(adopting: copy)
    }

    /// What the program ended with, in Docker's words; nil while it runs, and when there is nobody to connect to.
    func failure() -> CLIError? {
        var info = siginfo_t()
        // Its streams are closed already: it is about to end, if it is not the daemon that closed.
        var millisecondsLeft = 2000
        while waitid(P_PID, id_t(process), &info, WEXITED | WNOHANG | WNOWAIT) == 0, info.si_code == 0 {
            guard millisecondsLeft > 0 else { return nil }
            usleep(5000)
            millisecondsLeft -= 5
        }
        guard info.si_code == CInt(CLD_EXITED) else { return nil }
        let code = info._sifields._sigchld.si_status
        guard code != 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: Self.bytesShown)
        let count = max(0, pread(errors.raw, &bytes, bytes.count, 0))
        let said = String(decoding: bytes[..<count], as: UTF8.self)
        guard !isTLS else { return code == Self.unreachable ? nil : CLIError(said.trimmed) }
        return CLIError(
            "command [\(words.joined(separator: " "))] has exited with exit status \(code), make sure the URL is valid, "
                + "and Docker 18.09 or later is installed on the remote host: stderr=\(said)")
    }
}
