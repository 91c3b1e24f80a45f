import OCI

extension RegistryStore {
    /// Rows of one transaction: pushes go on in between.
    private static let departingAtOnce = 200

    /// Deletes a repository: nobody finds anything of it when this returns, and its name is free. Its rows and blobs go by and
    /// by (``clearDeparted()``), so that a large one holds nobody up.
    ///
    /// - Throws: ``Refusal`` NAME_UNKNOWN.
    package nonisolated func deleteRepository(_ name: RepositoryName, by origin: Origin = Origin()) async throws {
        let (now, settings) = (Self.now, settings)
        try await writer.change { change in
            change.effects.touch(name)
            guard let repository = try Change.find(name, change.connection) else {
                throw Refusal(.nameUnknown, 404, "repository name not known to registry: \(name)")
            }
            try change.connection.execute("DELETE FROM repositories WHERE id = ?", [.integer(repository)])
            try change.connection.execute(
                "INSERT INTO departed (repository, name) VALUES (?, ?)",
                [.integer(repository), .text(name.description)]
            )
            change.effects.touchProfile(repository)
            try change.tell(Notice(.delete, name, origin), settings, now: now)
        }
    }

    /// Removes rows that deleted repositories have left, in small steps. What a crash has cut goes on with the next call.
    ///
    /// - Returns: how many repositories have gone for good.
    @discardableResult
    package nonisolated func clearDeparted() async throws -> Int {
        var count = 0
        let (now, watches) = (Self.now, settings.watches)
        // Asked every few seconds: a transaction would keep the other registries of the index from writing.
        guard try await index.read({ try $0.isAny("SELECT 1 AS found FROM departed LIMIT 1", []) }) else { return 0 }
        while true {
            let step: Departure = try await writer.change {
                try $0.clearDeparted(countMax: Self.departingAtOnce, watches, now)
            }
            switch step {
            case .isUnderWay: continue
            case .hasEnded: count += 1
            case .isNone: return count
            }
        }
    }
}

/// How far one step has come.
enum Departure: Sendable { case isUnderWay, hasEnded, isNone }

extension Change {
    private func hasTag(_ tag: String, in name: RepositoryName) throws -> Bool {
        try connection.isAny(
            """
            SELECT 1 AS found FROM repositories JOIN tags ON tags.repository = repositories.id
            WHERE repositories.name = ? AND tags.name = ?
            """, [.text(name.description), .text(tag)])
    }

    /// One step, of one kind of rows: tags first, since one manifest may have all of them.
    func clearDeparted(countMax: Int, _ watches: Watches, _ now: Int64) throws -> Departure {
        let row = try connection.row("SELECT repository, name FROM departed ORDER BY repository LIMIT 1", [])
        guard let row else { return .isNone }
        let repository = try row.integer("repository")
        let arguments: [SQLValue] = [.integer(repository), .integer(Int64(countMax))]
        let tags = try connection.rows("SELECT name FROM tags WHERE repository = ? LIMIT ?", arguments)
        for tag in tags { _ = try removeTag(try tag.text("name"), from: repository) }
        let name = try RepositoryName(try row.text("name"))
        // What has been pushed since by that name stays.
        let gone = try tags.map { try $0.text("name") }.filter { try !hasTag($0, in: name) }
        try queueDeletions(of: gone, in: name, watches, now: now)
        if !tags.isEmpty { return .isUnderWay }
        let manifests = try connection.rows("SELECT digest FROM manifests WHERE repository = ? LIMIT ?", arguments)
        for manifest in manifests {
            _ = try removeManifest(try Digest(try manifest.text("digest")), from: repository, now: now)
        }
        if !manifests.isEmpty { return .isUnderWay }
        let links = try connection.rows("SELECT digest FROM links WHERE repository = ? LIMIT ?", arguments)
        for link in links { try unlinkBlob(try link.text("digest"), from: repository) }
        if !links.isEmpty { return .isUnderWay }
        for table in ["mirror_tags", "mirror_manifests"] {
            try connection.execute("DELETE FROM \(table) WHERE repository = ?", [.integer(repository)])
        }
        try connection.execute("DELETE FROM departed WHERE repository = ?", [.integer(repository)])
        return .hasEnded
    }
}
