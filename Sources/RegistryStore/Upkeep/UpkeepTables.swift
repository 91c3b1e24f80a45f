extension Schema {
    /// What others are to be told of and what is to be copied to them, when a manifest was last asked for, repositories that
    /// are on their way out, and how far long work has come.
    static let upkeep = Step(
        sqlite: """
            ALTER TABLE blobs ADD COLUMN damaged INTEGER NOT NULL DEFAULT 0;
            CREATE INDEX blobs_damaged ON blobs (digest) WHERE damaged > 0;
            ALTER TABLE manifests ADD COLUMN relied INTEGER NOT NULL DEFAULT 0;
            CREATE TABLE pulls (
                repository INTEGER NOT NULL, digest TEXT NOT NULL, pulled INTEGER NOT NULL,
                PRIMARY KEY (repository, digest)) WITHOUT ROWID;
            CREATE TABLE departed (repository INTEGER PRIMARY KEY, name TEXT NOT NULL);
            CREATE TABLE outbox (
                id INTEGER PRIMARY KEY AUTOINCREMENT, hook TEXT NOT NULL, event TEXT NOT NULL, created INTEGER NOT NULL,
                refusals INTEGER NOT NULL DEFAULT 0, parked INTEGER NOT NULL DEFAULT 0);
            CREATE INDEX outbox_hook ON outbox (hook, parked, id);
            CREATE TABLE hooks (name TEXT PRIMARY KEY, delivered INTEGER NOT NULL, dropped INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE copies (
                id INTEGER PRIMARY KEY AUTOINCREMENT, rule TEXT NOT NULL, repository TEXT NOT NULL,
                reference TEXT NOT NULL, digest TEXT, created INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
                due INTEGER NOT NULL, failure TEXT, UNIQUE (rule, repository, reference));
            CREATE INDEX copies_due ON copies (rule, due, id);
            CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE progress (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
            """,
        postgres: """
            ALTER TABLE blobs ADD COLUMN damaged BIGINT NOT NULL DEFAULT 0;
            CREATE INDEX blobs_damaged ON blobs (digest) WHERE damaged > 0;
            ALTER TABLE manifests ADD COLUMN relied BIGINT NOT NULL DEFAULT 0;
            CREATE TABLE pulls (
                repository BIGINT NOT NULL, digest TEXT COLLATE "C" NOT NULL, pulled BIGINT NOT NULL,
                PRIMARY KEY (repository, digest));
            CREATE TABLE departed (repository BIGINT PRIMARY KEY, name TEXT NOT NULL);
            CREATE TABLE outbox (
                id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, hook TEXT NOT NULL, event TEXT NOT NULL,
                created BIGINT NOT NULL, refusals BIGINT NOT NULL DEFAULT 0, parked BIGINT NOT NULL DEFAULT 0);
            CREATE INDEX outbox_hook ON outbox (hook, parked, id);
            CREATE TABLE hooks (name TEXT PRIMARY KEY, delivered BIGINT NOT NULL, dropped BIGINT NOT NULL);
            CREATE TABLE copies (
                id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, rule TEXT NOT NULL, repository TEXT NOT NULL,
                reference TEXT NOT NULL, digest TEXT, created BIGINT NOT NULL, attempts BIGINT NOT NULL DEFAULT 0,
                due BIGINT NOT NULL, failure TEXT, UNIQUE (rule, repository, reference));
            CREATE INDEX copies_due ON copies (rule, due, id);
            CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until BIGINT NOT NULL);
            CREATE TABLE progress (name TEXT PRIMARY KEY, value TEXT NOT NULL);
            """)
}
