import FoundationEssentials
import Glibc
import Kernel
import LayerFS
import OCI

extension ImageStore {
    /// An archive of images with everything below their names: an OCI layout that carries Docker's `manifest.json`, too.
    ///
    /// - Throws: ``EngineError`` `.notFound` for a name that means no image here.
    package func save(_ names: [String]) async throws -> OutgoingStream {
        var parts: [SavedImage] = []
        for name in names {
            let image = try await image(name)
            var layers: [LayerRecord] = []
            for diffID in image.record.config.rootfs.diffIDs {
                guard let layer = await self.layers.record(diffID) else {
                    throw EngineError(.system, "layer \(diffID) of \(name) is not stored: pull the image again")
                }
                layers.append(layer)
            }
            let isID = !image.repoTags.contains { (try? Reference(name).tagged.familiar) == $0 }
            let tags = isID ? [] : [try Reference(name).tagged]
            if let known = parts.firstIndex(where: { $0.record.id == image.record.id }) {
                parts[known].tags += tags
            } else {
                parts.append(SavedImage(record: image.record, layers: layers, tags: tags))
            }
        }
        let store = layers
        let images = parts
        return try OutgoingStream.producing { writer in try ImageArchive(store: store, images: images).write(to: writer)
        }
    }
}

/// One image of an archive.
struct SavedImage: Sendable {
    let record: ImageRecord
    let layers: [LayerRecord]
    var tags: [Reference]
}

/// Writes images as one tar: OCI image-layout 1.0, and `manifest.json` for engines that read only that.
struct ImageArchive: Sendable {
    let store: LayerStore
    let images: [SavedImage]

    private struct DockerManifest: Encodable {
        let config: String
        let repoTags: [String]
        let layers: [String]
        enum CodingKeys: String, CodingKey {
            case config = "Config"
            case repoTags = "RepoTags"
            case layers = "Layers"
        }
    }

    func write(to pipe: borrowing OwnedFD) throws {
        var tar = TarWriter(sink: PipeSink.to(pipe.raw))
        for name in ["blobs", "blobs/sha256"] { try tar.append(LayerEntry(path: Array(name.utf8), kind: .directory)) }
        var written: Set<Digest> = []
        var index = ImageIndex(mediaType: MediaType.ociIndex, manifests: [])
        var manifests: [DockerManifest] = []
        for image in images {
            let descriptors = try layers(of: image, &tar, &written)
            try blob(image.record.id, [UInt8](image.record.configBytes), &tar, &written)
            let manifest = try manifest(of: image, descriptors)
            let digest = SHA256Bytes.digest(manifest.bytes)
            try blob(digest, manifest.bytes, &tar, &written)
            let entry = Descriptor(mediaType: manifest.type, digest: digest, size: Int64(manifest.bytes.count))
            index.manifests += image.tags.isEmpty ? [entry] : image.tags.map { Self.named(entry, $0) }
            manifests.append(
                DockerManifest(
                    config: Self.path(image.record.id), repoTags: image.tags.map(\.familiar),
                    layers: descriptors.map { Self.path($0.digest) }))
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try member("index.json", [UInt8](try encoder.encode(index)), &tar)
        try member("manifest.json", [UInt8](try encoder.encode(manifests)), &tar)
        try member("oci-layout", Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8), &tar)
        try tar.finish()
    }

    private static func path(_ digest: Digest) -> String { "blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }

    private static func named(_ descriptor: Descriptor, _ reference: Reference) -> Descriptor {
        var descriptor = descriptor
        descriptor.annotations = [
            "io.containerd.image.name": reference.description, "org.opencontainers.image.ref.name": reference.tag ?? "",
        ]
        return descriptor
    }

    /// The layers as they came where those bytes are kept, else as plain tars.
    private func layers(of image: SavedImage, _ tar: inout TarWriter, _ written: inout Set<Digest>) throws
        -> [Descriptor]
    {
        let asTheyCame =
            image.record.manifestBytes != nil
            && image.layers.allSatisfy { layer in
                layer.blobDigest.map { Files.exists(store.blobPath($0)) } ?? false
            } && image.layers.compactMap(\.blobDigest) == image.record.layers.map(\.digest)
        return try image.layers.enumerated().map { index, layer in
            var descriptor = Descriptor(mediaType: MediaType.ociLayer, digest: layer.diffID, size: layer.size)
            var path = store.files(layer.diffID).tar
            if asTheyCame, let digest = layer.blobDigest {
                descriptor = image.record.layers[index]
                path = store.blobPath(digest)
            }
            if written.insert(descriptor.digest).inserted {
                var entry = Self.file(Self.path(descriptor.digest))
                entry.size = UInt64(descriptor.size)
                try tar.append(entry, content: try OwnedFD.open(path, O_RDONLY))
            }
            return descriptor
        }
    }

    private func manifest(of image: SavedImage, _ layers: [Descriptor]) throws -> (bytes: [UInt8], type: String) {
        if let bytes = image.record.manifestBytes, let type = image.record.manifestMediaType,
            layers == image.record.layers
        {
            return ([UInt8](bytes), type)
        }
        let config = Descriptor(
            mediaType: MediaType.ociConfig, digest: image.record.id, size: Int64(image.record.configBytes.count))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (
            [UInt8](try encoder.encode(Manifest(mediaType: MediaType.ociManifest, config: config, layers: layers))),
            MediaType.ociManifest
        )
    }

    private static func file(_ name: String) -> LayerEntry {
        LayerEntry(path: Array(name.utf8), kind: .file, mode: 0o644)
    }

    private func blob(_ digest: Digest, _ bytes: [UInt8], _ tar: inout TarWriter, _ written: inout Set<Digest>) throws {
        guard written.insert(digest).inserted else { return }
        try member(Self.path(digest), bytes, &tar)
    }

    private func member(_ name: String, _ bytes: [UInt8], _ tar: inout TarWriter) throws {
        var entry = Self.file(name)
        entry.size = UInt64(bytes.count)
        try tar.append(entry, content: try MemoryFile.make(bytes))
    }
}
