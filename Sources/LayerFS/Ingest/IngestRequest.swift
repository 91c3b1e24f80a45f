package import OCI

/// What to make of one layer's bytes.
package struct IngestRequest: Sendable {
    /// Where the layer goes: a private directory that exists and is empty.
    package var files: LayerFiles
    /// Digest and size of the bytes as they come, compressed; nil = unknown.
    package var blob: Digest?
    package var blobSize: Int64?
    /// Digest of the uncompressed tar; nil = unknown.
    package var diffID: Digest?
    /// Where the bytes as they come are kept while they stream, for resuming; nil = nowhere.
    package var partialBlob: String?
    /// True leaves a whole and durable `partialBlob` behind after success; false removes it.
    package var keepBlob: Bool
    package var limits: IngestLimits
    /// Sees every member in tar order, on the ingest's own thread, before the layer is known to be good.
    package var onEntry: (@Sendable (LayerEntry) -> Void)?

    package init(
        files: LayerFiles, blob: Digest? = nil, blobSize: Int64? = nil, diffID: Digest? = nil,
        partialBlob: String? = nil,
        keepBlob: Bool = false, limits: IngestLimits = IngestLimits(), onEntry: (@Sendable (LayerEntry) -> Void)? = nil
    ) {
        self.files = files
        self.blob = blob
        self.blobSize = blobSize
        self.diffID = diffID
        self.partialBlob = partialBlob
        self.keepBlob = keepBlob
        self.limits = limits
        self.onEntry = onEntry
    }
}

/// Budgets of one layer, enforced while it streams: a hostile layer is stopped before it fills the disk.
package struct IngestLimits: Sendable, Hashable {
    /// Bytes of the tar at most.
    package var uncompressedBytesMax: Int64
    /// Times the compressed size the tar may have, once it is larger than ``expansionFreeBytes``. Deflate reaches 1032.
    package var expansionRatioMax: Int64
    /// Bytes of tar to which the ratio does not apply: real images hold files of zeros.
    package var expansionFreeBytes: Int64
    package var tar: TarLimits

    package init(
        uncompressedBytesMax: Int64 = 1 << 40, expansionRatioMax: Int64 = 1100, expansionFreeBytes: Int64 = 4 << 30,
        tar: TarLimits = TarLimits()
    ) {
        self.uncompressedBytesMax = uncompressedBytesMax
        self.expansionRatioMax = expansionRatioMax
        self.expansionFreeBytes = expansionFreeBytes
        self.tar = tar
    }
}

/// A layer that is stored, durable and verified.
package struct IngestedLayer: Sendable, Hashable {
    /// SHA-256 of the tar.
    package var diffID: Digest
    /// SHA-256 and size of the bytes as they came.
    package var blobDigest: Digest
    package var blobSize: Int64
    package var compression: Compression
    package var tarSize: Int64
    package var entryCount: Int
    /// Bytes of the sparse file, holes included; 0 = there is none.
    package var sparseSize: Int64
}
