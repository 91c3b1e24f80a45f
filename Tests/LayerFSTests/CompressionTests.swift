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
                    try output.withUnsafeMutableBytes {
                        try decoder.decode(UnsafeRawBufferPointer(rebasing: raw[index..<end]), into: $0)
                    }
                }
                result += output[..<done.produced]
                index += done.consumed
                isFull = done.produced == output.count
            }
        }
        try decoder.finish()
        return result
    }

    @Test(arguments: Compression.allCases, [1009, 65_536, Int.max])
    func `what is compressed comes back`(compression: Compression, step: Int) throws {
        #expect(try decoded(try compressed(Self.text, compression), step: step) == Self.text)
    }

    @Test(arguments: HostileStream.codecs, [1, 3, 4096])
    func `members follow each other`(compression: Compression, step: Int) throws {
        let short = Array("member".utf8)
        let one = try compressed(short, compression)
        #expect(try decoded(one + one, step: step) == short + short)
    }
}
