import Crypto
import Kernel
import OCI
import Ring

/// The third thread of an ingest: tar blocks → SHA-256 → members → the layer's `tar` and `entries`.
struct TarStage: ~Copyable {
    private let pipeline: IngestPipeline
    private let recorder: IngestRecorder
    private let request: IngestRequest
    private var hash = SHA256()
    private var size: Int64 = 0
    private var reader: TarReader
    private var entries: EntryWriter
    private var writer: RingWriter

    init(_ pipeline: IngestPipeline) throws(LayerError) {
        let request = pipeline.request
        let entries = try EntryWriter(request.files.entries)
        let writer = try Self.writer(request.files.tar, pipeline.tar)
        self.pipeline = pipeline
        recorder = pipeline.recorder
        self.request = request
        reader = TarReader(limits: request.limits.tar, sparsePath: request.files.sparse)
        self.entries = entries
        self.writer = writer
    }

    private static func writer(_ path: String, _ memory: BlockMemory) throws(LayerError) -> RingWriter {
        do throws(SystemError) { return try RingWriter(path, memory: memory) } catch {
            throw LayerError(error, "storing the layer")
        }
    }

    /// Works until the tar ends or something fails anywhere.
    mutating func run() throws(LayerError) {
        while let piece = try next() {
            let bytes = UnsafeRawBufferPointer(rebasing: pipeline.tar[piece.block][..<piece.count])
            var start = IngestRecorder.now()
            hash.update(bufferPointer: bytes)
            size += Int64(piece.count)
            start = recorder.note(.hashTar, since: start, bytes: piece.count)
            try parse(bytes)
            start = recorder.note(.parse, since: start, bytes: piece.count)
            do throws(SystemError) {
                try writer.write(block: piece.block, count: piece.count)
            } catch {
                throw LayerError(error, "storing the layer")
            }
            recorder.note(.writeTar, since: start, bytes: piece.count)
        }
        try finish()
    }

    private mutating func next() throws(LayerError) -> IngestPipeline.Piece? {
        pipeline.release(tar: writer.takeCompleted())
        // The second thread may be waiting for blocks that are on their way to the disk.
        if writer.inFlight > 0, pipeline.isTarDry {
            let start = IngestRecorder.now()
            do throws(SystemError) { try writer.reap(waitFor: writer.inFlight) } catch {
                throw LayerError(error, "storing the layer")
            }
            recorder.note(.writeTar, since: start)
            pipeline.release(tar: writer.takeCompleted())
        }
        let start = IngestRecorder.now()
        defer { recorder.note(.waitForTar, since: start) }
        return try pipeline.takeTar()
    }

    private mutating func parse(_ bytes: UnsafeRawBufferPointer) throws(LayerError) {
        let onEntry = request.onEntry
        try reader.consume(bytes.assumingMemoryBound(to: UInt8.self).span) { (entry: LayerEntry) throws(LayerError) in
            try entries.write(entry)
            onEntry?(entry)
        }
        recorder.setEntries(reader.entryCount)
    }

    private mutating func finish() throws(LayerError) {
        let digest = Digest(sha256: hash.finalize())
        if let want = request.diffID, digest != want {
            throw IngestPipeline.mismatch("the layer's diff ID", got: "\(digest)", want: "\(want)")
        }
        let start = IngestRecorder.now()
        try reader.finish()
        try entries.finish()
        do throws(SystemError) { try writer.finish(durable: true) } catch {
            throw LayerError(error, "storing the layer")
        }
        recorder.note(.sync, since: start)
        let result = IngestPipeline.TarResult(
            digest: digest, size: size, entryCount: reader.entryCount, sparseSize: Int64(clamping: reader.sparseSize))
        pipeline.change { $0.tar = result }
    }
}
