import Testing

@testable import docker

@Suite struct TextTests {
    @Test(arguments: [(0, "0B"), (999, "999B"), (1_050_000, "1.05MB"), (10_500, "10.5kB"), (1_980_000_000, "1.98GB")])
    func `sizes have Docker's units and digits`(bytes: Int64, text: String) {
        #expect(Sizes.decimal(bytes) == text)
    }

    @Test(arguments: [("512m", 512 << 20), ("1.5g", 3 << 29), ("64KiB", 65536), ("1024", 1024)])
    func `memory sizes are powers of 1024`(text: String, bytes: Int) throws {
        #expect(try Sizes.parse(text) == Int64(bytes))
    }

    @Test(
        arguments: [
            (0.4, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (61, "About a minute"),
            (3600, "About an hour"),
            (3 * 86400, "3 days"), (20 * 86400, "2 weeks"),
        ] as [(Double, String)])
    func `durations read as Docker's`(seconds: Double, text: String) {
        #expect(Times.human(seconds) == text)
    }

    @Test func `JSON keeps member order and the digits of numbers`() throws {
        let text = #"{"b":1.50,"a":[1e3,"\u00e9\n"],"c":{}}"#
        #expect(try JSONParser.parse(text).encoded() == #"{"b":1.50,"a":[1e3,"é\n"],"c":{}}"#)
    }

    @Test(arguments: ["{", "[1,]", "\"\\u12\"", "nul", "1 2", String(repeating: "[", count: 300)])
    func `malformed JSON is refused`(text: String) {
        #expect(throws: CLIError.self) { try JSONParser.parse(text) }
    }

    @Test(arguments: [
        ("{{.A.B}}", "1"), ("{{json .L}}", #"["x","y"]"#), ("{{range .L}}{{.}};{{end}}", "x;y;"),
        ("{{upper .S}}", "HI"),
        ("{{if .E}}a{{else}}b{{end}}", "b"), ("{{index .L 1}}", "y"), ("{{join .L \"-\"}}", "x-y"),
        ("{{.S | upper | json}}", #""HI""#), ("{{with .A}}{{.B}}{{end}}", "1"),
        ("{{range $i, $v := .L}}{{$i}}{{$v}}{{end}}", "0x1y"),
    ])
    func `templates give what Go's give`(template: String, text: String) throws {
        let value = try JSONParser.parse(#"{"A":{"B":1},"L":["x","y"],"S":"hi","E":""}"#)
        #expect(try Template(template).render(GoValue(open: value, "some.Type")) == text)
    }

    @Test(arguments: [
        ("1700000000", "1700000000"), ("1700000000.5", "1700000000.5"),
        ("2024-01-01T00:00:00Z", "1704067200.000000000"),
        ("2024-01-01T01:00:00.25+01:00", "1704067200.250000000"), ("2023-12-31T23:30:00-00:30", "1704067200.000000000"),
    ])
    func `times become seconds since 1970`(text: String, seconds: String) throws {
        #expect(try Times.apiTimestamp(text) == seconds)
    }

    @Test(arguments: [
        "bogus", "2024-13-01", "2024-01-01T25:00", "17000x", "2024-1-1", "1700000000.x", "2024-01-01T00:00:00+1",
    ])
    func `what is no time is refused`(text: String) {
        #expect(throws: CLIError("failed to parse value as time or duration: \"\(text)\"")) {
            try Times.apiTimestamp(text)
        }
    }

    @Test(arguments: [
        (#"{{printf "%5d|%-4s|%.2s|%q|%v%%" .N .S "abc" .S .L}}"#, #"    7|hi  |ab|"hi"|[x y]%"#),
        (#"{{printf "%05d %x %T %T" .N 255 .S .N}}"#, "00007 ff string int64"),
        (#"{{slice .S 1}} {{slice .L 0 1}}"#, "i [x]"),
        (#"{{.Nothing}} {{.Labels}} {{json .Nothing}}"#, "[] map[] null"),
    ])
    func `values are printed as Go prints them`(template: String, text: String) throws {
        let value = try JSONParser.parse(#"{"L":["x","y"],"S":"hi","N":7,"Nothing":null,"Labels":null}"#)
        #expect(try Template(template).render(GoValue(open: value, "some.Type")) == text)
    }

    @Test func `a member that is not there is an error, but not in a map of the user's`() throws {
        let sent = try JSONParser.parse(#"{"Config":{"Labels":{"a":"b"}}}"#)
        let typed = GoValue(sent, .record("container.InspectResponse"))
        #expect(try Template("{{.Config.Labels.c}}").render(typed) == "<no value>")
        let value = GoValue(decoded: sent, numbersAreText: true)
        let error = #expect(throws: CLIError.self) {
            try Template("{{.Config.Nope}}").render(value, missingKeysFail: true)
        }
        #expect(error?.message == #"template: :1:9: executing "" at <.Config.Nope>: map has no entry for key "Nope""#)
    }

    @Test func `a stage's seconds are those it worked, not those it spans`() {
        let spans = [
            PullTrace.Stage(name: "inflate", layer: "a", start: 0, end: 4_000_000_000, bytes: 5, busy: 1_000_000_000),
            PullTrace.Stage(name: "inflate", layer: "b", start: 0, end: 1_000_000_000, bytes: 5, busy: 500_000_000),
            PullTrace.Stage(name: "resolve", layer: "image", start: 0, end: 10, bytes: 0, busy: 10),
        ]
        let totals = PullTrace.totals(spans)
        #expect(totals.map(\.name) == ["resolve", "inflate"] && totals[1].seconds == 1.5 && totals[1].bytes == 10)
        #expect(PullTrace.wallSeconds(spans) == 4)
    }
}
