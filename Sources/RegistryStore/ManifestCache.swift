package import OCI
import Synchronization

/// Manifests as they were last read. One writer changes them, and makes this forget before it answers, so that what is here
/// is what the index has.
final class ManifestCache: Sendable {
    private struct State {
        var manifests: [RepositoryName: [ManifestName: StoredManifest]] = [:]
        var bytes = 0
        /// Of the changes: what was read before one is not kept after it.
        var generation = 0
        var isUsed = true
    }

    /// Bytes of all manifests. When it is full it is emptied: what is asked for again is read again.
    private static let bytesMax = 16 << 20
    /// What an entry costs beside its body, in bytes, roughly.
    private static let entryBytes = 512

    private let state = Mutex(State())

    /// - Parameter isUsed: false where others change the index, too: then nothing is kept.
    init(isUsed: Bool) { state.withLock { $0.isUsed = isUsed } }

    func open() { state.withLock { $0.isUsed = true } }

    /// Forgets all, and keeps nothing more.
    func close() {
        state.withLock { state in
            state = State(generation: state.generation + 1, isUsed: false)
        }
    }

    /// To be asked for before the index is read.
    var generation: Int { state.withLock { $0.generation } }

    func find(_ name: ManifestName, in repository: RepositoryName) -> StoredManifest? {
        state.withLock { $0.manifests[repository]?[name] }
    }

    /// - Parameter generation: of before the manifest was read.
    func keep(_ manifest: StoredManifest, _ name: ManifestName, in repository: RepositoryName, generation: Int) {
        state.withLock { state in
            guard state.isUsed, state.generation == generation else { return }
            let bytes = manifest.body.count + Self.entryBytes
            if state.bytes + bytes > Self.bytesMax {
                state.manifests = [:]
                state.bytes = 0
            }
            guard state.manifests[repository, default: [:]].updateValue(manifest, forKey: name) == nil else { return }
            state.bytes += bytes
        }
    }

    func forget(_ repositories: Set<RepositoryName>) {
        guard !repositories.isEmpty else { return }
        state.withLock { state in
            state.generation += 1
            for repository in repositories {
                for manifest in (state.manifests.removeValue(forKey: repository) ?? [:]).values {
                    state.bytes -= manifest.body.count + Self.entryBytes
                }
            }
        }
    }
}

/// A manifest as it was pushed.
package struct StoredManifest: Sendable, Hashable {
    package let digest: Digest
    package let mediaType: String
    package let body: [UInt8]

    package init(digest: Digest, mediaType: String, body: [UInt8]) {
        self.digest = digest
        self.mediaType = mediaType
        self.body = body
    }
}
