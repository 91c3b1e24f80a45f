import Glibc
import Kernel
import Testing

@testable import LayerFS

/// Layers of outsiders through the real pipeline: what is refused leaves nothing, and its benign twin is stored.
@Suite(.serialized) struct HostileIngestTests {
    private func refusal(
        _ bytes: [UInt8], _ limits: IngestLimits, _ code: LayerError.Code, _ words: String
    ) async throws {
        let scratch = try ScratchDirectory()
        let request = IngestRequest(files: scratch.files, partialBlob: scratch.partial, limits: limits)
        let error = await #expect(throws: LayerError.self) { try await ingested(bytes, request) }
        #expect(error?.code == code, "\(error?.message ?? "")")
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
        #expect(try scratch.residue() == [])
    }

    private func stored(_ bytes: [UInt8], _ limits: IngestLimits) async throws -> [LayerEntry] {
        let scratch = try ScratchDirectory()
        let layer = try await ingested(bytes, IngestRequest(files: scratch.files, limits: limits))
        let entries = try EntryReader.readAll(scratch.files.entries)
        #expect(entries.count == layer.entryCount)
        #expect(Files.exists(scratch.files.sparse) == (layer.sparseSize > 0))
        return entries
    }

    @Test(arguments: HostileArchive.all)
    func `a hostile archive is refused in words and leaves nothing, its twin is stored`(archive: HostileArchive)
        async throws
    {
        try await refusal(archive.bad, archive.limits, archive.code, archive.words)
        let entries = try await stored(archive.good, archive.limits)
        #expect(entries.map { String(decoding: $0.path, as: UTF8.self) } == archive.paths)
    }

    @Test(arguments: try HostileStream.all())
    func `a hostile stream is refused in words and leaves nothing, its twin is stored`(stream: HostileStream)
        async throws
    {
        try await refusal(stream.bad, stream.limits, stream.code, stream.words)
        let entries = try await stored(stream.good, stream.limits)
        #expect(entries.map(\.path) == (stream.limits == IngestLimits() ? [Array("f".utf8)] : []))
    }

    @Test(arguments: HostileStream.codecs)
    func `a bomb is stopped at the block that passes the budget`(codec: Compression) async throws {
        let bomb = try compressed([UInt8](repeating: 0, count: 64 << 20), codec)
        let scratch = try ScratchDirectory()
        let ingest = try LayerIngest(
            IngestRequest(files: scratch.files, limits: IngestLimits(uncompressedBytesMax: 5 << 20)))
        await #expect(throws: LayerError.self) {
            try await send(bomb, to: ingest)
            _ = try await ingest.finish()
        }
        await ingest.cancel()
        #expect(ingest.counters.uncompressedBytes <= Int64((5 << 20) + IngestPipeline.blockBytes))
    }

    @Test(arguments: HostileStream.codecs)
    func `a stream cut anywhere is an error, but for the cut before its first byte`(codec: Compression) async throws {
        let tar = tarMember("f", body: [1, 2, 3]) + tarEnd
        let whole = try compressed(tar, codec)
        for count in 1..<whole.count {
            let part = Array(whole.prefix(count))
            let error = #expect(throws: LayerError.self, "\(count) bytes") { try decompressed(part) }
            #expect(error?.code == .malformed || Compression.detect(part.span) == .identity)
        }
        #expect(try decompressed(whole) == tar)
        #expect(try await stored([], IngestLimits()) == [])
    }

    /// Decodes a stream, and checks what comes out as a tar the way the pipeline does.
    private func decompressed(_ bytes: [UInt8]) throws -> [UInt8] {
        var decoder = try Decoder(Compression.detect(bytes.span))
        var output = [UInt8](repeating: 0, count: 64 << 10)
        let step = try bytes.withUnsafeBytes { input in
            try output.withUnsafeMutableBytes { try decoder.decode(input, into: $0) }
        }
        try decoder.finish()
        let tar = Array(output.prefix(step.produced))
        _ = try members(tar)
        return tar
    }

    @Test(arguments: [
        tarMember("d/", type: "5") + tarMember("d/f", body: [1, 2, 3]) + tarMember("l", type: "2", link: "d/f"),
        paxHeader([("path", "long/name"), ("SCHILY.xattr.user.k", "v")]) + tarMember("x", body: [1]),
        tarMember("L", type: "L", body: Array("long".utf8)) + tarMember("K", type: "K", body: [97])
            + tarMember("l", type: "2"),
        SparseFormat.gnu.member(
            "s", (0..<6).map { ($0 * 1000, 2) }, realSize: 9000, body: [UInt8](repeating: 1, count: 12)),
        SparseFormat.pax10.member("s", [(1000, 3)], realSize: 9000, body: [1, 2, 3]),
    ])
    func `an archive cut anywhere is whole at the ends of members and an error elsewhere`(archive: [UInt8]) throws {
        var ends: Set<Int> = [0]
        var counted = 0
        for block in stride(from: 512, through: archive.count, by: 512) {
            guard let found = try? members(Array(archive.prefix(block))) else { continue }
            #expect(found.count > counted)
            counted = found.count
            ends.insert(block)
        }
        #expect(ends.contains(archive.count))
        for count in 0...archive.count {
            let part = Array(archive.prefix(count))
            if ends.contains(count) {
                #expect(throws: Never.self) { try members(part + [UInt8](repeating: 0, count: 512)) }
            } else {
                let error = #expect(throws: LayerError.self, "\(count) bytes") { try members(part) }
                #expect(error?.code == .malformed)
            }
        }
    }

    @Test func `no thread and no ring of a refused layer stays`() async throws {
        for archive in HostileArchive.all.prefix(20) {
            try await refusal(archive.bad, archive.limits, archive.code, archive.words)
        }
        // Other suites have pipelines of their own for a while.
        for _ in 0..<3000 where try !Self.pipelineRemains().isEmpty { usleep(10_000) }
        #expect(try Self.pipelineRemains() == [])
    }

    private static func pipelineRemains() throws -> [String] {
        let threads = try Files.list("/proc/self/task").compactMap { try? Files.read("/proc/self/task/\($0)/comm") }
            .map { String(decoding: $0.dropLast(), as: UTF8.self) }.filter { $0.hasPrefix("layer-") }
        return threads
    }
}
