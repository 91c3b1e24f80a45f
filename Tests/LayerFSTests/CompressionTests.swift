import LayerFS
import Testing

struct CompressionTests {
    private static let text = (0..<400_000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 7) }

    private func decoded(_ bytes: [UInt8], step: Int) throws -> [UInt8] {
        var decoder = try Decoder(Compression.detect(bytes.span))
        var output = [UInt8](repeating: 0, count: 10_000)
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            let end = index + min(step, bytes.count - index)
            var isFull = false
            while index < end || isFull {
                let done = try bytes.withUnsafeBytes { raw in
                    try output.withUnsafeMutableBytes { try decoder.decode(UnsafeRawBufferPointer(rebasing: raw[index..<end]), into: $0) }
                }
                result += output[..<done.produced]
                index += done.consumed
                isFull = done.produced == output.count
            }
        }
        try decoder.finish()
        return result
    }

    @Test(arguments: [Compression.identity, .gzip, .zstd], [1009, 65_536, Int.max])
    func `what is compressed comes back`(compression: Compression, step: Int) throws {
        #expect(try decoded(try compressed(Self.text, compression), step: step) == Self.text)
    }

    @Test(arguments: [Compression.gzip, .zstd], [1, 3, 4096])
    func `members follow each other`(compression: Compression, step: Int) throws {
        let short = Array("member".utf8)
        let one = try compressed(short, compression)
        #expect(try decoded(one + one, step: step) == short + short)
    }

    @Test func `zeros after a gzip stream are ignored and garbage is not`() throws {
        let one = try compressed([1, 2, 3], .gzip)
        #expect(try decoded(one + [0, 0, 0], step: 5) == [1, 2, 3])
        #expect(throws: LayerError.self) { try decoded(one + [9, 9], step: .max) }
    }

    @Test(arguments: [Compression.gzip, .zstd])
    func `a truncated stream is an error`(compression: Compression) throws {
        let whole = try compressed(Self.text, compression)
        #expect(throws: LayerError.self) { try decoded(Array(whole.dropLast(3)), step: .max) }
    }
}
