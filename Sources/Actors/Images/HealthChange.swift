import OCI

/// The `HEALTHCHECK` of a Dockerfile.
enum HealthChange {
    /// Nanoseconds: the shortest time a flag takes.
    private static let timeMin: Int64 = 1_000_000

    /// - Parameters:
    ///   - text: without blanks around it: `NONE`, or `[--interval=30s ...] CMD command`.
    ///   - list: the words of the JSON form; nil for any other.
    /// - Throws: ``EngineError`` `.invalidParameter`.
    static func parse(_ text: String, list: (String) -> [String]?) throws -> ContainerConfig.Healthcheck {
        var check = ContainerConfig.Healthcheck()
        var rest = text[...]
        while rest.hasPrefix("--") {
            let flag = rest.prefix { !$0.isWhitespace }
            try set(flag, in: &check)
            rest = rest.dropFirst(flag.count).drop(while: \.isWhitespace)
        }
        let kind = rest.prefix { !$0.isWhitespace }
        let argument = String(rest.dropFirst(kind.count).drop(while: \.isWhitespace))
        switch kind.uppercased() {
        case "NONE":
            guard argument.isEmpty else { throw EngineError.invalid("HEALTHCHECK NONE takes no arguments") }
            check.test = ["NONE"]
        case "CMD":
            guard !argument.isEmpty else { throw EngineError.invalid("Missing command after HEALTHCHECK CMD") }
            check.test = list(argument).map { ["CMD"] + $0 } ?? ["CMD-SHELL", argument]
        default: throw EngineError.invalid("Unknown type \"\(String(kind).printable)\" in HEALTHCHECK (try CMD)")
        }
        return check
    }

    private static func set(_ flag: Substring, in check: inout ContainerConfig.Healthcheck) throws {
        let parts = flag.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw EngineError.invalid("Missing a value on flag: \(String(flag).printable)") }
        let value = String(parts[1])
        switch parts[0] {
        case "interval": check.interval = try time(value, "interval")
        case "timeout": check.timeout = try time(value, "timeout")
        case "start-period": check.startPeriod = try time(value, "start-period")
        case "start-interval": check.startInterval = try time(value, "start-interval")
        case "retries":
            guard let retries = Int(value), (0...Int(Int32.max)).contains(retries) else {
                throw EngineError.invalid("--retries must be at least 0 (not \(value.printable))")
            }
            check.retries = retries
        default: throw EngineError.invalid("Unknown flag: \(String(parts[0]).printable)")
        }
    }

    /// Nanoseconds; nil for zero, which stands for the default.
    private static func time(_ text: String, _ flag: String) throws -> Int64? {
        guard let time = text == "0" ? 0 : GoDuration.nanoseconds(text) else {
            throw EngineError.invalid("--\(flag): time: invalid duration \"\(text.printable)\"")
        }
        guard time == 0 || time >= timeMin else { throw EngineError.invalid("--\(flag) cannot be less than 1ms") }
        return time == 0 ? nil : time
    }
}
