import Logging
import RegistryStore
import Synchronization

/// How much room a mirror has, as far as it was measured.
struct MirrorRoom: Sendable {
    /// nil until the index was asked.
    private var bytes: Int64?

    /// - Returns: whether it may have too much now.
    mutating func take(_ count: Int64) -> Bool {
        guard let known = bytes else { return true }
        bytes = known - count
        return known < count
    }

    mutating func measured(_ bytes: Int64) { self.bytes = bytes }
}

extension Mirrors {
    /// A blob has come: what is too much by it goes at once, for the next upkeep may be a disk away.
    func noteKept(_ size: Int64, of upstream: Upstream) {
        guard upstream.settings.bytesMax != nil, upstream.room.withLock({ $0.take(size) }) else { return }
        // The client does not wait for it.
        Task {
            do { try await makeRoom(in: upstream) } catch {
                logger.error("\(upstream.name) has more than it may, and cannot be made smaller: \(error)")
            }
        }
    }

    /// Removes what was asked for longest ago of a registry of which there is more than its settings give.
    func makeRoom(in upstream: Upstream) async throws {
        guard let limit = upstream.settings.bytesMax else { return }
        try await shrinking.value(upstream.name) { [self] in
            let shrunk = try await store.shrinkMirrored(names(of: upstream), to: limit)
            upstream.room.withLock { $0.measured(limit - shrunk.bytes) }
            guard shrunk.manifests > 0 else { return }
            logger.info(
                "\(shrunk.manifests) manifests of \(upstream.name) were removed: there was more than it may have")
            // Nobody names their blobs: the bytes go now.
            try await store.collectGarbage()
        }
    }
}
