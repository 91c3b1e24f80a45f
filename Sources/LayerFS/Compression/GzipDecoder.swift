import CCodecs
import CInflate

/// gzip (RFC 1952): any number of members, each with its CRC-32 and size checked, then optional zeros.
///
/// DEFLATE is decoded by our own ``CInflate``: one thread does it for a whole layer, and it bounds the pull of a large one.
final class GzipDecoder {
    private enum Part {
        case header(GzipHeader)
        case data
        /// CRC-32 and size, of which `count` bytes are read.
        case trailer(value: UInt64, count: Int)
    }

    private let stream: UnsafeMutablePointer<ci_inflate>
    private var phase = MemberPhase.inside
    private var part = Part.header(GzipHeader())
    /// Of what the member has decompressed to so far.
    private var crc: UInt32 = 0
    private var size: UInt32 = 0
    /// The same as far as a match can reach back.
    private var window = 0

    init() { stream = .allocate(capacity: 1) }

    deinit { stream.deallocate() }

    var isAtEnd: Bool { phase != .inside }

    /// - Parameter written: bytes before `output` that are what was decompressed last.
    func decode(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, after written: Int = 0
    ) throws(LayerError) -> DecodeStep {
        var step = DecodeStep(consumed: 0, produced: 0)
        if phase != .inside {
            step.consumed = try phase.skipZeros(input, "gzip")
            if step.consumed == input.count { return step }
            phase = .inside
            part = .header(GzipHeader())
        }
        if case .header(var header) = part {
            step.consumed += try header.read(UnsafeRawBufferPointer(rebasing: input[step.consumed...]))
            part = .header(header)
            guard header.isWhole else { return step }
            beginData()
        }
        if case .data = part { try decodeData(input, output, after: written, &step) }
        if case .trailer(let value, let count) = part { try readTrailer(value, count, input, &step) }
        return step
    }

    private func beginData() {
        part = .data
        ci_inflate_init(stream)
        crc = 0
        size = 0
        window = 0
    }

    private func decodeData(
        _ input: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer, after written: Int,
        _ step: inout DecodeStep
    ) throws(LayerError) {
        let target = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        var buffers = ci_buffers()
        buffers.input = input.baseAddress.map { $0.assumingMemoryBound(to: UInt8.self) + step.consumed }
        buffers.input_count = input.count - step.consumed
        buffers.output = target
        buffers.output_count = output.count
        // What other members have written is out of reach.
        buffers.written_count = min(written, window)
        let result = ci_inflate(stream, &buffers)
        guard result >= 0 else { throw Self.error(result) }
        step.consumed = input.count - buffers.input_count
        step.produced = output.count - buffers.output_count
        crc = crc32_gzip_refl(crc, target, UInt64(step.produced))
        size &+= UInt32(truncatingIfNeeded: step.produced)
        window = min(window + step.produced, CI_WINDOW_BYTES)
        if Int(result) == CI_END { part = .trailer(value: 0, count: 0) }
    }

    private func readTrailer(
        _ value: UInt64, _ count: Int, _ input: UnsafeRawBufferPointer, _ step: inout DecodeStep
    ) throws(LayerError) {
        let bytes = input[step.consumed...].prefix(8 - count)
        let value = bytes.reduce(value) { $0 >> 8 | UInt64($1) << 56 }
        step.consumed += bytes.count
        guard count + bytes.count == 8 else {
            part = .trailer(value: value, count: count + bytes.count)
            return
        }
        guard value == UInt64(crc) | UInt64(size) << 32 else {
            throw LayerError(.malformed, "broken gzip stream: checksum or size is wrong; pull the layer again")
        }
        phase = .between
    }

    private static func error(_ code: CInt) -> LayerError {
        let reason =
            switch Int(code) {
            case CI_BAD_BLOCK_TYPE: "a block has no valid type"
            case CI_BAD_STORED_LENGTH: "the length of a stored block is wrong"
            case CI_TOO_MANY_SYMBOLS, CI_BAD_LENGTH_CODES, CI_BAD_REPEAT, CI_BAD_LITERAL_CODES, CI_BAD_DISTANCE_CODES,
                CI_NO_END_OF_BLOCK:
                "the codes of a block are not valid"
            case CI_DISTANCE_TOO_FAR: "distance reaches before the start"
            default: "deflate data is not valid"
            }
        return LayerError(.malformed, "broken gzip stream: \(reason); pull the layer again")
    }
}
