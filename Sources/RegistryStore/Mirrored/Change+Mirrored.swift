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

    /// Makes a blob part of a repository whose manifests may name it already.
    func linkMirrored(_ digest: Digest, to repository: Int64, now: Int64) throws {
        try link(digest, to: repository, now: now)
        let key: [SQLValue] = [.integer(repository), .text(digest.description)]
        try connection.execute(
            """
            UPDATE links SET uses = (SELECT count(*) FROM members WHERE repository = ? AND digest = ?)
            WHERE repository = ? AND digest = ?
            """, key + key)
    }

    func expireMirrored(_ name: String, before oldest: Int64, countMax: Int, now: Int64) throws -> Int {
        // "/" is followed by "0": names between the two are those below `name`.
        let found = try connection.rows(
            """
            SELECT repositories.id, repositories.name, mirror_manifests.digest FROM mirror_manifests
            JOIN repositories ON repositories.id = mirror_manifests.repository
            WHERE used < ? AND repositories.name > ? AND repositories.name < ? LIMIT ?
            """, [.integer(oldest), .text(name + "/"), .text(name + "0"), .integer(Int64(countMax))])
        for row in found {
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
        return found.count
    }
}
