import Testing

@testable import LayerFS

@Suite struct IngestTraceTests {
    @Test func `a stage's close stretches become one, with the time worked in it and not the pauses`() {
        let recorder = IngestRecorder()
        var worked: UInt64 = 0
        for _ in 0..<50 {
            let start = IngestRecorder.now()
            let end = recorder.note(.parse, since: start, bytes: 10)
            worked += end - start
            while IngestRecorder.now() < end + 20_000 {}
        }
        let spans = recorder.trace
        #expect(spans.allSatisfy { $0.stage == "parse" && $0.busy <= $0.end - $0.start })
        #expect(spans.reduce(0) { $0 + $1.busy } == worked)
        #expect(spans.reduce(0) { $0 + $1.bytes } == 500)
        #expect(spans.reduce(0) { $0 + $1.end - $1.start } >= worked + 20_000)
        #expect(recorder.counters.nanoseconds == [.parse: worked])
    }

    @Test func `a thousand stretches far apart take few spans and lose no time`() {
        let recorder = IngestRecorder()
        var worked: UInt64 = 0
        for _ in 0..<1000 {
            let start = IngestRecorder.now()
            worked += recorder.note(.inflate, since: start) - start
            let pause = IngestRecorder.now() + 110_000
            while IngestRecorder.now() < pause {}
        }
        #expect(recorder.trace.count <= 128)
        #expect(recorder.trace.reduce(0) { $0 + $1.busy } == worked)
    }

    @Test func `the network is waited for while the producer is away`() {
        let recorder = IngestRecorder()
        recorder.producerArrives()
        #expect(recorder.trace.isEmpty)
        recorder.producerLeaves()
        let start = IngestRecorder.now()
        while IngestRecorder.now() < start + 50_000 {}
        recorder.producerArrives()
        recorder.producerArrives()
        let waits = recorder.trace
        #expect(waits.count == 1 && waits[0].stage == "network wait" && waits[0].busy >= 50_000)
    }
}
