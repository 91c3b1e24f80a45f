package import OCI

extension RegistryStore {
    /// Bytes of a manifest (OCI distribution specification, "Pushing Manifests").
    package static let manifestBytesMax = 4 << 20

    /// Tags that come with a push by digest, all set in one transaction. The specification wants at least ten.
    package static let tagsOfPushMax = 100

    /// What a push of a manifest comes to.
    package struct Pushed: Sendable, Hashable {
        package let digest: Digest
        /// The manifest it refers to.
        package let subject: Digest?
    }

    /// Stores a manifest; durable when this returns.
    ///
    /// - Parameters:
    ///   - contentType: nil leaves the type to the document.
    ///   - tags: what else is to name it.
    /// - Throws: ``Refusal`` MANIFEST_INVALID, DIGEST_INVALID, MANIFEST_BLOB_UNKNOWN, SIZE_INVALID.
    package nonisolated func putManifest(
        _ body: [UInt8], contentType: String?, as reference: ManifestName, tags: [String] = [],
        in name: RepositoryName, by origin: Origin = Origin()
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
        let (now, settings) = (Self.now, settings)
        let told = await told(by: document, in: name)
        try await writer.change { change in
            change.effects.touch(name)
            let repository = try change.repository(name)
            if try !settings.quotas.limits.isEmpty && !change.hasManifest(digest, in: repository) {
                try change.requireRoom(Int64(body.count), in: name, settings.quotas)
            }
            try change.addManifest(
                manifest, document, to: repository, now: now, facts: told.facts, readme: told.readme)
            var tags: [String?] = tags
            if case .tag(let tag) = reference { tags.append(tag) }
            // Each is told of as if it had been pushed alone.
            for tag in tags.isEmpty ? [nil] : tags {
                if let tag {
                    try change.setTag(tag, to: digest, in: repository, now: now)
                    try change.tell(Notice(.tag, name, manifest, tag: tag, origin), settings, now: now)
                }
                try change.tell(Notice(.push, name, manifest, tag: tag, origin), settings, now: now)
                try change.queueCopies(of: manifest, document, tag: tag, in: name, settings.watches, now: now)
            }
        }
        return Pushed(digest: digest, subject: document.subject)
    }

    /// - Throws: ``Refusal`` MANIFEST_UNKNOWN.
    package nonisolated func manifest(_ reference: ManifestName, in name: RepositoryName) async throws -> StoredManifest
    {
        if let known = cache.find(reference, in: name) { return known }
        let generation = cache.generation
        let found = try await index.read { connection in
            let row = try connection.row(
                Self.select(reference), [.text(reference.description), .text(name.description)])
            return try row.map { row in
                StoredManifest(
                    digest: try Digest(try row.text("digest")), mediaType: try row.text("media_type"),
                    body: try row.bytes("body"))
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
    package nonisolated func deleteManifest(
        _ reference: ManifestName, in name: RepositoryName, by origin: Origin = Origin()
    ) async throws {
        let (now, settings) = (Self.now, settings)
        try await writer.change { change in
            change.effects.touch(name)
            guard let repository = try Change.find(name, change.connection) else {
                throw Refusal.manifestUnknown(reference)
            }
            let isRemoved: Bool
            let tags: [String]
            switch reference {
            case .tag(let tag):
                tags = [tag]
                isRemoved = try change.removeTag(tag, from: repository)
                try change.tell(Notice(.delete, name, tag: tag, origin), settings, now: now)
            case .digest(let digest):
                tags = try change.tags(of: digest, in: repository)
                isRemoved = try change.removeManifest(digest, from: repository, now: now)
                try change.tell(Notice(.delete, name, digest: digest, origin), settings, now: now)
            }
            guard isRemoved else { throw Refusal.manifestUnknown(reference) }
            try change.queueDeletions(of: tags, in: name, settings.watches, now: now)
        }
    }

    // MARK: Lists

    /// One page of a list in the order of its bytes.
    package struct Page<Item: Sendable>: Sendable {
        package let items: [Item]
        /// Whether others come after them.
        package let hasMore: Bool

        /// - Parameter items: of the page, and one more where there is one.
        package init(_ items: [Item], countMax: Int) {
            self.init(Array(items.prefix(countMax)), hasMore: items.count > countMax)
        }

        init(_ items: [Item], hasMore: Bool) {
            self.items = items
            self.hasMore = hasMore
        }
    }

    /// Names of repositories that have a manifest.
    package nonisolated func repositories(
        after last: String?, countMax: Int, _ visibility: Visibility = .all
    ) async throws -> Page<String> {
        let ranges = visibility.ranges.clipped(from: NameRanges.after(last ?? ""), to: nil)
        let names = try await index.read { connection in
            try RangedSelect(
                connection: connection,
                sql: """
                    SELECT name FROM repositories
                    WHERE EXISTS (SELECT 1 FROM manifests WHERE repository = repositories.id)
                    """, arguments: [], column: "name", ranges: ranges
            ).byName(isDescending: false, countMax: countMax + 1).map { try $0.text("name") }
        }
        return Page(names, countMax: countMax)
    }

    /// - Throws: ``Refusal`` NAME_UNKNOWN for a repository without manifests and blobs.
    package nonisolated func tags(
        in name: RepositoryName, after last: String?, countMax: Int
    ) async throws -> Page<String> {
        let tags: [String]? = try await index.read { connection in
            guard let repository = try Change.find(name, connection),
                try ["manifests", "links"].contains(where: { table in
                    try connection.isAny(
                        "SELECT 1 AS found FROM \(table) WHERE repository = ? LIMIT 1", [.integer(repository)])
                })
            else { return nil }
            return try connection.rows(
                "SELECT name FROM tags WHERE repository = ? AND name > ? ORDER BY name LIMIT ?",
                [.integer(repository), .text(last ?? ""), .integer(Int64(countMax) + 1)]
            ).map { try $0.text("name") }
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

    /// Bytes of the annotations of a page, which is held in memory; one referrer may have as many as a manifest.
    private static let annotationBytesMax: Int64 = 4 << 20

    /// Manifests of the repository whose subject is `digest`; none for a subject that nobody knows. A page may be shorter than
    /// `countMax`, and never is empty while there are more.
    package nonisolated func referrers(
        of digest: Digest, in name: RepositoryName, artifactType: String?, after last: String?, countMax: Int
    ) async throws -> Page<Referrer> {
        let from = """
            FROM repositories JOIN manifests ON manifests.repository = repositories.id
            WHERE name = ? AND subject = ? AND digest > ? \(artifactType == nil ? "" : "AND artifact_type = ?")
            """
        let arguments: [SQLValue] =
            [.text(name.description), .text(digest.description), .text(last ?? "")]
            + (artifactType.map { [.text($0)] } ?? [])
        return try await index.read { connection in
            let sizes = try connection.rows(
                "SELECT length(annotations) AS size \(from) ORDER BY digest LIMIT ?",
                arguments + [.integer(Int64(countMax) + 1)]
            ).map { try $0.integer("size") }
            var (count, bytes) = (0, Int64(0))
            for size in sizes.prefix(countMax) {
                bytes += size
                guard count == 0 || bytes <= Self.annotationBytesMax else { break }
                count += 1
            }
            let found = try connection.rows(
                """
                SELECT digest, media_type, length(body) AS size, artifact_type, annotations \(from)
                ORDER BY digest LIMIT ?
                """, arguments + [.integer(Int64(count))])
            return Page(try found.map(Self.referrer), hasMore: sizes.count > count)
        }
    }

    private static func referrer(_ row: SQLRow) throws -> Referrer {
        Referrer(
            digest: try Digest(try row.text("digest")), mediaType: try row.text("media_type"),
            size: try row.integer("size"), artifactType: try row.optionalText("artifact_type"),
            annotations: try Annotations.parse(try row.text("annotations")))
    }
}
