import Kernel
package import LayerFS
package import OCI
import Registry
import Synchronization

/// One thing to tell who waits for a pull, push or load: Docker's progress lines.
package struct TransferEvent: Sendable {
    /// Values beside the text that clients read.
    package enum Aux: Sendable {
        /// What a push stored.
        case pushed(tag: String, digest: Digest, size: Int64)
        /// What of a backup the registry had, and what it had not.
        case stored(new: BackupShare, known: BackupShare)
        /// Where the time of a pull went.
        case trace([LayerTrace])
    }

    /// The short id of a layer, or a tag.
    package var id: String?
    package var status: String
    package var current: Int64?
    package var total: Int64?
    package var aux: Aux?
    /// The text belongs to the `stream` member, as a load's does.
    package var isStream = false

    package init(_ status: String, id: String? = nil, current: Int64? = nil, total: Int64? = nil) {
        self.status = status
        self.id = id
        self.current = current
        self.total = total
    }
}

/// The stages of one layer's way in, or of the image around its layers.
package struct LayerTrace: Sendable {
    /// What stands for a layer where the whole image was worked on.
    static let image = "image"

    /// The short digest of the layer as pulled.
    package let layer: String
    package let spans: [TraceSpan]
}

/// How far one layer is; written by the work, sampled by whoever reports.
package final class LayerProgress: Sendable {
    package enum Phase: Int, Sendable, Comparable {
        case waiting, downloading, extracting, done
        package static func < (left: Phase, right: Phase) -> Bool { left.rawValue < right.rawValue }
    }

    private struct State {
        var phase = Phase.waiting
        var current: Int64 = 0
        var total: Int64 = 0
        var spans: [TraceSpan] = []
    }
    private let state = Mutex(State())

    package init() {}

    package func set(_ phase: Phase) { state.withLock { $0.phase = max($0.phase, phase) } }

    package func set(current: Int64, total: Int64) {
        state.withLock {
            $0.current = current
            $0.total = total
        }
    }

    package func set(spans: [TraceSpan]) { state.withLock { $0.spans = spans } }

    package var phase: Phase { state.withLock { $0.phase } }
    package var bytes: (current: Int64, total: Int64) { state.withLock { ($0.current, $0.total) } }
    package var spans: [TraceSpan] { state.withLock { $0.spans } }
}

/// Samples the layers of one pull and tells what changed.
final class PullReporter: Sendable {
    /// How often progress is told: ten times a second is as fast as eyes.
    private static let interval = Duration.milliseconds(100)

    private struct Row {
        var progress: LayerProgress?
        var toldPhase = LayerProgress.Phase.waiting
        var toldBytes: Int64 = -1
    }

    private let ids: [String]
    private let rows: Mutex<[Row]>
    private let tell: @Sendable (TransferEvent) -> Void

    init(_ ids: [String], tell: @escaping @Sendable (TransferEvent) -> Void) {
        self.ids = ids
        self.tell = tell
        rows = Mutex(Array(repeating: Row(), count: ids.count))
        for id in ids { tell(TransferEvent("Pulling fs layer", id: id)) }
    }

    func watch(_ index: Int, _ progress: LayerProgress) { rows.withLock { $0[index].progress = progress } }

    /// Tells until the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            for index in ids.indices { report(index) }
            // Cancelled: the last state is told by `finish`.
            try? await Task.sleep(for: Self.interval)
        }
    }

    private func report(_ index: Int) {
        let events = rows.withLock { rows -> [TransferEvent] in
            guard let progress = rows[index].progress else { return [] }
            let (phase, bytes) = (progress.phase, progress.bytes)
            var events: [TransferEvent] = []
            if phase == .downloading, bytes.current != rows[index].toldBytes {
                rows[index].toldBytes = bytes.current
                events.append(TransferEvent("Downloading", id: ids[index], current: bytes.current, total: bytes.total))
            }
            if phase >= .extracting, rows[index].toldPhase < .extracting {
                events.append(TransferEvent("Download complete", id: ids[index]))
                events.append(TransferEvent("Extracting", id: ids[index], current: bytes.total, total: bytes.total))
            }
            rows[index].toldPhase = phase
            return events
        }
        for event in events { tell(event) }
    }

    func finish(_ index: Int) {
        report(index)
        tell(TransferEvent("Pull complete", id: ids[index]))
    }

    func alreadyExists(_ index: Int) { tell(TransferEvent("Already exists", id: ids[index])) }

    var trace: [LayerTrace] {
        rows.withLock { rows in
            zip(ids, rows).compactMap { id, row in row.progress.map { LayerTrace(layer: id, spans: $0.spans) } }
        }
    }
}

/// So many at once, the rest in order.
actor Permits {
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(_ count: Int) { free = max(1, count) }

    /// Runs `body` when it is its turn. A cancelled caller still waits for its turn, and then finds itself cancelled.
    nonisolated func run<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        await take()
        do {
            try Task.checkCancellation()
            let value = try await body()
            await give()
            return value
        } catch {
            await give()
            throw error
        }
    }

    private func take() async {
        if free > 0 {
            free -= 1
            return
        }
        await withCheckedContinuation { waiting.append($0) }
    }

    private func give() {
        if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
    }
}
