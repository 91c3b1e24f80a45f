import Testing

@testable import Actors

struct RecordTests {
    @Test func `times are written and read as Docker's`() throws {
        let time = Timestamp(nanosecondsSince1970: 1_700_000_000_120_000_000)
        #expect(time.text == "2023-11-14T22:13:20.12Z")
        #expect(Timestamp(time.text) == time)
        #expect(Timestamp("2023-11-14T23:13:20+01:00")?.seconds == 1_700_000_000)
        #expect(Timestamp("yesterday") == nil)
    }

    @Test(arguments: [
        ("0001-01-01T00:00:00Z", nil), ("1677-09-21T00:12:43Z", nil), ("1677-09-22T00:00:00Z", -9_223_286_400),
        ("1969-12-31T23:59:59Z", -1), ("2262-04-11T23:47:16.854775807Z", 9_223_372_036), ("2262-04-11T23:47:17Z", nil),
        ("9999-12-31T23:59:59.999999999Z", nil), ("0000-01-01T00:00:00-23:59", nil),
        ("1980-02-31T00:00:60Z", 320_803_260),
    ])
    func `a time that is too far away is none, as Go's zero time in many images`(text: String, seconds: Int64?) {
        #expect(Timestamp(text).map { $0.nanosecondsSince1970 / 1_000_000_000 } == seconds)
    }

    @Test func `the request's variables take the image's places`() {
        #expect(ConfigMerge.environment(["A=1", "B=2"], ["B=3", "C=4", "A"]) == ["B=3", "C=4"])
    }

    @Test func `a restart waits longer each time and starts afresh after a good run`() {
        var policy = RestartPolicy()
        policy.name = "always"
        var decision = RestartDecision()
        func next(_ ran: Duration) -> Duration? {
            decision.exited(policy: policy, code: 1, count: 0, ran: ran, stoppedByUser: false)
        }
        #expect(next(.zero) == .milliseconds(100))
        #expect(next(.zero) == .milliseconds(200))
        #expect(next(.seconds(11)) == .milliseconds(100))
        #expect(decision.exited(policy: policy, code: 1, count: 0, ran: .zero, stoppedByUser: true) == nil)
    }

    @Test(arguments: [("SIGTERM", 15), ("kill", 9), ("12", 12), ("RTMIN+3", 37)])
    func `signals have names and numbers`(_ name: String, _ number: Int32) throws {
        #expect(try SignalName.number(name) == number)
        #expect(throws: EngineError.self) { try SignalName.number("SIGNOPE") }
    }
}
