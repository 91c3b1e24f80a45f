import OCI
import Testing

@testable import Actors

@Suite struct HealthTests {
    private static func check(_ change: (inout ContainerConfig.Healthcheck) -> Void = { _ in }) throws -> HealthCheck {
        var config = Config()
        var check = ContainerConfig.Healthcheck()
        check.test = ["CMD", "true"]
        change(&check)
        config.healthcheck = check
        return try #require(HealthCheck(config))
    }

    private static func result(_ code: Int, _ output: String = "") -> Health.Result {
        Health.Result(start: "", end: "", exitCode: code, output: output)
    }

    /// What happens: `+` and `-` are probes in the 10th second, `!` is an interruption, `s` a start.
    struct Course: Sendable, CustomTestStringConvertible {
        let events: String
        let retries: Int
        let startPeriod: Int64
        let status: Health.Status
        let streak: Int
        let announced: [Health.Status]
        var testDescription: String { "\(events), retries \(retries), start period \(startPeriod) s" }

        init(
            _ events: String, _ status: Health.Status, _ streak: Int, _ announced: [Health.Status], retries: Int = 3,
            startPeriod: Int64 = 0
        ) {
            (self.events, self.status, self.streak, self.announced) = (events, status, streak, announced)
            (self.retries, self.startPeriod) = (retries, startPeriod)
        }
    }

    @Test(arguments: [
        Course("", .starting, 0, []),
        Course("+", .healthy, 0, [.healthy]),
        Course("+++", .healthy, 0, [.healthy]),
        Course("--", .starting, 2, []),
        Course("---", .unhealthy, 3, [.unhealthy]),
        Course("----", .unhealthy, 4, [.unhealthy]),
        Course("-", .unhealthy, 1, [.unhealthy], retries: 1),
        Course("--+--", .healthy, 2, [.healthy]),
        Course("---+", .healthy, 0, [.unhealthy, .healthy]),
        Course("+---", .unhealthy, 3, [.healthy, .unhealthy]),
        // Failures count from the end of the start period, or from the first success.
        Course("-----", .starting, 0, [], startPeriod: 11),
        Course("---", .unhealthy, 3, [.unhealthy], startPeriod: 10),
        Course("-+---", .unhealthy, 3, [.healthy, .unhealthy], startPeriod: 11),
        // A pause or an end is told nobody, and what comes after counts at once.
        Course("+!", .unhealthy, 0, [.healthy]),
        Course("+!+", .healthy, 0, [.healthy, .healthy]),
        Course("!-", .unhealthy, 1, [], startPeriod: 11),
        Course("---s", .starting, 0, [.unhealthy]),
        Course("---s--", .starting, 2, [.unhealthy]),
    ])
    func `a container's health follows from its probes`(_ course: Course) throws {
        let check = try Self.check {
            $0.retries = course.retries
            $0.startPeriod = course.startPeriod * 1_000_000_000
        }
        var health = Health()
        var announced: [Health.Status] = []
        for event in course.events {
            let status: Health.Status? =
                switch event {
                case "s": health.take(.started, check)
                case "!": health.take(.interrupted, check)
                default: health.take(.probed(Self.result(event == "+" ? 0 : 1), sinceStart: .seconds(10)), check)
                }
            if let status { announced.append(status) }
        }
        #expect(health.status == course.status)
        #expect(health.failingStreak == course.streak)
        #expect(announced == course.announced)
    }

    @Test func `the latest five probes are remembered, over a new start too`() throws {
        let check = try Self.check()
        var health = Health()
        for number in 1...7 { _ = health.take(.probed(Self.result(0, "\(number)"), sinceStart: .zero), check) }
        _ = health.take(.started, check)
        #expect(health.log.map(\.output) == ["3", "4", "5", "6", "7"])
    }

    @Test func `probes come faster within the start period, until one succeeds`() throws {
        let check = try Self.check {
            $0.interval = 60_000_000_000
            $0.startPeriod = 10_000_000_000
            $0.startInterval = 1_000_000_000
        }
        var health = Health()
        #expect(health.pause(check, sinceStart: .seconds(9)) == .seconds(1))
        #expect(health.pause(check, sinceStart: .seconds(10)) == .seconds(60))
        _ = health.take(.probed(Self.result(0), sinceStart: .seconds(2)), check)
        #expect(health.pause(check, sinceStart: .seconds(3)) == .seconds(60))
    }

    @Test func `what a check leaves out or has as zero is Docker's`() throws {
        for check in [
            try Self.check(),
            try Self.check {
                ($0.interval, $0.timeout, $0.startPeriod, $0.startInterval) = (0, 0, 0, 0)
                $0.retries = 0
            },
        ] {
            #expect(check.interval == .seconds(30) && check.timeout == .seconds(30) && check.startPeriod == .zero)
            #expect(check.startInterval == .seconds(5) && check.retries == 3)
        }
    }

    @Test(
        arguments: [
            (["CMD", "a", "b c"], nil, ["a", "b c"]), (["CMD-SHELL", "a | b"], nil, ["/bin/sh", "-c", "a | b"]),
            (["CMD-SHELL", "a"], ["/bin/bash", "-ec"], ["/bin/bash", "-ec", "a"]), (["NONE"], nil, nil), ([], nil, nil),
            (["ELSE"], nil, nil), (["CMD"], nil, []),
        ] as [([String], [String]?, [String]?)])
    func `a test is a command, a line for the shell, or none`(
        _ test: [String], _ shell: [String]?, _ command: [String]?
    ) {
        var config = Config()
        config.healthcheck = ContainerConfig.Healthcheck()
        config.healthcheck?.test = test
        config.shell = shell
        #expect(HealthCheck(config)?.command == command)
    }

    @Test func `a container has what its image checks, save for the members it gives`() throws {
        var image = ContainerConfig()
        image.healthcheck = ContainerConfig.Healthcheck()
        image.healthcheck?.test = ["CMD", "image"]
        image.healthcheck?.retries = 7
        var request = Config()
        request.cmd = ["true"]
        #expect(try ConfigMerge.merge(request, image, id: "0123456789ab").healthcheck == image.healthcheck)
        request.healthcheck = ContainerConfig.Healthcheck()
        request.healthcheck?.interval = 5_000_000
        let merged = try #require(try ConfigMerge.merge(request, image, id: "0123456789ab").healthcheck)
        #expect(merged.test == ["CMD", "image"] && merged.retries == 7 && merged.interval == 5_000_000)
        request.healthcheck?.test = ["NONE"]
        #expect(try ConfigMerge.merge(request, image, id: "0123456789ab").healthcheck?.test == ["NONE"])
    }

    @Test(
        arguments: [
            (0, "0s"), (1, "1ns"), (1_500, "1.5µs"), (100_000_000, "100ms"), (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"), (3_600_000_000_000, "1h0m0s"), (1_000_000_001, "1.000000001s"),
        ] as [(Int64, String)])
    func `durations are written as Go writes them`(_ nanoseconds: Int64, _ text: String) {
        #expect(GoDuration.text(.nanoseconds(nanoseconds)) == text)
    }

    private static func change(_ line: String) throws -> ContainerConfig.Healthcheck? {
        var image = ImageConfig(
            created: nil, architecture: "amd64", os: "linux", config: nil, rootfs: .init(diffIDs: []), history: nil)
        try ConfigChange.apply([line], to: &image)
        return image.config?.healthcheck
    }

    @Test func `a change of an image may be its health check`() throws {
        let full = try #require(
            try Self.change(
                #"HEALTHCHECK --interval=5s --timeout=1m --start-period=0 --start-interval=2ms --retries=4 CMD ["a", "b"]"#
            ))
        #expect(full.test == ["CMD", "a", "b"] && full.interval == 5_000_000_000 && full.timeout == 60_000_000_000)
        #expect(full.startPeriod == nil && full.startInterval == 2_000_000 && full.retries == 4)
        #expect(
            try Self.change("healthcheck cmd curl -f http://x/ || exit 1")?.test == [
                "CMD-SHELL", "curl -f http://x/ || exit 1",
            ])
        #expect(try Self.change("HEALTHCHECK NONE")?.test == ["NONE"])
    }

    @Test(arguments: [
        ("HEALTHCHECK", "HEALTHCHECK requires an argument"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK RUN x", "Unknown type \"RUN\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK --interval=1us CMD x", "--interval cannot be less than 1ms"),
        ("HEALTHCHECK --timeout=5 CMD x", "--timeout: time: invalid duration \"5\""),
        ("HEALTHCHECK --retries=-1 CMD x", "--retries must be at least 0 (not -1)"),
        ("HEALTHCHECK --retries CMD x", "Missing a value on flag: --retries"),
        ("HEALTHCHECK --often=1s CMD x", "Unknown flag: often"),
    ])
    func `a health check that cannot be is refused`(_ line: String, _ words: String) throws {
        let error = #expect(throws: EngineError.self) { try Self.change(line) }
        #expect(error?.message.contains(words) == true, "\(String(describing: error))")
    }
}
