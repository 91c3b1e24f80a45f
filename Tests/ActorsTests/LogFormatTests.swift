import Testing

@testable import Actors

/// Records of logs as they lie in files.
@Suite struct LogFormatTests {
    /// What a client would be shown of one record.
    private struct Shown: Equatable {
        let stream: UInt8
        let text: String
    }

    private func show(
        _ bytes: [UInt8], _ kind: LogDriver.Kind, room: Int = 1 << 16, _ options: LogOptions = LogOptions()
    ) -> (shown: [UInt8], used: Int) {
        var used = 0
        let shown = [UInt8](unsafeUninitializedCapacity: room) { output, count in
            var sink = LogSink(UnsafeMutableRawBufferPointer(output), options)
            used = bytes.withUnsafeBytes { LogFormat.parse($0, kind, into: &sink) }
            count = sink.count
        }
        return (shown, used)
    }

    /// The records of what is shown, by their frames.
    private func records(_ shown: [UInt8]) -> [Shown] {
        var result: [Shown] = []
        var rest = shown[...]
        while rest.count >= 8 {
            let length = rest.prefix(8).suffix(4).reduce(0) { $0 << 8 | Int($1) }
            let text = rest.dropFirst(8).prefix(length)
            result.append(Shown(stream: rest[rest.startIndex], text: String(decoding: text, as: UTF8.self)))
            rest = rest.dropFirst(8 + length)
        }
        return result
    }

    private func texts(_ bytes: [UInt8], _ kind: LogDriver.Kind) -> [String] {
        records(show(bytes, kind).shown).map(\.text)
    }

    /// Options that show everything.
    private var all: LogOptions {
        var options = LogOptions()
        (options.details, options.timestamps) = (true, true)
        return options
    }

    @Test func `a line of JSON comes back as it was written`() throws {
        let line =
            #"{"log":"a\"b\n\u00e9\ud83d\ude00","stream":"stderr","attrs":{"k":"}\""},"time":"2023-11-14T22:13:20.5Z"}"#
        let (shown, used) = show(Array((line + "\n").utf8), .jsonFile, all)
        #expect(used == line.utf8.count + 1)
        #expect(
            records(shown) == [Shown(stream: 2, text: "2023-11-14T22:13:20.500000000Z k=%7D%22 a\"b\né😀")])
        #expect(texts(Array((line + "\n").utf8), .jsonFile) == ["a\"b\né😀"])
    }

    @Test(arguments: [
        #"{"log":"x\n","stream":"stdout","time":"2023-11-14T22:13:20.000000001Z"}"#,
        #"{"stream":"stdout","log":"x\n","time":"2023-11-14T22:13:20.000000001Z"}"#,
        #"{"time":"2023-11-14T22:13:20.000000001Z","stream":"stdout","log":"x\n"}"#,
        #"{"log":"x\n","stream":"stdout","attrs":{},"time":"2023-11-14T22:13:20.000000001Z"}"#,
        #"{"log":"\u0078\u000a","stream":"stdout","time":"2023-11-14T22:13:20.000000001Z"}"#,
    ])
    func `members may come in any order`(_ line: String) {
        var options = LogOptions()
        options.timestamps = true
        let (shown, _) = show(Array((line + "\n").utf8), .jsonFile, options)
        #expect(records(shown) == [Shown(stream: 1, text: "2023-11-14T22:13:20.000000001Z x\n")])
    }

    @Test func `what has no room is left for the next time, whole`() {
        let line = #"{"log":"\"0123456789\n","stream":"stdout","time":"2023-11-14T22:13:20Z"}"# + "\n"
        let bytes = Array(String(repeating: line, count: 20).utf8)
        for room in 0..<400 {
            let (shown, used) = show(bytes, .jsonFile, room: room, all)
            #expect(used % line.utf8.count == 0 && records(shown).count == used / line.utf8.count)
            let framed = records(show(bytes, .jsonFile, room: room).shown)
            #expect(framed.allSatisfy { $0.text == "\"0123456789\n" } && framed.count >= records(shown).count)
        }
    }

    @Test func `only the wanted times and streams are shown, and nothing after the last`() {
        func line(_ second: Int, _ stream: String) -> String {
            #"{"log":"\#(second)","stream":"\#(stream)","time":"2023-11-14T22:13:\#(second)Z"}"# + "\n"
        }
        let bytes = Array((20..<40).map { line($0, $0 % 2 == 0 ? "stdout" : "stderr") }.joined().utf8)
        var options = LogOptions()
        options.stderr = false
        options.isFramed = false
        options.since = Timestamp("2023-11-14T22:13:25Z")
        options.until = Timestamp("2023-11-14T22:13:30Z")
        #expect(String(decoding: show(bytes, .jsonFile, options).shown, as: UTF8.self) == "262830")
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
            let (shown, used) = show(Array(text.utf8), .jsonFile)
            #expect(records(shown).map(\.text) == ["x\n", "x\n"], "\(bad)")
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
        let (shown, used) = show(whole + frame("cut", 0).dropLast(), .local, all)
        #expect(used == whole.count)
        let time = "1970-01-01T00:00:00.000000005Z "
        #expect(
            records(shown) == [
                Shown(stream: 1, text: time + "one\n"), Shown(stream: 2, text: time + "part"),
                Shown(stream: 2, text: "1970-01-01T00:18:19.511627776Z \n"),
            ])
        #expect(texts([0xff, 0, 0xa3, 255, 255, 255] + frame("after", 2), .local).last == "after\n")
    }

    @Test func `bytes of any kind do no harm`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let alphabet = Array(#"{}"log:stream\u,time0a"#.utf8) + [0x0a, 0xa0, 0xa3, 0]
            let bytes = (0..<Int.random(in: 0..<200)).map { _ in alphabet.randomElement(using: &generator) ?? 0 }
            for kind in [LogDriver.Kind.jsonFile, .local] { #expect(show(bytes, kind, all).used <= bytes.count) }
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
        var shown = [UInt8](repeating: 0, count: LogTime.textBytes)
        var writer = LogTime.Text()
        for time in [1, parsed ?? 0] {
            shown.withUnsafeMutableBytes { bytes in bytes.baseAddress.map { writer.write(time, to: $0) } }
        }
        let digits = text.dropFirst(20).dropLast()
        #expect(
            String(decoding: shown, as: UTF8.self)
                == text.prefix(19) + "." + digits + String(repeating: "0", count: 9 - digits.count) + "Z")
    }

    @Test(arguments: [
        ("10m", 10_000_000), ("1k", 1000), ("1kB", 1000), ("1.5g", 1_500_000_000), ("7", 7), ("7b", 7),
        ("-1", Int64.max),
        ("2 MiB", 2_000_000), ("m", nil), ("1x", nil), ("", nil),
    ])
    func `sizes of logs are decimal, as Docker's`(_ text: String, _ bytes: Int64?) {
        #expect(ByteCount.parseDecimal(text) == bytes)
    }

    @Test(arguments: [("4m", 4 << 20), ("1k", 1024), ("0", 0), ("1.5KiB", 1536), ("-1", nil), ("many", nil)])
    func `sizes of buffers are binary, as Docker's`(_ text: String, _ bytes: Int64?) {
        #expect(ByteCount.parseBinary(text) == bytes)
    }
}
