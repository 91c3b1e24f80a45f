import LayerFS
import Logging
import OCI
import Registry

/// One layer on its way from one endpoint into a directory of its own.
struct LayerDownload: Sendable {
    let store: ImageStore
    let request: PullRequest
    let descriptor: Descriptor
    let diffID: Digest
    let files: LayerFiles
    let progress: LayerProgress

    private var partial: PartialBlob { PartialBlob(descriptor.digest, of: diffID, in: store.layers) }

    /// Fetches what is not here yet. A beginning kept from an earlier try that proves wrong is fetched anew, once.
    func run(from endpoint: RegistryEndpoint) async throws -> LayerRecord {
        guard store.configuration.keepBlobs else { return try await stream(from: endpoint) }
        partial.adopt()
        let hadBeginning = partial.exists
        do { return try await stream(from: endpoint) } catch let error as LayerError
            where hadBeginning && error.isOfBytes
        {
            store.logger.notice(
                "the kept beginning of a layer was wrong and is fetched again",
                metadata: ["blob": "\(descriptor.digest)", "error": "\(error)"])
        }
        return try await stream(from: endpoint)
    }

    private func stream(from endpoint: RegistryEndpoint) async throws -> LayerRecord {
        let keepBlob = store.configuration.keepBlobs
        let ingest = try LayerIngest(
            IngestRequest(
                files: files, blob: descriptor.digest, blobSize: descriptor.size, diffID: diffID,
                partialBlob: keepBlob ? partial.path : nil, keepBlob: keepBlob))
        do {
            progress.set(.downloading)
            var received = try await ingest.resume()
            let stream = try store.client.blob(
                descriptor, of: request.reference, from: endpoint, offset: received, credentials: request.credentials)
            for try await chunk in stream {
                try await chunk.withUnsafeBytes { bytes in try await ingest.write(bytes) }
                received += Int64(chunk.byteCount)
                progress.set(current: received, total: descriptor.size)
            }
            progress.set(current: descriptor.size, total: descriptor.size)
            progress.set(.extracting)
            let layer = try await ingest.finish()
            progress.set(spans: ingest.trace)
            if keepBlob { try partial.complete() }
            progress.set(.done)
            return LayerRecord(
                diffID: layer.diffID, blobDigest: keepBlob ? descriptor.digest : nil, blobSize: descriptor.size,
                mediaType: descriptor.mediaType, size: layer.tarSize, repositories: [])
        } catch {
            await ingest.cancel()
            partial.settle(after: error)
            throw error
        }
    }
}

extension LayerError {
    /// True when the bytes themselves are to blame, and another source or try may have better ones.
    var isOfBytes: Bool { [.mismatch, .malformed].contains(code) }
}
