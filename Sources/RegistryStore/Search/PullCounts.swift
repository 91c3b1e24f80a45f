package import OCI
import Synchronization

/// Pulls that have been seen and are not yet in the index: a GET must not wait for a transaction. Those of the last seconds
/// are lost by a crash.
final class PullCounts: Sendable {
    struct Key: Hashable, Sendable {
        let repository: RepositoryName
        let digest: Digest
    }

    /// Manifests that are counted at once. Those beyond are not counted until these have been written.
    private static let keysMax = 50_000

    private let counts = Mutex<[Key: Int64]>([:])

    func add(_ key: Key) {
        counts.withLock { counts in
            guard counts.count < Self.keysMax || counts[key] != nil else { return }
            counts[key, default: 0] += 1
        }
    }

    func take() -> [Key: Int64] {
        counts.withLock { counts in
            defer { counts = [:] }
            return counts
        }
    }

    /// What could not be written is tried again.
    func giveBack(_ taken: [Key: Int64]) {
        counts.withLock { counts in
            guard counts.count < Self.keysMax else { return }
            counts.merge(taken) { $0 + $1 }
        }
    }
}

extension RegistryStore {
    /// Counts a manifest that a client has got.
    ///
    /// - Parameter origin: asked for only where a hook wants to know.
    package nonisolated func notePull(
        _ manifest: StoredManifest, _ reference: ManifestName, from name: RepositoryName, _ origin: () -> Origin
    ) {
        pulls.add(PullCounts.Key(repository: name, digest: manifest.digest))
        pullNotices.note(manifest, reference, in: name, origin)
    }

    /// Manifests in one transaction: pushes go on in between.
    private static let countedAtOnce = 500

    /// Writes what has been counted.
    package nonisolated func writePulls() async throws {
        let now = Self.now
        try await writePullNotices()
        var rest = Array(pulls.take())[...]
        while !rest.isEmpty {
            let step = Array(rest.prefix(Self.countedAtOnce))
            do {
                try await writer.change { change in
                    for (key, count) in step { try change.countPulls(key, count, now: now) }
                }
            } catch {
                pulls.giveBack(Dictionary(uniqueKeysWithValues: rest.map { ($0.key, $0.value) }))
                throw error
            }
            rest = rest.dropFirst(step.count)
        }
    }
}

extension Change {
    /// A manifest of an index is pulled with the index: that counts once for the repository.
    func countPulls(_ key: PullCounts.Key, _ count: Int64, now: Int64) throws {
        // Both may have been deleted since.
        guard let repository = try Self.find(key.repository, connection) else { return }
        let manifest: [SQLValue] = [.integer(repository), .text(key.digest.description)]
        guard try hasManifest(key.digest, in: repository) else { return }
        try connection.execute(
            """
            INSERT INTO pulls (repository, digest, pulled) VALUES (?, ?, ?)
            ON CONFLICT (repository, digest) DO UPDATE SET pulled = excluded.pulled
            """, manifest + [.integer(now)])
        try connection.execute(
            "UPDATE facts SET pulls = pulls + ? WHERE repository = ? AND digest = ?", [.integer(count)] + manifest)
        guard
            try !connection.isAny(
                "SELECT 1 AS found FROM index_members WHERE repository = ? AND digest = ? LIMIT 1", manifest)
        else { return }
        let profile = try connection.row(
            "UPDATE profiles SET pulls = pulls + ? WHERE repository = ? RETURNING pulls, place",
            [.integer(count), .integer(repository)])
        guard let profile else { return }
        try place(repository, pulls: try profile.integer("pulls"), from: try profile.integer("place"))
    }
}
