import OCI

/// What a repository is known by. It is worked out from the tables that the change has left, once for all changes of a
/// transaction, so that a push that was undone cannot leave anything in it.
extension Change {
    func refreshProfiles(now: Int64) throws {
        // One that is gone has a lower number than the one that has its name now.
        for repository in effects.profiles.sorted() { try refreshProfile(repository, now: now) }
    }

    private func refreshProfile(_ repository: Int64, now: Int64) throws {
        guard let base = try ProfileBase(repository, connection), let source = base.source else {
            return try removeProfile(repository)
        }
        let facts =
            try effects.facts(source, in: repository) ?? Self.facts(source, in: repository, connection)
        let entry = WordEntry(
            name: SearchWords.split(base.name).joined(separator: " "),
            body: ManifestFacts.words([facts?.words ?? "", facts?.owner ?? "", base.readme ?? ""]),
            paths: SearchWords.paths(base.name).joined(separator: " "))
        guard let place = base.place else {
            let place = Profile.place(repository, pulls: 0)
            try connection.words.put(entry, at: place)
            try countNameWords(base.name, by: 1)
            try insertProfile(repository, base, source, facts, place, now)
            return
        }
        if try connection.words.entry(at: place) != entry {
            try connection.words.remove(at: place)
            try connection.words.put(entry, at: place)
        }
        try connection.execute(
            """
            UPDATE profiles SET source = ?, title = ?, description = ?, owner = ?, platforms = ?, size = ?, tags = ?,
            pushed = ?, updated = ? WHERE repository = ?
            """,
            [.text(source)] + Profile.values(base.name, facts)
                + [.integer(base.tags), .integer(base.pushed), .integer(now), .integer(repository)])
    }

    private func insertProfile(
        _ repository: Int64, _ base: ProfileBase, _ source: String, _ facts: FactsRow?, _ place: Int64, _ now: Int64
    ) throws {
        try connection.execute(
            """
            INSERT INTO profiles (repository, name, leaf, source, title, description, owner, platforms, size, tags,
            pulls, pushed, updated, place) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?)
            """,
            [.integer(repository), .text(base.name), .text(Profile.leaf(base.name)), .text(source)]
                + Profile.values(base.name, facts)
                + [.integer(base.tags), .integer(base.pushed), .integer(now), .integer(place)])
    }

    private func removeProfile(_ repository: Int64) throws {
        let known = try connection.row("SELECT name, place FROM profiles WHERE repository = ?", [.integer(repository)])
        guard let known else { return }
        try connection.words.remove(at: try known.integer("place"))
        try countNameWords(try known.text("name"), by: -1)
        try connection.execute("DELETE FROM profiles WHERE repository = ?", [.integer(repository)])
    }

    /// Moves a repository to where its pulls put it.
    func place(_ repository: Int64, pulls: Int64, from place: Int64) throws {
        let target = Profile.place(repository, pulls: pulls)
        guard target != place, let entry = try connection.words.entry(at: place) else { return }
        try connection.words.remove(at: place)
        try connection.words.put(entry, at: target)
        try connection.execute(
            "UPDATE profiles SET place = ? WHERE repository = ?", [.integer(target), .integer(repository)])
    }
}

/// What the tables say of a repository as a whole.
private struct ProfileBase {
    let name: String
    let tags: Int64
    let pushed: Int64
    /// nil for one without a profile.
    let place: Int64?
    /// The manifest whose words are the repository's: that of the tag `latest`, else of the tag that was pushed last, else the
    /// manifest that was. Tags of signatures, which begin with a digest, come after others.
    let source: String?
    /// Words of its README.
    let readme: String?

    private static let select = """
        SELECT repositories.name AS name, repositories.tags AS tags, profiles.place AS place,
            (SELECT max(pushed) FROM tags WHERE repository = repositories.id) AS tag_pushed,
            (SELECT max(pushed) FROM manifests WHERE repository = repositories.id) AS manifest_pushed,
            coalesce(
                (SELECT digest FROM tags WHERE repository = repositories.id AND tags.name = 'latest'),
                (SELECT digest FROM tags WHERE repository = repositories.id AND tags.name NOT LIKE 'sha256-%'
                    ORDER BY pushed DESC LIMIT 1),
                (SELECT digest FROM manifests WHERE repository = repositories.id AND subject IS NULL
                    ORDER BY pushed DESC LIMIT 1),
                (SELECT digest FROM manifests WHERE repository = repositories.id ORDER BY pushed DESC LIMIT 1)
            ) AS source,
            (SELECT words FROM readmes WHERE repository = repositories.id
                ORDER BY pushed DESC, manifest LIMIT 1) AS readme
        FROM repositories LEFT JOIN profiles ON profiles.repository = repositories.id WHERE repositories.id = ?
        """

    /// nil for a repository that is gone.
    init?(_ repository: Int64, _ connection: any SQLConnection) throws {
        guard let found = try connection.row(Self.select, [.integer(repository)]) else { return nil }
        name = try found.text("name")
        tags = try found.integer("tags")
        pushed = max(try found.optionalInteger("tag_pushed") ?? 0, try found.optionalInteger("manifest_pushed") ?? 0)
        place = try found.optionalInteger("place")
        source = try found.optionalText("source")
        readme = try found.optionalText("readme")
    }
}

enum Profile {
    private static let repositoryBits: Int64 = 40

    /// Where the full-text index has a repository: what is pulled twice as often stands higher. Each doubling writes the
    /// words anew, which therefore happens rarely.
    static func place(_ repository: Int64, pulls: Int64) -> Int64 {
        Int64(Int64.bitWidth - max(0, pulls).leadingZeroBitCount) << repositoryBits | repository
    }

    /// The last part of a name.
    static func leaf(_ name: String) -> String { String(name.split(separator: "/").last ?? "") }

    /// Whose it is: as it says, else the first part of its name.
    private static func owner(_ name: String, _ facts: FactsRow?) -> String {
        if let owner = facts?.owner, !owner.isEmpty { return owner }
        let parts = name.split(separator: "/")
        return parts.count > 1 ? String(parts[0]) : ""
    }

    /// `title, description, owner, platforms, size`.
    static func values(_ name: String, _ facts: FactsRow?) -> [SQLValue] {
        [
            .text(facts?.title ?? ""), .text(facts?.description ?? ""), .text(owner(name, facts)),
            .text(facts?.platforms ?? ""), .integer(facts?.size ?? 0),
        ]
    }
}
