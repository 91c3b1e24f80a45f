import CLinux
import Glibc
import Kernel
import Synchronization

/// What a pipeline spends its time on, in the order the bytes go.
package enum IngestStage: Int, Sendable, Hashable, CaseIterable {
    /// The producer had nothing to hand in: the network, or whoever writes.
    case waitForNetwork
    /// Copying received bytes into a block, or reading those of an earlier try.
    case receive
    /// The producer, until a block is free.
    case waitForInputBlock
    /// The first thread, until a block is filled.
    case waitForInput
    case hashBlob
    case writeBlob
    /// The second thread, until the first hands a block on.
    case waitForBlob
    case inflate
    /// The second thread, until the third gives a block back.
    case waitForTarBlock
    /// The third thread, until a block is inflated.
    case waitForTar
    case hashTar
    case parse
    case writeTar
    /// Making everything durable.
    case sync

    /// As users read it.
    package var name: String {
        switch self {
        case .waitForNetwork: "network wait"
        case .receive: "receive"
        case .waitForInputBlock: "wait for input block"
        case .waitForInput: "wait for input"
        case .hashBlob: "hash blob"
        case .writeBlob: "write blob"
        case .waitForBlob: "wait for blob"
        case .inflate: "inflate"
        case .waitForTarBlock: "wait for tar block"
        case .waitForTar: "wait for tar"
        case .hashTar: "hash tar"
        case .parse: "parse"
        case .writeTar: "write tar"
        case .sync: "sync"
        }
    }
}

/// The clock of all traces: CLOCK_MONOTONIC in nanoseconds.
package enum TraceClock {
    package static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// A stretch in which one stage worked, perhaps with pauses. Times are those of ``TraceClock``.
package struct TraceSpan: Sendable, Hashable {
    package var stage: String
    package var start: UInt64
    package var end: UInt64
    package var bytes: Int64
    /// Nanoseconds between start and end in which the stage did work; the rest are pauses.
    package var busy: UInt64

    /// One stretch without a pause.
    package init(_ stage: String, from start: UInt64, to end: UInt64 = TraceClock.now(), bytes: Int64 = 0) {
        self.stage = stage
        self.start = start
        self.end = max(start, end)
        self.bytes = bytes
        busy = self.end - start
    }
}

/// What an ingest did so far.
package struct IngestCounters: Sendable, Hashable {
    package var compressedBytes: Int64
    package var uncompressedBytes: Int64
    package var entries: Int
    /// Nanoseconds by stage, waiting included.
    package var nanoseconds: [IngestStage: UInt64]
}

/// Counts and times of one pipeline; written by its threads block by block, read by anyone.
final class IngestRecorder: Sendable {
    fileprivate struct Track {
        var spans: [TraceSpan] = []
        var nanoseconds: UInt64 = 0
        /// Spans of one stage closer than this are one, in nanoseconds; doubles when there are too many.
        var gap: UInt64 = 100_000
    }

    /// Spans kept of one stage.
    private static let spansMax = 128

    /// One track per stage, at the stage's number.
    private let tracks = Mutex<[Track]>(Array(repeating: Track(), count: IngestStage.allCases.count))
    private let compressedBytes = Atomic<Int64>(0)
    private let uncompressedBytes = Atomic<Int64>(0)
    private let entries = Atomic<Int>(0)
    /// When the producer last went away to get more; 0 while it is here.
    private let producerLeft = Atomic<UInt64>(0)

    static func now() -> UInt64 { TraceClock.now() }

    /// Notes that `stage` worked from `start` until now.
    ///
    /// - Returns: now, the start of whatever comes next.
    @discardableResult
    func note(_ stage: IngestStage, since start: UInt64, bytes: Int = 0) -> UInt64 {
        let end = Self.now()
        tracks.withLock { $0[stage.rawValue].add(stage, start, end, Int64(bytes), spansMax: Self.spansMax) }
        return end
    }

    /// The producer comes with bytes, or to say that there are no more.
    func producerArrives() {
        let left = producerLeft.exchange(0, ordering: .relaxed)
        if left > 0 { note(.waitForNetwork, since: left) }
    }

    /// The producer goes to get more.
    func producerLeaves() { producerLeft.store(Self.now(), ordering: .relaxed) }

    func setCompressed(_ bytes: Int64) { compressedBytes.store(bytes, ordering: .relaxed) }
    func setUncompressed(_ bytes: Int64) { uncompressedBytes.store(bytes, ordering: .relaxed) }
    func setEntries(_ count: Int) { entries.store(count, ordering: .relaxed) }

    var counters: IngestCounters {
        let times = tracks.withLock { tracks in
            IngestStage.allCases.map { ($0, tracks[$0.rawValue].nanoseconds) }.filter { $0.1 > 0 }
        }
        return IngestCounters(
            compressedBytes: compressedBytes.load(ordering: .relaxed),
            uncompressedBytes: uncompressedBytes.load(ordering: .relaxed), entries: entries.load(ordering: .relaxed),
            nanoseconds: Dictionary(uniqueKeysWithValues: times))
    }

    /// In order of start.
    var trace: [TraceSpan] {
        tracks.withLock { $0.flatMap(\.spans) }.sorted { ($0.start, $0.stage) < ($1.start, $1.stage) }
    }
}

extension IngestRecorder.Track {
    fileprivate mutating func add(_ stage: IngestStage, _ start: UInt64, _ end: UInt64, _ bytes: Int64, spansMax: Int) {
        let span = TraceSpan(stage.name, from: start, to: end, bytes: bytes)
        nanoseconds += span.busy
        guard !join(span) else { return }
        spans.append(span)
        while spans.count > spansMax {
            gap *= 2
            let old = spans
            spans = []
            for span in old where !join(span) { spans.append(span) }
        }
    }

    /// Lengthens the last span when `span` follows it closely; the pause between them is no work.
    private mutating func join(_ span: TraceSpan) -> Bool {
        guard let last = spans.indices.last, span.start <= spans[last].end + gap else { return false }
        spans[last].end = max(spans[last].end, span.end)
        spans[last].bytes += span.bytes
        spans[last].busy += span.busy
        return true
    }
}
