/// What searches and lists are answered from.
///
/// - `facts`: what a manifest and its configuration tell. `index_members`: which manifests an index names.
/// - `readmes`: texts that were pushed for a manifest.
/// - `profiles`: a row for each repository that has a manifest. `place` is its row in the full-text index `words`: the more
///   it is pulled, the higher (``Profile/place(_:pulls:)``), so that reading that index from its end gives what is popular first.
/// - `tag_words`: in how many tags of a repository a word is.
/// - `undescribed`: manifests of before there were these tables, or before the index had what they name
///   (``RegistryStore/describeOverdue()``).
/// - `vocabulary`: words of names, and of how many.
enum SearchTables {
    static let step = Schema.Step(
        sqlite: tables("INTEGER")
            + """
            CREATE VIRTUAL TABLE words USING fts5(
                name, body, paths, tokenize = 'ascii', prefix = '1 2 3', detail = column);
            """,
        postgres: tables("BIGINT")
            + """
            CREATE TABLE words (
                place BIGINT PRIMARY KEY, name TEXT NOT NULL, body TEXT NOT NULL, paths TEXT NOT NULL,
                vector TSVECTOR NOT NULL);
            CREATE INDEX words_vector ON words USING GIN (vector);
            """)

    /// Whether a repository has a tag with a word is looked up by either.
    static let tagsOfRepository = Schema.Step(
        sqlite: "CREATE INDEX tag_words_repository ON tag_words (repository, word)",
        postgres: "CREATE INDEX tag_words_repository ON tag_words (repository, word)")

    /// A push writes fewer pages: tables that are looked up by their keys alone are trees of these, which words are nearly what was
    /// typed is found by the words themselves, and how many words a text has is not kept.
    static let fewerPages = Schema.Step(
        sqlite: """
            DROP TABLE spellings;
            ALTER TABLE vocabulary RENAME TO vocabulary_before;
            CREATE TABLE vocabulary (word TEXT PRIMARY KEY NOT NULL, uses INTEGER NOT NULL) WITHOUT ROWID;
            INSERT INTO vocabulary SELECT word, uses FROM vocabulary_before ORDER BY word;
            DROP TABLE vocabulary_before;
            ALTER TABLE tag_words RENAME TO tag_words_before;
            DROP INDEX tag_words_repository;
            CREATE TABLE tag_words (
                word TEXT NOT NULL, repository INTEGER NOT NULL, uses INTEGER NOT NULL,
                PRIMARY KEY (word, repository)) WITHOUT ROWID;
            INSERT INTO tag_words SELECT word, repository, uses FROM tag_words_before ORDER BY word, repository;
            DROP TABLE tag_words_before;
            CREATE INDEX tag_words_repository ON tag_words (repository, word);
            ALTER TABLE words RENAME TO words_before;
            CREATE VIRTUAL TABLE words USING fts5(
                name, body, paths, tokenize = 'ascii', prefix = '1 2 3', detail = column, columnsize = 0);
            INSERT INTO words (rowid, name, body, paths)
                SELECT rowid, name, body, paths FROM words_before ORDER BY rowid;
            DROP TABLE words_before;
            """,
        postgres: "DROP TABLE spellings")

    private static func tables(_ integer: String) -> String {
        // The order of bytes is that of SQLite; PostgreSQL has to be told.
        let name = integer == "BIGINT" ? "TEXT COLLATE \"C\"" : "TEXT"
        return """
            ALTER TABLE repositories ADD COLUMN tags \(integer) NOT NULL DEFAULT 0;
            UPDATE repositories SET tags = (SELECT count(*) FROM tags WHERE tags.repository = repositories.id);
            CREATE INDEX tags_pushed ON tags (repository, pushed);
            CREATE INDEX manifests_pushed ON manifests (repository, pushed);
            CREATE TABLE facts (
                repository \(integer) NOT NULL, digest TEXT NOT NULL, size \(integer) NOT NULL, platforms TEXT NOT NULL,
                created TEXT, title TEXT NOT NULL, description TEXT NOT NULL, owner TEXT NOT NULL, labels TEXT NOT NULL,
                readme TEXT, words TEXT NOT NULL, pulls \(integer) NOT NULL, PRIMARY KEY (repository, digest));
            CREATE TABLE index_members (
                repository \(integer) NOT NULL, parent TEXT NOT NULL, digest TEXT NOT NULL,
                PRIMARY KEY (repository, parent, digest));
            CREATE INDEX index_members_digest ON index_members (repository, digest);
            CREATE TABLE readmes (
                repository \(integer) NOT NULL, manifest TEXT NOT NULL, pushed \(integer) NOT NULL, text TEXT NOT NULL,
                words TEXT NOT NULL, PRIMARY KEY (repository, manifest));
            CREATE TABLE profiles (
                repository \(integer) PRIMARY KEY, name \(name) NOT NULL, leaf \(name) NOT NULL, source TEXT NOT NULL,
                title TEXT NOT NULL, description TEXT NOT NULL, owner TEXT NOT NULL, platforms TEXT NOT NULL,
                size \(integer) NOT NULL, tags \(integer) NOT NULL, pulls \(integer) NOT NULL,
                pushed \(integer) NOT NULL, updated \(integer) NOT NULL, place \(integer) NOT NULL);
            CREATE UNIQUE INDEX profiles_name ON profiles (name);
            CREATE UNIQUE INDEX profiles_place ON profiles (place);
            CREATE INDEX profiles_leaf ON profiles (leaf, place);
            CREATE INDEX profiles_pulls ON profiles (pulls, repository);
            CREATE INDEX profiles_pushed ON profiles (pushed, repository);
            CREATE INDEX profiles_updated ON profiles (updated, repository);
            CREATE INDEX profiles_size ON profiles (size, repository);
            CREATE TABLE tag_words (
                word \(name) NOT NULL, repository \(integer) NOT NULL, uses \(integer) NOT NULL,
                PRIMARY KEY (word, repository));
            CREATE TABLE undescribed (
                repository \(integer) NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (repository, digest));
            INSERT INTO undescribed SELECT repository, digest FROM manifests;
            CREATE TABLE vocabulary (word \(name) PRIMARY KEY, uses \(integer) NOT NULL);
            CREATE TABLE spellings (variant \(name) NOT NULL, word \(name) NOT NULL, PRIMARY KEY (variant, word));

            """
    }
}
