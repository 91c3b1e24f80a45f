/// The tables of accounts, their rights, and the keys of their tokens. A name may have grants without an account: then it is of
/// a password file.
enum AccountTables {
    static let step = Schema.Step(
        sqlite: sql(name: "TEXT", bytes: "BLOB"), postgres: sql(name: "TEXT COLLATE \"C\"", bytes: "BYTEA"))

    private static func sql(name: String, bytes: String) -> String {
        """
        CREATE TABLE accounts (
            name \(name) PRIMARY KEY NOT NULL, kind TEXT NOT NULL, secret TEXT NOT NULL, expires BIGINT,
            enabled BIGINT NOT NULL, created BIGINT NOT NULL);
        CREATE TABLE grants (
            account \(name) NOT NULL, pattern \(name) NOT NULL, rights BIGINT NOT NULL,
            PRIMARY KEY (account, pattern));
        CREATE TABLE token_keys (id \(name) PRIMARY KEY NOT NULL, secret \(bytes) NOT NULL, created BIGINT NOT NULL);
        """
    }
}
