import FoundationEssentials
import GRDB
package import OCI

extension RegistryStore {
    /// Bytes of a manifest (OCI distribution specification, "Pushing Manifests").
    package static let manifestBytesMax = 4 << 20

    /// What a push of a manifest comes to.
    package struct Pushed: Sendable, Hashable {
        package let digest: Digest
        /// The manifest it refers to.
        package let subject: Digest?
    }

    /// Stores a manifest; durable when this returns.
    ///
    /// - Parameter contentType: nil leaves the type to the document.
    /// - Throws: ``Refusal`` MANIFEST_INVALID, DIGEST_INVALID, MANIFEST_BLOB_UNKNOWN, SIZE_INVALID.
    package nonisolated func putManifest(
        _ body: [UInt8], contentType: String?, as reference: ManifestName, in name: RepositoryName
    ) async throws -> Pushed {
        let document = try ManifestDocument(parsing: body, contentType: contentType)
        var algorithm = Digest.Algorithm.sha256
        if case .digest(let wanted) = reference { algorithm = wanted.algorithm }
        let digest = StreamHash.digest(of: body, algorithm)
        if case .digest(let wanted) = reference, wanted != digest {
            throw Refusal(
                .digestInvalid, 400, "provided digest \(wanted) did not match the manifest, which has \(digest)")
        }
        let manifest = StoredManifest(digest: digest, mediaType: document.mediaType, body: body)
        let now = Self.now
        try await writer.change { change in
            change.effects.touch(name)
            let repository = try change.repository(name)
            try change.addManifest(manifest, document, to: repository, now: now)
            if case .tag(let tag) = reference { try change.setTag(tag, to: digest, in: repository, now: now) }
        }
        return Pushed(digest: digest, subject: document.subject)
    }

    /// - Throws: ``Refusal`` MANIFEST_UNKNOWN.
    package nonisolated func manifest(_ reference: ManifestName, in name: RepositoryName) async throws -> StoredManifest
    {
        if let known = cache.find(reference, in: name) { return known }
        let generation = cache.generation
        let found = try await index.read { connection in
            let row = try Row.fetchOne(
                connection, sql: Self.select(reference), arguments: [reference.description, name.description])
            return try row.map { row in
                StoredManifest(
                    digest: try Digest(row["digest"] as String), mediaType: row["media_type"],
                    body: Array(row["body"] as Data))
            }
        }
        guard let found else { throw Refusal.manifestUnknown(reference) }
        cache.keep(found, reference, in: name, generation: generation)
        return found
    }

    private static func select(_ reference: ManifestName) -> String {
        switch reference {
        case .tag:
            """
            SELECT manifests.digest, media_type, body FROM repositories
            JOIN tags ON tags.repository = repositories.id AND tags.name = ?
            JOIN manifests ON manifests.repository = repositories.id AND manifests.digest = tags.digest
            WHERE repositories.name = ?
            """
        case .digest:
            """
            SELECT manifests.digest, media_type, body FROM repositories
            JOIN manifests ON manifests.repository = repositories.id AND manifests.digest = ?
            WHERE repositories.name = ?
            """
        }
    }

    /// Removes a tag, or a manifest with its tags.
    ///
    /// - Throws: ``Refusal`` MANIFEST_UNKNOWN.
    package nonisolated func deleteManifest(_ reference: ManifestName, in name: RepositoryName) async throws {
        let now = Self.now
        try await writer.change { change in
            change.effects.touch(name)
            guard let repository = try Change.find(name, change.connection) else {
                throw Refusal.manifestUnknown(reference)
            }
            let isRemoved =
                switch reference {
                case .tag(let tag): try change.removeTag(tag, from: repository)
                case .digest(let digest): try change.removeManifest(digest, from: repository, now: now)
                }
            guard isRemoved else { throw Refusal.manifestUnknown(reference) }
        }
    }

    // MARK: Lists

    /// One page of a list in the order of its bytes.
    package struct Page<Item: Sendable>: Sendable {
        package let items: [Item]
        /// Whether others come after them.
        package let hasMore: Bool

        init(_ items: [Item], countMax: Int) {
            self.items = Array(items.prefix(countMax))
            hasMore = items.count > countMax
        }
    }

    /// Names of repositories that have a manifest.
    package nonisolated func repositories(after last: String?, countMax: Int) async throws -> Page<String> {
        let names = try await index.read { connection in
            try String.fetchAll(
                connection,
                sql: """
                    SELECT name FROM repositories WHERE name > ?
                    AND EXISTS (SELECT TRUE FROM manifests WHERE repository = repositories.id) ORDER BY name LIMIT ?
                    """, arguments: [last ?? "", countMax + 1])
        }
        return Page(names, countMax: countMax)
    }

    /// - Throws: ``Refusal`` NAME_UNKNOWN for a repository without manifests.
    package nonisolated func tags(
        in name: RepositoryName, after last: String?, countMax: Int
    ) async throws -> Page<String> {
        let tags: [String]? = try await index.read { connection in
            guard let repository = try Change.find(name, connection),
                try Bool.fetchOne(
                    connection, sql: "SELECT TRUE FROM manifests WHERE repository = ? LIMIT 1", arguments: [repository])
                    == true
            else { return nil }
            return try String.fetchAll(
                connection, sql: "SELECT name FROM tags WHERE repository = ? AND name > ? ORDER BY name LIMIT ?",
                arguments: [repository, last ?? "", countMax + 1])
        }
        guard let tags else {
            throw Refusal(.nameUnknown, 404, "repository name not known to registry: \(name)")
        }
        return Page(tags, countMax: countMax)
    }

    /// A manifest that refers to another.
    package struct Referrer: Sendable, Hashable {
        package let digest: Digest
        package let mediaType: String
        package let size: Int64
        package let artifactType: String?
        package let annotations: [String: String]
    }

    /// Manifests of the repository whose subject is `digest`; none for a subject that nobody knows.
    package nonisolated func referrers(
        of digest: Digest, in name: RepositoryName, artifactType: String?, after last: String?, countMax: Int
    ) async throws -> Page<Referrer> {
        let found = try await index.read { connection in
            try Row.fetchAll(
                connection,
                sql: """
                    SELECT digest, media_type, length(body) AS size, artifact_type, annotations
                    FROM repositories JOIN manifests ON manifests.repository = repositories.id
                    WHERE name = ? AND subject = ? AND digest > ? AND (? IS NULL OR artifact_type = ?)
                    ORDER BY digest LIMIT ?
                    """,
                arguments: [
                    name.description, digest.description, last ?? "", artifactType, artifactType, countMax + 1,
                ]
            ).map { row in
                Referrer(
                    digest: try Digest(row["digest"] as String), mediaType: row["media_type"], size: row["size"],
                    artifactType: row["artifact_type"], annotations: try Annotations.parse(row["annotations"]))
            }
        }
        return Page(found, countMax: countMax)
    }
}
