import Crypto
import Glibc
import Kernel
import OCI
import Ring

/// The first thread of an ingest: bytes as they come → SHA-256 → partial blob, and on to the thread that inflates them.
struct BlobStage: ~Copyable {
    private let pipeline: IngestPipeline
    private let recorder: IngestRecorder
    private let request: IngestRequest
    private var hash = SHA256()
    private var size: Int64 = 0
    private var compression: Compression?
    private var writer: RingWriter?

    init(_ pipeline: IngestPipeline) {
        self.pipeline = pipeline
        recorder = pipeline.recorder
        request = pipeline.request
    }

    /// Works until the input ends or something fails anywhere.
    mutating func run() throws(LayerError) {
        do throws(LayerError) {
            try open()
            while let piece = try next() { try process(piece, stores: true) }
            try finish()
        } catch {
            keepWhatArrived(after: error)
            throw error
        }
    }

    private mutating func next() throws(LayerError) -> IngestPipeline.Piece? {
        releaseBlocks()
        // The producer may be waiting for blocks that are on their way to the disk.
        if pipeline.isInputDry, let inFlight = writer?.inFlight, inFlight > 0 {
            let start = IngestRecorder.now()
            try storing { writer throws(SystemError) in try writer.reap(waitFor: inFlight) }
            recorder.note(.writeBlob, since: start)
            releaseBlocks()
        }
        let start = IngestRecorder.now()
        defer { recorder.note(.waitForInput, since: start) }
        return try pipeline.takeInput()
    }

    private mutating func releaseBlocks() { pipeline.release(input: writer?.takeCompleted() ?? []) }

    /// Opens the partial blob, after sending through what it holds if the producer asked for that.
    private mutating func open() throws(LayerError) {
        let replays = pipeline.change { $0.replays }
        guard let path = request.partialBlob else {
            if replays { pipeline.change { $0.replayed = 0 } }
            return
        }
        let kept = replays ? try replay(path) : 0
        do throws(SystemError) {
            // One write at a time: the file never has a hole, so its length tells what arrived, even after a crash.
            writer = try RingWriter(path, memory: pipeline.input, start: kept, depth: 1, growth: .exact)
        } catch {
            throw LayerError(error, "keeping the compressed layer")
        }
        if replays { pipeline.change { $0.replayed = kept } }
    }

    /// Reads what an earlier try left and sends it through.
    ///
    /// - Returns: how many of its bytes count.
    private mutating func replay(_ path: String) throws(LayerError) -> Int64 {
        guard Files.exists(path) else { return 0 }
        let doing = "reading the compressed layer kept from an earlier try"
        let file = try Self.opened(path, doing)
        let descriptor = file.raw
        let length = max(0, Int64(lseek(descriptor, 0, SEEK_END)))
        // A whole blob counts as it is; of a part, whole disk blocks do, so that direct writes can go on behind them.
        var usable = length == request.blobSize ? length : length - length % Int64(BlockMemory.alignment)
        if let promised = request.blobSize, length > promised { usable = 0 }
        while size < usable {
            let block = try pipeline.takeFreeInputBlock()
            let start = IngestRecorder.now()
            let count = Int(min(Int64(pipeline.input.blockBytes), usable - size))
            let target = UnsafeMutableRawBufferPointer(rebasing: pipeline.input[block][..<count])
            do throws(SystemError) { try Self.fill(target, from: file, at: size) } catch {
                throw LayerError(error, doing)
            }
            recorder.note(.receive, since: start, bytes: count)
            try process(IngestPipeline.Piece(block: block, count: count), stores: false)
        }
        return usable
    }

    private static func opened(_ path: String, _ doing: String) throws(LayerError) -> OwnedFD {
        do throws(SystemError) { return try OwnedFD.open(path, O_RDONLY) } catch { throw LayerError(error, doing) }
    }

    private static func fill(
        _ target: UnsafeMutableRawBufferPointer, from file: borrowing OwnedFD, at offset: Int64
    ) throws(SystemError) {
        var done = 0
        while done < target.count {
            let count = try file.read(
                into: UnsafeMutableRawBufferPointer(rebasing: target[done...]), at: offset + Int64(done))
            guard count > 0 else { throw SystemError("pread", EIO) }
            done += count
        }
    }

    private mutating func process(_ piece: IngestPipeline.Piece, stores: Bool) throws(LayerError) {
        let bytes = UnsafeRawBufferPointer(rebasing: pipeline.input[piece.block][..<piece.count])
        let compression = compression ?? Compression.detect(bytes.assumingMemoryBound(to: UInt8.self).span)
        self.compression = compression
        size += Int64(piece.count)
        recorder.setCompressed(size)
        if let promised = request.blobSize, size > promised {
            throw IngestPipeline.mismatch("the blob's size", got: "more than \(promised) bytes", want: "\(promised)")
        }
        // Inflating takes longest, so it begins before the rest is done with the block.
        let isStored = stores && writer != nil
        let isHashed = compression != .identity
        pipeline.push(inflate: piece, as: compression, holds: 1 + (isStored || isHashed ? 1 : 0))
        if isHashed {
            let start = IngestRecorder.now()
            hash.update(bufferPointer: bytes)
            recorder.note(.hashBlob, since: start, bytes: piece.count)
        }
        guard isStored else {
            if isHashed { pipeline.release(input: [piece.block]) }
            return
        }
        let start = IngestRecorder.now()
        try storing { writer throws(SystemError) in try writer.write(block: piece.block, count: piece.count) }
        recorder.note(.writeBlob, since: start, bytes: piece.count)
    }

    private mutating func finish() throws(LayerError) {
        // What is wrong with the compressed bytes themselves is told first.
        try pipeline.endInflate()
        if let promised = request.blobSize, size != promised {
            throw IngestPipeline.mismatch("the blob's size", got: "\(size) bytes", want: "\(promised)")
        }
        let isTar = compression == nil || compression == .identity
        let digest = isTar ? nil : Digest(sha256: hash.finalize())
        if let digest, let want = request.blob, digest != want {
            throw IngestPipeline.mismatch("the blob's digest", got: "\(digest)", want: "\(want)")
        }
        let result = IngestPipeline.BlobResult(digest: digest, size: size, compression: compression ?? .identity)
        pipeline.change { $0.blob = result }
        guard request.keepBlob, request.partialBlob != nil else { return }
        let start = IngestRecorder.now()
        try storing { writer throws(SystemError) in try writer.finish(durable: true) }
        recorder.note(.sync, since: start)
    }

    /// After an interruption: stores what was handed in already, and cuts the partial blob to what is there without a hole.
    private mutating func keepWhatArrived(after error: LayerError) {
        guard error.code == .cancelled || error.code == .system, writer != nil else { return }
        let leftovers = pipeline.takeInputLeftovers()
        // What cannot be stored any more is fetched again; the error that counts is the one that brought us here.
        try? storing { writer throws(SystemError) in
            for piece in leftovers { try writer.write(block: piece.block, count: piece.count) }
        }
        try? storing { writer throws(SystemError) in _ = try writer.abandon() }
    }

    private mutating func storing(_ body: (inout RingWriter) throws(SystemError) -> Void) throws(LayerError) {
        guard var held = writer.take() else { return }
        do throws(SystemError) {
            try body(&held)
            writer = consume held
        } catch {
            writer = consume held
            throw LayerError(error, "keeping the compressed layer")
        }
    }
}
