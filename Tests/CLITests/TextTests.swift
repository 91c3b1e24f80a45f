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
        #expect(try Template(template).render(value) == text)
    }
}
