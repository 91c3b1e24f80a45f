import CCodecs

/// xz by liblzma: concatenated streams and stream padding, with a bound on the dictionary.
final class XzDecoder {
    /// LZMA_CONCATENATED of lzma/container.h, a macro that does not import.
    private static let concatenated: UInt32 = 0x08

    private let stream: UnsafeMutablePointer<lzma_stream>

    init() throws(LayerError) {
        stream = .allocate(capacity: 1)
        stream.initialize(to: lzma_stream())
        let memoryMax = UInt64(1) << UInt64(Decoder.windowLogMax)
        guard lzma_stream_decoder(stream, memoryMax, Self.concatenated) == LZMA_OK else {
            throw LayerError(.system, "no memory for an xz decoder")
        }
    }

    deinit {
        lzma_end(stream)
        stream.deallocate()
    }

    func decode(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(LayerError) -> DecodeStep {
        stream.pointee.next_in = input.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_in = input.count
        stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = output.count
        let result = lzma_code(stream, LZMA_RUN)
        switch result {
        // LZMA_BUF_ERROR: nothing could be done, which the caller sees in the counts.
        case LZMA_OK, LZMA_BUF_ERROR, LZMA_STREAM_END: break
        case LZMA_MEMLIMIT_ERROR:
            throw LayerError(
                .limit,
                "xz stream wants more than \(1 << (Int(Decoder.windowLogMax) - 20)) MiB; compress it with -9 or less")
        case LZMA_MEM_ERROR: throw LayerError(.system, "no memory for an xz decoder")
        default: throw LayerError(.malformed, "broken xz stream; pull the layer again")
        }
        return DecodeStep(
            consumed: input.count - stream.pointee.avail_in, produced: output.count - stream.pointee.avail_out)
    }

    /// True when the last stream is whole.
    func finish() -> Bool {
        stream.pointee.avail_in = 0
        stream.pointee.avail_out = 0
        return lzma_code(stream, LZMA_FINISH) == LZMA_STREAM_END
    }
}
