import CLinux
import Glibc
import Kernel
import Synchronization

/// What a pipeline spends its time on.
package enum IngestStage: String, Sendable, Hashable, CaseIterable {
    /// Copying received bytes into a block, or reading those of an earlier try.
    case receive
    case hashBlob = "sha256 blob"
    case storeBlob = "store blob"
    case decompress
    case hashTar = "sha256 tar"
    case parse
    case storeTar = "store tar"
    /// Making everything durable.
    case commit
    /// The two threads of the pipeline, waiting for each other, the network or the disk.
    case waitForInput = "wait for input"
    case waitForTar = "wait for tar"
}

/// A stretch of one stage's work, in nanoseconds of CLOCK_MONOTONIC.
package struct TraceSpan: Sendable, Hashable {
    package var stage: String
    package var start: UInt64
    package var end: UInt64
    package var bytes: Int64
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

    private let tracks = Mutex<[IngestStage: Track]>([:])
    private let compressedBytes = Atomic<Int64>(0)
    private let uncompressedBytes = Atomic<Int64>(0)
    private let entries = Atomic<Int>(0)

    static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Notes that `stage` worked from `start` until now.
    ///
    /// - Returns: now, the start of whatever comes next.
    @discardableResult
    func note(_ stage: IngestStage, since start: UInt64, bytes: Int = 0) -> UInt64 {
        let end = Self.now()
        tracks.withLock { tracks in
            tracks[stage, default: Track()].add(stage, start, end, Int64(bytes), spansMax: Self.spansMax)
        }
        return end
    }

    func setCompressed(_ bytes: Int64) { compressedBytes.store(bytes, ordering: .relaxed) }
    func setUncompressed(_ bytes: Int64) { uncompressedBytes.store(bytes, ordering: .relaxed) }
    func setEntries(_ count: Int) { entries.store(count, ordering: .relaxed) }

    var counters: IngestCounters {
        IngestCounters(
            compressedBytes: compressedBytes.load(ordering: .relaxed),
            uncompressedBytes: uncompressedBytes.load(ordering: .relaxed), entries: entries.load(ordering: .relaxed),
            nanoseconds: tracks.withLock { $0.mapValues(\.nanoseconds) })
    }

    var trace: [TraceSpan] {
        tracks.withLock { $0.values.flatMap(\.spans) }.sorted { ($0.start, $0.stage) < ($1.start, $1.stage) }
    }
}

extension IngestRecorder.Track {
    fileprivate mutating func add(_ stage: IngestStage, _ start: UInt64, _ end: UInt64, _ bytes: Int64, spansMax: Int) {
        nanoseconds += end - min(start, end)
        let span = TraceSpan(stage: stage.rawValue, start: start, end: end, bytes: bytes)
        guard !join(span) else { return }
        spans.append(span)
        while spans.count > spansMax {
            gap *= 2
            let old = spans
            spans = []
            for span in old where !join(span) { spans.append(span) }
        }
    }

    /// Lengthens the last span when `span` follows it closely.
    private mutating func join(_ span: TraceSpan) -> Bool {
        guard let last = spans.indices.last, span.start <= spans[last].end + gap else { return false }
        spans[last].end = max(spans[last].end, span.end)
        spans[last].bytes += span.bytes
        return true
    }
}
