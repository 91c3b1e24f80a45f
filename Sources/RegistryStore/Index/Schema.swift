/// The tables of the index, and how they came to be.
enum Schema {
    /// One change of the tables. What has been released is never changed: another follows.
    struct Step: Sendable {
        let sqlite: String
        let postgres: String

        func sql(_ dialect: SQLDialect) -> String { dialect == .sqlite ? sqlite : postgres }
    }

    /// An index says how many of them it has.
    static let steps: [Step] = [
        content, places, AccountTables.step, SearchTables.step, mirrors, QuotaTables.step, bucketUploads, upkeep,
        SearchTables.tagsOfRepository, SearchTables.fewerPages, mirroredMembers,
    ]

    /// Counts are kept beside what they count, in the same transaction: `uses` is how many manifests of a repository name a
    /// blob, `links` in how many repositories it is. What has none is found without a look at the rest.
    private static let content = Step(
        sqlite: """
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
            """,
        postgres: """
            CREATE TABLE repositories (
                id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT COLLATE "C" NOT NULL UNIQUE);
            CREATE TABLE blobs (digest TEXT COLLATE "C" PRIMARY KEY, size BIGINT NOT NULL, links BIGINT NOT NULL);
            CREATE INDEX blobs_unlinked ON blobs (digest) WHERE links = 0;
            CREATE TABLE links (
                repository BIGINT NOT NULL, digest TEXT COLLATE "C" NOT NULL, uses BIGINT NOT NULL,
                touched BIGINT NOT NULL, PRIMARY KEY (repository, digest));
            CREATE INDEX links_unused ON links (touched) WHERE uses = 0;
            CREATE TABLE manifests (
                repository BIGINT NOT NULL, digest TEXT COLLATE "C" NOT NULL, media_type TEXT NOT NULL,
                artifact_type TEXT, subject TEXT, annotations TEXT NOT NULL, body BYTEA NOT NULL,
                pushed BIGINT NOT NULL, PRIMARY KEY (repository, digest));
            CREATE INDEX manifests_subject ON manifests (repository, subject, digest) WHERE subject IS NOT NULL;
            CREATE TABLE members (
                repository BIGINT NOT NULL, manifest TEXT NOT NULL, digest TEXT NOT NULL,
                PRIMARY KEY (repository, manifest, digest));
            CREATE TABLE tags (
                repository BIGINT NOT NULL, name TEXT COLLATE "C" NOT NULL, digest TEXT NOT NULL,
                pushed BIGINT NOT NULL, PRIMARY KEY (repository, name));
            CREATE INDEX tags_digest ON tags (repository, digest);
            """)

    /// Uploads to the bucket, see ``UploadRecord``. `lease` is until when the request `holder` has it, in seconds since 1970.
    private static let bucketUploads = Step(
        sqlite: """
            CREATE TABLE uploads (
                id TEXT PRIMARY KEY, repository TEXT NOT NULL, algorithm TEXT NOT NULL, object TEXT NOT NULL UNIQUE,
                multipart TEXT, parts TEXT NOT NULL, tail TEXT, count INTEGER NOT NULL, touched INTEGER NOT NULL,
                lease INTEGER NOT NULL, holder TEXT NOT NULL);
            CREATE UNIQUE INDEX uploads_tail ON uploads (tail) WHERE tail IS NOT NULL;
            """,
        postgres: """
            CREATE TABLE uploads (
                id TEXT COLLATE "C" PRIMARY KEY, repository TEXT NOT NULL, algorithm TEXT NOT NULL,
                object TEXT COLLATE "C" NOT NULL UNIQUE, multipart TEXT, parts TEXT NOT NULL, tail TEXT COLLATE "C",
                count BIGINT NOT NULL, touched BIGINT NOT NULL, lease BIGINT NOT NULL, holder TEXT NOT NULL);
            CREATE UNIQUE INDEX uploads_tail ON uploads (tail) WHERE tail IS NOT NULL;
            """)

    /// The key of the object that has a blob's bytes; null for a file of the folder.
    private static let places = Step(
        sqlite: """
            ALTER TABLE blobs ADD COLUMN object TEXT;
            CREATE UNIQUE INDEX blobs_object ON blobs (object) WHERE object IS NOT NULL;
            """,
        postgres: """
            ALTER TABLE blobs ADD COLUMN object TEXT COLLATE "C";
            CREATE UNIQUE INDEX blobs_object ON blobs (object) WHERE object IS NOT NULL;
            """)
}

extension Schema {
    /// Of what other registries have: when a manifest was asked for last, and when a tag was compared.
    private static let mirrors = Step(
        sqlite: """
            CREATE TABLE mirror_manifests (
                repository INTEGER NOT NULL, digest TEXT NOT NULL, used INTEGER NOT NULL,
                PRIMARY KEY (repository, digest)) WITHOUT ROWID;
            CREATE INDEX mirror_manifests_used ON mirror_manifests (used);
            CREATE TABLE mirror_tags (
                repository INTEGER NOT NULL, name TEXT NOT NULL, checked INTEGER NOT NULL,
                PRIMARY KEY (repository, name)) WITHOUT ROWID;
            CREATE INDEX members_digest ON members (repository, digest);
            """,
        postgres: """
            CREATE TABLE mirror_manifests (
                repository BIGINT NOT NULL, digest TEXT COLLATE "C" NOT NULL, used BIGINT NOT NULL,
                PRIMARY KEY (repository, digest));
            CREATE INDEX mirror_manifests_used ON mirror_manifests (used);
            CREATE TABLE mirror_tags (
                repository BIGINT NOT NULL, name TEXT COLLATE "C" NOT NULL, checked BIGINT NOT NULL,
                PRIMARY KEY (repository, name));
            CREATE INDEX members_digest ON members (repository, digest);
            """)

    /// Who names a blob is asked where it may come after its manifest: in mirrors. Pushes are spared the index of it.
    private static let mirroredMembers = Step(
        sqlite: membersOfMirrors("INTEGER"), postgres: membersOfMirrors("BIGINT"))

    /// `mirrored` is in the index for SQLite, which else takes the key of the table and reads all members of the repository.
    private static func membersOfMirrors(_ integer: String) -> String {
        """
        ALTER TABLE members ADD COLUMN mirrored \(integer) NOT NULL DEFAULT 0;
        UPDATE members SET mirrored = 1
            WHERE (repository, manifest) IN (SELECT repository, digest FROM mirror_manifests);
        DROP INDEX members_digest;
        CREATE INDEX members_mirrored ON members (repository, digest, mirrored) WHERE mirrored = 1;
        """
    }
}

/// What keeps the store from being opened or from working; no client's fault.
package struct StoreFailure: Error, Sendable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}
