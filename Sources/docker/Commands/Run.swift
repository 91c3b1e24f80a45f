import ArgumentParser
@preconcurrency import Glibc

/// `docker run`: create, attach, wait and start; then this process is the container's terminal.
struct Run: Command {
    static let usage = "run [OPTIONS] IMAGE [COMMAND] [ARG...]"
    static let switches = ContainerOptions.switches
    static let stopsAtPositional = true

    @OptionGroup var container: ContainerOptions
    @Flag(name: .shortAndLong, help: "Run container in background and print container ID") var detach = false
    @Option(help: "Override the key sequence for detaching a container") var detachKeys = ""
    @Flag(name: .customLong("no-sig-proxy"), help: "Do not proxy received signals to the process") var noSigProxy = false

    func run(_ settings: Settings) throws(CLIError) {
        do throws(CLIError) {
            try perform(settings)
        } catch {
            throw error.message.isEmpty ? error : Self.classified(error)
        }
    }

    /// Docker's exit codes: 127 program not found, 126 not executable, 125 everything else.
    private static func classified(_ error: CLIError) -> CLIError {
        let text = error.message.lowercased()
        let code: CInt =
            text.contains("executable file not found") || text.contains("no such file or directory")
                || text.contains("system cannot find the file") ? 127 : text.contains("permission denied") && error.status != nil ? 126 : 125
        return error.inRun("docker run", error.status == 400 || error.status == 500 ? code : 125)
    }

    private func perform(_ settings: Settings) throws(CLIError) {
        if detach, !container.attach.isEmpty {
            throw CLIError("conflicting options: cannot specify both --attach and --detach")
        }
        if container.tty, container.interactive, !detach, !Terminal.isTerminal(0) {
            throw CLIError("the input device is not a TTY", exitCode: 1)
        }
        let keys = try DetachKeys(detachKeys)
        let client = try settings.client()
        let id = try ContainerCreation(client: client, settings: settings, options: container).create(detached: detach)
        if detach {
            try client.call("POST", "/containers/\(id)/start")
            return say(id)
        }
        let body = CreateBody(options: container, detached: false)
        let input = try body.attaches("stdin")
        let output = try body.attaches("stdout")
        let errors = try body.attaches("stderr")
        let attached = try AttachedContainer.open(
            client, id, input: input, output: output, errors: errors, detachKeys: detachKeys,
            condition: container.rm ? "removed" : "next-exit")
        let options = Session.Options(
            multiplexed: !container.tty, input: input, tty: container.tty, proxiesSignals: !noSigProxy && !container.tty,
            detachKeys: keys, output: output, errors: errors)
        try attached.run(options) { () throws(CLIError) in try client.call("POST", "/containers/\(id)/start") }
    }
}

/// `docker create`.
struct Create: Command {
    static let usage = "create [OPTIONS] IMAGE [COMMAND] [ARG...]"
    static let switches = ContainerOptions.switches
    static let stopsAtPositional = true

    @OptionGroup var container: ContainerOptions

    func run(_ settings: Settings) throws(CLIError) {
        let client = try settings.client()
        do throws(CLIError) {
            say(try ContainerCreation(client: client, settings: settings, options: container).create(detached: false))
        } catch {
            throw error.inRun("docker create", error.message.hasPrefix("Error response") ? 1 : 125)
        }
    }
}
