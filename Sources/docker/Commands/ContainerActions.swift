@preconcurrency import Glibc

/// Does the same to every name; failures are told and the rest is still done, as Docker does.
func forEach(_ names: [String], prefix: String = "", _ body: (String) throws(CLIError) -> Void) throws(CLIError) {
    var failed: CInt = 0
    for name in names {
        do throws(CLIError) {
            try body(name)
        } catch {
            guard error.status != nil else { throw error }
            complain(prefix + error.message)
            failed = 1
        }
    }
    if failed != 0 { throw .silent(failed) }
}

/// The path of a container, its name escaped.
func containerPath(_ name: String) throws(CLIError) -> String {
    guard !name.trimmed.isEmpty else { throw CLIError("invalid container name or ID: value is empty") }
    return "/containers/" + escaped(name)
}

/// `docker start`.
struct Start: Command {
    static let usage = "start [OPTIONS] CONTAINER [CONTAINER...]"
    @Flag("-a --attach", "Attach STDOUT/STDERR and forward signals") var attach = false
    @Option("--checkpoint", nil) var checkpoint: String?
    @Option("--checkpoint-dir", nil) var checkpointDirectory: String?
    @Option("--detach-keys", "Override the key sequence for detaching a container") var detachKeys = ""
    @Flag("-i --interactive", "Attach container's STDIN") var interactive = false
    @Argument var names: [String]

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        let detachKeys = settings.detachKeys(detachKeys)
        let start = try start(client)
        guard attach || interactive else {
            do throws(CLIError) {
                try forEach(names) { (name) throws(CLIError) in
                    try client.call("POST", try containerPath(name) + start)
                    say(name)
                }
            } catch  where error.message.isEmpty {
                throw CLIError("Error: failed to start containers: \(names.joined(separator: ", "))")
            }
            return
        }
        guard names.count == 1 else { throw CLIError("you cannot start and attach multiple containers at once") }
        let info = try client.call("GET", try containerPath(names[0]) + "/json")
        let id = info.text("Id")
        let tty = info["Config"]?.flag("Tty") ?? false
        let input = interactive && (info["Config"]?.flag("OpenStdin") ?? false)
        let removes = info["HostConfig"]?.flag("AutoRemove") ?? false
        let attached = try AttachedContainer.open(
            client, id, input: input, output: true, errors: true, detachKeys: detachKeys,
            condition: removes ? "removed" : "next-exit")
        let options = Session.Options(
            multiplexed: !tty, input: input, tty: tty, proxiesSignals: !tty, detachKeys: try DetachKeys(detachKeys))
        try attached.run(options) { () throws(CLIError) in try client.call("POST", "/containers/\(id)\(start)") }
    }

    /// The end of the path that starts a container.
    private func start(_ client: Client) throws(CLIError) -> String {
        let parameters = [("checkpoint", checkpoint), ("checkpoint-dir", checkpointDirectory)]
        guard checkpoint != nil || checkpointDirectory != nil else { return "/start" }
        guard try client.call("GET", "/version").flag("Experimental") else {
            let refusals = parameters.filter { $0.1 != nil }.map {
                "\"--\($0.0)\" is only supported on a Docker daemon with experimental features enabled"
            }
            throw CLIError(refusals.joined(separator: "\n"))
        }
        return "/start" + query(parameters)
    }
}

/// `docker attach`.
struct Attach: Command {
    static let usage = "attach [OPTIONS] CONTAINER"
    @Option("--detach-keys", "Override the key sequence for detaching a container") var detachKeys = ""
    @Flag("--no-stdin", "Do not attach STDIN") var noStdin = false
    @Flag("--sig-proxy", "Proxy all received signals to the process (default true)")
    var sigProxy = true
    @Argument var name: String

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        let detachKeys = settings.detachKeys(detachKeys)
        let info = try client.call("GET", try containerPath(name) + "/json")
        guard info["State"]?.flag("Running") ?? false else {
            throw CLIError("You cannot attach to a stopped container, start it first")
        }
        if info["State"]?.flag("Paused") ?? false {
            throw CLIError("You cannot attach to a paused container, unpause it first")
        }
        let tty = info["Config"]?.flag("Tty") ?? false
        let input = !noStdin && (info["Config"]?.flag("OpenStdin") ?? false)
        if tty, input, !Terminal.isTerminal(0) { throw CLIError("the input device is not a TTY") }
        let attached = try AttachedContainer.open(
            client, info.text("Id"), input: input, output: true, errors: true, detachKeys: detachKeys, condition: "")
        let options = Session.Options(
            multiplexed: !tty, input: input, tty: tty, proxiesSignals: sigProxy && !tty,
            detachKeys: try DetachKeys(detachKeys), redraws: true)
        let end = try attached.run(options) { () throws(CLIError) in }
        if end == .detached { throw CLIError("read escape sequence") }
    }
}

/// `docker stop`.
struct Stop: Command {
    static let usage = "stop [OPTIONS] CONTAINER [CONTAINER...]"
    @Option("-s --signal", "Signal to send to the container") var signal: String?
    @Option("-t --timeout --time", "Seconds to wait before killing the container") var time: Int?
    @Argument var names: [String]

    func run(_ settings: Settings) throws(CLIError) { try stopOrRestart("stop", names, signal, time, settings) }
}

/// `docker restart`.
struct Restart: Command {
    static let usage = "restart [OPTIONS] CONTAINER [CONTAINER...]"
    @Option("-s --signal", "Signal to send to the container") var signal: String?
    @Option("-t --timeout --time", "Seconds to wait before killing the container") var time: Int?
    @Argument var names: [String]

    func run(_ settings: Settings) throws(CLIError) { try stopOrRestart("restart", names, signal, time, settings) }
}

private func stopOrRestart(
    _ verb: String, _ names: [String], _ signal: String?, _ time: Int?, _ settings: Settings
) throws(CLIError) {
    let client = try settings.client()
    try forEach(names) { (name) throws(CLIError) in
        try client.call(
            "POST", try containerPath(name) + "/\(verb)" + query([("signal", signal), ("t", time.map { String($0) })]))
        say(name)
    }
}

/// `docker kill`.
struct Kill: Command {
    static let usage = "kill [OPTIONS] CONTAINER [CONTAINER...]"
    @Option("-s --signal", "Signal to send to the container") var signal: String?
    @Argument var names: [String]

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        try forEach(names) { (name) throws(CLIError) in
            try client.call("POST", try containerPath(name) + "/kill" + query([("signal", signal)]))
            say(name)
        }
    }
}

/// `docker pause`.
struct Pause: Command {
    static let usage = "pause CONTAINER [CONTAINER...]"
    @Argument var names: [String]
    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        try forEach(names) { (name) throws(CLIError) in
            try client.call("POST", try containerPath(name) + "/pause")
            say(name)
        }
    }
}

/// `docker unpause`.
struct Unpause: Command {
    static let usage = "unpause CONTAINER [CONTAINER...]"
    @Argument var names: [String]
    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        try forEach(names) { (name) throws(CLIError) in
            try client.call("POST", try containerPath(name) + "/unpause")
            say(name)
        }
    }
}

/// `docker wait`.
struct Wait: Command {
    static let usage = "wait CONTAINER [CONTAINER...]"
    @Argument var names: [String]
    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        try forEach(names) { (name) throws(CLIError) in
            let answer = try client.call("POST", try containerPath(name) + "/wait")
            if let text = answer["Error"]?["Message"]?.string, !text.isEmpty { throw CLIError(text, status: 500) }
            say(String(answer.int("StatusCode")))
        }
    }
}

/// `docker rm`.
struct Remove: Command {
    static let usage = "rm [OPTIONS] CONTAINER [CONTAINER...]"
    @Flag("-f --force", "Force the removal of a running container (uses SIGKILL)") var force = false
    @Flag("-l --link", "Remove the specified link") var link = false
    @Flag("-v --volumes", "Remove anonymous volumes associated with the container") var volumes = false
    @Argument var names: [String]

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        let flags = query([("force", force ? "1" : nil), ("link", link ? "1" : nil), ("v", volumes ? "1" : nil)])
        try forEach(names) { (name) throws(CLIError) in
            do throws(CLIError) {
                try client.call("DELETE", try containerPath(name) + flags)
            } catch  where force && error.status == 404 {
                complain(error.message)
                return
            }
            say(name)
        }
    }
}

/// `docker rename`.
struct Rename: Command {
    static let usage = "rename CONTAINER NEW_NAME"
    @Argument var name: String
    @Argument var newName: String
    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        do throws(CLIError) {
            try client.call("POST", try containerPath(name) + "/rename" + query([("name", newName)]))
        } catch {
            complain(error.message)
            throw CLIError("Error: failed to rename container named \(name)")
        }
    }
}
