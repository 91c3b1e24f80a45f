import FoundationEssentials
import Glibc
import Kernel
import LayerFS
import Logging
package import OCI
package import Registry

/// What `POST /images/create?fromImage=` asks for.
package struct PullRequest: Sendable {
    package var reference: Reference
    package var platform: Platform?
    package var credentials: Credentials?
    package var allTags = false
    /// The stages of every layer are told at the end.
    package var trace = false

    package init(_ reference: Reference, platform: Platform? = nil, credentials: Credentials? = nil) {
        self.reference = reference
        self.platform = platform
        self.credentials = credentials
    }
}

extension ImageStore {
    /// Fetches an image and stores it; the events are Docker's progress lines. Ending the iteration cancels the pull,
    /// unless another pull wants the same layers; verified bytes stay for the next try.
    package nonisolated func pull(_ request: PullRequest) -> AsyncThrowingStream<TransferEvent, any Error> {
        let (stream, continuation) = AsyncThrowingStream<TransferEvent, any Error>.makeStream()
        let task = Task {
            do {
                try await self.run(request) { continuation.yield($0) }
                continuation.finish()
            } catch {
                continuation.finish(throwing: Self.told(error))
            }
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }

    /// Registry failures by the status that Docker answers with.
    static func told(_ error: any Error) -> any Error {
        guard let error = error as? RegistryError else { return error }
        switch error.code {
        case .notFound, .manifestUnknown, .noPlatform, .denied: return EngineError(.notFound, error.description)
        case .unauthorized: return EngineError(.unauthorized, error.description)
        case .invalid: return EngineError(.invalidParameter, error.description)
        default: return EngineError(.system, error.description)
        }
    }

    private nonisolated func run(_ request: PullRequest, tell: @escaping @Sendable (TransferEvent) -> Void) async throws
    {
        guard request.allTags else {
            try await PullJob(store: self, request: request, tell: tell).run()
            return
        }
        for tag in try await client.tags(of: request.reference, credentials: request.credentials) {
            var single = request
            single.reference = Reference(
                domain: request.reference.domain, path: request.reference.path, tag: tag, digest: nil)
            try await PullJob(store: self, request: single, tell: tell).run()
        }
    }
}

/// One pull of one image.
struct PullJob: Sendable {
    let store: ImageStore
    let request: PullRequest
    let tell: @Sendable (TransferEvent) -> Void
    private let sources: SourceLedger

    init(store: ImageStore, request: PullRequest, tell: @escaping @Sendable (TransferEvent) -> Void) {
        (self.store, self.request, self.tell) = (store, request, tell)
        sources = SourceLedger(store.client.configuration.limits) { [logger = store.logger] text in
            logger.warning("\(text)")
            tell(TransferEvent(text))
        }
    }

    func run() async throws {
        let reference = request.reference.tagged
        tell(
            TransferEvent(
                "Pulling from \(Self.shownPath(reference))", id: reference.tag ?? reference.digest?.description))
        var spans: [TraceSpan] = []
        var start = TraceClock.now()
        let image = try await store.client.resolve(
            reference, platform: request.platform ?? .host, credentials: request.credentials)
        let configBytes = try await store.client.fetchSmall(
            image.manifest.config, of: reference, from: image.endpoint, credentials: request.credentials,
            announced: image.sources, sources: sources)
        let config = try Self.config(configBytes, image.manifest)
        let known = try? await store.image(image.manifest.config.digest.description)
        let diffIDs = config.rootfs.diffIDs
        spans.append(TraceSpan("resolve", from: start))
        await store.layers.pin(diffIDs)
        do {
            let trace = try await layers(image, diffIDs)
            start = TraceClock.now()
            try await store.layers.prepare(diffIDs)
            spans.append(TraceSpan("index", from: start))
            start = TraceClock.now()
            try await commit(image, config, configBytes, reference)
            spans.append(TraceSpan("commit", from: start))
            await store.layers.unpin(diffIDs)
            if request.trace {
                var event = TransferEvent("")
                event.aux = .trace([LayerTrace(layer: LayerTrace.image, spans: spans)] + trace)
                tell(event)
            }
        } catch {
            await store.layers.unpin(diffIDs)
            await store.giveBack(after: error)
            throw error
        }
        tell(TransferEvent("Digest: \(image.referenceDigest)"))
        let isNew = known == nil
        tell(
            TransferEvent(
                "Status: \(isNew ? "Downloaded newer image" : "Image is up to date") for \(reference.familiar)"))
        await store.events.publish(.image, "pull", reference.familiar, ["name": reference.familiarName])
    }

    private static func shownPath(_ reference: Reference) -> String {
        reference.path
    }

    private static func config(_ bytes: [UInt8], _ manifest: Manifest) throws -> ImageConfig {
        let config: ImageConfig
        do { config = try ImageDocument.decode(ImageConfig.self, bytes) } catch {
            let type = manifest.config.mediaType
            guard [MediaType.ociConfig, MediaType.dockerConfig].contains(type) else {
                throw EngineError(
                    .invalidParameter, "unsupported media type \(OCIError.quoted(type)): this is not a container image")
            }
            throw EngineError(
                .invalidParameter, "the image's configuration \(manifest.config.digest) is not well formed: \(error)")
        }
        guard config.rootfs.diffIDs.count == manifest.layers.count else {
            throw EngineError(
                .invalidParameter,
                "the image's configuration names \(config.rootfs.diffIDs.count) layers, its manifest \(manifest.layers.count)"
            )
        }
        guard config.os == Platform.host.os else {
            throw EngineError(
                .invalidParameter, "image operating system \"\(config.os)\" cannot be used on this platform")
        }
        return config
    }

    private func layers(_ image: ResolvedImage, _ diffIDs: [Digest]) async throws -> [LayerTrace] {
        let descriptors = image.manifest.layers
        for descriptor in descriptors where !MediaType.isLayer(descriptor.mediaType) {
            throw EngineError(
                .invalidParameter,
                "unsupported media type \(OCIError.quoted(descriptor.mediaType)): this is not a container image")
        }
        let reporter = PullReporter(descriptors.map(\.digest.short), tell: tell)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await reporter.run() }
            for (index, (descriptor, diffID)) in zip(descriptors, diffIDs).enumerated() {
                group.addTask {
                    if await store.layers.record(diffID) != nil {
                        reporter.alreadyExists(index)
                    } else {
                        try await ingest(descriptor, diffID, image) { reporter.watch(index, $0) }
                        reporter.finish(index)
                    }
                    await store.layers.note(diffID, repository: request.reference.name)
                }
            }
            // All layers; then the reporter is told to end.
            for _ in descriptors { try await group.next() }
            group.cancelAll()
        }
        return reporter.trace
    }

    /// Gets one layer, with whoever else wants it. A flight that ends because all others gave up as this one joined it is
    /// begun again.
    private func ingest(
        _ descriptor: Descriptor, _ diffID: Digest, _ image: ResolvedImage,
        watch: @escaping @Sendable (LayerProgress) -> Void
    ) async throws {
        while true {
            do {
                _ = try await store.layers.layer(diffID, progress: watch) { files, progress in
                    try await store.downloads.run {
                        try await fetch(descriptor, diffID, image, into: files, progress)
                    }
                }
                return
            } catch {
                guard Self.isCancellation(error), !Task.isCancelled else { throw error }
            }
        }
    }

    private static func isCancellation(_ error: any Error) -> Bool {
        switch error {
        case is CancellationError: true
        case let error as RegistryError: error.code == .cancelled
        case let error as LayerError: error.code == .cancelled
        default: false
        }
    }

    /// Streams one layer from the first endpoint that serves the right bytes.
    private func fetch(
        _ descriptor: Descriptor, _ diffID: Digest, _ image: ResolvedImage, into files: LayerFiles,
        _ progress: LayerProgress
    ) async throws -> LayerRecord {
        let endpoints = try await endpoints(image)
        for (endpoint, next) in zip(endpoints, endpoints.dropFirst()) where !sources.isRefused(endpoint) {
            do { return try await fetch(descriptor, diffID, from: endpoint, into: files, progress) } catch {
                guard Self.isEndpointFault(error) else { throw error }
                leave(endpoint, error, descriptor.digest, goingOnWith: next)
            }
        }
        return try await fetch(descriptor, diffID, from: endpoints[endpoints.count - 1], into: files, progress)
    }

    /// Who is asked for layers: servers that are trusted with nothing, those of the configuration before those that the registry
    /// announces; then the registry.
    private func endpoints(_ image: ResolvedImage) async throws -> [RegistryEndpoint] {
        try await store.client.endpoints(
            for: request.reference.domain, after: image.endpoint, announced: image.sources
        ).filter { !sources.isRefused($0) }
    }

    private func leave(
        _ endpoint: RegistryEndpoint, _ error: any Error, _ digest: Digest, goingOnWith next: RegistryEndpoint
    ) {
        if endpoint.resolvesTags {
            store.logger.warning(
                "endpoint is skipped",
                metadata: ["endpoint": "\(endpoint)", "blob": "\(digest)", "error": "\(error)"])
        } else if !LayerDownload.isOfBytes(error) || !sources.disprove(digest, goingOnWith: next),
            let error = error as? RegistryError
        {
            sources.leave(endpoint, error, digest, goingOnWith: next)
        }
    }

    private static func isEndpointFault(_ error: any Error) -> Bool {
        (error as? RegistryError)?.isEndpointFault ?? LayerDownload.isOfBytes(error)
    }

    private func fetch(
        _ descriptor: Descriptor, _ diffID: Digest, from endpoint: RegistryEndpoint, into files: LayerFiles,
        _ progress: LayerProgress
    ) async throws -> LayerRecord {
        try await LayerDownload(
            store: store, request: request, descriptor: descriptor, diffID: diffID, files: files, progress: progress,
            sources: sources
        ).run(from: endpoint)
    }

    private func commit(
        _ image: ResolvedImage, _ config: ImageConfig, _ configBytes: [UInt8], _ reference: Reference
    ) async throws {
        var size: Int64 = 0
        for diffID in config.rootfs.diffIDs { size += await store.layers.record(diffID)?.size ?? 0 }
        let record = ImageRecord(
            id: image.manifest.config.digest, manifestDigest: image.digest, manifestMediaType: image.mediaType,
            manifestBytes: Data(image.manifestBytes), config: config, configBytes: Data(configBytes),
            layers: image.manifest.layers, size: size, storedAt: Timestamp.now().seconds,
            indexes: image.index.map {
                [StoredDocument(digest: $0.digest, mediaType: $0.mediaType, bytes: Data($0.bytes))]
            })
        let named = Reference(domain: reference.domain, path: reference.path, tag: nil, digest: image.referenceDigest)
        let isTagged = reference.digest == nil
        try await store.commit(record, tags: isTagged ? [reference] : [], digests: [named])
    }
}
