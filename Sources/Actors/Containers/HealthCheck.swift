import OCI

/// How a container is probed: its configuration with Docker's defaults in place of what is missing or zero.
struct HealthCheck: Sendable, Hashable {
    let command: [String]
    let interval: Duration
    let timeout: Duration
    /// Failures within it do not count, unless a probe has succeeded.
    let startPeriod: Duration
    /// Instead of `interval` within `startPeriod`.
    let startInterval: Duration
    /// Failures in a row that make a container unhealthy.
    let retries: Int

    private static let retriesDefault = 3
    /// Clocks do not reach much further than the times a request can name.
    private static let timeMax = Duration.seconds(10 * 365 * 86_400)

    /// Nil where nothing is to be probed.
    init?(_ config: Config) {
        guard let check = config.healthcheck, let kind = check.test?.first else { return nil }
        let words = Array(check.test?.dropFirst() ?? [])
        switch kind {
        case "CMD": command = words
        case "CMD-SHELL":
            let shell = config.shell ?? []
            command = (shell.isEmpty ? ["/bin/sh", "-c"] : shell) + words
        default: return nil
        }
        func time(_ nanoseconds: Int64?, _ missing: Duration) -> Duration {
            guard let nanoseconds, nanoseconds > 0 else { return missing }
            return min(.nanoseconds(nanoseconds), Self.timeMax)
        }
        interval = time(check.interval, .seconds(30))
        timeout = time(check.timeout, .seconds(30))
        startPeriod = time(check.startPeriod, .zero)
        startInterval = time(check.startInterval, .seconds(5))
        retries = check.retries.flatMap { $0 > 0 ? $0 : nil } ?? Self.retriesDefault
    }

    /// What a probe that was ended says of itself.
    func timeoutMessage(_ output: String) -> String {
        "Health check exceeded timeout (\(GoDuration.text(timeout)))" + (output.isEmpty ? "" : ": \(output)")
    }
}
