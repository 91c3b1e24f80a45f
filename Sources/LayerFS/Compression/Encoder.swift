import CCodecs

/// Streaming compression with fixed parameters: the same bytes in give the same bytes out, however they are cut.
///
/// For one thread. Input is gathered into blocks of a fixed size because a codec's choices may depend on how much it sees.
package struct Encoder: ~Copyable {
    private enum Codec {
        case identity
        case gzip(GzipEncoder)
        case zstd(ZstdEncoder)
    }

    /// Takes compressed bytes, which are valid during the call.
    package typealias Sink = (UnsafeRawBufferPointer) throws(LayerError) -> Void

    /// Bytes compressed at a time.
    private static let blockBytes = 256 << 10

    private let codec: Codec
    private var block: [UInt8] = []

    /// - Throws: ``LayerError`` `.unsupported` for formats that are only read.
    package init(_ compression: Compression) throws(LayerError) {
        switch compression {
        case .identity: codec = .identity
        case .gzip: codec = .gzip(try GzipEncoder())
        case .zstd: codec = .zstd(try ZstdEncoder())
        case .bzip2, .xz:
            throw LayerError(.unsupported, "layers are not written as \(compression.rawValue); use gzip or zstd")
        }
        if case .identity = codec { return }
        block.reserveCapacity(Self.blockBytes)
    }

    /// Compresses `bytes`; what comes out goes to `sink`.
    package mutating func write(_ bytes: UnsafeRawBufferPointer, _ sink: Sink) throws(LayerError) {
        if case .identity = codec { return try sink(bytes) }
        var rest = bytes
        while !rest.isEmpty {
            let count = min(rest.count, Self.blockBytes - block.count)
            block.append(contentsOf: rest[..<(rest.startIndex + count)])
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            if block.count == Self.blockBytes { try flush(last: false, sink) }
        }
    }

    /// Writes the end of the stream; the encoder is then used up.
    package mutating func finish(_ sink: Sink) throws(LayerError) { try flush(last: true, sink) }

    private mutating func flush(last: Bool, _ sink: Sink) throws(LayerError) {
        defer { block.removeAll(keepingCapacity: true) }
        switch codec {
        case .identity: break
        case .gzip(let encoder): try encoder.encode(&block, last: last, sink)
        case .zstd(let encoder): try encoder.encode(&block, last: last, sink)
        }
    }
}

/// gzip by ISA-L at its best level: a ratio near zlib's 6 at several times the speed.
final class GzipEncoder {
    private static let level: UInt32 = 3
    private static let outputBytes = 320 << 10

    private let stream: UnsafeMutablePointer<isal_zstream>
    private let levelBuffer: UnsafeMutablePointer<UInt8>
    private let output: UnsafeMutablePointer<UInt8>

    init() throws(LayerError) {
        stream = .allocate(capacity: 1)
        isal_deflate_init(stream)
        let bytes = Self.levelBufferBytes
        levelBuffer = .allocate(capacity: bytes)
        output = .allocate(capacity: Self.outputBytes)
        stream.pointee.level = Self.level
        stream.pointee.level_buf = levelBuffer
        stream.pointee.level_buf_size = UInt32(bytes)
        stream.pointee.gzip_flag = UInt16(IGZIP_GZIP)
    }

    deinit {
        stream.deallocate()
        levelBuffer.deallocate()
        output.deallocate()
    }

    /// ISAL_DEF_LVL3_LARGE of igzip_lib.h, which is an expression Swift cannot import.
    private static var levelBufferBytes: Int {
        let hashBytes = 2 * Int(IGZIP_LVL3_HASH_SIZE)
        return 4 * 1024 + 4 * 4 * 1024 + hashBytes + 4 * 64 * 1024
    }

    func encode(_ input: inout [UInt8], last: Bool, _ sink: Encoder.Sink) throws(LayerError) {
        stream.pointee.end_of_stream = last ? 1 : 0
        stream.pointee.flush = UInt16(NO_FLUSH)
        let count = input.count
        let result: Result<Void, LayerError> = input.withUnsafeMutableBufferPointer { bytes in
            stream.pointee.next_in = bytes.baseAddress
            stream.pointee.avail_in = UInt32(count)
            do throws(LayerError) { return .success(try drain(sink)) } catch { return .failure(error) }
        }
        try result.get()
    }

    private func drain(_ sink: Encoder.Sink) throws(LayerError) {
        repeat {
            stream.pointee.next_out = output
            stream.pointee.avail_out = UInt32(Self.outputBytes)
            let result = isal_deflate(stream)
            guard result == COMP_OK else {
                throw LayerError(.unsupported, "ISA-L refused its parameters: code \(result)")
            }
            let produced = Self.outputBytes - Int(stream.pointee.avail_out)
            if produced > 0 { try sink(UnsafeRawBufferPointer(start: output, count: produced)) }
        } while stream.pointee.avail_out == 0 || stream.pointee.avail_in > 0
    }
}

/// zstd by libzstd, level 3, one thread, with content checksum: what the zstd program writes.
final class ZstdEncoder {
    private static let level: Int32 = 3

    private let context: OpaquePointer
    private let output: UnsafeMutableRawBufferPointer

    init() throws(LayerError) {
        guard let context = ZSTD_createCCtx() else { throw LayerError(.system, "no memory for a zstd encoder") }
        self.context = context
        output = .allocate(byteCount: ZSTD_CStreamOutSize(), alignment: 16)
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Self.level)
        ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    }

    deinit {
        ZSTD_freeCCtx(context)
        output.deallocate()
    }

    func encode(_ input: inout [UInt8], last: Bool, _ sink: Encoder.Sink) throws(LayerError) {
        let result: Result<Void, LayerError> = input.withUnsafeBytes { bytes in
            do throws(LayerError) { return .success(try drain(bytes, last: last, sink)) } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    private func drain(_ bytes: UnsafeRawBufferPointer, last: Bool, _ sink: Encoder.Sink) throws(LayerError) {
        var source = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        while true {
            var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
            let left = ZSTD_compressStream2(context, &target, &source, last ? ZSTD_e_end : ZSTD_e_continue)
            guard ZSTD_isError(left) == 0 else { throw LayerError(.system, "the zstd encoder failed") }
            if target.pos > 0 { try sink(UnsafeRawBufferPointer(rebasing: output[..<target.pos])) }
            if last ? left == 0 : source.pos == source.size { return }
        }
    }
}
