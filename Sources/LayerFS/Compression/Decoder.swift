/// What one call of ``Decoder/decode(_:into:)`` did, in bytes.
package struct DecodeStep: Sendable, Hashable {
    /// Taken from the front of the input.
    package var consumed: Int
    /// Put at the front of the output.
    package var produced: Int
}

/// Streaming decompression with bounded memory. For one thread.
///
/// The caller goes on while there is input, or the output came back full; then ``finish()`` tells whether the stream ended.
package struct Decoder: ~Copyable {
    private enum Codec {
        case identity
        case gzip(GzipDecoder)
        case zstd(ZstdDecoder)
        case bzip2(Bzip2Decoder)
        case xz(XzDecoder)
    }

    /// The window of the largest stream taken, as a power of two: 128 MiB, what the zstd program takes unasked.
    package static let windowLogMax: Int32 = 27

    private let codec: Codec

    /// - Throws: ``LayerError`` when the library has no memory.
    package init(_ compression: Compression) throws(LayerError) {
        codec =
            switch compression {
            case .identity: .identity
            case .gzip: .gzip(GzipDecoder())
            case .zstd: .zstd(try ZstdDecoder())
            case .bzip2: .bzip2(Bzip2Decoder())
            case .xz: .xz(try XzDecoder())
            }
    }

    /// Decompresses from `input` into `output` until one of them is used up.
    ///
    /// - Parameter written: bytes right before `output` that are what the stream was last decompressed to: some codecs read
    ///   them again instead of a copy of their own.
    /// - Throws: ``LayerError``: `.malformed` when the stream is broken, `.limit` when it wants more than the window.
    package mutating func decode(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, after written: Int = 0
    ) throws(LayerError) -> DecodeStep {
        switch codec {
        case .identity:
            let count = min(input.count, output.count)
            if count > 0 { output.copyMemory(from: UnsafeRawBufferPointer(rebasing: input[..<count])) }
            return DecodeStep(consumed: count, produced: count)
        case .gzip(let decoder): return try decoder.decode(input, into: output, after: written)
        case .zstd(let decoder): return try decoder.decode(input, into: output)
        case .bzip2(let decoder): return try decoder.decode(input, into: output)
        case .xz(let decoder): return try decoder.decode(input, into: output)
        }
    }

    /// Says that all input was given.
    ///
    /// - Throws: ``LayerError`` `.malformed` when the stream stops short of its end.
    package mutating func finish() throws(LayerError) {
        let isWhole =
            switch codec {
            case .identity: true
            case .gzip(let decoder): decoder.isAtEnd
            case .zstd(let decoder): decoder.isAtEnd
            case .bzip2(let decoder): decoder.isAtEnd
            case .xz(let decoder): decoder.finish()
            }
        guard isWhole else { throw LayerError(.malformed, "the compressed layer is truncated; pull it again") }
    }
}

/// Where a format of concatenated streams is, between two of them.
enum MemberPhase {
    /// Nothing read yet, or inside a member.
    case inside
    /// A member ended; another, zeros, or nothing may follow.
    case between
    /// Zeros follow the last member, as tape blocks leave them; GNU gzip ignores them and so do we.
    case padding

    /// Skips zeros after a member.
    ///
    /// - Returns: how many bytes of `input` were zeros; a byte that is not zero ends the skipping.
    /// - Throws: ``LayerError`` when something follows the zeros.
    mutating func skipZeros(_ input: UnsafeRawBufferPointer, _ format: String) throws(LayerError) -> Int {
        let zeros = input.firstIndex { $0 != 0 } ?? input.count
        if zeros > 0 { self = .padding }
        guard zeros == input.count || self == .between else {
            throw LayerError(.malformed, "garbage after the end of the \(format) stream")
        }
        return zeros
    }
}
