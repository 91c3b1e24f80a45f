package import OCI

/// A tag or a manifest that is to be copied to another registry.
package struct CopyEntry: Sendable, Hashable {
    let id: Int64
    package let repository: RepositoryName
    package let reference: ManifestName
    /// nil for a tag that is to go there.
    package let digest: Digest?
    let created: Int64
    package let attempts: Int64
}

/// What there is to copy for a rule.
package struct CopyStatus: Sendable, Hashable, Codable {
    package let name: String
    package let waiting: Int64
    /// Of those, what has failed at least once.
    package let failing: Int64
    /// When the oldest came to be; seconds since 1970.
    package let oldest: Int64?
    package let failure: String?
}

extension RegistryStore {
    /// Tags of one transaction when all are to be copied.
    private static let queuedAtOnce = 500
    /// Characters of a failure that are kept.
    private static let failureMax = 500

    /// What is to be copied next.
    package nonisolated func nextCopy(for rule: String) async throws -> CopyEntry? {
        let now = Self.now
        return try await index.read { connection in
            try connection.row(
                """
                SELECT id, repository, reference, digest, created, attempts FROM copies
                WHERE rule = ? AND due <= ? ORDER BY due, id LIMIT 1
                """, [.text(rule), .integer(now)]
            ).map { row in
                CopyEntry(
                    id: try row.integer("id"), repository: try RepositoryName(try row.text("repository")),
                    reference: try ManifestName(try row.text("reference")),
                    digest: try row.optionalText("digest").map { try Digest($0) },
                    created: try row.integer("created"), attempts: try row.integer("attempts"))
            }
        }
    }

    /// Forgets what was copied, unless it was pushed again meanwhile.
    package nonisolated func copied(_ entry: CopyEntry) async throws {
        try await writer.change { change in
            try change.connection.execute(
                "DELETE FROM copies WHERE id = ? AND created = ? AND coalesce(digest, '') = ?",
                [.integer(entry.id), .integer(entry.created), .text(entry.digest?.description ?? "")])
        }
    }

    /// Puts off what could not be copied.
    ///
    /// - Parameter seconds: until it is tried again.
    package nonisolated func postpone(_ entry: CopyEntry, seconds: Int64, _ failure: String) async throws {
        let due = Self.now + seconds
        try await writer.change { change in
            try change.connection.execute(
                "UPDATE copies SET attempts = attempts + 1, due = ?, failure = ? WHERE id = ? AND created = ?",
                [
                    .integer(due), .text(String(failure.prefix(Self.failureMax))), .integer(entry.id),
                    .integer(entry.created),
                ])
        }
    }

    /// Queues all that a rule is for and that is here already.
    ///
    /// - Returns: how many tags.
    package nonisolated func queueAll(for rule: Watches.Copy, in name: RepositoryName) async throws -> Int {
        guard rule.repositories.matches(name.description) else { return 0 }
        let tags = try await index.read { connection in
            try connection.rows(
                """
                SELECT tags.name, tags.digest FROM repositories JOIN tags ON tags.repository = repositories.id
                WHERE repositories.name = ? ORDER BY tags.name
                """, [.text(name.description)]
            ).map { (name: try $0.text("name"), digest: try Digest(try $0.text("digest"))) }
        }.filter { rule.tags.matches($0.name) }
        let now = Self.now
        for start in stride(from: 0, to: tags.count, by: Self.queuedAtOnce) {
            let part = tags[start..<min(start + Self.queuedAtOnce, tags.count)]
            try await writer.change { change in
                for tag in part { try change.queueCopy(rule, name, tag.name, tag.digest, now) }
            }
        }
        return tags.count
    }

    /// Forgets what waits for rules that are none any more.
    package nonisolated func keepCopies(_ names: [String]) async throws {
        let found = try await index.read { connection in
            try connection.rows("SELECT DISTINCT rule FROM copies", []).map { try $0.text("rule") }
        }
        for gone in found where !names.contains(gone) {
            try await writer.change { change in
                try change.connection.execute("DELETE FROM copies WHERE rule = ?", [.text(gone)])
            }
        }
    }

    package nonisolated func copyStatus(_ name: String) async throws -> CopyStatus {
        try await index.read { connection in
            let counts = try connection.row(
                """
                SELECT COUNT(*) AS waiting, MIN(created) AS oldest, COUNT(failure) AS failing FROM copies WHERE rule = ?
                """, [.text(name)])
            let failed = try connection.row(
                "SELECT failure FROM copies WHERE rule = ? AND failure IS NOT NULL ORDER BY due DESC LIMIT 1",
                [.text(name)])
            return CopyStatus(
                name: name, waiting: try counts?.integer("waiting") ?? 0, failing: try counts?.integer("failing") ?? 0,
                oldest: try counts?.optionalInteger("oldest"), failure: try failed?.optionalText("failure"))
        }
    }

    /// What a manifest is made of: what has to be where it goes before it.
    package nonisolated func parts(of manifest: StoredManifest) throws -> (blobs: [Descriptor], manifests: [Descriptor])
    {
        let document = try ManifestDocument(parsing: manifest.body, contentType: manifest.mediaType)
        return (document.blobs, document.manifests)
    }

    /// What a manifest refers to; nil for one that stands alone.
    package nonisolated func subject(of manifest: StoredManifest) throws -> Digest? {
        try ManifestDocument(parsing: manifest.body, contentType: manifest.mediaType).subject
    }

    /// Another repository that has a blob; nil when there is none.
    package nonisolated func repository(with digest: Digest, except name: RepositoryName) async throws -> String? {
        try await index.read { connection in
            try connection.row(
                """
                SELECT name FROM repositories JOIN links ON links.repository = repositories.id AND links.digest = ?
                WHERE name <> ? AND (SELECT links FROM blobs WHERE digest = ?) > 1 LIMIT 1
                """, [.text(digest.description), .text(name.description), .text(digest.description)]
            )?.text("name")
        }
    }
}
