import FoundationEssentials
import LayerFS
package import OCI
package import Registry

/// What `POST /volumes/{name}/backup` and `POST /volumes/restore` ask for.
package struct BackupRequest: Sendable {
    package var volume: String
    package var reference: Reference
    package var credentials: Credentials?

    package init(_ volume: String, _ reference: Reference, credentials: Credentials? = nil) {
        self.volume = volume
        self.reference = reference
        self.credentials = credentials
    }
}

/// Some of a backup's chunks.
package struct BackupShare: Sendable, Hashable {
    package var chunks = 0
    /// As they are stored, compressed.
    package var bytes: Int64 = 0

    mutating func add(_ bytes: Int64) {
        chunks += 1
        self.bytes += bytes
    }
}

/// A volume in a registry: an OCI manifest whose layers are the chunks of the volume's archive in order, and whose configuration
/// says what they decompress to.
struct VolumeBackup: Sendable {
    static let artifactType = "application/vnd.docker-swift.volume.v1"
    static let documentType = "application/vnd.docker-swift.volume.config.v1+json"
    /// A zstd frame with a part of a tar archive.
    static let chunkType = "application/vnd.docker-swift.volume.chunk.v1.tar+zstd"
    /// Chunks of a backup: some 170 bytes each in the manifest, of which registries take 4 MiB.
    static let chunksMax = 16_384

    /// A part of the archive, as it is before it is compressed.
    struct Chunk: Sendable, Hashable, Codable {
        var digest: Digest
        /// Bytes.
        var size: Int64
    }

    /// The configuration.
    struct Document: Sendable, Codable {
        /// The volume it was made of.
        var volume: String
        /// RFC 3339.
        var created: String
        var labels: [String: String]
        var chunks: [Chunk]
    }

    let document: Document
    let layers: [Descriptor]

    /// Bytes of the archive.
    var byteCount: Int64 { document.chunks.reduce(0) { $0 + $1.size } }

    init(_ document: Document, _ layers: [Descriptor]) {
        self.document = document
        self.layers = layers
    }

    /// The backup that a manifest is of.
    ///
    /// - Throws: ``EngineError`` for a manifest of something else, or one whose parts do not fit.
    init(_ image: ResolvedImage, named name: String, _ bytes: [UInt8]) throws(EngineError) {
        try Self.check(image, named: name)
        func broken(_ reason: String) -> EngineError {
            EngineError(.invalidParameter, "\(name) is not a backup that can be used: \(reason)")
        }
        do throws(OCIError) { document = try ImageDocument.decode(Document.self, bytes) } catch {
            throw broken("its configuration is not well formed: \(error)")
        }
        layers = image.manifest.layers
        guard document.chunks.count == layers.count, (1...Self.chunksMax).contains(layers.count) else {
            throw broken("its configuration names \(document.chunks.count) chunks, its manifest \(layers.count)")
        }
        for (chunk, layer) in zip(document.chunks, layers) {
            guard (1...Int64(ContentChunker.bytesMax)).contains(chunk.size), chunk.digest.algorithm == .sha256,
                layer.digest.algorithm == .sha256, layer.mediaType == Self.chunkType,
                layer.size <= ArchiveChunk.storedBytesMax(chunk.size)
            else { throw broken("chunk \(layer.digest) has a size or type that no chunk has") }
        }
    }

    /// - Throws: ``EngineError`` `.invalidParameter` for the manifest of something else.
    static func check(_ image: ResolvedImage, named name: String) throws(EngineError) {
        let manifest = image.manifest
        guard manifest.artifactType == artifactType, manifest.config.mediaType == documentType else {
            let type = OCIError.quoted(manifest.artifactType ?? manifest.config.mediaType)
            throw EngineError(.invalidParameter, "\(name) is not a backup of a volume: it is of type \(type)")
        }
    }

    /// The configuration as it is stored, and its manifest.
    func encoded() throws -> (document: [UInt8], config: Descriptor, manifest: [UInt8]) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let bytes = [UInt8](try encoder.encode(document))
        let config = Descriptor(
            mediaType: Self.documentType, digest: SHA256Bytes.digest(bytes), size: Int64(bytes.count))
        var manifest = Manifest(mediaType: MediaType.ociManifest, config: config, layers: layers)
        manifest.artifactType = Self.artifactType
        manifest.annotations = [
            "org.opencontainers.image.created": document.created, "org.opencontainers.image.title": document.volume,
        ]
        return (bytes, config, [UInt8](try encoder.encode(manifest)))
    }
}

/// Bytes of chunks that are held in memory at once, on their way in or out.
struct ChunkAllowance {
    /// A few dozen of the usual chunks: enough to keep a registry busy. One chunk that is larger is held alone.
    private static let bytesMax: Int64 = 64 << 20
    private var held: Int64 = 0

    func hasRoom(for bytes: Int64) -> Bool { held == 0 || held + bytes <= Self.bytesMax }
    mutating func take(_ bytes: Int64) { held += bytes }
    mutating func give(_ bytes: Int64) { held -= bytes }
}
