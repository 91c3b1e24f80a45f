/// `docker exec`.
struct Exec: Command {
    static let usage = "exec [OPTIONS] CONTAINER COMMAND [ARG...]"
    static let stopsAtPositional = true
    @Flag("-d --detach", "Detached mode: run command in the background") var detach = false
    @Option("--detach-keys", "Override the key sequence for detaching a container") var detachKeys = ""
    @Option("-e --env", "Set environment variables") var env: [String] = []
    @Option("--env-file", "Read in a file of environment variables") var envFile: [String] = []
    @Flag("-i --interactive", "Keep STDIN open even if not attached") var interactive = false
    @Flag("--privileged", "Give extended privileges to the command") var privileged = false
    @Flag("-t --tty", "Allocate a pseudo-TTY") var tty = false
    @Option("-u --user", "Username or UID (format: \"<name|uid>[:<group|gid>]\")") var user = ""
    @Option("-w --workdir", "Working directory inside the container") var workdir = ""
    @Argument var words: [String]

    func run(_ settings: Settings) throws(CLIError) {
        guard words.count >= 2 else {
            throw CommandHelp(usage: Self.usage, path: settings.path).wrongCount()
        }
        if tty, interactive, !detach, !Terminal.isTerminal(0) { throw CLIError("the input device is not a TTY") }
        let client = try settings.client()
        let body = CreateBody.object([
            ("User", .string(user)), ("Privileged", .bool(privileged)), ("Tty", .bool(tty)),
            ("ConsoleSize", tty ? CreateBody.consoleSize() : nil), ("AttachStdin", .bool(interactive && !detach)),
            ("AttachStderr", .bool(!detach)), ("AttachStdout", .bool(!detach)), ("Detach", .bool(detach)),
            ("DetachKeys", .string(settings.detachKeys(detachKeys))),
            ("Env", try KeyValues.environment(files: envFile, values: env)),
            ("WorkingDir", .string(workdir)), ("Cmd", JSON(strings: words.dropFirst())),
        ])
        let id = try client.call("POST", try containerPath(words[0]) + "/exec", body).text("Id")
        guard !id.isEmpty else { throw CLIError("exec ID empty") }
        let size: JSON? = tty ? CreateBody.consoleSize() : nil
        let start = CreateBody.object([("Detach", .bool(detach)), ("Tty", .bool(tty)), ("ConsoleSize", size)])
        if detach {
            try client.call("POST", "/exec/\(id)/start", start)
            return
        }
        try attach(client, id, start, try DetachKeys(settings.detachKeys(detachKeys)))
    }

    private func attach(
        _ client: Client, _ id: String, _ body: JSON, _ keys: DetachKeys
    ) throws(CLIError) {
        let stream = try client.hijack("/exec/\(id)/start", body)
        let options = Session.Options(
            multiplexed: !tty, input: interactive, tty: tty, proxiesSignals: false, detachKeys: keys)
        var session = Session(
            client: client, stream: stream.connection, options: options,
            resize: { size in
                // Only cosmetic: the program may have ended already.
                _ = try? client.call("POST", "/exec/\(id)/resize?h=\(size.rows)&w=\(size.columns)")
            }, signal: { _ in })
        guard try session.run() != .detached else { throw CLIError("read escape sequence") }
        let code = try client.call("GET", "/exec/\(id)/json").int("ExitCode")
        guard code == 0 else { throw .silent(CInt(clamping: code)) }
    }
}

/// `docker logs`.
struct Logs: Command {
    static let usage = "logs [OPTIONS] CONTAINER"
    @Flag("--details", "Show extra details provided to logs") var details = false
    @Flag("-f --follow", "Follow log output") var follow = false
    @Option(
        "--since", "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)"
    )
    var since: String?
    @Option("-n --tail", "Number of lines to show from the end of the logs (default \"all\")") var tail = "all"
    @Flag("-t --timestamps", "Show timestamps") var timestamps = false
    @Option(
        "--until",
        "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)")
    var until: String?
    @Argument var name: String

    private func time(_ text: String, _ flag: String) throws(CLIError) -> String {
        do throws(CLIError) { return try Times.apiTimestamp(text) } catch {
            throw CLIError("invalid value for \"\(flag)\": \(error.message)")
        }
    }

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        let info = try client.call("GET", try containerPath(name) + "/json")
        let since = try since.map { (text) throws(CLIError) in try time(text, "since") }
        let until = try until.map { (text) throws(CLIError) in try time(text, "until") }
        let parameters: [(String, String?)] = [
            ("details", details ? "1" : nil), ("follow", follow ? "1" : nil), ("since", since),
            ("stderr", "1"), ("stdout", "1"), ("tail", tail), ("timestamps", timestamps ? "1" : nil),
            ("until", until),
        ]
        let response = try client.open("GET", "/containers/\(info.text("Id"))/logs" + query(parameters))
        let raw = info["Config"]?.flag("Tty") ?? false
        var frames = FrameReader()
        while true {
            let part = try response.piece()
            if part.isEmpty { return }
            if raw {
                try writeAll(1, part)
                continue
            }
            try frames.feed(part) { (stream, payload) throws(CLIError) in
                try writeAll(stream == .error ? 2 : 1, payload)
            }
        }
    }
}
