import Ring

/// The second thread of an ingest: blocks as they came → decompressed tar blocks.
struct InflateStage: ~Copyable {
    private let pipeline: IngestPipeline
    private let recorder: IngestRecorder
    private let request: IngestRequest
    private var decoder: Decoder
    private var hasBegun = false
    /// Bytes taken and given so far.
    private var inputSize: Int64 = 0
    private var tarSize: Int64 = 0
    private var output: IngestPipeline.Piece?

    init(_ pipeline: IngestPipeline) throws(LayerError) {
        self.pipeline = pipeline
        recorder = pipeline.recorder
        request = pipeline.request
        decoder = try Decoder(.identity)
    }

    /// Works until the input ends or something fails anywhere.
    mutating func run() throws(LayerError) {
        while let (piece, compression) = try next() {
            if !hasBegun { decoder = try Decoder(compression) }
            hasBegun = true
            inputSize += Int64(piece.count)
            try decode(UnsafeRawBufferPointer(rebasing: pipeline.input[piece.block][..<piece.count]))
            pipeline.release(input: [piece.block])
        }
        try decoder.finish()
        if let output, output.count > 0 { pipeline.push(tar: output) }
        pipeline.endTar()
    }

    private func next() throws(LayerError) -> (IngestPipeline.Piece, Compression)? {
        let start = IngestRecorder.now()
        defer { recorder.note(.waitForBlob, since: start) }
        return try pipeline.takeInflate()
    }

    /// Decompresses all of `bytes` and hands on the tar blocks that get full.
    private mutating func decode(_ bytes: UnsafeRawBufferPointer) throws(LayerError) {
        var rest = bytes
        while true {
            var piece = try outputPiece()
            let block = pipeline.tar[piece.block]
            let start = IngestRecorder.now()
            let step = try decoder.decode(
                rest, into: UnsafeMutableRawBufferPointer(rebasing: block[piece.count...]), after: piece.count)
            recorder.note(.inflate, since: start, bytes: step.produced)
            rest = UnsafeRawBufferPointer(rebasing: rest[step.consumed...])
            piece.count += step.produced
            output = piece
            try count(step.produced)
            if piece.count == block.count {
                pipeline.push(tar: piece)
                output = nil
            } else if rest.isEmpty {
                return
            } else if step.consumed == 0, step.produced == 0 {
                throw LayerError(.malformed, "the compressed layer makes no progress; pull it again")
            }
        }
    }

    private mutating func outputPiece() throws(LayerError) -> IngestPipeline.Piece {
        if let output { return output }
        let start = IngestRecorder.now()
        let block = try pipeline.takeFreeTarBlock()
        recorder.note(.waitForTarBlock, since: start)
        return IngestPipeline.Piece(block: block, count: 0)
    }

    /// Holds the budgets of the uncompressed size.
    private mutating func count(_ produced: Int) throws(LayerError) {
        tarSize += Int64(produced)
        recorder.setUncompressed(tarSize)
        let limits = request.limits
        guard tarSize <= limits.uncompressedBytesMax else {
            throw LayerError(.limit, "the layer has more than \(limits.uncompressedBytesMax) bytes uncompressed")
        }
        guard tarSize <= limits.expansionFreeBytes || tarSize / limits.expansionRatioMax <= inputSize else {
            throw LayerError(
                .limit,
                "the layer expands to more than \(limits.expansionRatioMax) times its compressed \(inputSize) bytes")
        }
    }
}
