import CCodecs

/// bzip2 by libbz2: any number of streams, then optional zeros.
final class Bzip2Decoder {
    private let stream: UnsafeMutablePointer<bz_stream>
    private var isOpen = false
    private var phase = MemberPhase.inside

    init() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: bz_stream())
    }

    deinit {
        if isOpen { BZ2_bzDecompressEnd(stream) }
        stream.deallocate()
    }

    var isAtEnd: Bool { phase != .inside }

    func decode(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(LayerError) -> DecodeStep {
        var consumed = 0
        if phase != .inside {
            consumed = try phase.skipZeros(input, "bzip2")
            if consumed == input.count { return DecodeStep(consumed: consumed, produced: 0) }
            phase = .inside
        }
        if !isOpen {
            stream.pointee = bz_stream()
            guard BZ2_bzDecompressInit(stream, 0, 0) == BZ_OK else {
                throw LayerError(.system, "no memory for a bzip2 decoder")
            }
            isOpen = true
        }
        let inputCount = min(input.count - consumed, 1 << 30)
        let outputCount = min(output.count, 1 << 30)
        let bytes = input.baseAddress.map { UnsafeMutablePointer(mutating: $0.assumingMemoryBound(to: CChar.self)) }
        stream.pointee.next_in = bytes.map { $0 + consumed }
        stream.pointee.avail_in = UInt32(inputCount)
        stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: CChar.self)
        stream.pointee.avail_out = UInt32(outputCount)
        let result = BZ2_bzDecompress(stream)
        switch result {
        case BZ_OK: break
        case BZ_STREAM_END:
            BZ2_bzDecompressEnd(stream)
            isOpen = false
            phase = .between
        case BZ_MEM_ERROR: throw LayerError(.system, "no memory for a bzip2 decoder")
        default: throw LayerError(.malformed, "broken bzip2 stream; pull the layer again")
        }
        return DecodeStep(
            consumed: consumed + inputCount - Int(stream.pointee.avail_in),
            produced: outputCount - Int(stream.pointee.avail_out))
    }
}
