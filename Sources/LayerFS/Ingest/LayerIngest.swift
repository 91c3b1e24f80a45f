import Kernel
import Ring

/// Stores one layer while it arrives: verbatim tar, parsed members, and the bytes as they came if they are to be kept.
///
/// Three threads per layer share the work in blocks of 384 KiB. The first hashes and stores what comes, the second inflates it,
/// the third hashes, parses and stores the tar. At most 4 MiB of blocks and the decoder's window are in use, whatever the layer's size.
/// One producer calls ``resume()`` (optional), ``write(_:)`` or ``offer(_:)``, then ``finish()``. ``cancel()`` may come from anywhere;
/// dropping the object cancels too.
package final class LayerIngest: Sendable {
    private let pipeline: IngestPipeline

    /// - Throws: ``LayerError`` when a promised digest is of an unknown kind or there is no memory.
    package init(_ request: IngestRequest) throws(LayerError) { pipeline = try IngestPipeline(request) }

    deinit { pipeline.stop(LayerError(.cancelled, "the layer was abandoned")) }

    /// Sends what an earlier try left in the partial blob through the pipeline. Call it before anything is written.
    ///
    /// - Returns: how many bytes are there already: where the rest has to begin. A cut tail that is no whole disk block is dropped.
    package func resume() async throws(LayerError) -> Int64 {
        pipeline.start(replays: true)
        try await waitUntilReady()
        pipeline.recorder.producerLeaves()
        return pipeline.change { $0.replayed } ?? 0
    }

    /// Takes bytes, waiting while the pipeline is full. They are copied before this returns.
    ///
    /// - Throws: ``LayerError`` of any stage, as soon as it is known.
    package func write(_ bytes: UnsafeRawBufferPointer) async throws(LayerError) {
        var rest = bytes
        let recorder = pipeline.recorder
        recorder.producerArrives()
        defer { recorder.producerLeaves() }
        while true {
            let count = try offer(rest)
            if count == rest.count { return }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            let start = IngestRecorder.now()
            try await waitUntilReady()
            recorder.note(.waitForInputBlock, since: start)
        }
    }

    /// Takes as many bytes as fit without waiting; after less than all of them, ``waitUntilReady()`` is the thing to call.
    ///
    /// - Returns: how many were taken, from the front.
    package func offer(_ bytes: UnsafeRawBufferPointer) throws(LayerError) -> Int {
        if bytes.isEmpty { return 0 }
        pipeline.start(replays: false)
        let start = IngestRecorder.now()
        var taken = 0
        while taken < bytes.count, var piece = try beginFilling() {
            let block = pipeline.input[piece.block]
            let count = min(bytes.count - taken, block.count - piece.count)
            UnsafeMutableRawBufferPointer(rebasing: block[piece.count...])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[taken..<(taken + count)]))
            piece.count += count
            taken += count
            pipeline.change { [piece] state in
                if piece.count == block.count { state.inputQueue.append(piece) } else { state.filling = piece }
            }
        }
        if taken > 0 { pipeline.recorder.note(.receive, since: start, bytes: taken) }
        return taken
    }

    /// Waits until ``offer(_:)`` can take something.
    ///
    /// - Throws: ``LayerError`` when the pipeline has failed or the task is cancelled.
    package func waitUntilReady() async throws(LayerError) {
        guard !Task.isCancelled else { throw LayerError(.cancelled, "the layer was cancelled") }
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let goesOn = pipeline.change { state in
                if state.canProducerGoOn { return true }
                state.producer = continuation
                return false
            }
            if goesOn { continuation.resume() }
        }
        try throwIfStopped()
    }

    /// Says that all bytes are in, and waits until the layer is durable and verified.
    ///
    /// - Throws: ``LayerError``; `.mismatch` when a digest or size is not the promised one. Nothing is left but, after `.cancelled`
    ///   and `.system` other than a full disk, the partial blob.
    package func finish() async throws(LayerError) -> IngestedLayer {
        pipeline.recorder.producerArrives()
        pipeline.start(replays: false)
        pipeline.change { state in
            guard state.outcome == nil, !state.inputEnded else { return }
            if let piece = state.filling, piece.count > 0 { state.inputQueue.append(piece) }
            state.filling = nil
            state.inputEnded = true
        }
        return try await outcome().get()
    }

    /// Stops the threads, waits for them, and removes everything but the partial blob, which is cut to what surely arrived.
    ///
    /// After ``finish()`` has succeeded it does nothing.
    package func cancel() async {
        pipeline.stop(LayerError(.cancelled, "the layer was cancelled"))
        // Whoever calls cancel wants the end, not the reason.
        _ = await outcome()
    }

    package var counters: IngestCounters { pipeline.recorder.counters }

    /// What each stage did when, in order of start; close spans of one stage are one, and say how long it worked in them.
    package var trace: [TraceSpan] { pipeline.recorder.trace }

    private func outcome() async -> Result<IngestedLayer, LayerError> {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            let isOver = pipeline.change { state in
                if state.outcome != nil { return true }
                state.finishers.append(continuation)
                return false
            }
            if isOver { continuation.resume() }
        }
        return pipeline.change { $0.outcome } ?? .failure(LayerError(.cancelled, "the layer was cancelled"))
    }

    private func beginFilling() throws(LayerError) -> IngestPipeline.Piece? {
        let piece: IngestPipeline.Piece? = pipeline.change { state in
            guard state.stop == nil, state.outcome == nil, !(state.replays && state.replayed == nil) else { return nil }
            if let piece = state.filling {
                state.filling = nil
                return piece
            }
            return state.inputFree.popLast().map { IngestPipeline.Piece(block: $0, count: 0) }
        }
        if piece == nil { try throwIfStopped() }
        return piece
    }

    private func throwIfStopped() throws(LayerError) {
        let stop = pipeline.change { state -> LayerError? in
            if case .failure(let error) = state.outcome { return error }
            return state.stop
        }
        if let stop { throw stop }
    }
}
