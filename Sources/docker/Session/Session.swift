@preconcurrency import Glibc

/// One hijacked connection beside the terminal: a single poll(2) loop moves input, output, signals and the exit status.
struct Session {
    /// What the loop is made of.
    struct Options {
        /// Bytes come framed (no terminal in the container) or raw.
        var multiplexed: Bool
        /// Forward standard input.
        var input: Bool
        /// The container has a terminal: raw mode, sizes and detach keys.
        var tty: Bool
        /// Forward signals by the API's kill.
        var proxiesSignals: Bool
        var detachKeys: DetachKeys
        /// Show the container's standard output and standard error.
        var output = true
        var errors = true
        /// The program shows its screen again: it has been running before anybody looked.
        var redraws = false
    }

    /// How a session ended.
    enum End { case closed, detached }

    let client: Client
    let stream: Connection
    var options: Options
    /// Called with the terminal's size at start and after every change.
    let resize: ((rows: Int, columns: Int)) -> Void
    /// Called with a signal's API name.
    let signal: (String) -> Void

    private var frames = FrameReader()

    init(
        client: Client, stream: Connection, options: Options,
        resize: @escaping ((rows: Int, columns: Int)) -> Void, signal: @escaping (String) -> Void
    ) {
        self.client = client
        self.stream = stream
        self.options = options
        self.resize = resize
        self.signal = signal
    }

    /// Moves bytes until the container's side ends or the user detaches.
    /// - Parameter started: called once before the loop, when signals are caught and the terminal is raw.
    mutating func run(started: () throws(CLIError) -> Void = {}) throws(CLIError) -> End {
        let raw = options.tty && options.input
        let signals: Descriptor? =
            options.proxiesSignals
            ? try SignalPipe.open() : options.tty ? try SignalPipe.open(only: [SIGWINCH] + Self.endings) : nil
        let terminal = Terminal(0)
        if raw { terminal.makeRaw() }
        defer { terminal.restore() }
        try started()
        if options.tty, let size = Terminal.size(1) ?? Terminal.size(0) {
            // Only a change of size makes a program draw.
            if options.redraws { resize((size.rows + 1, size.columns + 1)) }
            resize(size)
        }
        return try loop(signals)
    }

    private mutating func loop(_ signals: Descriptor?) throws(CLIError) -> End {
        var inputOpen = options.input
        while true {
            if stream.hasBuffered, try !moveOutput() { return .closed }
            var set = [
                pollfd(fd: stream.raw, events: Int16(POLLIN), revents: 0),
                pollfd(fd: inputOpen ? 0 : -1, events: Int16(POLLIN), revents: 0),
                pollfd(fd: signals?.raw ?? -1, events: Int16(POLLIN), revents: 0),
            ]
            if poll(&set, 3, -1) < 0 {
                if errno == EINTR { continue }
                throw .system("poll", errno)
            }
            if set[2].revents != 0, let signals { try moveSignals(signals) }
            if set[0].revents != 0, try !moveOutput() { return .closed }
            if set[1].revents != 0 {
                switch try moveInput() {
                case .open: break
                case .ended: inputOpen = false
                case .detached: return .detached
                }
            }
        }
    }

    /// Signals that end a client whose terminal is to be as it was before.
    private static let endings = [SIGTERM, SIGHUP, SIGINT, SIGQUIT]

    private enum Input { case open, ended, detached }

    private mutating func moveInput() throws(CLIError) -> Input {
        let bytes = try readSome(0)
        guard !bytes.isEmpty else {
            stream.finishSending()
            return .ended
        }
        var send = bytes
        var detached = false
        if options.tty { (send, detached) = options.detachKeys.filter(bytes) }
        // A container that ended does not read any more; its output and status still follow.
        guard (try? stream.send(send)) != nil else { return .ended }
        return detached ? .detached : .open
    }

    private mutating func moveOutput() throws(CLIError) -> Bool {
        let bytes = (try? stream.receive(262_144)) ?? []
        guard !bytes.isEmpty else { return false }
        guard options.multiplexed else {
            if options.output { try writeAll(1, bytes) }
            return true
        }
        let options = options
        try frames.feed(bytes) { (stream, payload) throws(CLIError) in
            switch stream {
            case .error: if options.errors { try writeAll(2, payload) }
            case .system: throw CLIError("error from daemon in stream: \(String(decoding: payload, as: UTF8.self))")
            case .input, .output: if options.output { try writeAll(1, payload) }
            }
        }
        return true
    }

    private func moveSignals(_ signals: Descriptor) throws(CLIError) {
        for number in try readSome(signals.raw, 64) {
            if CInt(number) == SIGWINCH, options.tty {
                if let size = Terminal.size(1) ?? Terminal.size(0) { resize(size) }
            } else if options.proxiesSignals {
                self.signal(SignalPipe.name(CInt(number)))
            } else if Self.endings.contains(CInt(number)) {
                throw .silent(128 + CInt(number))
            }
        }
    }
}
