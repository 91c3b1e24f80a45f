/// Makes the body of `POST /containers/create` from the options, as Docker's own client does.
struct CreateBody {
    let options: ContainerOptions
    /// Nobody will be attached at start.
    let detached: Bool
    /// When the image is pulled.
    let pull: String

    /// Whether a stream is attached: the ones asked for, else output and error, and input with `-i`.
    func attaches(_ stream: String) throws(CLIError) -> Bool {
        guard !detached else { return false }
        for name in options.attach where !["stdin", "stdout", "stderr"].contains(name.lowercased()) {
            throw CLIError(
                "invalid argument \"\(name)\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR",
                exitCode: 125)
        }
        if options.attach.isEmpty { return stream != "stdin" || options.interactive }
        return options.attach.contains { $0.lowercased() == stream }
    }

    /// The whole document; an error carries what Docker prints around it: the usage line for a bad flag, the command else.
    func checked(_ settings: Settings, _ usage: String) throws(CLIError) -> JSON {
        do throws(CLIError) {
            return try document()
        } catch {
            if error.message.hasPrefix("invalid argument ") {
                throw CommandHelp(usage: usage, path: settings.path).shown(error.message)
            }
            throw error.inRun("docker \(settings.path)", 125)
        }
    }

    /// The whole document.
    func document() throws(CLIError) -> JSON {
        let o = options
        guard ["always", "missing", "never"].contains(pull) else {
            throw CLIError("invalid pull option: '\(pull)': must be one of \"always\", \"missing\" or \"never\"")
        }
        guard o.macAddress.isEmpty || HardwareAddress.isValid(o.macAddress.trimmed) else {
            throw CLIError("\(o.macAddress) is not a valid mac address")
        }
        let ports = try PortSpecs(publish: o.publish, expose: o.expose)
        let input = try attaches("stdin")
        var volumes: [(String, JSON)] = []
        for spec in o.volume where !spec.contains(":") { volumes.append((spec, .object([]))) }
        var members: [(String, JSON?)] = [
            ("Hostname", .string(o.hostname)), ("Domainname", .string(o.domainname)), ("User", .string(o.user)),
            ("AttachStdin", .bool(input)), ("AttachStdout", .bool(try attaches("stdout"))),
            ("AttachStderr", .bool(try attaches("stderr"))), ("ExposedPorts", ports.exposed),
            ("Tty", .bool(o.tty)), ("OpenStdin", .bool(o.interactive)), ("StdinOnce", .bool(!detached && input)),
            ("Env", try KeyValues.environment(files: o.envFile, values: o.env)),
            ("Cmd", o.words.count > 1 ? JSON(strings: o.words.dropFirst()) : .null),
        ]
        members += [
            ("Healthcheck", try health()), ("Image", .string(o.words.first ?? "")),
            ("Volumes", .object(volumes.map { .init(name: $0.0, value: $0.1) })), ("WorkingDir", .string(o.workdir)),
            ("Entrypoint", o.entrypoint.map { JSON(strings: [$0]) } ?? .null),
            ("Labels", JSON(map: try KeyValues.labels(files: o.labelFile, values: o.label.values))),
            ("StopSignal", o.stopSignal.map { .string($0) }), ("StopTimeout", o.stopTimeout.map { JSON($0) }),
            ("HostConfig", try hostConfig(ports)), ("NetworkingConfig", try ContainerNetworks(o).endpoints()),
        ]
        return Self.object(members)
    }

    /// An object without the members that have no value.
    static func object(_ members: [(String, JSON?)]) -> JSON {
        .object(members.compactMap { name, value in value.map { .init(name: name, value: $0) } })
    }

    private func hostConfig(_ ports: PortSpecs) throws(CLIError) -> JSON {
        let o = options
        let security = try SecuritySpec(o.securityOpt)
        try checkModes()
        let capabilities = CapabilitySpec(add: o.capAdd, drop: o.capDrop)
        var members: [(String, JSON?)] = [
            ("Binds", try binds()), ("ContainerIDFile", .string(o.cidfile ?? "")),
            ("LogConfig", ["Type": .string(o.logDriver), "Config": JSON(map: KeyValues.map(o.logOpt))]),
            ("NetworkMode", .string(ContainerNetworks(o).mode)), ("PortBindings", ports.bindings),
            ("RestartPolicy", try restartPolicy()), ("AutoRemove", .bool(o.rm)),
            ("VolumeDriver", .string(o.volumeDriver)), ("VolumesFrom", Self.list(o.volumesFrom)),
            ("ConsoleSize", o.tty ? Self.consoleSize() : [0, 0]),
            ("Annotations", o.annotation.isEmpty ? nil : JSON(map: KeyValues.map(o.annotation))),
            ("CapAdd", Self.list(capabilities.add)), ("CapDrop", Self.list(capabilities.drop)),
            ("CgroupnsMode", .string(o.cgroupns)),
            ("Dns", JSON(strings: o.dns.values)), ("DnsOptions", JSON(strings: o.dnsOption)),
            ("DnsSearch", JSON(strings: o.dnsSearch.values)), ("ExtraHosts", Self.list(o.addHost.values)),
            ("GroupAdd", Self.list(o.groupAdd)), ("IpcMode", .string(o.ipc)), ("Links", Self.list(o.link.values)),
            ("OomScoreAdj", JSON(o.oomScoreAdj)), ("PidMode", .string(o.pid)), ("Privileged", .bool(o.privileged)),
        ]
        members += [
            ("PublishAllPorts", .bool(o.publishAll)), ("ReadonlyRootfs", .bool(o.readOnly)),
            ("SecurityOpt", Self.list(security.options)),
            ("StorageOpt", o.storageOpt.isEmpty ? nil : JSON(map: KeyValues.map(o.storageOpt))),
            ("Tmpfs", o.tmpfs.isEmpty ? nil : tmpfs()), ("UTSMode", .string(o.uts)), ("UsernsMode", .string(o.userns)),
            ("ShmSize", JSON(try Self.size(o.shmSize, "--shm-size"))),
            ("Sysctls", o.sysctl.isEmpty ? nil : JSON(map: KeyValues.map(try o.sysctl.map(Self.kernelSetting)))),
            ("Runtime", o.runtime.map { .string($0) }), ("Mounts", try mounts()),
            ("MaskedPaths", security.showsSystemPaths ? .array([]) : nil),
            ("ReadonlyPaths", security.showsSystemPaths ? .array([]) : nil),
            ("Init", o.initProcess ? true : nil), ("Isolation", o.isolation.isEmpty ? nil : .string(o.isolation)),
        ]
        return Self.object(members + (try ResourceSpec(o).members()))
    }

    /// Go's encoding of a slice that may be nil.
    static func list(_ values: [String]) -> JSON { values.isEmpty ? .null : JSON(strings: values) }

    /// Bytes of an optional size; 0 when not given.
    ///
    /// - Parameter flag: the option's names, for the error.
    static func size(_ text: String?, _ flag: String) throws(CLIError) -> Int64 {
        guard let text else { return 0 }
        if text == "-1" { return -1 }
        do throws(CLIError) { return try Sizes.parse(text) } catch {
            throw CLIError("invalid argument \"\(text)\" for \"\(flag)\" flag: \(error.message)", exitCode: 125)
        }
    }

    /// Rows and columns of the terminal on standard output; zeros when it is none.
    static func consoleSize() -> JSON {
        guard let size = Terminal.size(1) else { return [0, 0] }
        return [JSON(size.rows), JSON(size.columns)]
    }

    /// Namespaces that can only be the host's, another container's or their own.
    private func checkModes() throws(CLIError) {
        let o = options
        let isContainers = o.pid.hasPrefix("container:") && o.pid.utf8.count > 10
        guard ["", "host"].contains(o.pid) || isContainers else { throw CLIError("--pid: invalid PID mode") }
        guard ["", "host"].contains(o.uts) else { throw CLIError("--uts: invalid UTS mode") }
        guard ["", "host"].contains(o.userns) else { throw CLIError("--userns: invalid USER mode") }
        guard ["", "host", "private"].contains(o.cgroupns) else { throw CLIError("--cgroupns: invalid CGROUP mode") }
    }

    /// A setting that a container has for itself.
    private static func kernelSetting(_ text: String) throws(CLIError) -> String {
        let own: Set = [
            "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
            "kernel.shmmni",
            "kernel.shm_rmid_forced",
        ]
        let (name, value) = text.cut("=")
        guard value != nil, own.contains(name) || name.hasPrefix("net.") || name.hasPrefix("fs.mqueue.") else {
            throw CLIError("invalid argument \"\(text)\" for \"--sysctl\" flag: sysctl '\(text)' is not allowed")
        }
        return text
    }

    private func tmpfs() -> JSON {
        JSON(
            map: Dictionary(
                options.tmpfs.map { spec in
                    let (path, settings) = spec.cut(":"); return (path, settings ?? "")
                }
            ) { $1 })
    }

    private func binds() throws(CLIError) -> JSON {
        Self.list(
            try options.volume.filter { $0.contains(":") }.map { (spec) throws(CLIError) in try MountSpec.bind(spec) })
    }

    private func mounts() throws(CLIError) -> JSON? {
        guard !options.mount.isEmpty else { return nil }
        return .array(try options.mount.map { (spec) throws(CLIError) in try MountSpec.parse(spec) })
    }

    /// `NAME[:RETRIES]`.
    static func restartPolicy(_ text: String) throws(CLIError) -> JSON {
        let (name, count) = text.cut(":")
        guard let retries = Int(count ?? "0") else {
            throw CLIError("invalid restart policy format: maximum retry count must be an integer", exitCode: 125)
        }
        return ["Name": .string(name), "MaximumRetryCount": JSON(retries)]
    }

    private func restartPolicy() throws(CLIError) -> JSON {
        let policy = try Self.restartPolicy(options.restart)
        if options.rm, !["no", ""].contains(policy.text("Name")) {
            throw CLIError("conflicting options: cannot specify both --restart and --rm", exitCode: 125)
        }
        return policy
    }

    private func health() throws(CLIError) -> JSON? {
        let o = options
        let times = [
            ("Interval", "interval", o.healthInterval), ("Timeout", "timeout", o.healthTimeout),
            ("StartPeriod", "start-period", o.healthStartPeriod),
            ("StartInterval", "start-interval", o.healthStartInterval),
        ]
        // Zero is as good as not given.
        var numbers: [(member: String, flag: String, value: Int64)] = []
        for (member, flag, text) in times {
            guard let text else { continue }
            numbers.append((member, flag, try Self.healthTime(text, flag)))
        }
        numbers.append(("Retries", "retries", Int64(o.healthRetries ?? 0)))
        numbers.removeAll { $0.value == 0 }
        let command = o.healthCmd.flatMap { $0.isEmpty ? nil : $0 }
        if o.noHealthcheck {
            guard command == nil, numbers.isEmpty else {
                throw CLIError("--no-healthcheck conflicts with --health-* options", exitCode: 125)
            }
            return ["Test": ["NONE"]]
        }
        for number in numbers where number.value < 0 {
            throw CLIError("--health-\(number.flag) cannot be negative", exitCode: 125)
        }
        var members: [(String, JSON?)] = numbers.map { ($0.member, JSON($0.value)) }
        if let command { members.append(("Test", ["CMD-SHELL", .string(command)])) }
        return members.isEmpty ? nil : Self.object(members)
    }

    /// Nanoseconds.
    private static func healthTime(_ text: String, _ flag: String) throws(CLIError) -> Int64 {
        let isNegative = text.hasPrefix("-")
        let digits = isNegative || text.hasPrefix("+") ? String(text.dropFirst()) : text
        if let time = Times.goDuration(digits) { return isNegative ? -time : time }
        let reason = Double(digits) == nil ? "invalid duration" : "missing unit in duration"
        throw CLIError(
            "invalid argument \"\(text)\" for \"--health-\(flag)\" flag: time: \(reason) \"\(text)\"", exitCode: 125)
    }
}
