import Glibc
package import OCI

/// What a repository has, as far as it matters for what may go.
package struct RepositoryContents: Sendable, Hashable {
    package struct Tag: Sendable, Hashable {
        package let name: String
        package let digest: Digest
        /// Seconds since 1970.
        package let pushed: Int64

        package init(name: String, digest: Digest, pushed: Int64) {
            self.name = name
            self.digest = digest
            self.pushed = pushed
        }
    }

    package struct Manifest: Sendable, Hashable {
        package let digest: Digest
        /// When a push last brought it, or relied on it; seconds since 1970.
        package let pushed: Int64
        /// nil for never.
        package let pulled: Int64?
        package let subject: Digest?
        /// Manifests that it names: of an index.
        package let members: [Digest]

        package init(digest: Digest, pushed: Int64, pulled: Int64?, subject: Digest? = nil, members: [Digest] = []) {
            self.digest = digest
            self.pushed = pushed
            self.pulled = pulled
            self.subject = subject
            self.members = members
        }
    }

    package let tags: [Tag]
    package let manifests: [Manifest]

    package init(tags: [Tag], manifests: [Manifest]) {
        self.tags = tags
        self.manifests = manifests
    }
}

/// How much was removed by rule.
package struct Retired: Sendable, Hashable, Codable {
    package var tags = 0
    package var manifests = 0
    package init() {}

    package mutating func count(_ removals: [Removal]) {
        for removal in removals {
            if removal.tag == nil { manifests += 1 } else { tags += 1 }
        }
    }
}

/// A tag or a manifest that was removed by rule.
package struct Removal: Sendable, Hashable {
    package let repository: RepositoryName
    /// nil for the manifest itself.
    package let tag: String?
    package let digest: Digest
}

extension RegistryStore {
    /// nil for a repository that is not there.
    package nonisolated func contents(of name: RepositoryName) async throws -> RepositoryContents? {
        try await index.read { connection in
            guard let repository = try Change.find(name, connection) else { return nil }
            let tags = try connection.rows(
                "SELECT name, digest, pushed FROM tags WHERE repository = ?", [.integer(repository)]
            ).map { row in
                RepositoryContents.Tag(
                    name: try row.text("name"), digest: try Digest(try row.text("digest")),
                    pushed: try row.integer("pushed"))
            }
            // Bodies of indexes alone: what they name is told by nothing else.
            let rows = try connection.rows(
                """
                SELECT manifests.digest, subject, pushed, relied, pulled, media_type,
                CASE WHEN media_type IN (?, ?) THEN body ELSE NULL END AS body
                FROM manifests LEFT JOIN pulls
                ON pulls.repository = manifests.repository AND pulls.digest = manifests.digest
                WHERE manifests.repository = ?
                """, MediaType.indexes.map { .text($0) } + [.integer(repository)])
            return RepositoryContents(tags: tags, manifests: try rows.map(Self.manifest))
        }
    }

    private static func manifest(_ row: SQLRow) throws -> RepositoryContents.Manifest {
        let (body, type) = (try row.bytes("body"), try row.text("media_type"))
        let members = body.isEmpty ? [] : try ManifestDocument(parsing: body, contentType: type).manifests.map(\.digest)
        return RepositoryContents.Manifest(
            digest: try Digest(try row.text("digest")),
            pushed: max(try row.integer("pushed"), try row.integer("relied")),
            pulled: try row.optionalInteger("pulled"), subject: try row.optionalText("subject").map { try Digest($0) },
            members: members)
    }

    /// Removes manifests that go together, with their tags, in one transaction. When a push has touched one of them since
    /// `contents` were read, all stay.
    ///
    /// - Parameter tags: that may go; another tag keeps them.
    /// - Returns: what has gone.
    package nonisolated func retire(
        _ group: [RepositoryContents.Manifest], tags: Set<RepositoryContents.Tag>, in name: RepositoryName
    ) async throws -> [Removal] {
        let (now, settings) = (Self.now, settings)
        return try await writer.change { change in
            var retired: [Removal] = []
            guard let repository = try Change.find(name, change.connection),
                try group.allSatisfy({ try change.isUntouched($0, tags, in: repository) })
            else { return retired }
            change.effects.touch(name)
            for manifest in group {
                for tag in try change.tags(of: manifest.digest, in: repository) {
                    try change.tell(
                        Notice(.retention, name, digest: manifest.digest, tag: tag, Origin()), settings, now: now)
                    try change.queueDeletions(of: [tag], in: name, settings.watches, now: now)
                    retired.append(Removal(repository: name, tag: tag, digest: manifest.digest))
                }
                guard try change.removeManifest(manifest.digest, from: repository, now: now) else { continue }
                try change.tell(Notice(.retention, name, digest: manifest.digest, Origin()), settings, now: now)
                retired.append(Removal(repository: name, tag: nil, digest: manifest.digest))
            }
            return retired
        }
    }

    /// Removes tags whose manifests stay; one that was pushed again since stays.
    ///
    /// - Returns: what has gone.
    package nonisolated func retire(tags: [RepositoryContents.Tag], in name: RepositoryName) async throws -> [Removal] {
        let (now, settings) = (Self.now, settings)
        return try await writer.change { change in
            var retired: [Removal] = []
            guard let repository = try Change.find(name, change.connection) else { return retired }
            change.effects.touch(name)
            for tag in tags {
                let isUntouched = try change.connection.isAny(
                    "SELECT 1 AS found FROM tags WHERE repository = ? AND name = ? AND digest = ? AND pushed = ?",
                    [.integer(repository), .text(tag.name), .text(tag.digest.description), .integer(tag.pushed)])
                guard isUntouched, try change.removeTag(tag.name, from: repository) else { continue }
                try change.tell(
                    Notice(.retention, name, digest: tag.digest, tag: tag.name, Origin()), settings, now: now)
                try change.queueDeletions(of: [tag.name], in: name, settings.watches, now: now)
                retired.append(Removal(repository: name, tag: tag.name, digest: tag.digest))
            }
            return retired
        }
    }
}

extension Change {
    /// Whether nothing has come to a manifest since it was looked at.
    fileprivate func isUntouched(
        _ manifest: RepositoryContents.Manifest, _ tags: Set<RepositoryContents.Tag>, in repository: Int64
    ) throws -> Bool {
        let key: [SQLValue] = [.integer(repository), .text(manifest.digest.description)]
        guard
            let row = try connection.row(
                "SELECT pushed, relied FROM manifests WHERE repository = ? AND digest = ?", key)
            // Gone already.
        else { return true }
        guard max(try row.integer("pushed"), try row.integer("relied")) == manifest.pushed else { return false }
        return try connection.rows("SELECT name, pushed FROM tags WHERE repository = ? AND digest = ?", key)
            .allSatisfy { row in
                tags.contains(
                    RepositoryContents.Tag(
                        name: try row.text("name"), digest: manifest.digest, pushed: try row.integer("pushed")))
            }
    }
}
