import Testing

@testable import Isolation

@Suite struct FrameTextTests {
    private static func frame(_ stream: UInt8, _ text: String) -> [UInt8] {
        let count = UInt32(text.utf8.count)
        return [stream, 0, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * $0)) } + Array(text.utf8)
    }

    private static func text(_ bytes: [UInt8], bytesMax: Int, pieceBytes: Int) -> String {
        var frames = FrameText(bytesMax: bytesMax)
        bytes.withUnsafeBytes { bytes in
            for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
                let end = min(start + pieceBytes, bytes.count)
                frames.take(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
            }
        }
        return frames.text
    }

    @Test(arguments: [1, 3, 8, 9, 100])
    func `both streams are taken in order, however they are cut`(_ pieceBytes: Int) {
        let bytes = Self.frame(1, "one ") + Self.frame(2, "two ") + Self.frame(1, "") + Self.frame(1, "three")
        #expect(Self.text(bytes, bytesMax: 4096, pieceBytes: pieceBytes) == "one two three")
        #expect(Self.text(bytes, bytesMax: 13, pieceBytes: pieceBytes) == "one two three")
        #expect(Self.text(bytes, bytesMax: 6, pieceBytes: pieceBytes) == "one tw...")
    }

    @Test func `bytes that are no text are replaced, and a frame that is cut short is kept as far as it came`() {
        #expect(Self.text([1, 0, 0, 0, 0, 0, 0, 9, 0x61, 0xff], bytesMax: 10, pieceBytes: 10) == "a\u{fffd}")
    }
}
