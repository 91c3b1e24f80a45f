import CCodecs

/// zstd (RFC 8878) by libzstd: any number of frames, skippable ones between them, checksums where there are some.
final class ZstdDecoder {
    private let context: OpaquePointer
    /// True between frames.
    private(set) var isAtEnd = false

    init() throws(LayerError) {
        guard let context = ZSTD_createDCtx() else { throw LayerError(.system, "no memory for a zstd decoder") }
        self.context = context
        ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Decoder.windowLogMax)
    }

    deinit { ZSTD_freeDCtx(context) }

    func decode(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(LayerError) -> DecodeStep {
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        while source.pos < source.size {
            let result = ZSTD_decompressStream(context, &target, &source)
            guard ZSTD_isError(result) == 0 else { throw Self.error(result) }
            isAtEnd = result == 0
            if target.pos == target.size { break }
        }
        // All input may be inside the library while the output was full: ask for what it still holds.
        if source.size == 0, !isAtEnd {
            let result = ZSTD_decompressStream(context, &target, &source)
            guard ZSTD_isError(result) == 0 else { throw Self.error(result) }
            isAtEnd = result == 0
        }
        return DecodeStep(consumed: source.pos, produced: target.pos)
    }

    private static func error(_ result: Int) -> LayerError {
        if ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge {
            return LayerError(
                .limit,
                "zstd stream wants a window of more than \(1 << (Int(Decoder.windowLogMax) - 20)) MiB; compress the layer without --long"
            )
        }
        let reason = ZSTD_getErrorName(result).map { String(cString: $0).lowercased() } ?? "unknown"
        return LayerError(.malformed, "broken zstd stream: \(reason); pull the layer again")
    }
}
