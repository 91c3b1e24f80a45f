/// A private key that tokens are signed with. All registries of an index share them.
package struct StoredTokenKey: Sendable, Hashable {
    package let id: String
    package let bytes: [UInt8]
    /// Seconds since 1970.
    package let created: Int64

    package init(id: String, bytes: [UInt8], created: Int64) {
        self.id = id
        self.bytes = bytes
        self.created = created
    }
}

extension RegistryStore {
    /// Keys that are kept, however short the time is that each signs.
    private static let tokenKeysMax = 64

    /// The newest first.
    package nonisolated func tokenKeys() async throws -> [StoredTokenKey] {
        try await index.read { try Self.tokenKeys($0) }
    }

    private static func tokenKeys(_ connection: any SQLConnection) throws -> [StoredTokenKey] {
        try connection.rows("SELECT id, secret, created FROM token_keys ORDER BY created DESC, id", []).map { row in
            StoredTokenKey(
                id: try row.text("id"), bytes: try row.bytes("secret"), created: try row.integer("created"))
        }
    }

    /// Makes `key` the newest, unless another registry was faster, and forgets those that nobody has tokens of any more.
    ///
    /// - Parameters:
    ///   - oldest: seconds since 1970; a key that was made later is new enough, and `key` is not needed.
    ///   - ended: seconds since 1970; keys whose successor was made before are forgotten.
    /// - Returns: all keys, the newest first; durable.
    package nonisolated func rotateTokenKey(
        _ key: StoredTokenKey, ifNewestBefore oldest: Int64, forgetting ended: Int64
    ) async throws -> [StoredTokenKey] {
        try await writer.change { change in
            let connection = change.connection
            var keys = try Self.tokenKeys(connection)
            guard keys.first.map({ $0.created < oldest }) ?? true else { return keys }
            try connection.execute(
                "INSERT INTO token_keys (id, secret, created) VALUES (?, ?, ?)",
                [.text(key.id), .bytes(key.bytes), .integer(key.created)])
            keys.insert(key, at: 0)
            let gone = keys.indices.dropFirst().filter { keys[$0 - 1].created < ended || $0 >= Self.tokenKeysMax }.map {
                keys[$0].id
            }
            for id in gone { try connection.execute("DELETE FROM token_keys WHERE id = ?", [.text(id)]) }
            return keys.filter { !gone.contains($0.id) }
        }
    }
}
