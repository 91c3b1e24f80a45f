import Testing

@testable import Actors

/// Records of logs as they lie in files.
@Suite struct LogFormatTests {
    private func parse(_ bytes: [UInt8], _ kind: LogDriver.Kind, details: Bool = false) -> (LogBatch, used: Int) {
        var batch = LogBatch()
        let used = bytes.withUnsafeBytes { LogFormat.parse($0, kind, withAttributes: details, into: &batch) }
        return (batch, used)
    }

    private func texts(_ batch: LogBatch) -> [String] {
        batch.records.map { String(decoding: batch.bytes[$0.range], as: UTF8.self) }
    }

    @Test func `a line of JSON comes back as it was written`() throws {
        let line =
            #"{"log":"a\"b\n\u00e9\ud83d\ude00","stream":"stderr","attrs":{"k":"}\""},"time":"2023-11-14T22:13:20.5Z"}"#
        let (batch, used) = parse(Array((line + "\n").utf8), .jsonFile, details: true)
        #expect(used == line.utf8.count + 1)
        let record = try #require(batch.records.first)
        #expect(record.stream == .stderr)
        #expect(record.time == 1_700_000_000_500_000_000)
        #expect(record.attributes == #"{"k":"}\""}"#)
        #expect(texts(batch) == ["a\"b\né😀"])
    }

    @Test func `what is torn is skipped, and what is not whole is left`() {
        let good = #"{"log":"x\n","stream":"stdout","time":"2023-11-14T22:13:20Z"}"#
        let torn = [
            #"{"log":"torn"#, "", "{", "nonsense", #"{"log":"\u12","stream":"stdout","time":"2023-11-14T22:13:20Z"}"#,
            #"{"log":"\"#, #"{"log":"y","stream":"stdout"}"#, #"{"log":"y","stream":"stdout","time":"now"}"#,
            #"{"log":"y","stream":"stdout","time":"2023-99-14T22:13:20Z"}"#, #"{"log":{"a":"b"#,
        ]
        for bad in torn {
            let text = "\(good)\n\(bad)\n\(good)\n\(good.dropLast())"
            let (batch, used) = parse(Array(text.utf8), .jsonFile)
            #expect(texts(batch) == ["x\n", "x\n"], "\(bad)")
            #expect(used == text.utf8.count - good.utf8.count + 1, "\(bad)")
        }
    }

    private func frame(_ text: String, _ kind: UInt8, time: UInt64 = 5) -> [UInt8] {
        let count = text.utf8.count
        return [0xa0 | kind, UInt8(count & 255), UInt8(count >> 8 & 255), UInt8(count >> 16)]
            + (0..<8).map { UInt8(truncatingIfNeeded: time >> (8 * $0)) } + Array(text.utf8)
    }

    @Test func `frames come back as they were written, and the next whole one follows a torn one`() {
        let whole = frame("one", 2) + frame("part", 1) + frame("", 3, time: 1 << 40)
        let (batch, used) = parse(whole + frame("cut", 0).dropLast(), .local)
        #expect(used == whole.count)
        #expect(texts(batch) == ["one\n", "part", "\n"])
        #expect(batch.records.map(\.stream) == [.stdout, .stderr, .stderr])
        #expect(batch.records.map(\.time) == [5, 5, 1 << 40])
        #expect(texts(parse([0xff, 0, 0xa3, 255, 255, 255] + frame("after", 2), .local).0).last == "after\n")
    }

    @Test func `bytes of any kind do no harm`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let alphabet = Array(#"{}"log:stream\u,time0a"#.utf8) + [0x0a, 0xa0, 0xa3, 0]
            let bytes = (0..<Int.random(in: 0..<200)).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
            for kind in [LogDriver.Kind.jsonFile, .local] { #expect(parse(bytes, kind).used <= bytes.count) }
        }
    }

    @Test(arguments: [
        "2023-11-14T22:13:20.12Z", "1999-12-31T23:59:59.999999999Z", "2000-02-29T00:00:00Z",
        "2100-03-01T12:00:00.000000001Z",
        "1969-12-31T23:59:59Z",
    ])
    func `times of records are those of everything else`(_ text: String) {
        let parsed = Array(text.utf8).withUnsafeBytes { LogTime.parse($0) }
        #expect(parsed != nil)
        #expect(parsed == Timestamp(text)?.nanosecondsSince1970)
    }

    @Test(arguments: [
        ("10m", 10_000_000), ("1k", 1000), ("1kB", 1000), ("1.5g", 1_500_000_000), ("7", 7), ("7b", 7),
        ("-1", Int64.max),
        ("2 MiB", 2_000_000), ("m", nil), ("1x", nil), ("", nil),
    ])
    func `sizes of logs are decimal, as Docker's`(_ text: String, _ bytes: Int64?) {
        #expect(ByteCount.parseDecimal(text) == bytes)
    }
}
