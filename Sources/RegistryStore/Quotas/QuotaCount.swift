import FoundationEssentials

/// How far a quota has been counted, which is new or is counted again.
///
/// Repositories are gone through by their numbers, in transactions of so many rows that others write in between, and no statement
/// takes long. Until the end this is a row of `progress`, which every change of a repository that was counted changes with it; then its
/// bytes become the quota's. So registries that count the same go on with one count, and what a crash has cut goes on, too.
package struct QuotaCount: Codable, Sendable, Hashable {
    /// The last that was counted.
    var repository: Int64 = 0
    /// Of all until there.
    var bytes: Int64 = 0

    /// Rows of blobs, and of manifests, that one statement adds up.
    package static let rowsMax: Int64 = 20_000
    /// Repositories of which one statement looks how many rows they have.
    fileprivate static let repositoriesMax: Int64 = 500
    /// Before the pattern, in `progress`: no pattern has a blank.
    static let prefix = "quota "
}

extension RegistryStore {
    /// Begins to count for quotas that are new. What is counted once stays counted, whatever becomes of its quota, so that
    /// registries with different configurations agree.
    ///
    /// - Parameters:
    ///   - isAgain: all of them, from the beginning.
    ///   - rowsAtOnce: of one statement.
    package nonisolated func countQuotas(isAgain: Bool = false, rowsAtOnce: Int64 = QuotaCount.rowsMax) async throws {
        for pattern in settings.quotas.limits.keys.sorted() {
            try await writer.change { try $0.beginCount(of: pattern, isAgain: isAgain) }
            while try await !writer.change({ try $0.countFurther(pattern, rowsMax: rowsAtOnce) }) {}
        }
    }
}

extension Change {
    /// Notes that a repository has more bytes, or less, while a quota is counted: what comes later has them already then.
    func addToCount(of pattern: String, _ bytes: Int64, in repository: Int64) throws {
        guard var count = try count(of: pattern), repository <= count.repository else { return }
        count.bytes += bytes
        try keep(count, of: pattern)
    }

    private func count(of pattern: String) throws -> QuotaCount? {
        let row = try connection.row("SELECT value FROM progress WHERE name = ?", [.text(QuotaCount.prefix + pattern)])
        return try row.map { try JSONDecoder().decode(QuotaCount.self, from: Data(try $0.text("value").utf8)) }
    }

    private func keep(_ count: QuotaCount, of pattern: String) throws {
        let value = String(decoding: try JSONEncoder().encode(count), as: UTF8.self)
        try connection.execute(
            """
            INSERT INTO progress (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
            """, [.text(QuotaCount.prefix + pattern), .text(value)])
    }

    fileprivate func beginCount(of pattern: String, isAgain: Bool) throws {
        if !isAgain {
            let isKnown = try connection.isAny("SELECT 1 AS found FROM quotas WHERE pattern = ?", [.text(pattern)])
            guard try !isKnown && count(of: pattern) == nil else { return }
        }
        try keep(QuotaCount(), of: pattern)
        effects.countedPatterns = nil
    }

    /// Counts some repositories more.
    ///
    /// - Returns: whether that was all, or another registry has come to the end.
    fileprivate func countFurther(_ pattern: String, rowsMax: Int64) throws -> Bool {
        guard var count = try count(of: pattern) else { return true }
        let covered: Visibility = pattern == Grant.everything ? .all : .only([pattern])
        let condition = covered.condition("counted.name")
        let next = try connection.rows(
            """
            SELECT id, (SELECT COUNT(*) FROM (SELECT 1 FROM links WHERE repository = counted.id LIMIT ?) AS part) AS links,
            (SELECT COUNT(*) FROM (SELECT 1 FROM manifests WHERE repository = counted.id LIMIT ?) AS part) AS manifests
            FROM \(Self.counted) WHERE id > ? AND \(condition.sql) ORDER BY id LIMIT ?
            """,
            [.integer(rowsMax + 1), .integer(rowsMax + 1), .integer(count.repository)] + condition.arguments
                + [.integer(QuotaCount.repositoriesMax)])
        guard let first = next.first else {
            try end(count, of: pattern)
            return true
        }
        var (last, rows) = (count.repository, (links: Int64(0), manifests: Int64(0)))
        for row in next {
            rows.links += try row.integer("links")
            rows.manifests += try row.integer("manifests")
            guard max(rows.links, rows.manifests) <= rowsMax else { break }
            last = try row.integer("id")
        }
        if last == count.repository {
            last = try first.integer("id")
            count.bytes += try bytes(ofOne: last, rowsMax: rowsMax)
        } else {
            let range: [SQLValue] = [.integer(count.repository), .integer(last)]
            count.bytes += try bytes(where: condition.sql, range + condition.arguments)
        }
        count.repository = last
        try keep(count, of: pattern)
        return false
    }

    private func end(_ count: QuotaCount, of pattern: String) throws {
        try connection.execute(
            """
            INSERT INTO quotas (pattern, bytes) VALUES (?, ?)
            ON CONFLICT (pattern) DO UPDATE SET bytes = excluded.bytes
            """, [.text(pattern), .integer(count.bytes)])
        try connection.execute("DELETE FROM progress WHERE name = ?", [.text(QuotaCount.prefix + pattern)])
        effects.countedPatterns = nil
    }

    /// Of some repositories: every blob once for each of them, and their manifests.
    ///
    /// - Parameter arguments: between which numbers the repositories are, the first excluded, and those of `condition`.
    private func bytes(where condition: String, _ arguments: [SQLValue]) throws -> Int64 {
        let blobs = try connection.row(
            """
            SELECT CAST(COALESCE(SUM(blobs.size), 0) AS BIGINT) AS bytes FROM \(Self.counted)
            JOIN links ON links.repository = counted.id JOIN blobs ON blobs.digest = links.digest
            WHERE counted.id > ? AND counted.id <= ? AND \(condition)
            """, arguments)
        let manifests = try connection.row(
            """
            SELECT CAST(COALESCE(SUM(length(manifests.body)), 0) AS BIGINT) AS bytes FROM \(Self.counted)
            JOIN manifests ON manifests.repository = counted.id
            WHERE counted.id > ? AND counted.id <= ? AND \(condition)
            """, arguments)
        return (try blobs?.integer("bytes") ?? 0) + (try manifests?.integer("bytes") ?? 0)
    }

    /// Of a repository that has more rows than one statement is to add up.
    private func bytes(ofOne repository: Int64, rowsMax: Int64) throws -> Int64 {
        let parts = [
            """
            SELECT MAX(part.digest) AS last, CAST(COALESCE(SUM(blobs.size), 0) AS BIGINT) AS bytes FROM
            (SELECT digest FROM links WHERE repository = ? AND digest > ? ORDER BY digest LIMIT ?) AS part
            LEFT JOIN blobs ON blobs.digest = part.digest
            """,
            """
            SELECT MAX(part.digest) AS last, CAST(COALESCE(SUM(part.bytes), 0) AS BIGINT) AS bytes FROM
            (SELECT digest, length(body) AS bytes FROM manifests WHERE repository = ? AND digest > ?
            ORDER BY digest LIMIT ?) AS part
            """,
        ]
        var total: Int64 = 0
        for sql in parts {
            var last = ""
            while let row = try connection.row(sql, [.integer(repository), .text(last), .integer(rowsMax)]),
                let end = try row.optionalText("last")
            {
                total += try row.integer("bytes")
                last = end
            }
        }
        return total
    }
}
