import CCodecs

/// gzip (RFC 1952) by ISA-L: any number of members, each with its CRC-32 and size checked, then optional zeros.
final class GzipDecoder {
    private let state: UnsafeMutablePointer<inflate_state>
    private var phase = MemberPhase.inside

    init() {
        state = .allocate(capacity: 1)
        isal_inflate_init(state)
        state.pointee.crc_flag = UInt32(ISAL_GZIP)
    }

    deinit { state.deallocate() }

    var isAtEnd: Bool { phase != .inside }

    func decode(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(LayerError) -> DecodeStep {
        var consumed = 0
        if phase != .inside {
            consumed = try phase.skipZeros(input, "gzip")
            if consumed == input.count { return DecodeStep(consumed: consumed, produced: 0) }
            isal_inflate_reset(state)
            state.pointee.crc_flag = UInt32(ISAL_GZIP)
            phase = .inside
        }
        // avail_in and avail_out are 32 bits wide; a part of a larger buffer is as good.
        let inputCount = min(input.count - consumed, 1 << 30)
        let outputCount = min(output.count, 1 << 30)
        let bytes = input.baseAddress.map { UnsafeMutablePointer(mutating: $0.assumingMemoryBound(to: UInt8.self)) }
        state.pointee.next_in = bytes.map { $0 + consumed }
        state.pointee.avail_in = UInt32(inputCount)
        state.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        state.pointee.avail_out = UInt32(outputCount)
        let result = isal_inflate(state)
        guard result >= 0, result != ISAL_NEED_DICT else { throw Self.error(result) }
        if state.pointee.block_state == ISAL_BLOCK_FINISH { phase = .between }
        return DecodeStep(
            consumed: consumed + inputCount - Int(state.pointee.avail_in),
            produced: outputCount - Int(state.pointee.avail_out))
    }

    private static func error(_ code: Int32) -> LayerError {
        let reason =
            switch code {
            case ISAL_INCORRECT_CHECKSUM: "checksum or size is wrong"
            case ISAL_INVALID_WRAPPER, ISAL_UNSUPPORTED_METHOD: "header is not valid"
            case ISAL_INVALID_LOOKBACK: "distance reaches before the start"
            default: "deflate data is not valid"
            }
        return LayerError(.malformed, "broken gzip stream: \(reason); pull the layer again")
    }
}
