/// Whether an ended container starts again, and when (Docker's restart policies).
struct RestartDecision: Sendable, Hashable {
    /// Delay before the first restart; doubled after each, back to this after ten seconds of running.
    private static let delayFirst = Duration.milliseconds(100)
    private static let delayMax = Duration.seconds(60)
    private static let goodRun = Duration.seconds(10)

    private(set) var delay = Self.delayFirst

    /// What to do after an exit: nil for nothing, else the pause before the start.
    mutating func exited(
        policy: RestartPolicy?, code: Int, count: Int, ran: Duration, stoppedByUser: Bool
    ) -> Duration? {
        let wanted =
            switch policy?.name ?? "no" {
            case "always", "unless-stopped": true
            case "on-failure":
                code != 0 && (policy?.maximumRetryCount ?? 0 == 0 || count < policy?.maximumRetryCount ?? 0)
            default: false
            }
        guard wanted, !stoppedByUser else { return nil }
        if ran >= Self.goodRun { delay = Self.delayFirst }
        let pause = delay
        delay = min(delay * 2, Self.delayMax)
        return pause
    }

    /// Whether a container that is not running starts with the daemon.
    static func startsWithDaemon(_ policy: RestartPolicy?, stoppedByUser: Bool) -> Bool {
        switch policy?.name ?? "no" {
        case "always": true
        case "unless-stopped": !stoppedByUser
        default: false
        }
    }
}

/// Signals by the names and numbers that users type.
package enum SignalName {
    private static let numbers: [String: Int32] = [
        "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10,
        "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CONT": 18, "STOP": 19,
        "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27, "WINCH": 28,
        "IO": 29, "PWR": 30, "SYS": 31, "RTMIN": 34, "RTMAX": 64,
    ]

    /// - Throws: ``EngineError`` `.invalidParameter` for an unknown signal.
    package static func number(_ text: String) throws -> Int32 {
        if let number = Int32(text), (1...64).contains(number) { return number }
        var name = text.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        if let number = numbers[name] { return number }
        if name.hasPrefix("RTMIN+"), let offset = Int32(name.dropFirst(6)), (0...30).contains(offset) {
            return 34 + offset
        }
        throw EngineError(.invalidParameter, "Invalid signal: \(text)")
    }
}
