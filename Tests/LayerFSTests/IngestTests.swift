import Kernel
import LayerFS
import OCI
import Testing

struct IngestTests {
    private static let tar =
        tarMember("d/", type: "5") + tarMember("d/f", body: [UInt8](repeating: 65, count: 900_000)) + tarEnd

    @Test(arguments: Compression.allCases)
    func `a layer is stored verbatim with its members`(compression: Compression) async throws {
        let scratch = try ScratchDirectory()
        let ingest = try LayerIngest(IngestRequest(files: scratch.files))
        try await send(try compressed(Self.tar, compression), to: ingest)
        let layer = try await ingest.finish()
        #expect(layer.entryCount == 2)
        #expect(try Files.read(scratch.files.tar) == Self.tar)
        #expect(try EntryReader.readAll(scratch.files.entries) == (try members(Self.tar)))
    }

    /// A promise about a layer's bytes, and how to break it.
    enum Promise: CaseIterable {
        case blob, diffID, smallerBlob, largerBlob

        func request(_ files: LayerFiles, _ bytes: [UInt8], _ kept: IngestedLayer, isKept: Bool, partial: String? = nil)
            throws -> IngestRequest
        {
            let other = try Digest("sha256:" + String(repeating: "0", count: 64))
            var request = IngestRequest(
                files: files, blob: kept.blobDigest, blobSize: Int64(bytes.count), diffID: kept.diffID)
            if isKept { return request }
            (request.partialBlob, request.keepBlob) = (partial, true)
            switch self {
            case .blob: request.blob = other
            case .diffID: request.diffID = other
            case .smallerBlob: request.blobSize = Int64(bytes.count - 1)
            case .largerBlob: request.blobSize = Int64(bytes.count + 1)
            }
            return request
        }
    }

    @Test(arguments: Promise.allCases, [Compression.identity, .gzip])
    func `a layer that is not the promised one leaves nothing behind`(promise: Promise, compression: Compression)
        async throws
    {
        let bytes = try compressed(Self.tar, compression)
        let scratch = try ScratchDirectory()
        let layer = try await ingested(bytes, IngestRequest(files: scratch.files))
        try Files.removeTree(scratch.files.directory)
        try Files.makeDirectories(scratch.files.directory)
        let refused = try promise.request(scratch.files, bytes, layer, isKept: false, partial: scratch.partial)
        let error = await #expect(throws: LayerError.self) { try await ingested(bytes, refused) }
        #expect(error?.code == .mismatch)
        #expect(error?.message.contains("was promised; pull the layer again") == true)
        #expect(try scratch.residue() == [])
        #expect(try await ingested(bytes, promise.request(scratch.files, bytes, layer, isKept: true)) == layer)
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
