package import OCI

/// How many bytes the repositories of a name, and those below it, may have together: `quotas` of the configuration file.
package struct Quotas: Sendable, Hashable, Decodable {
    /// In bytes, by patterns as grants have them.
    package private(set) var limits: [String: Int64] = [:]

    package init() {}

    package init(from decoder: any Decoder) throws {
        let members = try decoder.container(keyedBy: NamedKey.self)
        for key in members.allKeys {
            let text = try members.decode(String.self, forKey: key)
            guard let pattern = try? Grant.pattern(key.stringValue) else {
                throw DecodingError.dataCorruptedError(
                    forKey: key, in: members, debugDescription: "want the name of a repository, or * for all")
            }
            guard let limit = ByteCount.parse(text) else {
                throw DecodingError.dataCorruptedError(
                    forKey: key, in: members, debugDescription: "want a number of bytes such as 500MB, 50GB or 2TiB")
            }
            limits[pattern] = limit
        }
    }

    /// Those that a repository counts for, in the order of their names.
    func covering(_ repository: RepositoryName) -> [(pattern: String, limit: Int64)] {
        limits.filter { Grant.covers($0.key, repository.description) }.sorted { $0.key < $1.key }
            .map { (pattern: $0.key, limit: $0.value) }
    }
}

/// The use of what is counted. A row is kept up by every registry of the index in the transaction that changes what it counts:
/// the bytes of each blob of each repository, and of its manifests.
enum QuotaTables {
    static let step = Schema.Step(
        sqlite: "CREATE TABLE quotas (pattern TEXT PRIMARY KEY NOT NULL, bytes BIGINT NOT NULL);",
        postgres: "CREATE TABLE quotas (pattern TEXT COLLATE \"C\" PRIMARY KEY, bytes BIGINT NOT NULL);")
}

/// Which quotas have a use that is kept up.
struct CountedPatterns: Sendable, Hashable {
    /// Those with a row.
    var whole: [String] = []
    /// Those that are being counted, for the first time or again.
    var underWay: [String] = []
}

extension Change {
    /// Notes that a repository has more bytes, or less.
    ///
    /// - Parameter bytes: asked for when anything of the repository is counted.
    func count(in repository: Int64, _ bytes: () throws -> Int64) throws {
        let patterns = try countedPatterns()
        guard patterns != CountedPatterns() else { return }
        let name = try connection.row("SELECT name FROM \(Self.counted) WHERE id = ?", [.integer(repository)])?.text(
            "name")
        guard let name else { return }
        let whole = patterns.whole.filter { Grant.covers($0, name) }
        let underWay = patterns.underWay.filter { Grant.covers($0, name) }
        guard !whole.isEmpty || !underWay.isEmpty else { return }
        let value = try bytes()
        for pattern in whole {
            try connection.execute(
                "UPDATE quotas SET bytes = bytes + ? WHERE pattern = ?", [.integer(value), .text(pattern)])
        }
        for pattern in underWay { try addToCount(of: pattern, value, in: repository) }
    }

    /// Repositories, and those that were deleted and still have bytes: these count until they have gone.
    static let counted = """
        (SELECT id, name FROM repositories UNION ALL SELECT repository AS id, name FROM departed) AS counted
        """

    /// In one order, so that two registries never wait for each other's rows.
    private func countedPatterns() throws -> CountedPatterns {
        if let known = effects.countedPatterns { return known }
        let names = try connection.rows(
            "SELECT pattern AS name FROM quotas UNION ALL SELECT name FROM progress WHERE name LIKE ?",
            [.text(QuotaCount.prefix + "%")]
        ).map { try $0.text("name") }.sorted()
        let found = CountedPatterns(
            whole: names.filter { !$0.hasPrefix(QuotaCount.prefix) },
            underWay: names.filter { $0.hasPrefix(QuotaCount.prefix) }.map {
                String($0.dropFirst(QuotaCount.prefix.count))
            })
        effects.countedPatterns = found
        return found
    }

    func blobSize(_ digest: String) throws -> Int64 {
        try connection.row("SELECT size FROM blobs WHERE digest = ?", [.text(digest)])?.integer("size") ?? 0
    }

    /// - Parameter bytes: that a repository is about to get; none are always taken.
    /// - Throws: ``Refusal`` DENIED when a quota has no room for them.
    func requireRoom(_ bytes: Int64, in repository: RepositoryName, _ quotas: Quotas) throws {
        guard bytes > 0 else { return }
        for (pattern, limit) in quotas.covering(repository) {
            let used = try connection.row("SELECT bytes FROM quotas WHERE pattern = ?", [.text(pattern)])?.integer(
                "bytes")
            let (sum, isTooMuch) = (used ?? 0).addingReportingOverflow(bytes)
            guard isTooMuch || sum > limit else { continue }
            throw Refusal(
                .denied, 403,
                """
                adding \(ByteCount.text(bytes)) to \(repository) would exceed the quota of \(pattern), which has \
                \(ByteCount.text(used ?? 0)) of \(ByteCount.text(limit)): delete what is not needed any more
                """)
        }
    }

    /// As ``requireRoom(_:in:_:)``, for a blob that may be there already.
    func requireRoom(for digest: Digest, size: Int64, in repository: RepositoryName, _ quotas: Quotas) throws {
        guard !quotas.limits.isEmpty else { return }
        if let id = try Self.find(repository, connection), try uses(digest, in: id) != nil { return }
        try requireRoom(size, in: repository, quotas)
    }
}

extension RegistryStore {
    /// How much of a quota is used.
    package struct QuotaUse: Sendable, Hashable {
        package let pattern: String
        package let limit: Int64
        package let bytes: Int64
    }

    /// The quotas of this registry, by name.
    package nonisolated func quotaUse() async throws -> [QuotaUse] {
        let limits = settings.quotas.limits
        guard !limits.isEmpty else { return [] }
        let counted = try await index.read { connection in
            try connection.rows("SELECT pattern, bytes FROM quotas", []).map { row in
                (try row.text("pattern"), try row.integer("bytes"))
            }
        }
        let bytes = Dictionary(counted) { first, _ in first }
        return limits.sorted { $0.key < $1.key }.map { pattern, limit in
            QuotaUse(pattern: pattern, limit: limit, bytes: bytes[pattern] ?? 0)
        }
    }

    /// Refuses what begins when there is no room at all, before anything of it is sent.
    nonisolated func requireAnyRoom(in repository: RepositoryName) async throws {
        let quotas = settings.quotas
        guard !quotas.covering(repository).isEmpty else { return }
        let folder = folder
        try await index.read { try Change($0, folder).requireRoom(1, in: repository, quotas) }
    }
}
