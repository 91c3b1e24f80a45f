package import OCI
import Synchronization

/// Where images of the first version's ids are: the protocol asks for them by their ids alone. Whoever asks has asked for the
/// images or the tags of their repository before, and then they are put here. What has been forgotten is asked for so again.
final class LegacyPlaces: Sendable {
    /// Ids. When it is full it is emptied.
    private static let idsMax = 100_000

    private struct State {
        var repositories: [String: Set<RepositoryName>] = [:]
        var manifests: [RepositoryName: [String: Digest]] = [:]
        var count = 0
    }
    private let state = Mutex(State())

    func put(_ images: [LegacyImage], of manifest: Digest, in name: RepositoryName) {
        state.withLock { state in
            if state.count + images.count > Self.idsMax { state = State() }
            for image in images {
                state.repositories[image.id, default: []].insert(name)
                let before = state.manifests[name, default: [:]].updateValue(manifest, forKey: image.id)
                state.count += before == nil ? 1 : 0
            }
        }
    }

    /// The repositories that have it, in order, and the manifest of each that does.
    func find(_ id: String) -> [(repository: RepositoryName, manifest: Digest)] {
        state.withLock { state in
            (state.repositories[id] ?? []).sorted { $0.description < $1.description }.compactMap { name in
                state.manifests[name]?[id].map { (name, $0) }
            }
        }
    }
}

extension RegistryStore {
    /// Tags of a repository that have ids of the first version: each costs a configuration that is read.
    private static let legacyTagsMax = 500

    /// The newest tags of a repository that name images, with the image of each.
    ///
    /// - Throws: ``Refusal`` NAME_UNKNOWN.
    package nonisolated func legacyTags(
        in name: RepositoryName
    ) async throws -> [(tag: String, images: [LegacyImage])] {
        var result: [(tag: String, images: [LegacyImage])] = []
        var known: [Digest: [LegacyImage]] = [:]
        for tag in try await tagList(in: name, countMax: Self.legacyTagsMax).items {
            let images: [LegacyImage]
            if let found = known[tag.digest] {
                images = found
            } else {
                images = try await legacyImages(of: tag.digest, in: name).map { $0.listed() }
                known[tag.digest] = images
            }
            if !images.isEmpty { result.append((tag.name, images)) }
        }
        return result
    }

    /// The images of a manifest, or of the member of an index that most people pull.
    ///
    /// - Returns: none for what is no image, or has been deleted.
    package nonisolated func legacyImages(of digest: Digest, in name: RepositoryName) async throws -> [LegacyImage] {
        guard let manifest = try? await manifest(.digest(digest), in: name),
            let document = try? ManifestDocument(parsing: manifest.body, contentType: manifest.mediaType)
        else { return [] }
        if let main = document.mainMember {
            // A member is no index itself, or it is not looked into.
            guard let inner = try? await self.manifest(.digest(main.digest), in: name),
                MediaType.manifests.contains(inner.mediaType)
            else { return [] }
            return try await legacyImages(of: main.digest, in: name)
        }
        guard let blob = document.blobs.first,
            let config = await smallBlob(blob, in: name, bytesMax: ManifestFacts.configBytesMax)
        else { return [] }
        let images = LegacyImage.chain(document, config: config)
        legacy.put(images, of: digest, in: name)
        return images
    }

    /// Images of an id, in the repositories that have been listed.
    package nonisolated func legacyPlaces(_ id: String) -> [(repository: RepositoryName, manifest: Digest)] {
        legacy.find(id)
    }
}
