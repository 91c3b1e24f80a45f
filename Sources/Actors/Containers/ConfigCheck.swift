import OCI

/// What the request says of the program: names, environment, ports, health.
enum ConfigCheck {
    /// - Parameter config: as the request has it; what the image adds is not the user's to change.
    /// - Throws: ``EngineError`` `.invalidParameter` in Docker's words.
    static func check(_ config: Config) throws {
        try texts(config)
        for (name, value) in [("hostname", config.hostname ?? ""), ("domainname", config.domainname ?? "")]
        where !value.isEmpty && !HostName.isName(value, bytesMax: HostName.bytesMax) {
            throw EngineError.invalid("invalid \(name) format: \(value.printable)")
        }
        if let directory = config.workingDir, !directory.isEmpty, !directory.hasPrefix("/") {
            throw EngineError.invalid(
                "the working directory '\(directory.printable)' is invalid, it needs to be an absolute path")
        }
        for variable in config.env ?? [] where variable.isEmpty || variable.hasPrefix("=") {
            throw EngineError.invalid("invalid environment variable: \(variable.printable)")
        }
        if let seconds = config.stopTimeout, seconds > Int(Int32.max) {
            throw EngineError.invalid(
                "invalid StopTimeout \(seconds): at most \(Int32.max) seconds, or -1 to wait for ever")
        }
        for port in (config.exposedPorts ?? [:]).keys.sorted() { _ = try PublishedPorts.parse(port) }
        if let check = config.healthcheck { try health(check) }
    }

    /// Strings that end in C, where a NUL would end them early.
    private static func texts(_ config: Config) throws {
        let single = [("User", config.user), ("WorkingDir", config.workingDir)]
        for (member, text) in single where text?.utf8.contains(0) == true { throw nul(member) }
        let lists = [("Env", config.env), ("Cmd", config.cmd), ("Entrypoint", config.entrypoint)]
        for (member, texts) in lists where texts?.contains(where: { $0.utf8.contains(0) }) == true { throw nul(member) }
        if config.user?.hasControlCharacter == true { throw EngineError.invalid("invalid user or host name") }
    }

    private static func nul(_ member: String) -> EngineError { .invalid("invalid \(member): a value holds a NUL byte") }

    /// Nanoseconds: the shortest time of a health check, 1 ms.
    private static let healthTimeMin: Int64 = 1_000_000

    private static func health(_ check: ContainerConfig.Healthcheck) throws {
        let times = [
            ("Interval", check.interval), ("Timeout", check.timeout), ("StartPeriod", check.startPeriod),
            ("StartInterval", check.startInterval),
        ]
        for (name, time) in times {
            guard let time, time != 0, time < healthTimeMin else { continue }
            throw EngineError.invalid("\(name) in Healthcheck cannot be less than 1ms")
        }
        if let retries = check.retries, retries < 0 {
            throw EngineError.invalid("Retries in Healthcheck cannot be negative")
        }
        guard let kind = check.test?.first, !["NONE", "CMD", "CMD-SHELL", ""].contains(kind) else { return }
        throw EngineError.invalid("Unknown healthcheck type '\(kind.printable)' (expected 'CMD')")
    }
}
