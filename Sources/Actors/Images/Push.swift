import FoundationEssentials
import Glibc
import Kernel
import LayerFS
package import OCI
package import Registry

/// What `POST /images/{name}/push` asks for.
package struct PushRequest: Sendable {
    package var reference: Reference
    package var credentials: Credentials?
    package var allTags = false

    package init(_ reference: Reference, credentials: Credentials? = nil) {
        self.reference = reference
        self.credentials = credentials
    }
}

extension ImageStore {
    /// Sends an image to the registry of its name; the events are Docker's progress lines.
    package nonisolated func push(_ request: PushRequest) -> AsyncThrowingStream<TransferEvent, any Error> {
        let (stream, continuation) = AsyncThrowingStream<TransferEvent, any Error>.makeStream()
        let task = Task {
            do {
                for reference in try await self.names(for: request) {
                    try await PushJob(store: self, reference: reference, credentials: request.credentials) {
                        continuation.yield($0)
                    }.run()
                }
                continuation.finish()
            } catch {
                continuation.finish(throwing: Self.told(error))
            }
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }

    private func names(for request: PushRequest) async throws -> [Reference] {
        guard request.allTags else { return [request.reference.tagged] }
        var found: [Reference] = []
        for image in try await list() {
            for tag in image.repoTags {
                let reference = try Reference(tag)
                if reference.name == request.reference.name { found.append(reference) }
            }
        }
        guard !found.isEmpty else {
            throw EngineError(
                .notFound, "An image does not exist locally with the tag: \(request.reference.familiarName)")
        }
        return found.sorted { $0.description < $1.description }
    }
}

/// One push of one name.
struct PushJob: Sendable {
    let store: ImageStore
    let reference: Reference
    let credentials: Credentials?
    let tell: @Sendable (TransferEvent) -> Void

    /// A layer ready to be sent.
    private struct ReadyLayer: Sendable {
        let descriptor: Descriptor
        let path: String
        /// A file made for this push, removed after it.
        let isTemporary: Bool
    }

    func run() async throws {
        let image: ImageSnapshot
        do { image = try await store.image(reference.description) } catch {
            throw EngineError(.notFound, "An image does not exist locally with the tag: \(reference.familiarName)")
        }
        tell(TransferEvent("The push refers to repository [\(reference.name)]"))
        let diffIDs = image.record.config.rootfs.diffIDs
        await store.layers.pin(diffIDs)
        do {
            let descriptors = try await layers(image, diffIDs)
            let (digest, size) = try await manifest(image, descriptors)
            await store.layers.unpin(diffIDs)
            let tag = reference.tag ?? ""
            tell(TransferEvent("\(tag): digest: \(digest) size: \(size)"))
            var event = TransferEvent("")
            event.aux = .pushed(tag: tag, digest: digest, size: Int64(size))
            tell(event)
            await store.events.publish(.image, "push", reference.familiar, ["name": reference.familiarName])
        } catch {
            await store.layers.unpin(diffIDs)
            throw error
        }
    }

    private func layers(_ image: ImageSnapshot, _ diffIDs: [Digest]) async throws -> [Descriptor] {
        for diffID in diffIDs { tell(TransferEvent("Preparing", id: diffID.short)) }
        return try await withThrowingTaskGroup(of: (Int, Descriptor).self) { group in
            for (index, diffID) in diffIDs.enumerated() {
                let original = image.record.layers.indices.contains(index) ? image.record.layers[index] : nil
                group.addTask { (index, try await store.uploads.run { try await layer(diffID, original) }) }
            }
            var result: [Int: Descriptor] = [:]
            for try await (index, descriptor) in group { result[index] = descriptor }
            return diffIDs.indices.compactMap { result[$0] }
        }
    }

    private func layer(_ diffID: Digest, _ original: Descriptor?) async throws -> Descriptor {
        guard let record = await store.layers.record(diffID) else {
            throw EngineError(.system, "layer \(diffID) is not stored: pull or build the image again")
        }
        let prefix = reference.domain + "/"
        let candidates = record.repositories.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
        let ready = try await compressed(diffID, record, original)
        defer { if ready.isTemporary { unlink(ready.path) } }
        let id = diffID.short
        let total = ready.descriptor.size
        let meter = PushMeter(id: id, total: total, tell: tell)
        let placement = try await store.client.push(
            ready.descriptor, try BlobSource.file(ready.path), to: reference, mountingFrom: candidates,
            credentials: credentials
        ) { meter.sent($0) }
        switch placement {
        case .existed: tell(TransferEvent("Layer already exists", id: id))
        case .mounted(let from): tell(TransferEvent("Mounted from \(from)", id: id))
        case .uploaded: tell(TransferEvent("Pushed", id: id))
        }
        await store.layers.note(diffID, repository: reference.name)
        return ready.descriptor
    }

    /// The layer's compressed bytes: those it came as, or made now with fixed parameters, so that a repetition gives the same.
    private func compressed(_ diffID: Digest, _ record: LayerRecord, _ original: Descriptor?) async throws -> ReadyLayer
    {
        if let digest = record.blobDigest, Files.exists(store.layers.blobPath(digest)) {
            let type = original?.digest == digest ? original?.mediaType : record.mediaType
            return ReadyLayer(
                descriptor: Descriptor(
                    mediaType: type ?? MediaType.dockerLayerGzip, digest: digest, size: record.blobSize),
                path: store.layers.blobPath(digest), isTemporary: false)
        }
        let tar = store.layers.files(diffID).tar
        let target = store.layers.temporaryPath()
        let (digest, size) = try await BlockingPool.shared.run {
            do { return try Self.gzip(tar, to: target) } catch {
                unlink(target)
                throw error
            }
        }
        return ReadyLayer(
            descriptor: Descriptor(mediaType: MediaType.dockerLayerGzip, digest: digest, size: size), path: target,
            isTemporary: true)
    }

    /// Compresses a tar into a file.
    ///
    /// - Returns: digest and size of the file.
    private static func gzip(_ tar: String, to target: String) throws -> (Digest, Int64) {
        let source = try OwnedFD.open(tar, O_RDONLY)
        let output = try OwnedFD.open(target, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
        var hash = SHA256Bytes.Running()
        var size: Int64 = 0
        var encoder = try Encoder(.gzip)
        let sink: (UnsafeRawBufferPointer) throws(LayerError) -> Void = { bytes throws(LayerError) in
            hash.update(bytes)
            size += Int64(bytes.count)
            do throws(SystemError) { try output.writeAll(bytes) } catch {
                throw LayerError(error, "compressing a layer")
            }
        }
        while true {
            let block = try source.readBlock(bytesMax: 1 << 20)
            if block.isEmpty { break }
            try block.withUnsafeBytes { (bytes) throws -> Void in try encoder.write(bytes, sink) }
        }
        try encoder.finish(sink)
        return (hash.digest(), size)
    }

    private func manifest(_ image: ImageSnapshot, _ layers: [Descriptor]) async throws -> (Digest, Int) {
        let record = image.record
        let configBytes = [UInt8](record.configBytes)
        if let bytes = record.manifestBytes, let type = record.manifestMediaType,
            layers.map(\.digest) == record.layers.map(\.digest),
            let manifest = try? JSONDecoder().decode(Manifest.self, from: bytes)
        {
            return try await send([UInt8](bytes), type, manifest.config, configBytes)
        }
        let config = Descriptor(mediaType: MediaType.dockerConfig, digest: record.id, size: Int64(configBytes.count))
        let manifest = Manifest(mediaType: MediaType.dockerManifest, config: config, layers: layers)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try await send([UInt8](try encoder.encode(manifest)), MediaType.dockerManifest, config, configBytes)
    }

    private func send(
        _ manifest: [UInt8], _ type: String, _ config: Descriptor, _ configBytes: [UInt8]
    ) async throws -> (Digest, Int) {
        _ = try await store.client.push(config, BlobSource(configBytes), to: reference, credentials: credentials)
        let digest = try await store.client.put(
            manifest: manifest, mediaType: type, as: reference, credentials: credentials)
        return (digest, manifest.count)
    }
}

/// Tells how much of a layer was sent, at most ten times a second.
private final class PushMeter: Sendable {
    private static let intervalNanoseconds: Int64 = 100_000_000
    private let id: String
    private let total: Int64
    private let tell: @Sendable (TransferEvent) -> Void
    private let last = Guarded<Int64>(0)

    init(id: String, total: Int64, tell: @escaping @Sendable (TransferEvent) -> Void) {
        self.id = id
        self.total = total
        self.tell = tell
    }

    func sent(_ bytes: Int64) {
        let now = Timestamp.now().nanosecondsSince1970
        let isDue = last.withLock { last in
            guard now - last >= Self.intervalNanoseconds || bytes == total else { return false }
            last = now
            return true
        }
        if isDue { tell(TransferEvent("Pushing", id: id, current: bytes, total: total)) }
    }
}
