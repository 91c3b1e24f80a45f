import Benchmark
import CCodecs
import Foundation
import LayerFS

/// Decompression of a layer in memory into one block, again and again.
enum Inflate {
    /// What a pipeline's block holds.
    private static let blockBytes = 384 << 10

    /// - Returns: the uncompressed size.
    static func ours(_ bytes: [UInt8], _ compression: Compression) throws -> Int {
        let output = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 4096)
        defer { output.deallocate() }
        var decoder = try Decoder(compression)
        var size = 0
        try bytes.withUnsafeBytes { (all) throws -> Void in
            var rest = all
            while true {
                let step = try decoder.decode(rest, into: output)
                rest = UnsafeRawBufferPointer(rebasing: rest[step.consumed...])
                size += step.produced
                if step.produced < output.count && rest.isEmpty { break }
            }
        }
        try decoder.finish()
        return size
    }

    /// One gzip member by ISA-L, with its checksum.
    ///
    /// - Returns: the uncompressed size, or nil when ISA-L refuses it.
    static func isal(_ bytes: [UInt8]) -> Int? {
        let output = UnsafeMutablePointer<UInt8>.allocate(capacity: blockBytes)
        let state = UnsafeMutablePointer<inflate_state>.allocate(capacity: 1)
        defer {
            output.deallocate()
            state.deallocate()
        }
        isal_inflate_init(state)
        state.pointee.crc_flag = UInt32(ISAL_GZIP)
        return bytes.withUnsafeBufferPointer { input in
            state.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
            state.pointee.avail_in = UInt32(input.count)
            var size = 0
            repeat {
                state.pointee.next_out = output
                state.pointee.avail_out = UInt32(blockBytes)
                guard isal_inflate(state) >= 0 else { return nil }
                size += blockBytes - Int(state.pointee.avail_out)
            } while state.pointee.block_state != ISAL_BLOCK_FINISH && state.pointee.avail_out == 0
            return size
        }
    }
}

/// Our DEFLATE beside ISA-L's, on the sample and on the gzip files that `GZIP_FILES` names, with blanks between them.
func addInflateBenchmarks(_ sample: SampleLayer) {
    var layers: [(name: String, bytes: [UInt8])] = []
    if let bytes = try? sample.compressed(.gzip) { layers.append(("sample", bytes)) }
    for path in (ProcessInfo.processInfo.environment["GZIP_FILES"] ?? "").split(separator: " ") {
        guard let data = FileManager.default.contents(atPath: String(path)) else { continue }
        layers.append((String(path.split(separator: "/").last ?? path), Array(data)))
    }
    for (name, bytes) in layers {
        Benchmark("Gzip/\(name)/ours") { benchmark in
            for _ in benchmark.scaledIterations { blackHole(try Inflate.ours(bytes, .gzip)) }
        }
        Benchmark("Gzip/\(name)/ISA-L") { benchmark in
            for _ in benchmark.scaledIterations { blackHole(Inflate.isal(bytes)) }
        }
    }
}
