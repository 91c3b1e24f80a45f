import OCI

/// What a manifest tells, beside what it is.
extension Change {
    /// Keeps the facts of a manifest that has just been added.
    func addFacts(
        _ facts: ManifestFacts, readme: String?, of manifest: Digest, _ document: ManifestDocument,
        in repository: Int64, now: Int64
    ) throws {
        effects.touchProfile(repository)
        let key: [SQLValue] = [.integer(repository), .text(manifest.description)]
        for member in Set(document.manifests.map(\.digest.description)) {
            try connection.execute(
                "INSERT INTO index_members (repository, parent, digest) VALUES (?, ?, ?)", key + [.text(member)])
        }
        if let readme {
            try connection.execute(
                "INSERT INTO readmes (repository, manifest, pushed, text, words) VALUES (?, ?, ?, ?, ?)",
                key + [.integer(now), .text(readme), .text(ManifestFacts.words([readme]))])
        }
        let main = try document.mainMember.flatMap {
            try Self.facts($0.digest.description, in: repository, connection)
        }
        let row = try FactsRow(facts, main)
        let added = try connection.execute(
            """
            INSERT INTO facts (repository, digest, size, platforms, created, title, description, owner, labels, readme,
            words, pulls) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (repository, digest) DO NOTHING
            """, key + row.values)
        effects.keep(added > 0 ? row : nil, manifest.description, in: repository)
    }

    static func facts(_ digest: String, in repository: Int64, _ connection: any SQLConnection) throws -> FactsRow? {
        try connection.row(
            """
            SELECT size, platforms, created, title, description, owner, labels, readme, words FROM facts
            WHERE repository = ? AND digest = ?
            """, [.integer(repository), .text(digest)]
        ).map(FactsRow.init)
    }

    func removeFacts(of manifest: Digest, in repository: Int64) throws {
        let key: [SQLValue] = [.integer(repository), .text(manifest.description)]
        effects.keep(nil, manifest.description, in: repository)
        try connection.execute("DELETE FROM facts WHERE repository = ? AND digest = ?", key)
        try connection.execute("DELETE FROM readmes WHERE repository = ? AND manifest = ?", key)
        try connection.execute("DELETE FROM index_members WHERE repository = ? AND parent = ?", key)
    }

    // MARK: Tags

    /// A tag came to be: one that only names another manifest changes nothing here.
    func addTagWords(_ tag: String, in repository: Int64) throws {
        try connection.execute("UPDATE repositories SET tags = tags + 1 WHERE id = ?", [.integer(repository)])
        for word in SearchWords.ofTag(tag) {
            try connection.execute(
                """
                INSERT INTO tag_words (word, repository, uses) VALUES (?, ?, 1)
                ON CONFLICT (word, repository) DO UPDATE SET uses = tag_words.uses + 1
                """, [.text(word), .integer(repository)])
        }
    }

    func removeTagWords(_ tag: String, in repository: Int64) throws {
        try connection.execute("UPDATE repositories SET tags = tags - 1 WHERE id = ?", [.integer(repository)])
        for word in SearchWords.ofTag(tag) {
            let key: [SQLValue] = [.text(word), .integer(repository)]
            try connection.execute("UPDATE tag_words SET uses = uses - 1 WHERE word = ? AND repository = ?", key)
            try connection.execute("DELETE FROM tag_words WHERE word = ? AND repository = ? AND uses <= 0", key)
        }
    }
}

/// A row of `facts`.
struct FactsRow: Sendable, Hashable {
    var size: Int64
    /// Parted by spaces.
    var platforms: String
    var created: String?
    var title: String
    var description: String
    var owner: String
    /// JSON.
    var labels: String
    var readme: String?
    var words: String

    /// - Parameter main: of the member that stands for an index, whose words hold where it says nothing itself.
    init(_ facts: ManifestFacts, _ main: FactsRow?) throws {
        size = main?.size ?? facts.size
        platforms = facts.platforms.isEmpty ? main?.platforms ?? "" : facts.platforms.joined(separator: " ")
        created = facts.created ?? main?.created
        title = facts.title.isEmpty ? main?.title ?? "" : facts.title
        description = facts.description.isEmpty ? main?.description ?? "" : facts.description
        owner = facts.owner.isEmpty ? main?.owner ?? "" : facts.owner
        labels = try Annotations.text(
            (try main.map { try Annotations.parse($0.labels) } ?? [:]).merging(facts.labels) { $1 })
        readme = facts.readme ?? main?.readme
        words = main.map { ManifestFacts.words([facts.words, $0.words]) } ?? facts.words
    }

    init(_ row: SQLRow) throws {
        size = try row.integer("size")
        platforms = try row.text("platforms")
        created = try row.optionalText("created")
        title = try row.text("title")
        description = try row.text("description")
        owner = try row.text("owner")
        labels = try row.text("labels")
        readme = try row.optionalText("readme")
        words = try row.text("words")
    }

    var values: [SQLValue] {
        [
            .integer(size), .text(platforms), .text(created), .text(title), .text(description), .text(owner),
            .text(labels), .text(readme), .text(words),
        ]
    }
}
