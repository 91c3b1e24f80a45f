import Glibc
import Kernel
import Testing

@testable import LayerFS

struct ChunkTests {
    /// Bytes that repeat nowhere, the same each time.
    private static func noise(_ count: Int, seed: UInt64) -> [UInt8] {
        var generator = SplitMix(state: seed)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count { withUnsafeBytes(of: generator.next()) { bytes.append(contentsOf: $0) } }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    /// The lengths of the chunks of `bytes` when so many come at a time.
    private func lengths(_ bytes: [UInt8], step: Int = .max, average: Int = ContentChunker.averageMin) -> [Int] {
        var chunker = ContentChunker(average: average)
        var (lengths, begun, index) = ([Int](), 0, 0)
        while index < bytes.count {
            let end = index + min(step, bytes.count - index)
            let cut = bytes.withUnsafeBytes { chunker.take(UnsafeRawBufferPointer(rebasing: $0[index..<end])) }
            index = cut.map { index + $0 } ?? end
            if cut != nil || index == bytes.count {
                lengths.append(index - begun)
                begun = index
            }
        }
        return lengths
    }

    private static let large = noise(10 << 20, seed: 7)

    @Test func `cuts depend on content alone and keep to their bounds`() {
        let whole = lengths(Self.large)
        #expect(whole.reduce(0, +) == Self.large.count)
        #expect(whole.dropLast().allSatisfy { (256 << 10...2 << 20).contains($0) })
        #expect((5...20).contains(whole.count), "\(whole.count)")
        for step in [4097, 700_001] { #expect(lengths(Self.large, step: step) == whole, "\(step)") }
        let coarse = lengths(Self.large, average: 4 << 20)
        #expect(coarse.dropLast().allSatisfy { (1 << 20...8 << 20).contains($0) })
        #expect(coarse.count < whole.count / 2)
        // What looks the same everywhere is cut too.
        #expect(lengths([UInt8](repeating: 0, count: 9 << 20)).allSatisfy { $0 <= 2 << 20 })
        #expect(lengths([1]) == [1])
    }

    @Test func `what is inserted or removed changes the chunks around it and no others`() {
        // A chunk by its length and ends, of which any change here changes one.
        func contents(_ bytes: [UInt8]) -> Set<String> {
            var begun = 0
            return Set(
                lengths(bytes).map { length in
                    defer { begun += length }
                    let chunk = bytes[begun..<begun + length]
                    return "\(length) \(chunk.prefix(16)) \(chunk.suffix(16))"
                })
        }
        let before = contents(Self.large)
        for (place, change) in [(0, 7), (3 << 20, 100_003), (6 << 20, -3001), (9 << 20, 1)] {
            var bytes = Self.large
            if change > 0 { bytes.insert(contentsOf: Self.noise(change, seed: 9), at: place) }
            if change < 0 { bytes.removeSubrange(place..<place - change) }
            let lost = before.subtracting(contents(bytes)).count
            #expect(lost <= 3, "\(place): \(lost) of \(before.count)")
        }
    }

    @Test func `the average grows with the stream and is bounded`() {
        #expect(ContentChunker.average(forBytes: 0) == 1 << 20)
        #expect(ContentChunker.average(forBytes: 4 << 30) == 1 << 20)
        #expect(ContentChunker.average(forBytes: 100 << 30) == 32 << 20)
        #expect(ContentChunker.average(forBytes: .max) == 64 << 20)
    }

    @Test func `a reader gives the same chunks from a pipe`() async throws {
        let pipe = try Pipe()
        async let written: Void = BlockingPool.shared.run {
            let writer = try pipe.writer.take()
            try Self.large.withUnsafeBytes { try writer.writeAll($0) }
        }
        let chunks = try await BlockingPool.shared.run {
            let reader = ChunkReader(try pipe.reader.take(), average: ContentChunker.averageMin)
            var chunks: [[UInt8]] = []
            while let chunk = try reader.next() { chunks.append(chunk) }
            return chunks
        }
        try await written
        #expect(chunks.map(\.count) == lengths(Self.large))
        var joined: [UInt8] = []
        for chunk in chunks { joined += chunk }
        #expect(joined == Self.large)
    }

    @Test func `a chunk comes back as it was, and no other size of it`() throws {
        for bytes in [Self.noise(700_001, seed: 3), [UInt8](repeating: 5, count: 2 << 20), [1]] {
            let stored = try ArchiveChunk.compress(bytes)
            #expect(try ArchiveChunk.compress(bytes) == stored)
            #expect(Int64(stored.count) <= ArchiveChunk.storedBytesMax(Int64(bytes.count)))
            #expect(try ArchiveChunk.expand(stored, to: bytes.count) == bytes)
            for size in [bytes.count - 1, bytes.count + 1, 1 << 22] {
                #expect(throws: LayerError.self) { try ArchiveChunk.expand(stored, to: size) }
            }
            for broken in [Array(stored.dropLast()), stored + [0], [], Array("no zstd".utf8)] {
                #expect(throws: LayerError.self) { try ArchiveChunk.expand(broken, to: bytes.count) }
            }
        }
    }
}
