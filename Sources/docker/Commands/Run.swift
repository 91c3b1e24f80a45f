@preconcurrency import Glibc

/// `docker run`: create, attach, wait and start; then this process is the container's terminal.
struct Run: Command {
    static let usage = "run [OPTIONS] IMAGE [COMMAND] [ARG...]"
    static let stopsAtPositional = true

    let container = ContainerOptions()
    @Flag("-d --detach", "Run container in background and print container ID") var detach = false
    @Option("--detach-keys", "Override the key sequence for detaching a container") var detachKeys = ""
    @Option("--pull", "Pull image before running (\"always\", \"missing\", \"never\") (default \"missing\")")
    var pull = "missing"
    @Flag("--sig-proxy", "Proxy received signals to the process (default true)") var sigProxy = true

    func run(_ settings: Settings) throws(CLIError) {
        try container.checkSystem()
        let body = CreateBody(options: container, detached: detach, pull: pull)
        let document = try body.checked(settings, Self.usage)
        if detach, !container.attach.isEmpty {
            throw CLIError("conflicting options: cannot specify both --attach and --detach")
        }
        if container.tty, container.interactive, !detach, !Terminal.isTerminal(0) {
            throw CLIError("the input device is not a TTY")
        }
        do throws(CLIError) {
            try perform(settings, body, document)
        } catch {
            throw error.message.isEmpty
                ? error : error.inRun("docker \(settings.path)", Self.exitCode(error.message.lowercased()))
        }
    }

    /// Docker's exit codes: 127 program not found, 126 not executable, 125 everything else.
    private static func exitCode(_ text: String) -> CInt {
        let isMissing = [
            "executable file not found", "no such file or directory", "system cannot find the file specified",
        ]
        .contains { text.contains($0) }
        if isMissing { return 127 }
        return text.contains("permission denied") || text.contains("is a directory") ? 126 : 125
    }

    private func perform(_ settings: Settings, _ body: CreateBody, _ document: JSON) throws(CLIError) {
        let detachKeys = settings.detachKeys(detachKeys)
        let keys = try DetachKeys(detachKeys)
        let client = try settings.client()
        let id = try ContainerCreation(client: client, settings: settings, options: container, pull: pull).create(
            document)
        if detach {
            // Told also of one that does not start, as by Docker's client: it is there.
            defer { say(id) }
            try client.call("POST", "/containers/\(id)/start")
            return
        }
        let input = try body.attaches("stdin")
        let output = try body.attaches("stdout")
        let errors = try body.attaches("stderr")
        let attached = try AttachedContainer.open(
            client, id, input: input, output: output, errors: errors, detachKeys: detachKeys,
            condition: container.rm ? "removed" : "next-exit")
        let options = Session.Options(
            multiplexed: !container.tty, input: input, tty: container.tty,
            proxiesSignals: sigProxy && !container.tty,
            detachKeys: keys, output: output, errors: errors)
        try attached.run(options) { () throws(CLIError) in try client.call("POST", "/containers/\(id)/start") }
    }
}

/// `docker create`.
struct Create: Command {
    static let usage = "create [OPTIONS] IMAGE [COMMAND] [ARG...]"
    static let stopsAtPositional = true

    let container = ContainerOptions()
    @Option("--pull", "Pull image before creating (\"always\", \"|missing\", \"never\") (default \"missing\")")
    var pull = "missing"

    func run(_ settings: Settings) throws(CLIError) {
        try container.checkSystem()
        let document = try CreateBody(options: container, detached: false, pull: pull).checked(settings, Self.usage)
        let client = try settings.client()
        say(
            try ContainerCreation(client: client, settings: settings, options: container, pull: pull).create(
                document))
    }
}
