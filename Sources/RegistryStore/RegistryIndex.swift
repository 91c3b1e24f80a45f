import GRDB

/// `index.db`: what the registry has. Write-ahead log with synchronous=FULL: what has been committed survives a power cut.
enum RegistryIndex {
    /// Format of the tables; `user_version` of the file.
    private static let version = 1
    /// Bytes of the write-ahead log that stay on disk after it was folded into the database.
    private static let logBytesMax = 16 << 20

    static func open(_ path: String) throws -> DatabasePool {
        var configuration = Configuration()
        configuration.prepareDatabase { connection in
            try connection.execute(
                sql: "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = \(logBytesMax)")
        }
        let pool = try DatabasePool(path: path, configuration: configuration)
        try pool.write { try migrate($0) }
        // Opening in WAL mode lowers it: a commit would then be forgotten by a power cut.
        try pool.writeWithoutTransaction { connection in
            try connection.execute(sql: "PRAGMA synchronous = FULL")
            guard try Int.fetchOne(connection, sql: "PRAGMA synchronous") == 2 else {
                throw StoreFailure("\(path): synchronous stays lower than FULL")
            }
        }
        return pool
    }

    /// Counts are kept beside what they count, in the same transaction: `uses` is how many manifests of a repository name a
    /// blob, `links` in how many repositories it is. What has none is found without a look at the rest.
    private static func migrate(_ connection: Database) throws {
        let found = try Int.fetchOne(connection, sql: "PRAGMA user_version") ?? 0
        guard found <= version else {
            throw StoreFailure("index.db has format \(found), this registry knows \(version): upgrade it")
        }
        guard found < version else { return }
        try connection.execute(
            sql: """
                CREATE TABLE repositories (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
                CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, links INTEGER NOT NULL) WITHOUT ROWID;
                CREATE INDEX blobs_unlinked ON blobs (digest) WHERE links = 0;
                CREATE TABLE links (
                    repository INTEGER NOT NULL, digest TEXT NOT NULL, uses INTEGER NOT NULL, touched INTEGER NOT NULL,
                    PRIMARY KEY (repository, digest)) WITHOUT ROWID;
                CREATE INDEX links_unused ON links (touched) WHERE uses = 0;
                CREATE TABLE manifests (
                    repository INTEGER NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, artifact_type TEXT,
                    subject TEXT, annotations TEXT NOT NULL, body BLOB NOT NULL, pushed INTEGER NOT NULL,
                    UNIQUE (repository, digest));
                CREATE INDEX manifests_subject ON manifests (repository, subject, digest) WHERE subject IS NOT NULL;
                CREATE TABLE members (
                    repository INTEGER NOT NULL, manifest TEXT NOT NULL, digest TEXT NOT NULL,
                    PRIMARY KEY (repository, manifest, digest)) WITHOUT ROWID;
                CREATE TABLE tags (
                    repository INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, pushed INTEGER NOT NULL,
                    PRIMARY KEY (repository, name)) WITHOUT ROWID;
                CREATE INDEX tags_digest ON tags (repository, digest);
                PRAGMA user_version = \(version);
                """)
    }
}

/// What keeps the store from being opened or from working; no client's fault.
package struct StoreFailure: Error, Sendable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}
