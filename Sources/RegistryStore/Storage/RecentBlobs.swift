import OCI
import Synchronization

/// Small blobs that clients have just pushed. A manifest follows its configuration, and is taken with what that tells: it has
/// to wait neither for the index nor for a disk or a bucket.
final class RecentBlobs: Sendable {
    private struct Key: Hashable {
        let digest: Digest
        let repository: RepositoryName
    }

    private struct State {
        var blobs: [Key: [UInt8]] = [:]
        var bytes = 0
        /// What came before `blobs`.
        var older: [Key: [UInt8]] = [:]
    }

    /// Bytes of a blob that is kept: most configurations have fewer.
    static let blobBytesMax = 32 << 10
    /// Bytes of those that came last, and of those that came before them; when the first are more, the second are forgotten.
    private static let bytesMax = 4 << 20
    /// What an entry costs beside its bytes, roughly.
    private static let entryBytes = 256

    private let state = Mutex(State())

    func keep(_ bytes: [UInt8], of digest: Digest, in repository: RepositoryName) {
        guard bytes.count <= Self.blobBytesMax else { return }
        state.withLock { state in
            let cost = bytes.count + Self.entryBytes
            if state.bytes + cost > Self.bytesMax { state = State(older: state.blobs) }
            guard state.blobs.updateValue(bytes, forKey: Key(digest: digest, repository: repository)) == nil else {
                return
            }
            state.bytes += cost
        }
    }

    /// nil for one that has to be read. The repository may have lost it since it was pushed.
    func find(_ digest: Digest, in repository: RepositoryName) -> [UInt8]? {
        let key = Key(digest: digest, repository: repository)
        return state.withLock { $0.blobs[key] ?? $0.older[key] }
    }
}
