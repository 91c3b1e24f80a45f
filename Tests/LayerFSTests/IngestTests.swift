import Kernel
import LayerFS
import OCI
import Testing

struct IngestTests {
    private static let tar = tarMember("d/", type: "5") + tarMember("d/f", body: [UInt8](repeating: 65, count: 900_000)) + tarEnd

    private func send(_ bytes: [UInt8], to ingest: LayerIngest) async throws {
        var index = 0
        while index < bytes.count {
            let count = bytes.withUnsafeBytes { (try? ingest.offer(UnsafeRawBufferPointer(rebasing: $0[index...]))) ?? 0 }
            index += count
            if index < bytes.count { try await ingest.waitUntilReady() }
        }
    }

    @Test(arguments: [Compression.identity, .gzip, .zstd])
    func `a layer is stored verbatim with its members`(compression: Compression) async throws {
        let scratch = try ScratchDirectory()
        let ingest = try LayerIngest(IngestRequest(files: scratch.files))
        try await send(try compressed(Self.tar, compression), to: ingest)
        let layer = try await ingest.finish()
        #expect(layer.entryCount == 2)
        #expect(try Files.read(scratch.files.tar) == Self.tar)
        #expect(try EntryReader.readAll(scratch.files.entries) == (try members(Self.tar)))
    }

    @Test func `a layer with a wrong digest leaves nothing behind`() async throws {
        let scratch = try ScratchDirectory()
        let wrong = try Digest("sha256:" + String(repeating: "0", count: 64))
        let partial = scratch.path + "/partial"
        let ingest = try LayerIngest(IngestRequest(files: scratch.files, diffID: wrong, partialBlob: partial))
        try await send(Self.tar, to: ingest)
        await #expect(throws: LayerError.self) { try await ingest.finish() }
        #expect(try Files.list(scratch.files.directory).isEmpty)
        #expect(!Files.exists(partial))
    }

    @Test func `a cancelled layer is resumed from its partial blob`() async throws {
        let scratch = try ScratchDirectory()
        let partial = scratch.path + "/partial"
        let first = try LayerIngest(IngestRequest(files: scratch.files, partialBlob: partial))
        try await send(Array(Self.tar[..<700_000]), to: first)
        await first.cancel()
        let second = try LayerIngest(IngestRequest(files: scratch.files, partialBlob: partial, keepBlob: true))
        let offset = Int(try await second.resume())
        #expect(offset == 700_000 / 4096 * 4096)
        try await send(Array(Self.tar[offset...]), to: second)
        _ = try await second.finish()
        #expect(try Files.read(partial) == Self.tar)
        #expect(try Files.read(scratch.files.tar) == Self.tar)
    }
}
