package import FoundationEssentials
import Kernel
package import OCI

/// What the registry that serves this engine's images asks: images as they came from a registry, byte by byte.
extension ImageStore {
    /// A blob that is here as its registry has it.
    package enum ContentBlob: Sendable {
        /// A layer; its bytes have been verified, and the file never changes.
        case file(path: String, byteCount: Int64)
        /// An image's configuration.
        case bytes(Data)
    }

    /// Tags by the `domain/path` of repositories, of images that came from a registry and are here as they came.
    ///
    /// - Parameter name: the one repository that is asked for; nil for all.
    package func content(of name: String? = nil) async throws -> [String: [String]] {
        var found: [String: [String]] = [:]
        for (repository, images) in try await repositories(name) {
            var tags: [String] = []
            var isServed = false
            for image in images where await isWhole(image.record) {
                isServed = true
                tags += image.tags
            }
            if isServed { found[repository] = tags.sorted() }
        }
        return found
    }

    /// What a tag or digest names in a repository: the index that an image was chosen from, where that is what the name meant,
    /// else its manifest.
    ///
    /// - Parameter name: a repository with a tag or a digest.
    /// - Throws: ``EngineError`` `.notFound`.
    package func document(_ name: Reference) async throws -> StoredDocument {
        for image in try await repositories(name.name)[name.name] ?? [] {
            guard let document = Self.document(name, image), await isWhole(image.record) else { continue }
            return document
        }
        throw EngineError(.notFound, "manifest unknown: \(name)")
    }

    private static func document(_ name: Reference, _ image: NamedImage) -> StoredDocument? {
        let indexes = image.record.indexes ?? []
        let named = indexes.filter { image.digests.contains($0.digest) }
        guard let digest = name.digest else {
            guard let tag = name.tag, image.tags.contains(tag) else { return nil }
            return named.first ?? manifest(image.record)
        }
        if let index = named.first(where: { $0.digest == digest }) { return index }
        return image.record.manifestDigest == digest ? manifest(image.record) : nil
    }

    private static func manifest(_ record: ImageRecord) -> StoredDocument? {
        guard let digest = record.manifestDigest, let bytes = record.manifestBytes, let type = record.manifestMediaType
        else { return nil }
        return StoredDocument(digest: digest, mediaType: type, bytes: bytes)
    }

    /// True where all that the manifest names can be had.
    private func isWhole(_ record: ImageRecord) async -> Bool {
        guard record.manifestBytes != nil, record.layers.count == record.config.rootfs.diffIDs.count else {
            return false
        }
        for descriptor in record.layers where await file(descriptor) == nil { return false }
        return true
    }

    private func file(_ descriptor: Descriptor) async -> String? {
        let path = layers.blobPath(descriptor.digest)
        return await BlockingPool.shared.run { Files.exists(path) } ? path : nil
    }

    /// A blob of an image that has a name in the repository.
    ///
    /// - Throws: ``EngineError`` `.notFound`.
    package func blob(_ digest: Digest, of repository: Reference) async throws -> ContentBlob {
        for image in try await repositories(repository.name)[repository.name] ?? []
        where image.record.manifestBytes != nil {
            if image.record.id == digest { return .bytes(image.record.configBytes) }
            guard let descriptor = image.record.layers.first(where: { $0.digest == digest }),
                let path = await file(descriptor)
            else { continue }
            return .file(path: path, byteCount: descriptor.size)
        }
        throw EngineError(.notFound, "blob unknown: \(repository.name)@\(digest)")
    }
}
