package import OCI

/// How much is kept of other registries.
extension RegistryStore {
    /// What has become of a mirror that had too much.
    package struct Shrunk: Sendable, Hashable {
        /// Manifests that were removed.
        package fileprivate(set) var manifests = 0
        /// Bytes that are left, as ``mirroredBytes(_:)`` counts them.
        package fileprivate(set) var bytes: Int64
    }

    /// Bytes of the blobs of a mirror, each once, and of its manifests.
    package nonisolated func mirroredBytes(_ names: MirroredNames) async throws -> Int64 {
        let (condition, arguments) = names.condition
        return try await index.read { connection in
            let row = try connection.row(
                """
                SELECT CAST(coalesce((SELECT sum(size) FROM blobs WHERE digest IN (
                    SELECT links.digest FROM links JOIN repositories ON repositories.id = links.repository
                    WHERE \(condition))), 0)
                + coalesce((SELECT sum(length(body)) FROM manifests
                    JOIN repositories ON repositories.id = manifests.repository WHERE \(condition)), 0) AS BIGINT) AS bytes
                """, arguments + arguments)
            return try row?.integer("bytes") ?? 0
        }
    }

    /// Removes manifests of a mirror, with the blobs that only they name there, until it has no more than `limit` bytes: first those
    /// that were asked for longest ago.
    package nonisolated func shrinkMirrored(_ names: MirroredNames, to limit: Int64) async throws -> Shrunk {
        var result = Shrunk(bytes: try await mirroredBytes(names))
        while result.bytes > limit {
            let excess = result.bytes - limit
            let now = Self.now
            let step = try await writer.change {
                try $0.shrinkMirrored(names, by: excess, countMax: Self.shrunkAtOnce, now: now)
            }
            guard step.bytes > 0 || step.manifests > 0 else { break }
            result.manifests += step.manifests
            result.bytes -= step.bytes
        }
        return result
    }

    /// Manifests, or blobs that none names, of one transaction: pushes go on in between.
    private static let shrunkAtOnce = 50
}

extension Change {
    /// A blob that no manifest names yet is not taken from who has just asked for it, in seconds.
    private static let unnamedSeconds: Int64 = 60

    /// - Returns: manifests that were removed, and the bytes that the mirror does not have any more.
    fileprivate func shrinkMirrored(
        _ names: MirroredNames, by wanted: Int64, countMax: Int, now: Int64
    ) throws -> (manifests: Int, bytes: Int64) {
        let (condition, arguments) = names.condition
        var bytes: Int64 = 0
        let unnamed = try connection.rows(
            """
            SELECT links.repository, links.digest FROM links JOIN repositories ON repositories.id = links.repository
            WHERE uses = 0 AND touched < ? AND \(condition) LIMIT ?
            """, [.integer(now - Self.unnamedSeconds)] + arguments + [.integer(Int64(countMax))])
        for link in unnamed where bytes < wanted {
            bytes += try drop(try link.text("digest"), from: try link.integer("repository"), names)
        }
        var count = 0
        guard bytes < wanted else { return (count, bytes) }
        let manifests = try connection.rows(
            """
            SELECT repositories.id, repositories.name, mirror_manifests.digest FROM mirror_manifests
            JOIN repositories ON repositories.id = mirror_manifests.repository
            WHERE \(condition) ORDER BY used LIMIT ?
            """, arguments + [.integer(Int64(countMax))])
        for row in manifests where bytes < wanted {
            let (repository, digest) = (try row.integer("id"), try row.text("digest"))
            let key: [SQLValue] = [.integer(repository), .text(digest)]
            let size = try connection.row(
                "SELECT length(body) AS bytes FROM manifests WHERE repository = ? AND digest = ?", key)
            let members = try connection.rows("SELECT digest FROM members WHERE repository = ? AND manifest = ?", key)
            try removeMirrored(row, now: now)
            bytes += try size?.integer("bytes") ?? 0
            count += 1
            for member in members {
                let blob = try member.text("digest")
                guard try uses(try Digest(blob), in: repository) == 0 else { continue }
                bytes += try drop(blob, from: repository, names)
            }
        }
        return (count, bytes)
    }

    /// Takes a blob from a repository of a mirror.
    ///
    /// - Returns: the bytes that the mirror does not have any more: none while another repository of it has the blob.
    private func drop(_ digest: String, from repository: Int64, _ names: MirroredNames) throws -> Int64 {
        try unlinkBlob(digest, from: repository)
        let row = try connection.row("SELECT size, links FROM blobs WHERE digest = ?", [.text(digest)])
        guard let row else { return 0 }
        let (condition, arguments) = names.condition
        let isKept =
            try row.integer("links") > 0
            && connection.isAny(
                """
                SELECT 1 AS found FROM links JOIN repositories ON repositories.id = links.repository
                WHERE links.digest = ? AND \(condition) LIMIT 1
                """, [.text(digest)] + arguments)
        return isKept ? 0 : try row.integer("size")
    }
}
