package import OCI

extension RegistryStore {
    /// Repositories that match a text, or all of them in an order.
    ///
    /// - Throws: ``Refusal`` for a text that is too long, or a cursor of something else.
    package nonisolated func search(_ query: SearchQuery, _ visibility: Visibility) async throws -> SearchPage {
        guard query.text.utf8.count <= SearchQuery.textBytesMax else {
            throw Refusal(.unknown, 400, "the text is longer than \(SearchQuery.textBytesMax) bytes: use fewer words")
        }
        let count = max(1, min(query.count, SearchQuery.countMax))
        let isList = query.text.allSatisfy(\.isWhitespace)
        return try await index.read { connection in
            isList
                ? try Listing(connection, visibility, query).page(count)
                : try Finding(connection, visibility, query).page(count)
        }
    }

    /// What is pulled most.
    package nonisolated func popular(_ count: Int, _ visibility: Visibility) async throws -> [RepositorySummary] {
        try await search(SearchQuery(order: .pulls, count: count), visibility).items
    }

    /// What was pushed last.
    package nonisolated func recent(_ count: Int, _ visibility: Visibility) async throws -> [RepositorySummary] {
        try await search(SearchQuery(order: .pushed, count: count), visibility).items
    }

    /// Everything a page about a repository needs, but its tags.
    package struct RepositoryDetail: Sendable, Hashable {
        package let summary: RepositorySummary
        /// Markdown, as whoever pushed it has written it.
        package let readme: String?
        /// Labels and annotations of the manifest that stands for the repository.
        package let labels: [String: String]
        /// That manifest.
        package let digest: Digest
        /// A tag that names it.
        package let tag: String?
    }

    /// - Throws: ``Refusal`` NAME_UNKNOWN for a repository without manifests.
    package nonisolated func repositoryDetail(_ name: RepositoryName) async throws -> RepositoryDetail {
        let found: RepositoryDetail? = try await index.read { connection in
            let row = try connection.row(
                "SELECT repository, source, \(RepositorySummary.columns) FROM profiles WHERE name = ?",
                [.text(name.description)])
            guard let row else { return nil }
            let (repository, source) = (try row.integer("repository"), try row.text("source"))
            let facts = try Change.facts(source, in: repository, connection)
            let readme = try connection.row(
                "SELECT text FROM readmes WHERE repository = ? ORDER BY pushed DESC, manifest LIMIT 1",
                [.integer(repository)])
            let tag = try connection.row(
                """
                SELECT name FROM tags WHERE repository = ? AND digest = ?
                ORDER BY (name = 'latest') DESC, pushed DESC, name LIMIT 1
                """, [.integer(repository), .text(source)])
            return RepositoryDetail(
                summary: try RepositorySummary(row), readme: try readme?.text("text") ?? facts?.readme,
                labels: try facts.map { try Annotations.parse($0.labels) } ?? [:], digest: try Digest(source),
                tag: try tag?.text("name"))
        }
        guard let found else { throw Refusal(.nameUnknown, 404, "repository name not known to registry: \(name)") }
        return found
    }

    // MARK: Tags

    package enum TagOrder: String, Sendable, Hashable, CaseIterable { case name, pushed }

    /// A tag as a list shows it.
    package struct TagSummary: Sendable, Hashable {
        package let name: String
        package let digest: Digest
        package let mediaType: String
        package let artifactType: String?
        /// Bytes of configuration and layers.
        package let size: Int64
        package let platforms: [String]
        /// Seconds since 1970.
        package let pushed: Int64
        /// When the image was made, as it says itself.
        package let created: String?
        /// Of the manifest.
        package let pulls: Int64
    }

    package struct TagPage: Sendable, Hashable {
        package let items: [TagSummary]
        /// nil when this is the last page.
        package let next: String?
    }

    /// Tags with what they name: by name, or the newest first.
    ///
    /// - Throws: ``Refusal`` NAME_UNKNOWN for a repository without manifests, or of a cursor that is none.
    package nonisolated func tagList(
        in name: RepositoryName, order: TagOrder = .pushed, countMax: Int = 100, cursor: String? = nil
    ) async throws -> TagPage {
        let from = try cursor.map { try Self.tagPosition($0, order) }
        let page: TagPage? = try await index.read { connection in
            guard
                let found = try connection.row(
                    "SELECT repository FROM profiles WHERE name = ?", [.text(name.description)])
            else { return nil }
            var condition = ""
            var arguments: [SQLValue] = [.integer(try found.integer("repository"))]
            if let from {
                condition = order == .name ? "AND tags.name > ?" : "AND (tags.pushed, tags.name) < (?, ?)"
                arguments += order == .name ? [.text(from.name)] : [.integer(from.pushed), .text(from.name)]
            }
            let rows = try connection.rows(
                """
                SELECT tags.name AS name, tags.digest AS digest, tags.pushed AS pushed, media_type, artifact_type,
                facts.size AS size, platforms, created, pulls
                FROM tags JOIN manifests ON manifests.repository = tags.repository AND manifests.digest = tags.digest
                LEFT JOIN facts ON facts.repository = tags.repository AND facts.digest = tags.digest
                WHERE tags.repository = ? \(condition)
                ORDER BY \(order == .name ? "tags.name" : "tags.pushed DESC, tags.name DESC") LIMIT ?
                """, arguments + [.integer(Int64(countMax) + 1)])
            let items = try rows.prefix(countMax).map(TagSummary.init)
            return TagPage(
                items: items, next: rows.count > countMax ? items.last.map { "\($0.pushed).\($0.name)" } : nil)
        }
        guard let page else { throw Refusal(.nameUnknown, 404, "repository name not known to registry: \(name)") }
        return page
    }

    private static func tagPosition(_ cursor: String, _ order: TagOrder) throws(Refusal) -> (
        pushed: Int64, name: String
    ) {
        let parts = cursor.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let pushed = Int64(parts[0]), Reference.isTag(String(parts[1])) else {
            throw SearchCursor.invalid
        }
        return (pushed, String(parts[1]))
    }
}

extension RegistryStore.TagSummary {
    fileprivate init(_ row: SQLRow) throws {
        name = try row.text("name")
        digest = try Digest(try row.text("digest"))
        mediaType = try row.text("media_type")
        artifactType = try row.optionalText("artifact_type")
        size = try row.optionalInteger("size") ?? 0
        platforms = (try row.optionalText("platforms") ?? "").split(separator: " ").map(String.init)
        pushed = try row.integer("pushed")
        created = try row.optionalText("created")
        pulls = try row.optionalInteger("pulls") ?? 0
    }
}
