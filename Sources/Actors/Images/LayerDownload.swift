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
    /// Who gave what in this pull.
    let sources: SourceLedger

    private var partial: PartialBlob { PartialBlob(descriptor.digest, of: diffID, in: store.layers) }

    /// Fetches what is not here yet. A beginning kept from an earlier try that proves wrong is fetched anew, once; so is all that came
    /// from servers that are trusted with nothing, each time without those that gave some of it.
    func run(from endpoint: RegistryEndpoint) async throws -> LayerRecord {
        if store.configuration.keepBlobs { partial.adopt() }
        var hadBeginning = store.configuration.keepBlobs && partial.exists
        while true {
            do { return try await stream(from: endpoint) } catch {
                guard Self.isOfBytes(error) else { throw error }
                if hadBeginning, error is LayerError {
                    hadBeginning = false
                    sources.forget(descriptor.digest)
                    store.logger.notice(
                        "the kept beginning of a layer was wrong and is fetched again",
                        metadata: ["blob": "\(descriptor.digest)", "error": "\(error)"])
                } else {
                    guard endpoint.resolvesTags, sources.disprove(descriptor.digest, goingOnWith: endpoint) else {
                        throw error
                    }
                }
            }
        }
    }

    /// True when the bytes themselves are to blame, and another source or try may have better ones.
    static func isOfBytes(_ error: any Error) -> Bool {
        switch error {
        case let error as LayerError: [.mismatch, .malformed].contains(error.code)
        case let error as RegistryError: error.isOfWrongBytes
        default: false
        }
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
            if received == 0 { sources.forget(descriptor.digest) }
            let stream = try store.client.blob(
                descriptor, of: request.reference, from: endpoint, offset: received, credentials: request.credentials,
                sources: sources)
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
