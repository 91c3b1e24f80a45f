import OCI

extension Change {
    func noteMirrored(_ digest: Digest, in repository: Int64, now: Int64) throws {
        try connection.execute(
            """
            INSERT INTO mirror_manifests (repository, digest, used) VALUES (?, ?, ?)
            ON CONFLICT (repository, digest) DO UPDATE SET used = excluded.used
            """, [.integer(repository), .text(digest.description), .integer(now)])
    }

    func noteChecked(_ tag: String, in repository: Int64, now: Int64) throws {
        try connection.execute(
            """
            INSERT INTO mirror_tags (repository, name, checked) VALUES (?, ?, ?)
            ON CONFLICT (repository, name) DO UPDATE SET checked = excluded.checked
            """, [.integer(repository), .text(tag), .integer(now)])
    }

    /// Whether a manifest came without what it names.
    func wasMirrored(_ digest: Digest, in repository: Int64) throws -> Bool {
        try connection.isAny(
            "SELECT 1 AS found FROM mirror_manifests WHERE repository = ? AND digest = ?",
            [.integer(repository), .text(digest.description)])
    }

    /// A small blob may be the configuration, or the text, of manifests that have told nothing yet.
    func describeLater(whatNames blob: Digest, in repository: Int64) throws {
        let bytesMax = Int64(max(ManifestFacts.configBytesMax, ManifestFacts.readmeBytesMax))
        guard try blobSize(blob.description) <= bytesMax else { return }
        let manifests = try connection.rows(
            """
            SELECT facts.digest FROM members
            JOIN facts ON facts.repository = members.repository AND facts.digest = members.manifest
            WHERE members.repository = ? AND members.digest = ? AND members.mirrored = 1 AND facts.platforms = ''
            """, [.integer(repository), .text(blob.description)])
        for row in manifests {
            let manifest = try Digest(try row.text("digest"))
            try describeLater(manifest.description, in: repository)
            try describeLater(indexesOf: manifest, in: repository)
        }
    }

    /// An index tells what its members do, which came after it.
    func describeLater(indexesOf manifest: Digest, in repository: Int64) throws {
        let indexes = try connection.rows(
            "SELECT parent FROM index_members WHERE repository = ? AND digest = ?",
            [.integer(repository), .text(manifest.description)])
        for index in indexes { try describeLater(try index.text("parent"), in: repository) }
    }

    private func describeLater(_ manifest: String, in repository: Int64) throws {
        try connection.execute(
            "INSERT INTO undescribed (repository, digest) VALUES (?, ?) ON CONFLICT (repository, digest) DO NOTHING",
            [.integer(repository), .text(manifest)])
    }

    func expireMirrored(_ names: MirroredNames, before oldest: Int64, countMax: Int, now: Int64) throws -> Int {
        let (condition, arguments) = names.condition
        let found = try connection.rows(
            """
            SELECT repositories.id, repositories.name, mirror_manifests.digest FROM mirror_manifests
            JOIN repositories ON repositories.id = mirror_manifests.repository
            WHERE used < ? AND \(condition) LIMIT ?
            """, [.integer(oldest)] + arguments + [.integer(Int64(countMax))])
        for row in found { try removeMirrored(row, now: now) }
        return found.count
    }

    /// - Parameter row: `id` and `name` of the repository, and the manifest's `digest`.
    func removeMirrored(_ row: SQLRow, now: Int64) throws {
        let (repository, digest) = (try row.integer("id"), try Digest(try row.text("digest")))
        effects.touch(try RepositoryName(try row.text("name")))
        let key: [SQLValue] = [.integer(repository), .text(digest.description)]
        try connection.execute(
            """
            DELETE FROM mirror_tags WHERE repository = ? AND name IN
            (SELECT name FROM tags WHERE repository = ? AND digest = ?)
            """, [.integer(repository)] + key)
        _ = try removeManifest(digest, from: repository, now: now)
        try connection.execute("DELETE FROM mirror_manifests WHERE repository = ? AND digest = ?", key)
    }
}
