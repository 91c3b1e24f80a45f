/// What a container's probes have told of it, as `State.Health` of an inspection shows it.
package struct Health: Sendable, Codable, Hashable {
    package enum Status: String, Sendable, Codable {
        case starting, healthy, unhealthy
    }

    /// One probe.
    package struct Result: Sendable, Codable, Hashable {
        /// RFC 3339 with nanoseconds, UTC.
        package var start: String
        package var end: String
        /// 0 for healthy; -1 where the probe did not run or ran too long.
        package var exitCode: Int
        package var output: String
    }

    package private(set) var status = Status.starting
    /// Failures since the last success that count.
    package private(set) var failingStreak = 0
    /// The latest probes, oldest first.
    package private(set) var log: [Result] = []

    /// Probes remembered, as many as Docker does.
    static let resultsMax = 5

    /// What health follows from.
    enum Event: Sendable {
        case started
        /// - Parameter sinceStart: how long the container had run when the probe began.
        case probed(Result, sinceStart: Duration)
        /// The container ended or is paused.
        case interrupted
    }

    /// - Returns: the status to announce; nil where it is not to be.
    mutating func take(_ event: Event, _ check: HealthCheck) -> Status? {
        let before = status
        switch event {
        case .started: (status, failingStreak) = (.starting, 0)
        // What nobody probes is not to be relied on: Docker calls it unhealthy, and tells nobody.
        case .interrupted: status = .unhealthy
        case .probed(let result, let sinceStart):
            log = log.suffix(Self.resultsMax - 1) + [result]
            if result.exitCode == 0 {
                (status, failingStreak) = (.healthy, 0)
            } else if status != .starting || sinceStart >= check.startPeriod {
                failingStreak += 1
                if failingStreak >= check.retries { status = .unhealthy }
            }
            return status == before ? nil : status
        }
        return nil
    }

    /// How long to wait until the next probe.
    func pause(_ check: HealthCheck, sinceStart: Duration) -> Duration {
        status == .starting && sinceStart < check.startPeriod ? check.startInterval : check.interval
    }
}
