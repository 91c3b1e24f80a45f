import Kernel
import OCI
import Ring

/// The hand-over between the producer and the three threads of one ingest: which blocks are free, filled, and where all stands.
///
/// Three threads and one producer share ``State``; everything else is each thread's own. The last thread to end cleans up.
final class IngestPipeline: Sendable {
    /// The first `count` bytes of a block.
    struct Piece: Sendable {
        var block: Int
        var count: Int
    }

    /// What the first thread found out about the bytes as they came.
    struct BlobResult: Sendable {
        /// nil when the bytes were the tar itself: then its digest is the tar's.
        var digest: Digest?
        var size: Int64
        var compression: Compression
    }

    struct TarResult: Sendable {
        var digest: Digest
        var size: Int64
        var entryCount: Int
        var sparseSize: Int64
    }

    struct State: Sendable {
        var inputFree: [Int]
        var inputQueue: [Piece] = []
        /// What the producer has begun to fill; nil while it is copying into it.
        var filling: Piece?
        var inputEnded = false
        /// How many stages still use an input block.
        var inputHolds: [Int]
        var inflateQueue: [Piece] = []
        var inflateEnded = false
        /// Known with the first bytes.
        var compression = Compression.identity
        var tarFree: [Int]
        var tarQueue: [Piece] = []
        var tarEnded = false
        /// The first failure; everything winds down once it is set.
        var stop: LayerError?
        var threads = 0
        var hasStarted = false
        var replays = false
        /// Bytes of an earlier try that went through, once they did.
        var replayed: Int64?
        var blob: BlobResult?
        var tar: TarResult?
        var outcome: Result<IngestedLayer, LayerError>?
        /// The producer's task, waiting for a free block or for the replay.
        var producer: CheckedContinuation<Void, Never>?
        var finishers: [CheckedContinuation<Void, Never>] = []

        mutating func takeAwakened() -> [CheckedContinuation<Void, Never>] {
            var awakened: [CheckedContinuation<Void, Never>] = []
            if let waiting = producer, canProducerGoOn {
                producer = nil
                awakened.append(waiting)
            }
            if outcome != nil {
                awakened += finishers
                finishers = []
            }
            return awakened
        }

        var canProducerGoOn: Bool {
            if stop != nil || outcome != nil { return true }
            if replays && replayed == nil { return false }
            return filling != nil || !inputFree.isEmpty
        }
    }

    /// Bytes of a block: at least 256 KiB keeps the cost of handing over out of sight.
    static let blockBytes = 384 << 10
    /// Blocks as they came, and blocks of tar: 3.75 MiB in all, three times that with the usual number of downloads.
    static let inputBlocks = 5
    static let tarBlocks = 5

    let request: IngestRequest
    let recorder = IngestRecorder()
    let input: BlockMemory
    let tar: BlockMemory
    private let state: Guarded<State>

    init(_ request: IngestRequest) throws(LayerError) {
        for digest in [request.blob, request.diffID] {
            guard digest?.algorithm ?? .sha256 == .sha256 else {
                throw LayerError(.unsupported, "layers named by sha512 are not taken; use sha256")
            }
        }
        self.request = request
        do throws(SystemError) {
            input = try BlockMemory(count: Self.inputBlocks, blockBytes: Self.blockBytes)
            tar = try BlockMemory(count: Self.tarBlocks, blockBytes: Self.blockBytes)
        } catch {
            throw LayerError(error, "preparing a layer")
        }
        // The block used last is taken first: its memory is warm, and a small layer touches few.
        state = Guarded(
            State(
                inputFree: Array((0..<Self.inputBlocks).reversed()),
                inputHolds: Array(repeating: 0, count: Self.inputBlocks),
                tarFree: Array((0..<Self.tarBlocks).reversed())))
    }

    /// Changes the state and wakes threads and tasks that can go on.
    func change<Value>(_ body: (inout State) -> Value) -> Value {
        let (value, awakened) = state.withLock { state in
            let value = body(&state)
            return (value, state.takeAwakened())
        }
        for task in awakened { task.resume() }
        return value
    }

    /// Ends everything with `error`, unless it has ended already.
    func stop(_ error: LayerError) {
        change { state in
            guard state.outcome == nil else { return }
            state.stop = state.stop ?? error
            if !state.hasStarted { state.outcome = .failure(error) }
        }
    }

    /// Starts the three threads at the first call.
    ///
    /// - Parameter replays: true lets the first thread begin with what ``IngestRequest/partialBlob`` holds.
    func start(replays: Bool) {
        let isFirst = change { state in
            guard !state.hasStarted, state.outcome == nil else { return false }
            state.hasStarted = true
            state.replays = replays
            state.threads = 3
            return true
        }
        guard isFirst else { return }
        // Inflating takes longest: the others keep up in what it leaves, and must not interrupt it at every block.
        launch("layer-blob", isBatch: true) { pipeline throws(LayerError) in
            var stage = BlobStage(pipeline)
            try stage.run()
        }
        launch("layer-inflate") { pipeline throws(LayerError) in
            var stage = try InflateStage(pipeline)
            try stage.run()
        }
        launch("layer-tar", isBatch: true) { pipeline throws(LayerError) in
            var stage = try TarStage(pipeline)
            try stage.run()
        }
    }

    private func launch(
        _ name: String, isBatch: Bool = false,
        _ body: @escaping @Sendable (IngestPipeline) throws(LayerError) -> Void
    ) {
        do throws(SystemError) {
            try Threads.start(name, isBatch: isBatch) {
                do throws(LayerError) { try body(self) } catch { self.stop(error) }
                self.endThread()
            }
        } catch {
            stop(LayerError(error, "starting a layer's threads"))
            endThread()
        }
    }

    /// The last thread settles what became of the layer and removes what must not stay.
    private func endThread() {
        let ending: State? = change { state in
            state.threads -= 1
            return state.threads == 0 ? state : nil
        }
        guard let ending else { return }
        let outcome = Self.outcome(ending, request)
        cleanUp(after: outcome)
        change { $0.outcome = outcome }
    }

    private static func outcome(_ state: State, _ request: IngestRequest) -> Result<IngestedLayer, LayerError> {
        if let stop = state.stop { return .failure(stop) }
        guard let blob = state.blob, let tar = state.tar else {
            return .failure(LayerError(.cancelled, "the layer's pipeline ended early"))
        }
        let layer = IngestedLayer(
            diffID: tar.digest, blobDigest: blob.digest ?? tar.digest, blobSize: blob.size,
            compression: blob.compression,
            tarSize: tar.size, entryCount: tar.entryCount, sparseSize: tar.sparseSize)
        if let want = request.blob, want != layer.blobDigest {
            return .failure(Self.mismatch("the blob's digest", got: "\(layer.blobDigest)", want: "\(want)"))
        }
        return .success(layer)
    }

    static func mismatch(_ what: String, got: String, want: String) -> LayerError {
        LayerError(.mismatch, "\(what) is \(got), but \(want) was promised; pull the layer again")
    }

    private func cleanUp(after outcome: Result<IngestedLayer, LayerError>) {
        guard case .failure(let error) = outcome else {
            if !request.keepBlob, let path = request.partialBlob { remove(path) }
            return
        }
        for path in [request.files.tar, request.files.entries, request.files.sparse] { remove(path) }
        // Bytes that were judged bad would fail again, and on a full disk the space is needed; those that were only
        // interrupted are worth keeping.
        let isInterrupted = error.code == .cancelled || (error.code == .system && !error.isForSpace)
        if !isInterrupted, let path = request.partialBlob { remove(path) }
    }

    /// A file that cannot be removed is found by whoever empties the private directory.
    private func remove(_ path: String) { try? Files.removeTree(path) }
}

// MARK: - What the threads call

extension IngestPipeline {
    /// True when the first thread would have to wait for the producer.
    var isInputDry: Bool { change { $0.inputQueue.isEmpty && !$0.inputEnded && $0.stop == nil } }
    var isTarDry: Bool { change { $0.tarQueue.isEmpty && !$0.tarEnded && $0.stop == nil } }

    /// Waits for the next filled input block; nil at the end.
    func takeInput() throws(LayerError) -> Piece? {
        try waiting({ !$0.inputQueue.isEmpty || $0.inputEnded }) {
            $0.inputQueue.isEmpty ? nil : $0.inputQueue.removeFirst()
        }
    }

    /// What had been handed in when everything stopped, down to the bytes the producer was still gathering.
    func takeInputLeftovers() -> [Piece] {
        change { state in
            var pieces = state.inputQueue
            if let filling = state.filling, filling.count > 0 { pieces.append(filling) }
            state.inputQueue = []
            state.filling = nil
            return pieces
        }
    }

    func takeTar() throws(LayerError) -> Piece? {
        try waiting({ !$0.tarQueue.isEmpty || $0.tarEnded }) { $0.tarQueue.isEmpty ? nil : $0.tarQueue.removeFirst() }
    }

    func takeFreeTarBlock() throws(LayerError) -> Int {
        guard let block = try waiting({ !$0.tarFree.isEmpty }, { $0.tarFree.popLast() }) else {
            throw LayerError(.cancelled, "the layer's pipeline ended early")
        }
        return block
    }

    /// A block for what an earlier try left; the producer takes its own.
    func takeFreeInputBlock() throws(LayerError) -> Int {
        guard let block = try waiting({ !$0.inputFree.isEmpty }, { $0.inputFree.popLast() }) else {
            throw LayerError(.cancelled, "the layer's pipeline ended early")
        }
        return block
    }

    /// One stage is done with each of these; a block is free when all are.
    func release(input blocks: [Int]) {
        guard !blocks.isEmpty else { return }
        change { state in
            for block in blocks {
                state.inputHolds[block] -= 1
                if state.inputHolds[block] == 0 { state.inputFree.append(block) }
            }
        }
    }

    /// Hands a block on to be inflated, which is one of the `holds` on it.
    func push(inflate piece: Piece, as compression: Compression, holds: Int) {
        change { state in
            state.compression = compression
            state.inputHolds[piece.block] = holds
            state.inflateQueue.append(piece)
        }
    }

    /// Waits for the next block to inflate, and tells how it is compressed; nil at the end.
    func takeInflate() throws(LayerError) -> (Piece, Compression)? {
        try waiting({ !$0.inflateQueue.isEmpty || $0.inflateEnded }) { state in
            state.inflateQueue.isEmpty ? nil : (state.inflateQueue.removeFirst(), state.compression)
        }
    }

    /// Says that nothing more comes to be inflated, and waits until all is.
    func endInflate() throws(LayerError) {
        change { $0.inflateEnded = true }
        try waiting({ $0.tarEnded }) { _ in }
    }

    func release(tar blocks: [Int]) {
        if !blocks.isEmpty { change { $0.tarFree += blocks } }
    }

    func push(tar piece: Piece) { change { $0.tarQueue.append(piece) } }
    func endTar() { change { $0.tarEnded = true } }

    private func waiting<Value>(
        _ ready: (State) -> Bool, _ body: (inout State) -> Value
    ) throws(LayerError) -> Value {
        let result: Result<Value, LayerError> = state.wait(until: { $0.stop != nil || ready($0) }) { state in
            if let stop = state.stop { return .failure(stop) }
            return .success(body(&state))
        }
        return try result.get()
    }
}
