import FoundationEssentials
import Glibc
package import Kernel
import LayerFS
import OCI

extension ImageStore {
    /// Stores the images of an archive as `save` writes it: Docker's or an OCI layout, compressed or not.
    package nonisolated func load(from reader: consuming OwnedFD) -> AsyncThrowingStream<TransferEvent, any Error> {
        let source = DescriptorBox(reader)
        let (stream, continuation) = AsyncThrowingStream<TransferEvent, any Error>.makeStream()
        let task = Task {
            do {
                try await LoadJob(store: self) { continuation.yield($0) }.run(from: try source.take())
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }
}

/// One archive on its way in. It is written to disk once as it streams, like a layer; its members are then read in place.
struct LoadJob: Sendable {
    let store: ImageStore
    let tell: @Sendable (TransferEvent) -> Void

    /// Largest JSON member, in bytes.
    private static let documentBytesMax: UInt64 = 8 << 20
    /// Links between members that are followed.
    private static let linksMax = 16
    /// Images of one archive.
    private static let imagesMax = 1024

    private struct Wanted {
        var config: String
        var layers: [String]
        var tags: [String]
        var manifest: (bytes: [UInt8], type: String, layers: [Descriptor])?
    }

    private struct DockerManifest: Decodable {
        let config: String
        let repoTags: [String]?
        let layers: [String]
        enum CodingKeys: String, CodingKey {
            case config = "Config"
            case repoTags = "RepoTags"
            case layers = "Layers"
        }
    }

    /// The members of the archive by cleaned name.
    private struct Members: Sendable {
        var entries: [String: LayerEntry] = [:]
        let tar: String

        /// The file a name leads to, through hard and symbolic links between members.
        func file(_ name: String) -> LayerEntry? {
            var name = name
            for _ in 0..<LoadJob.linksMax {
                guard let entry = entries[name] else { return nil }
                switch entry.kind {
                case .file: return entry
                case .hardlink: name = String(decoding: entry.linkTarget, as: UTF8.self)
                case .symlink:
                    var parts = name.split(separator: "/").dropLast()
                    for part in String(decoding: entry.linkTarget, as: UTF8.self).split(separator: "/")
                    where part != "." {
                        if part == ".." { _ = parts.popLast() } else { parts.append(part) }
                    }
                    name = parts.joined(separator: "/")
                default: return nil
                }
            }
            return nil
        }

        func document(_ name: String) throws -> [UInt8]? {
            guard let entry = file(name) else { return nil }
            guard entry.size <= LoadJob.documentBytesMax else {
                throw EngineError(
                    .invalidParameter, "invalid archive: \(name) has \(entry.size) bytes, too many for a document")
            }
            guard let content = entry.content, content.source == .tar else { return [] }
            let file = try OwnedFD.open(tar, O_RDONLY)
            var bytes = [UInt8](repeating: 0, count: Int(entry.size))
            let count = try bytes.withUnsafeMutableBytes { (buffer) throws -> Int in
                try file.read(into: buffer, at: Int64(content.offset))
            }
            guard count == bytes.count else { throw EngineError(.invalidParameter, "invalid archive: \(name) is cut") }
            return bytes
        }
    }

    func run(from reader: consuming OwnedFD) async throws {
        let directory = store.layers.temporaryPath()
        try Files.makeDirectories(directory)
        do {
            let members = try await members(reader, LayerFiles(directory: directory))
            let wanted = try wanted(members)
            for image in wanted { try await load(image, members) }
        } catch {
            try Files.removeTree(directory)
            throw error
        }
        try Files.removeTree(directory)
    }

    private func members(_ reader: consuming OwnedFD, _ files: LayerFiles) async throws -> Members {
        let ingest = try LayerIngest(IngestRequest(files: files))
        try await store.feed(ingest, from: reader)
        return try await BlockingPool.shared.run {
            var members = Members(tar: files.tar)
            try EntryReader.forEach(files.entries) { entry throws(LayerError) in
                members.entries[String(decoding: entry.path, as: UTF8.self)] = entry
            }
            return members
        }
    }

    // MARK: What the archive holds

    private func wanted(_ members: Members) throws -> [Wanted] {
        let manifests = try ociManifests(members)
        if let bytes = try members.document("manifest.json") {
            let list = try Self.decode([DockerManifest].self, bytes, "manifest.json", is: .array)
            guard list.count <= Self.imagesMax else {
                throw EngineError(.invalidParameter, "invalid archive: more than \(Self.imagesMax) images")
            }
            return list.map { item in
                var wanted = Wanted(config: item.config, layers: item.layers, tags: item.repoTags ?? [])
                // The same image in the archive's other form: with layers of its own it is another.
                wanted.manifest = manifests.first {
                    Self.path($0.manifest.config.digest) == item.config
                        && $0.manifest.layers.map { Self.path($0.digest) } == item.layers
                }.map { ($0.bytes, $0.type, $0.manifest.layers) }
                return wanted
            }
        }
        guard !manifests.isEmpty else {
            throw EngineError(
                .invalidParameter,
                "invalid archive: does not contain a manifest.json or an index.json: was it made by docker save?")
        }
        return manifests.map { item in
            Wanted(
                config: Self.path(item.manifest.config.digest),
                layers: item.manifest.layers.map { Self.path($0.digest) },
                tags: item.name.map { [$0] } ?? [], manifest: (item.bytes, item.type, item.manifest.layers))
        }
    }

    private static func decode<Value: Decodable>(
        _ type: Value.Type, _ bytes: [UInt8], _ name: String, is top: StrictJSON.Top = .object
    ) throws -> Value {
        do { return try ImageDocument.decode(type, bytes, is: top) } catch {
            throw EngineError(.invalidParameter, "invalid archive: \(name) is not well formed: \(error.message)")
        }
    }

    private static func path(_ digest: Digest) -> String { "blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }

    private typealias Found = (bytes: [UInt8], type: String, manifest: Manifest, name: String?)

    private func ociManifests(_ members: Members) throws -> [Found] {
        guard let bytes = try members.document("index.json") else { return [] }
        let index = try Self.decode(ImageIndex.self, bytes, "index.json")
        return try index.manifests.prefix(Self.imagesMax).compactMap { descriptor -> Found? in
            guard MediaType.manifests.contains(descriptor.mediaType),
                let bytes = try members.document(Self.path(descriptor.digest))
            else { return nil }
            guard SHA256Bytes.digest(bytes) == descriptor.digest else {
                throw EngineError(.invalidParameter, "invalid archive: manifest \(descriptor.digest) has other bytes")
            }
            let manifest = try Self.decode(Manifest.self, bytes, "manifest \(descriptor.digest)")
            guard manifest.config.size >= 0, manifest.layers.allSatisfy({ $0.size >= 0 }) else {
                throw EngineError(
                    .invalidParameter, "invalid archive: manifest \(descriptor.digest) has a negative size")
            }
            let annotations = descriptor.annotations ?? [:]
            let name =
                annotations["io.containerd.image.name"]
                ?? annotations["org.opencontainers.image.ref.name"].flatMap {
                    $0.contains("/") || $0.contains(":") ? $0 : nil
                }
            return (bytes, descriptor.mediaType, manifest, name)
        }
    }

    // MARK: One image

    private func load(_ wanted: Wanted, _ members: Members) async throws {
        guard let bytes = try members.document(wanted.config) else {
            throw EngineError(.invalidParameter, "invalid archive: \(OCIError.quoted(wanted.config)) is missing")
        }
        let config = try Self.decode(ImageConfig.self, bytes, "configuration \(OCIError.quoted(wanted.config))")
        if wanted.manifest != nil, Self.path(SHA256Bytes.digest(bytes)) != wanted.config {
            throw EngineError(.invalidParameter, "invalid archive: \(OCIError.quoted(wanted.config)) has other bytes")
        }
        let diffIDs = config.rootfs.diffIDs
        guard diffIDs.count == wanted.layers.count else {
            throw EngineError(
                .invalidParameter,
                "invalid manifest, layers length mismatch: expected \(wanted.layers.count), got \(diffIDs.count)")
        }
        let tags = try wanted.tags.map { try Reference($0).tagged }
        await store.layers.pin(diffIDs)
        do {
            for (index, diffID) in diffIDs.enumerated() {
                try await layer(diffID, wanted.layers[index], wanted.manifest?.layers[index], members)
            }
            let id = try await store.store(config, Data(bytes), tags: tags, manifest: wanted.manifest)
            await store.layers.unpin(diffIDs)
            var event = TransferEvent(
                tags.isEmpty ? "Loaded image ID: \(id)\n" : tags.map { "Loaded image: \($0.familiar)\n" }.joined())
            event.isStream = true
            tell(event)
            await store.events.publish(.image, "load", id.description, ["name": tags.first?.familiar ?? id.description])
        } catch {
            await store.layers.unpin(diffIDs)
            await store.giveBack(after: error)
            throw error
        }
    }

    private func layer(_ diffID: Digest, _ name: String, _ descriptor: Descriptor?, _ members: Members) async throws {
        guard await store.layers.record(diffID) == nil else { return }
        guard let entry = members.file(name), let content = entry.content, content.source == .tar else {
            throw EngineError(.invalidParameter, "invalid archive: layer \(OCIError.quoted(name)) is missing")
        }
        let isCompressed = descriptor.map { $0.digest != diffID } ?? false
        let keepsBlob = isCompressed && store.configuration.keepBlobs
        let tar = members.tar
        _ = try await store.layers.layer(diffID, progress: { _ in }) { files, _ in
            let partial = descriptor.map { PartialBlob($0.digest, of: diffID, in: store.layers) }
            var request = IngestRequest(files: files)
            request.diffID = diffID
            if keepsBlob, let descriptor, let partial {
                // The archive has all of it; what a pull may have left is of no use here.
                unlink(partial.path)
                request.blob = descriptor.digest
                request.blobSize = descriptor.size
                request.partialBlob = partial.path
                request.keepBlob = true
            }
            let ingest = try LayerIngest(request)
            let range = try FileRange(tar, offset: Int64(content.offset), count: Int64(entry.size))
            let layer: IngestedLayer
            do { layer = try await store.feed(ingest, from: range) } catch {
                if keepsBlob, let partial { unlink(partial.path) }
                throw error
            }
            if keepsBlob, let partial { try partial.complete() }
            return LayerRecord(
                diffID: layer.diffID, blobDigest: keepsBlob ? descriptor?.digest : nil,
                blobSize: keepsBlob ? descriptor?.size ?? 0 : 0, mediaType: keepsBlob ? descriptor?.mediaType : nil,
                size: layer.tarSize, repositories: [])
        }
    }
}

/// A part of a file, read in order by one task.
final class FileRange: Sendable {
    private let file: OwnedFD
    private let position: Guarded<(next: Int64, end: Int64)>

    init(_ path: String, offset: Int64, count: Int64) throws {
        file = try OwnedFD.open(path, O_RDONLY)
        position = Guarded((offset, offset + count))
    }

    /// The next bytes; empty at the end of the part or of the file.
    func next(bytesMax: Int) throws(SystemError) -> [UInt8] {
        let (start, end) = position.withLock { $0 }
        var block = [UInt8](repeating: 0, count: min(bytesMax, Int(end - start)))
        guard !block.isEmpty else { return [] }
        var failure: SystemError?
        let count = block.withUnsafeMutableBytes { buffer in
            do throws(SystemError) { return try file.read(into: buffer, at: start) } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        position.withLock { $0.next += Int64(count) }
        block.removeLast(block.count - count)
        return block
    }
}
