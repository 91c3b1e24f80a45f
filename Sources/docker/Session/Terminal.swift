@preconcurrency import Glibc

/// The terminal on a descriptor: raw mode that is undone on every way out, and its size.
final class Terminal {
    private let descriptor: CInt
    private var saved: termios?

    init(_ descriptor: CInt) { self.descriptor = descriptor }

    deinit { restore() }

    /// Whether a descriptor is a terminal.
    static func isTerminal(_ descriptor: CInt) -> Bool { isatty(descriptor) == 1 }

    /// Rows and columns of a terminal; `nil` when it has none.
    static func size(_ descriptor: CInt) -> (rows: Int, columns: Int)? {
        var window = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &window) == 0, window.ws_col > 0 || window.ws_row > 0 else {
            return nil
        }
        return (Int(window.ws_row), Int(window.ws_col))
    }

    /// Passes every key through untouched; no effect where there is no terminal.
    func makeRaw() {
        var attributes = termios()
        guard tcgetattr(descriptor, &attributes) == 0 else { return }
        saved = attributes
        cfmakeraw(&attributes)
        tcsetattr(descriptor, TCSANOW, &attributes)
    }

    /// As it was before.
    func restore() {
        guard var attributes = saved else { return }
        tcsetattr(descriptor, TCSANOW, &attributes)
        saved = nil
    }

    /// Reads a line without showing what is typed.
    static func readSecret(_ prompt: String) -> String? {
        fputs(prompt, stderr)
        var attributes = termios()
        let known = tcgetattr(0, &attributes) == 0
        var silent = attributes
        silent.c_lflag &= ~tcflag_t(ECHO)
        if known { tcsetattr(0, TCSANOW, &silent) }
        defer {
            if known { tcsetattr(0, TCSANOW, &attributes) }
            fputs("\n", stderr)
        }
        return readLine()
    }
}

/// Signals as numbers read from a pipe, so that one poll(2) loop sees them beside sockets and the terminal.
enum SignalPipe {
    /// Signals never caught: they cannot be, or belong to job control and broken pipes.
    private static let left: Set<CInt> = [
        SIGKILL, SIGSTOP, SIGCHLD, SIGPIPE, SIGURG, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGTSTP, SIGTTIN,
        SIGTTOU, SIGCONT,
    ]

    nonisolated(unsafe) private static var writeEnd: CInt = -1  // written before any handler is set

    /// Catches the signals worth forwarding (or just `only`) and gives the descriptor their numbers can be read from.
    static func open(only: [CInt]? = nil) throws(CLIError) -> Descriptor {
        let (reading, writing) = try openPipe()
        // A handler must never wait; the write end stays open as long as the process, for handlers stay installed.
        _ = fcntl(writing.raw, F_SETFL, O_NONBLOCK)
        writeEnd = dup(writing.raw)
        for number in only ?? (1...31).filter({ !left.contains($0) }) {
            signal(number) { number in
                var byte = UInt8(truncatingIfNeeded: number)
                let before = errno
                _ = write(SignalPipe.writeEnd, &byte, 1)
                errno = before
            }
        }
        return reading
    }

    /// The name the API takes, such as `INT`.
    static func name(_ number: CInt) -> String {
        let names: [CInt: String] = [
            SIGHUP: "HUP", SIGINT: "INT", SIGQUIT: "QUIT", SIGUSR1: "USR1", SIGUSR2: "USR2", SIGALRM: "ALRM",
            SIGTERM: "TERM", SIGWINCH: "WINCH",
        ]
        return names[number] ?? String(number)
    }
}
