@preconcurrency import Glibc

/// The help of the commands that say what a context's endpoint is.
enum ContextHelp {
    static func text(_ verb: String, _ title: String) -> String {
        """
        \(title) a context

        Docker endpoint config:

        NAME                DESCRIPTION
        from                Copy named context's Docker endpoint configuration
        host                Docker endpoint on which to connect
        ca                  Trust certs signed only by this CA
        cert                Path to TLS certificate file
        key                 Path to TLS key file
        skip-tls-verify     Skip TLS certificate validation

        Example:

        $ docker context \(verb) my-context --description "some description" --docker \
        "host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file"
        """
    }
}

/// `--docker KEY=VALUE,…`: where a context's daemon is.
struct EndpointSettings: FlagValue {
    private(set) var values: [String: String] = [:]
    private(set) var wasGiven = false

    static var initial: Self { Self() }
    static var kind: String { "stringToString" }
    static var isRepeated: Bool { true }
    mutating func take(_ text: String) -> String? {
        wasGiven = true
        do throws(FlagReason) {
            for field in text.isEmpty ? [""] : try CommaSeparated.fields(text) {
                let (key, value) = field.cut("=")
                guard let value else { return "\(field) must be formatted as key=value" }
                values[key] = value
            }
        } catch {
            return error.text
        }
        return nil
    }

    private static let keys: Set = ["from", "host", "ca", "cert", "key", "skip-tls-verify"]

    /// Puts the endpoint into a context and hands out the files of TLS that belong to it.
    func apply(
        to context: inout StoredContext, _ settings: Settings
    ) throws(CLIError) -> [(name: String, bytes: [UInt8])] {
        do throws(CLIError) {
            for key in values.keys.sorted() where !Self.keys.contains(key) {
                throw CLIError("unrecognized config key: \(key)")
            }
            if let source = values["from"] {
                let other = try settings.context(source)
                context.setHost(other.host, skipsVerification: other.skipsVerification)
                return try ContextStore(folder: settings.folder).loadTLS(source)
            }
            var skips = false
            if let text = values["skip-tls-verify"] {
                guard let value = Bool(goText: text) else {
                    throw CLIError("skip-tls-verify: parsing \(text.goQuoted): invalid syntax")
                }
                skips = value
            }
            var files: [(name: String, bytes: [UInt8])] = []
            for (key, name) in [("ca", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")] {
                guard let path = values[key], !path.isEmpty else { continue }
                files.append((name, try readFile(path, limit: ContextStore.fileBytesMax)))
            }
            context.setHost(values["host"] ?? "", skipsVerification: skips)
            return files
        } catch {
            throw CLIError("unable to create docker endpoint config: \(error.message)")
        }
    }
}

/// Says what happened to a context: its name as the result, the rest beside it.
private func tell(_ name: String, _ text: String) {
    say(name)
    complain(text)
}

/// `docker context create`.
struct CreateContext: Command {
    static let usage = "context create [OPTIONS] CONTEXT"
    @Option("--description", "Description of the context") var description = ""
    @Option("--docker", "set the docker endpoint (default [])") var docker = EndpointSettings()
    @Option("--from", "create context from a named context") var from = ""
    @Argument var name: String

    func run(_ settings: Settings) throws(CLIError) {
        let store = ContextStore(folder: settings.folder)
        try ContextStore.check(name)
        guard !store.exists(name) else { throw CLIError("context \"\(name)\" already exists") }
        var context = StoredContext(name: name, description: description, host: "")
        let files: [(name: String, bytes: [UInt8])]
        if !docker.wasGiven || !from.isEmpty {
            guard !docker.wasGiven else { throw CLIError("cannot use --docker flag when --from is set") }
            let source = from.isEmpty ? settings.contextName : from
            context = try settings.context(source)
            context.name = name
            if !description.isEmpty { context.description = description }
            files = try store.loadTLS(source)
        } else {
            files = try docker.apply(to: &context, settings)
        }
        try store.save(context)
        try store.saveTLS(name, files)
        tell(name, "Successfully created context \"\(name)\"")
    }
}

/// `docker context update`.
struct UpdateContext: Command {
    static let usage = "context update [OPTIONS] CONTEXT"
    @Option("--description", "Description of the context") var description = ""
    @Option("--docker", "set the docker endpoint (default [])") var docker = EndpointSettings()
    @Argument var name: String

    func run(_ settings: Settings) throws(CLIError) {
        let store = ContextStore(folder: settings.folder)
        try ContextStore.check(name)
        var context = try store.load(name)
        if !description.isEmpty { context.description = description }
        if docker.wasGiven { try store.saveTLS(name, try docker.apply(to: &context, settings)) }
        try store.save(context)
        tell(name, "Successfully updated context \"\(name)\"")
    }
}

/// `docker context use`.
struct UseContext: Command {
    static let usage = "context use CONTEXT"
    @Argument var names: [String] = []

    func run(_ settings: Settings) throws(CLIError) {
        guard names.count == 1 else { throw CLIError("accepts 1 arg(s), received \(names.count)") }
        let name = names[0]
        let isDefault = name == ContextStore.defaultName
        if !isDefault {
            try ContextStore.check(name)
            _ = try ContextStore(folder: settings.folder).load(name)
        }
        var config = settings.config
        try config.store(setting: "currentContext", isDefault ? nil : name)
        tell(name, "Current context is now \"\(name)\"")
        guard !isDefault, environment("DOCKER_HOST") != nil else { return }
        complain(
            "Warning: DOCKER_HOST environment variable overrides the active context. To use \"\(name)\", either set the "
                + "global --context flag, or unset DOCKER_HOST environment variable.")
    }
}

/// `docker context show`.
struct ShowContext: Command {
    static let usage = "context show"
    func run(_ settings: Settings) throws(CLIError) { say(settings.contextName) }
}

/// `docker context rm`.
struct RemoveContexts: Command {
    static let usage = "context rm CONTEXT [CONTEXT...]"
    @Flag("-f --force", "Force the removal of a context in use") var force = false
    @Argument var names: [String]

    func run(_ settings: Settings) throws(CLIError) {
        var config = settings.config
        var failures: [String] = []
        for name in names {
            do throws(CLIError) {
                try remove(name, settings, &config)
                say(name)
            } catch {
                failures.append(error.message)
            }
        }
        guard failures.isEmpty else { throw CLIError(failures.joined(separator: "\n")) }
    }

    private func remove(_ name: String, _ settings: Settings, _ config: inout ConfigFile) throws(CLIError) {
        let store = ContextStore(folder: settings.folder)
        guard name != ContextStore.defaultName else { throw CLIError("context \"\(name)\" cannot be removed") }
        guard force || store.exists(name) else { throw CLIError("context \"\(name)\" does not exist") }
        if name == settings.contextName {
            guard force else {
                throw CLIError("context \"\(name)\" is in use, set -f flag to force remove")
            }
            if config.setting("currentContext") == name { try config.store(setting: "currentContext", nil) }
        }
        store.remove(name)
    }
}
